"""What is fixed about an adapter, as plain data."""

from __future__ import annotations

import math

from torch import Tensor

from lora_watch.adapters.adapter import Adapter
from lora_watch.adapters.peft_deltas import DenseAdapter
from lora_watch.adapters.tensors import elements
from lora_watch.base.names import layer_index
from lora_watch.base.records import AdapterInfo


def describe(
    adapter: Adapter | DenseAdapter, group: int | None, norm: float = math.nan, top: float = math.nan
) -> AdapterInfo:
    """``adapter`` as rules and sinks know it; ``norm`` and ``top`` are ‖W₀‖_F and σ₁(W₀), NaN where unknown."""
    d_out, d_in = adapter.shape
    return AdapterInfo(
        name=adapter.name,
        kind=adapter.kind,
        layer=layer_index(adapter.name),
        d_out=d_out,
        d_in=d_in,
        r=adapter.r,
        alpha=adapter.alpha,
        scale=adapter.scale,
        scale_formula=adapter.scale_formula,
        group=group,
        trainable=sum(elements(p) for p in adapter.parameters if p.requires_grad),
        base_norm=float(norm),
        base_spectral_norm=float(top),
        zero_magnitudes=_zeros(adapter.magnitude),
        magnitude_trainable=(m := adapter.magnitude_parameter) is not None and m.requires_grad,
    )


def _zeros(magnitude: Tensor | None) -> int:
    return 0 if magnitude is None or magnitude.is_meta else int((magnitude == 0).sum())
