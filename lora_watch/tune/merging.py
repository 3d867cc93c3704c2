"""What a merge keeps of an adapter: W₀ + ΔW is rounded to the precision of the merged model."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_watch.base.text import first_of, percent
from lora_watch.base.untrusted import MISFITS, load_json
from lora_watch.snapshots.adapter import SavedAdapters, StoredAdapter
from lora_watch.snapshots.weights import StoredError, StoredWeights
from lora_watch.tune.inspect import base_weight, base_weights

PRECISIONS = ("float32", "bfloat16", "float16", "nf4")
"""What a model is merged in: a dtype of torch, or bitsandbytes' 4-bit NormalFloat as QLoRA loads it."""
ENOUGH = 0.9
"""Share of an update from which on a merge is said to keep it."""
_TIED = ("lm_head", "embed_tokens", "wte", "word_embeddings", "embed_out")
"""What models call the two ends that may share one weight."""


@dataclass(frozen=True)
class Merge:
    """What is left of each layer's ΔW when the base model is loaded in ``precision`` and the adapter merged into it."""

    precision: str
    kept: Mapping[str, float]
    """By layer ⟨R(W + ΔW) − W, ΔW⟩/‖ΔW‖², where R rounds and W = R(W₀). 1: all of it. NaN: unknown, or ΔW is 0."""
    overall: float
    """The same of all layers together, each by its ‖ΔW‖²; NaN where none is known."""
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In words: what is kept, and what to do."""
        if math.isnan(self.overall):
            return f"Merged in {self.precision}: unknown, no layer could be computed."
        said = f"Merged in {self.precision}, {percent(self.overall)} of the update is kept."
        worst = sorted((share, name) for name, share in self.kept.items() if share < ENOUGH)
        if not worst:
            return said
        least = first_of([f"{name} {percent(share)}" for share, name in worst], 3)
        what = " Keep the adapter apart, or merge in float32 and keep that." if self.overall < ENOUGH else ""
        return f"{said} Least: {least}.{what}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, NaN kept."""
        layers = [{"name": name, "kept": share} for name, share in self.kept.items()]
        said = {"kept": self.overall, "verdict": self.verdict, "notes": list(self.notes)}
        return {"precision": self.precision, **said, "layers": layers}


@torch.no_grad()
def merge(saved: SavedAdapters, base: Path, precision: str) -> Merge:
    """Merge each layer of ``saved`` into its weight in the model at ``base``, one after the other.

    Raises StoredError where ``base`` holds no safetensors, or a weight and its adapter do not belong together, and
    ValueError for a ``precision`` that is not one of ``PRECISIONS``, or takes bitsandbytes, which is not installed.
    """
    weights = base_weights(base)
    if precision not in PRECISIONS:
        raise ValueError(f"merge {precision}: one of {', '.join(PRECISIONS)} is wanted")
    kept: dict[str, float] = {}
    unknown, along, squares = [], 0.0, 0.0
    for adapter in saved.adapters:
        weight = _weight(adapter, weights, bool(saved.config.get("fan_in_fan_out")))
        if weight is None:
            unknown.append(adapter.name)
            kept[adapter.name] = math.nan
            continue
        (factors,) = adapter.factors()
        delta = (factors.b.float() * adapter.scale) @ factors.a.float()
        loaded = _rounded(weight.float(), precision)
        change = _rounded(loaded + delta, precision) - loaded
        left, whole = (float((each * delta).sum(dtype=torch.float64)) for each in (change, delta))
        kept[adapter.name] = left / whole if whole else math.nan
        along, squares = along + left, squares + whole
    notes = _tied(saved, weights, base)
    if unknown:
        notes.append(
            f"Unknown for {first_of(unknown, 3)}: a variant that changes more than ΔW (DoRA), experts stored "
            "together, or a weight that the base model does not hold in full precision."
        )
    return Merge(precision, kept, along / squares if squares else math.nan, tuple(notes))


def _weight(adapter: StoredAdapter, weights: StoredWeights, transposed: bool) -> Tensor | None:
    """W₀ as ``[d_out, d_in]``; None where it, or what a merge makes of it, is not known."""
    if adapter.variant != "lora" or adapter.experts > 1 or (weight := base_weight(adapter, weights)) is None:
        return None
    if transposed or (tuple(weight.shape) != adapter.shape and tuple(weight.shape[::-1]) == adapter.shape):
        weight = weight.T.contiguous()  # Conv1D and embeddings keep it so
    if tuple(weight.shape) != adapter.shape:
        raise StoredError(f"{adapter.name}: the base model's weight has another shape: it was trained on another model")
    return weight


def _rounded(weight: Tensor, precision: str) -> Tensor:
    if precision != "nf4":
        return weight.to(getattr(torch, precision)).float()
    try:
        from bitsandbytes import functional
    except ImportError:
        raise ValueError("merge nf4: takes bitsandbytes, which is not installed: pip install bitsandbytes") from None
    quantised, state = functional.quantize_4bit(weight.contiguous(), quant_type="nf4")
    return functional.dequantize_4bit(quantised, state).float()


def _tied(saved: SavedAdapters, weights: StoredWeights, base: Path) -> list[str]:
    """Of a model whose input embeddings are its output layer, what would be changed at both ends."""
    whole: Any = saved.config.get("modules_to_save") or ()
    named = [*(adapter.module for adapter in saved.adapters), *map(str, whole)]
    ends = sorted({name.rpartition(".")[2] for name in named} & set(_TIED))
    if not ends or not _is_tied(weights, base):
        return []
    return [
        f"{' and '.join(ends)}: the base model ties its input embeddings to its output layer, so that a merge changes "
        "both ends, or unties them unnoticed. Set ensure_weight_tying=True in the LoraConfig, or leave them out."
    ]


def _is_tied(weights: StoredWeights, base: Path) -> bool:
    has_head = any(re.search(r"(^|\.)(lm_head|embed_out)\.weight$", name) for name in weights)
    with suppress(OSError, AttributeError, *MISFITS):
        config = load_json((base if base.is_dir() else base.parent) / "config.json")
        return bool(config.get("tie_word_embeddings", not has_head))
    return not has_head
