"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, DenseAdapter
from lora_watch.adapters.tensors import gathered, sharded
from lora_watch.deferred import Deferred, ready
from lora_watch.records import Due, FloatArray, Reading, Readings

NAMES = ("a_grad_norm", "b_grad_norm")
NAMES_DENSE = ("grad_norm",)


class Gradients:
    """The gradient norms of one step, read before the optimizer's step or after it, whichever comes first."""

    def __init__(self, adapters: Sequence[Adapter | DenseAdapter]):
        self._adapters = adapters
        self._read: Deferred[Readings] | None = None

    @property
    def latest(self) -> Deferred[Readings]:
        """What ``read`` gave."""
        return self._read or ready({})

    def read(self) -> Deferred[Readings]:
        """Read them now, for the coming ``begin`` as well. See ``gradient_norms``."""
        self._read = gradient_norms(self._adapters)
        return self._read

    def keep(self, readings: Readings) -> None:
        """What ``read`` has led to: it need not be copied to the host a second time."""
        self._read = ready(readings)

    def begin(self, due: Due) -> Deferred[Readings]:
        read, self._read = self._read, None
        if not due.trained:
            return ready({})
        return read or gradient_norms(self._adapters)


def overflow(metrics: Readings) -> bool:
    """Whether some gradient is not finite."""
    found = (metrics[name] for name in (*NAMES, *NAMES_DENSE) if name in metrics)
    return any((reading.known & ~np.isfinite(reading.values)).any() for reading in found)


@torch.no_grad()
def gradient_norms(adapters: Sequence[Adapter | DenseAdapter]) -> Deferred[Readings]:
    """``a_grad_norm`` and ``b_grad_norm``, known where there is a gradient.

    Where the adapters are not LoRA's: ``grad_norm``, of all of an adapter's own parameters together. A factor without a
    gradient (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN. Squares are added in float64, so that they
    neither vanish nor overflow. Two operations for each device and dtype that holds adapters, however many they are;
    nothing waits.
    """
    whole = any(isinstance(adapter, DenseAdapter) for adapter in adapters)
    names = NAMES_DENSE if whole else NAMES
    there = np.zeros((len(names), len(adapters)), dtype=bool)
    kinds: dict[tuple[torch.device, torch.dtype], tuple[list[tuple[int, int]], list[Tensor]]] = {}
    for column, adapter in enumerate(adapters):
        for place, parameter in enumerate(adapter.parameters):
            grad = parameter.grad
            if grad is None:
                continue
            if sharded(grad):
                grad = gathered(grad)
            row = 0 if whole else place
            places, grads = kinds.setdefault((grad.device, grad.dtype), ([], []))
            places.append((row, column))
            grads.append(grad)
            there[row, column] = True

    def finish(values: Sequence[FloatArray]) -> Readings:
        norms = np.where(there, 0.0, np.nan)
        for (places, _), numbers in zip(kinds.values(), values):
            np.hypot.at(norms, tuple(np.array(places).T), numbers)
        return {name: Reading(*pair) for name, *pair in zip(names, norms, there)}

    return Deferred([_norms(grads) for _, grads in kinds.values()], finish)


def _norms(grads: list[Tensor]) -> Tensor:
    if grads[0].device.type == "mps":  # has no float64
        grads = [grad.cpu() for grad in grads]
    return torch.stack(torch._foreach_norm(grads, dtype=torch.float64))  # pyright: ignore[reportPrivateImportUsage]
