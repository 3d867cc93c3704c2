"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lora_watch.adapters.adapter import Adapter
from lora_watch.records import FloatArray


@torch.no_grad()
def gradient_norms(adapters: Sequence[Adapter]) -> tuple[FloatArray, FloatArray]:
    """Frobenius norms of ∂loss/∂A and ∂loss/∂B: two float64 arrays ``[n_adapters]``.

    A factor without a gradient (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN. One device→host
    copy for each device that holds adapters. Norms are taken in float32 (float64 for float64 gradients).
    """
    norms = np.full((2, len(adapters)), np.nan)
    by_device: dict[torch.device, list[tuple[int, int, torch.Tensor]]] = {}
    for column, adapter in enumerate(adapters):
        for row, parameter in enumerate(adapter.parameters):
            if parameter.grad is not None:
                grad = parameter.grad
                grad = grad.full_tensor() if hasattr(grad, "full_tensor") else grad  # type: ignore[attr-defined]
                by_device.setdefault(grad.device, []).append((row, column, grad))
    for entries in by_device.values():
        grads = [grad.float() if grad.dtype in (torch.float16, torch.bfloat16) else grad for *_, grad in entries]
        norms_of = torch._foreach_norm(grads)  # pyright: ignore[reportPrivateImportUsage]
        values = torch.stack([norm.double() for norm in norms_of]).tolist()
        for (row, column, _), value in zip(entries, values):
            norms[row, column] = value
    return norms[0], norms[1]
