"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, DenseAdapter
from lora_watch.adapters.tensors import here, sharded, whole
from lora_watch.deferred import Deferred, ready
from lora_watch.records import BoolArray, Due, FloatArray, Reading, Readings
from lora_watch.sharding import dtensor

NAMES = ("a_grad_norm", "b_grad_norm")
NAMES_DENSE = ("grad_norm",)


class Gradients:
    """The gradient norms of one step, read before the optimizer's step or after it, whichever comes first."""

    def __init__(self, adapters: Sequence[Adapter | DenseAdapter]):
        self.adapters = adapters
        self._read: Deferred[Readings] | None = None
        self._unclipped: Deferred[BoolArray] | None = None

    @property
    def latest(self) -> Deferred[Readings]:
        """What ``read`` gave."""
        return self._read or ready({})

    def see_unclipped(self) -> None:
        """They are about to be clipped, which may spread one NaN to all: see where they are finite before that."""
        self._unclipped = sound_gradients(self.adapters)

    def read(self) -> Deferred[Readings]:
        """Read them now, for the coming ``begin`` as well. See ``gradient_norms``."""
        self._read = gradient_norms(self.adapters, self._unclipped)
        return self._read

    def keep(self, readings: Readings) -> None:
        """What ``read`` has led to: it need not be copied to the host a second time."""
        self._read = ready(readings)

    def begin(self, due: Due) -> Deferred[Readings]:
        read, self._read = self._read, None
        unclipped, self._unclipped = self._unclipped, None
        if not due.trained:
            return ready({})
        return read or gradient_norms(self.adapters, unclipped)


def overflow(metrics: Readings) -> bool:
    """Whether some gradient is not finite."""
    found = (metrics[name] for name in (*NAMES, *NAMES_DENSE) if name in metrics)
    return any((reading.known & ~np.isfinite(reading.values)).any() for reading in found)


@torch.no_grad()
def gradient_norms(
    adapters: Sequence[Adapter | DenseAdapter], unclipped: Deferred[BoolArray] | None = None
) -> Deferred[Readings]:
    """``a_grad_norm`` and ``b_grad_norm``, known where there is a gradient.

    Where the adapters are not LoRA's: ``grad_norm``, of all of an adapter's own parameters together. A factor without a
    gradient (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN, and so is one of whose gradient a part is
    here (FSDP1). Of DTensors every rank adds its own squares to those of the others: a collective. Squares are added in
    float64, so that they neither vanish nor overflow. Two operations for each device and dtype that holds adapters,
    however many they are; nothing waits.

    ``unclipped``: ``sound_gradients`` of before clipping; a norm that clipping alone has made non-finite is then no
    measurement.
    """
    dense = any(isinstance(adapter, DenseAdapter) for adapter in adapters)
    names = NAMES_DENSE if dense else NAMES
    there = np.zeros((len(names), len(adapters)), dtype=bool)
    kinds: dict[tuple[object, ...], tuple[list[tuple[int, int]], list[Tensor]]] = {}
    for column, adapter in enumerate(adapters):
        for place, parameter in enumerate(adapter.parameters):
            grad = _gradient(parameter, dense)
            if grad is None:
                continue
            row = 0 if dense else place
            places, grads = kinds.setdefault((grad.device, grad.dtype, _layout(grad)), ([], []))
            places.append((row, column))
            grads.append(grad)
            there[row, column] = True

    def finish(values: Sequence[FloatArray]) -> Readings:
        norms = np.where(there, 0.0, np.nan)
        for (places, _), numbers in zip(kinds.values(), values):
            np.hypot.at(norms, tuple(np.array(places).T), numbers)
        known = there
        if unclipped is not None and not np.isfinite(norms[there]).all():
            sound = unclipped.finish(values[len(kinds) :])
            if not sound.all():  # else they became so after clipping
                known = there & ~(sound & ~np.isfinite(norms))
        return {name: Reading(*pair) for name, *pair in zip(names, norms, known)}

    before = unclipped.tensors if unclipped is not None else ()
    return Deferred([*(_norms(grads) for _, grads in kinds.values()), *before], finish)


@torch.no_grad()
def sound_gradients(adapters: Sequence[Adapter | DenseAdapter]) -> Deferred[BoolArray]:
    """Whether each adapter's gradients are finite, ``[n_adapters]``. Of sharded ones nothing is read: they are."""
    kinds: dict[tuple[torch.device, torch.dtype], tuple[list[int], list[Tensor]]] = {}
    for column, adapter in enumerate(adapters):
        for grad in (_gradient(parameter, isinstance(adapter, DenseAdapter)) for parameter in adapter.parameters):
            if grad is not None and not sharded(grad):
                columns, grads = kinds.setdefault((grad.device, grad.dtype), ([], []))
                columns.append(column)
                grads.append(grad)

    def finish(values: Sequence[FloatArray]) -> BoolArray:
        sound = np.ones(len(adapters), dtype=bool)
        for (columns, _), largest in zip(kinds.values(), values):
            sound[np.array(columns)[~np.isfinite(largest)]] = False
        return sound

    norm = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage]
    return Deferred([torch.stack(norm(grads, torch.inf)) for _, grads in kinds.values()], finish)


def _gradient(parameter: Tensor, dense: bool) -> Tensor | None:
    """That of the whole parameter; None where there is none in this process."""
    return parameter.grad if sharded(parameter) or (here(parameter) if dense else whole(parameter)) else None


def _layout(grad: Tensor) -> object:
    return dtensor.layout(grad) if sharded(grad) else None


def _norms(grads: list[Tensor]) -> Tensor:
    if sharded(grads[0]):
        return dtensor.norms(grads)
    if grads[0].device.type == "mps":  # has no float64
        grads = [grad.cpu() for grad in grads]
    return torch.stack(torch._foreach_norm(grads, dtype=torch.float64))  # pyright: ignore[reportPrivateImportUsage]
