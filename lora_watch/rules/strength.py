"""From "too strong by this factor" to new settings: which of alpha and the learning rate to change, and to what."""

from __future__ import annotations

import math

from lora_watch.records import AdapterInfo, StepRecord

ORDINARY_SCALE = 2.0
"""Above this scale, lower alpha first: α = r and α = 2r are what learning rates in papers and docs are meant for."""


def nice(value: float) -> float:
    """The nearest of 1, 2, 3, 5 × 10ⁿ on a log scale: a number that people type."""
    if not (value > 0 and math.isfinite(value)):
        return value
    exponent = math.floor(math.log10(value))
    choices = [m * 10.0**e for e in (exponent, exponent + 1) for m in (1, 2, 3, 5)]
    return min(choices, key=lambda c: abs(math.log(c / value)))


def alpha_for(adapter: AdapterInfo, scale: float) -> float:
    """The alpha that gives ``scale`` under the adapter's own formula."""
    return scale * (math.sqrt(adapter.r) if adapter.scale_formula == "alpha/sqrt(r)" else adapter.r)


def rescaled(scale: float, lr: float, factor: float) -> tuple[float, float]:
    """``(scale, lr)`` with s·lr divided by ``factor`` (below 1: multiplied). Under Adam that product sets the speed.

    Weakening takes from a scale above ``ORDINARY_SCALE`` first and from the learning rate after that; strengthening
    gives to the learning rate alone.
    """
    new_scale = scale if factor < 1 or scale <= ORDINARY_SCALE else max(scale / factor, ORDINARY_SCALE)
    return new_scale, nice(lr / (factor * new_scale / scale))


def change(record: StepRecord, factor: float) -> list[str]:
    """Remedies in words that divide s·lr by ``factor``, for the adapter with the highest scale."""
    if not record.run.adapters:
        return []
    adapter = max(record.run.adapters, key=lambda a: a.scale)
    lr = _lr_of(record, adapter)
    if lr is None or adapter.alpha is None or not adapter.scale > 0:
        word = "lower" if factor > 1 else "raise"
        return [f"{word} lora_alpha or the learning rate by about {max(factor, 1 / factor):.0f}×"]
    scale, new_lr = rescaled(adapter.scale, lr, factor)
    out = []
    if scale < adapter.scale:
        out.append(
            f"lora_alpha {adapter.alpha:g} → {alpha_for(adapter, scale):g} (scale {adapter.scale:g} → {scale:g})"
        )
    if abs(math.log(new_lr / lr)) > 0.1:
        out.append(f"learning rate {lr:g} → {new_lr:g}")
    return [" and ".join(out)] if out else []


def weaker(record: StepRecord, factor: float) -> list[str]:
    return change(record, factor)


def stronger(record: StepRecord, factor: float) -> list[str]:
    return change(record, 1.0 / factor)


def _lr_of(record: StepRecord, adapter: AdapterInfo) -> float | None:
    rates = record.run.peak_lr or record.lr
    if adapter.group is None or adapter.group >= len(rates) or not rates[adapter.group] > 0:
        return None
    return rates[adapter.group]
