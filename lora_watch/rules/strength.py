"""From "too strong by this factor" to new settings: which of alpha and the learning rate to change, and to what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lora_watch.records import AdapterInfo, StepRecord

ORDINARY_SCALE = 2.0
"""Above this scale, lower alpha first: α = r and α = 2r are what learning rates in papers and docs are meant for."""


def typed(value: float, factors: tuple[int, ...], base: int) -> float:
    """The largest number that people would type (one of ``factors`` × baseⁿ) and that is not above ``value``."""
    if not (value > 0 and math.isfinite(value)):
        return value
    exponent = math.floor(math.log(value, base))
    choices = [m * float(base) ** e for e in (exponent - 1, exponent, exponent + 1) for m in factors]
    return max(c for c in choices if c <= value * (1 + 1e-9))


def rescaled(adapter: AdapterInfo, lr: float, factor: float) -> tuple[float, float, float]:
    """``(alpha, scale, lr)`` with s·lr divided by at least ``factor`` (below 1: multiplied by at most 1/factor).

    Under Adam that product sets the speed. Weakening takes from a scale above ``ORDINARY_SCALE`` first and from the
    learning rate after that; strengthening gives to the learning rate alone. ``adapter.alpha`` must be known.
    """
    assert adapter.alpha is not None
    alpha, scale = adapter.alpha, adapter.scale
    if factor > 1 and scale > ORDINARY_SCALE:
        root = adapter.scale_formula == "alpha/sqrt(r)"
        per_scale = math.sqrt(adapter.r) if root else float(adapter.r)
        alpha = typed(max(scale / factor, ORDINARY_SCALE) * per_scale, (1, 3), 2)
        scale = alpha / per_scale
    left = factor * scale / adapter.scale
    return alpha, scale, lr if factor >= 1 and left <= 1.0 else typed(lr / left, (1, 2, 3, 5), 10)


@dataclass(frozen=True)
class Change:
    """New settings, in words for people and as values for programs."""

    words: list[str]
    settings: dict[str, float]
    """``lora_alpha`` and ``learning_rate``, where they change."""


def weaker(record: StepRecord, factor: float) -> Change:
    """Divide s·lr by ``factor`` or a little more, for the adapter with the highest scale."""
    return _change(record, factor)


def stronger(record: StepRecord, factor: float) -> Change:
    """Multiply s·lr by ``factor`` or a little less."""
    return _change(record, 1.0 / factor)


def _change(record: StepRecord, factor: float) -> Change:
    if not record.run.adapters:
        return Change([], {})
    adapter = max(record.run.adapters, key=lambda a: a.scale)
    lr = _lr_of(record, adapter)
    if lr is None or adapter.alpha is None or not adapter.scale > 0:
        word = "lower" if factor > 1 else "raise"
        return Change([f"{word} lora_alpha or the learning rate by about {max(factor, 1 / factor):.0f}×"], {})
    alpha, scale, new_lr = rescaled(adapter, lr, factor)
    words, settings = [], {}
    if alpha != adapter.alpha:
        words.append(f"lora_alpha {adapter.alpha:g} → {alpha:g} (scale {adapter.scale:.3g} → {scale:.3g})")
        settings["lora_alpha"] = alpha
    if new_lr != lr:
        words.append(f"learning rate {lr:g} → {new_lr:g}")
        settings["learning_rate"] = new_lr
    return Change([" and ".join(words)] if words else [], settings)


def _lr_of(record: StepRecord, adapter: AdapterInfo) -> float | None:
    rates = record.run.peak_lr or record.lr
    if adapter.group is None or adapter.group >= len(rates) or not rates[adapter.group] > 0:
        return None
    return rates[adapter.group]
