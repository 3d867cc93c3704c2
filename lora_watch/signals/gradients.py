"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Adapter
from lora_watch.records import BoolArray, FloatArray
from lora_watch.transfer import Deferred


@torch.no_grad()
def gradient_norms(adapters: Sequence[Adapter]) -> Deferred[tuple[dict[str, FloatArray], dict[str, BoolArray]]]:
    """``a_grad_norm`` and ``b_grad_norm``, float64 ``[n_adapters]`` each, and where there is a gradient.

    A factor without one (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN. Squares are added in float64,
    so that they neither vanish nor overflow. Two operations for each device and dtype that holds adapters, however many
    they are; nothing waits.
    """
    there = np.zeros((2, len(adapters)), dtype=bool)
    kinds: dict[tuple[torch.device, torch.dtype], tuple[list[tuple[int, int]], list[Tensor]]] = {}
    for column, adapter in enumerate(adapters):
        for row, parameter in enumerate(adapter.parameters):
            grad = parameter.grad
            if grad is None:
                continue
            if hasattr(grad, "full_tensor"):
                grad = grad.full_tensor()  # type: ignore[attr-defined]
            places, grads = kinds.setdefault((grad.device, grad.dtype), ([], []))
            places.append((row, column))
            grads.append(grad)
            there[row, column] = True

    def finish(values: Sequence[FloatArray]) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
        norms = np.full((2, len(adapters)), np.nan)
        for (places, _), numbers in zip(kinds.values(), values):
            norms[tuple(np.array(places).T)] = numbers
        names = ("a_grad_norm", "b_grad_norm")
        return dict(zip(names, norms)), dict(zip(names, there))

    return Deferred([_norms(grads) for _, grads in kinds.values()], finish)


def _norms(grads: list[Tensor]) -> Tensor:
    if grads[0].device.type == "mps":  # has no float64
        grads = [grad.cpu() for grad in grads]
    return torch.stack(torch._foreach_norm(grads, dtype=torch.float64))  # pyright: ignore[reportPrivateImportUsage]
