"""Frozen weights that are not stored as numbers: bitsandbytes' 8 and 4 bits, HQQ, torchao."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


def dequantised(layer: nn.Module | None) -> Tensor | None:
    """The numbers a quantised ``layer`` computes with: a new matrix, ``[d_out, d_in]``, floating-point, on its device.

    None where the layer is not quantised, or not in a way that is known here, or sharded away. Recognised by
    attributes; only bitsandbytes' own routine is called by its name, for a weight which that library has made.
    """
    weight: Any = getattr(layer, "weight", None)
    if (state := getattr(weight, "quant_state", None)) is not None:
        # On a CPU with AVX512-BF16 an evaluation reshuffles the numbers and rounds their scales.
        repacked = getattr(state, "packing_format_for_cpu", False)
        if repacked or 2 * weight.data.nbytes < math.prod(state.shape):
            return None
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(weight.data, state)
    if (scale := _int8_scale(layer, weight)) is not None:
        return weight.data.float().mul_(scale.view(-1, 1) / 127)
    if hasattr(layer, "W_q"):  # HQQ
        return layer.dequantize()  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    if type(weight).__module__.startswith("torchao."):
        return weight.dequantize()
    return None


def _int8_scale(layer: Any, weight: Any) -> Tensor | None:
    """bitsandbytes' largest magnitude of each row; it moves from the weight to the layer in the first forward pass."""
    scale = getattr(weight, "SCB", None)
    if scale is None:
        scale = getattr(getattr(layer, "state", None), "SCB", None)
    if not isinstance(scale, Tensor) or not isinstance(weight, Tensor) or weight.is_floating_point():
        return None
    return scale if weight.ndim == 2 and len(weight) == scale.numel() else None
