"""What a merge into the frozen weights would keep of the adapters: W + ΔW is rounded to what W is kept in."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lora_watch.adapters.adapter import Adapter
from lora_watch.adapters.tensors import whole
from lora_watch.measurement.norms.base import dequantised

_ROWS = 64
"""Of each weight that are merged on trial."""


@torch.no_grad()
def kept_by_a_merge(adapters: Iterable[Adapter]) -> float:
    """⟨R(W + ΔW) − W, ΔW⟩/‖ΔW‖² over some rows of every layer, where R rounds as W is rounded: bfloat16, float16 or
    bitsandbytes' 4 bits. NaN where there are no such weights, or no ΔW. Waits for an accelerator."""
    kept = [pair for adapter in adapters if (pair := _of(adapter)) is not None]
    along, squares = (sum(float(number) for number in numbers) for numbers in zip(*kept)) if kept else (0.0, 0.0)
    return along / squares if squares else math.nan


def _of(adapter: Adapter) -> tuple[Tensor, Tensor] | None:
    """⟨change, ΔW⟩ and ‖ΔW‖² of some rows."""
    weight, rounded = adapter.base_weight, _rounding(adapter)
    if rounded is None or adapter.variant != "lora" or len(factors := adapter.factors()) != 1:
        return None
    there = dequantised(adapter.base_layer)
    if there is None and weight is not None and whole(weight):
        there = next(iter(adapter.base_matrices()), None)  # as [d_out, d_in]: a Conv1D keeps it transposed
    if there is None or tuple(there.shape) != adapter.shape:
        return None
    step = max(len(there) // _ROWS, 1)
    delta = (factors[0].b[::step].float() * adapter.scale) @ factors[0].a.float()
    rows = there[::step].float()
    change = rounded(rows + delta) - rows
    return (change * delta).sum(), delta.square().sum()


def _rounding(adapter: Adapter) -> Callable[[Tensor], Tensor] | None:
    """R; None where the weight loses nothing that matters, or is kept in a way that is not known here."""
    weight: Any = getattr(adapter.base_layer, "weight", None)
    if (state := getattr(weight, "quant_state", None)) is not None:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        how = {"blocksize": state.blocksize, "quant_type": state.quant_type}
        return lambda numbers: dequantize_4bit(*quantize_4bit(numbers.contiguous(), **how))
    kind = getattr(weight, "dtype", None)
    return (lambda numbers: numbers.to(kind).float()) if kind in (torch.bfloat16, torch.float16) else None
