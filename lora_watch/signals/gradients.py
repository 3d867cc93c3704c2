"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, DenseAdapter
from lora_watch.adapters.tensors import gathered, sharded
from lora_watch.deferred import Deferred
from lora_watch.records import BoolArray, FloatArray


@torch.no_grad()
def gradient_norms(
    adapters: Sequence[Adapter | DenseAdapter],
) -> Deferred[tuple[dict[str, FloatArray], dict[str, BoolArray]]]:
    """``a_grad_norm`` and ``b_grad_norm``, float64 ``[n_adapters]`` each, and where there is a gradient.

    Where the adapters are not LoRA's: ``grad_norm``, of all of an adapter's own parameters together. A factor without a
    gradient (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN. Squares are added in float64, so that they
    neither vanish nor overflow. Two operations for each device and dtype that holds adapters, however many they are;
    nothing waits.
    """
    whole = any(isinstance(adapter, DenseAdapter) for adapter in adapters)
    names = ("grad_norm",) if whole else ("a_grad_norm", "b_grad_norm")
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

    def finish(values: Sequence[FloatArray]) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
        norms = np.where(there, 0.0, np.nan)
        for (places, _), numbers in zip(kinds.values(), values):
            np.hypot.at(norms, tuple(np.array(places).T), numbers)
        return dict(zip(names, norms)), dict(zip(names, there))

    return Deferred([_norms(grads) for _, grads in kinds.values()], finish)


def _norms(grads: list[Tensor]) -> Tensor:
    if grads[0].device.type == "mps":  # has no float64
        grads = [grad.cpu() for grad in grads]
    return torch.stack(torch._foreach_norm(grads, dtype=torch.float64))  # pyright: ignore[reportPrivateImportUsage]
