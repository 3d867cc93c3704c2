"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lora_watch.adapters.adapter import Adapter
from lora_watch.records import BoolArray, FloatArray


@torch.no_grad()
def gradient_norms(adapters: Sequence[Adapter]) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
    """``a_grad_norm`` and ``b_grad_norm``, float64 ``[n_adapters]`` each, and where there is a gradient.

    A factor without one (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN. One device→host copy for each
    device and dtype that holds adapters. Norms are taken in float32 (float64 for float64 gradients).
    """
    norms = np.full((2, len(adapters)), np.nan)
    there = np.zeros((2, len(adapters)), dtype=bool)
    kinds: dict[tuple[torch.device, torch.dtype], tuple[list[tuple[int, int]], list[torch.Tensor]]] = {}
    for column, adapter in enumerate(adapters):
        for row, parameter in enumerate(adapter.parameters):
            grad = parameter.grad
            if grad is None:
                continue
            if hasattr(grad, "full_tensor"):
                grad = grad.full_tensor()  # type: ignore[attr-defined]
            places, grads = kinds.setdefault((grad.device, grad.dtype), ([], []))
            places.append((row, column))
            grads.append(grad.float() if grad.dtype in (torch.float16, torch.bfloat16) else grad)
            there[row, column] = True
    for places, grads in kinds.values():
        values = torch.stack(torch._foreach_norm(grads)).tolist()  # pyright: ignore[reportPrivateImportUsage]
        for (row, column), value in zip(places, values):
            norms[row, column] = value
    names = ("a_grad_norm", "b_grad_norm")
    return dict(zip(names, norms)), dict(zip(names, there))
