"""LW401: whether scale and learning rate look too strong or too weak before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import AdapterInfo, BoolArray, FloatArray, StepRecord
from lora_watch.rules.base import Finding, RuleOnSettings, worst_first
from lora_watch.rules.forecast import (
    ORDINARY_PACE,
    ORDINARY_SCALE,
    SCALE_EXPONENT,
    first_step_of,
    first_steps,
    is_adaptive,
    pace,
)
from lora_watch.rules.remedies import Change, per_scale, round_alpha, weaker, with_alpha

RSLORA = "Kalajdzievski 2023, arXiv:2312.03732"
"""The paper behind rank stabilisation."""
LOW_RANK, HIGH_RANK = 8, 64
"""Below the first rank rsLoRA has nothing to stabilise; from the second on a scale α/r below ``FADED`` fades."""
FADED = 0.5


@dataclass
class AggressiveScale(RuleOnSettings):
    """The scale does not suit the learning rate or the rank, as far as settings and base weights tell.

    Fires as a WARNING before the first step when the predicted first step at the full learning rate exceeds
    ``useful_steps`` useful ones; where that is unknown, when s ≥ ``far`` and s·lr > ``scale`` · ``lr``, or when α was
    meant for α/r and rsLoRA is on. It is an INFO when s ≥ ``scale`` and lr > ``lr``, or when α/r is below 0.5 at a rank
    from 64 on. Up to a learning rate that a sweep has found on the run's own data it is silent.

    Under Adam the first update of a default-initialised adapter is s·lr·√(d_out·r/3) in Frobenius norm, for any
    gradient, here relative to ‖W₀‖_F in the median layer, times the depth.
    """

    id = "LW401"
    name = "aggressive-scale"
    severity = Severity.WARNING

    scale: float = 4.0
    lr: float = 3e-4
    useful_steps: float = 5.0
    far: float = 32.0

    def check(self, record: StepRecord) -> Finding | None:
        run = record.run
        if not run.adapters or _is_found(record):
            return None
        adaptive = is_adaptive(run)
        lr = run.per_adapter(run.peak_lr)
        scale = np.array([abs(a.scale) for a in run.adapters])
        times = pace(record) if adaptive else math.nan
        too_large, known = times > self.useful_steps, math.isfinite(times)
        meant = _meant_for_vanilla(record, self.scale)
        high = adaptive & (scale >= self.scale) & (lr > self.lr)
        far = adaptive & (scale >= self.far) & ~(scale * lr <= self.scale * self.lr)
        if not (too_large or meant.any() or ((high | far).any() and not times <= ORDINARY_PACE)):
            return self._fading(record, scale, times)
        warns = bool(too_large or (not known and (far | meant).any()))
        worst = int(np.nanargmax(scale * lr if (lr > 0).any() else scale))
        adapter, rate = run.adapters[worst], float(lr[worst])
        if too_large:
            metric, threshold = "relative_norm", self.useful_steps / times * first_step_of(run) / run.blocks
        elif run.peak_lr and not meant[worst]:
            metric, threshold = "effective_lr", self.scale * self.lr
        else:
            metric, threshold = "scale", self.scale if meant[worst] else self.far
        change = self._weaker(record, adapter, rate, bool(meant[worst])) if warns else Change([], {})
        return Finding(
            f"{self._message(adapter, rate, times, warns)}.",
            adapters=worst_first(record, first_steps(run), np.isfinite(first_steps(run))) if too_large else [],
            metric=metric,
            threshold=threshold,
            causes=[self._cause(adapter, bool(meant[worst]))],
            remedies=change.words,
            settings=change.settings,
            severity=Severity.WARNING if warns else Severity.INFO,
        )

    def _message(self, adapter: AdapterInfo, rate: float, times: float, warns: bool) -> str:
        scale = f"{abs(adapter.scale):g} ({adapter.scale_formula})"
        if math.isnan(rate):
            return f"The scale {scale} is too high for an ordinary learning rate"
        verdict = "too high" if warns else "above the rule of thumb: whether it is too high shows within about 10 steps"
        message = f"s·lr = {abs(adapter.scale) * rate:.2g} is {verdict}: scale {scale} × learning rate {rate:g}"
        if math.isfinite(times):
            message += f". By the weights the first full step is {times:.2g} times as large as a useful one (threshold "
            message += f"{self.useful_steps:g})"
        return message

    @staticmethod
    def _cause(adapter: AdapterInfo, meant: bool) -> str:
        if meant:
            alpha, scale = adapter.alpha or math.nan, abs(adapter.scale)
            if adapter.r < LOW_RANK:
                why = f"use_rslora has nothing to stabilise at rank {adapter.r}"
            else:
                why = f"lora_alpha {alpha:g} is {alpha / adapter.r:.3g} × r, which is meant for alpha/r"
            return f"{why}: with use_rslora the scale is {scale:.3g} in place of {alpha / adapter.r:.3g} ({RSLORA})"
        if abs(adapter.scale) > ORDINARY_SCALE:
            return "alpha was raised, or r lowered under a fixed alpha, without lowering the learning rate"
        return f"the learning rate is too high for these weights: the scale {abs(adapter.scale):g} is ordinary"

    def _weaker(self, record: StepRecord, adapter: AdapterInfo, rate: float, meant: bool) -> Change:
        """To an easy first step; where the size of that step is unknown, to the scale that α was meant for, or to the
        rule of thumb."""
        known = math.isfinite(pace(record))
        if adapter.alpha is not None and (math.isnan(rate) or (meant and not known)):
            scale = min(adapter.alpha / adapter.r, ORDINARY_SCALE) if meant else ORDINARY_SCALE
            return with_alpha(record, adapter, round_alpha(scale * per_scale(adapter)))
        thumb = max(abs(adapter.scale) / ORDINARY_SCALE, abs(adapter.scale) * rate / (self.scale * self.lr))
        return weaker(record, otherwise=2.0 if known else thumb)

    def _fading(self, record: StepRecord, scale: FloatArray, times: float) -> Finding | None:
        """α/r at a high rank and a small α. A higher learning rate makes up for it: silent where the first full step at
        scale 1 would be too large."""
        adapters = record.run.adapters
        faded = np.array([a.scale_formula == "alpha/r" and a.r >= HIGH_RANK and 0 < a.scale < FADED for a in adapters])
        if not faded.any():
            return None
        worst = adapters[int(np.argmin(np.where(faded, scale, np.inf)))]
        if times / worst.scale**SCALE_EXPONENT > self.useful_steps:
            return None
        stable = (worst.alpha or worst.scale * worst.r) / math.sqrt(worst.r)
        return Finding(
            f"Scale alpha/r is {worst.scale:g} at rank {worst.r} (threshold {FADED:g}): it falls as 1/r, and 1/√r "
            f"would keep the size of the update, as use_rslora=True does (scale {stable:.3g} with the same alpha).",
            adapters=worst_first(record, scale, faded),
            metric="scale",
            threshold=FADED,
            causes=[f"r was raised under a fixed alpha; only a scale that falls as 1/√r is stable: {RSLORA}"],
            severity=Severity.INFO,
        )


def _is_found(record: StepRecord) -> bool:
    """The learning rate is no higher than what a sweep has found: measured beats predicted."""
    found, used = (record.run.config.get("find_lr") or {}).get("rate"), record.run.config.get("learning_rate")
    return bool(found) and isinstance(used, (int, float)) and used <= found * (1 + 1e-9)


def _meant_for_vanilla(record: StepRecord, scale: float) -> BoolArray:
    """``[n_adapters]``: under rsLoRA at a scale above ``scale``, with an α that is a multiple of r."""
    adapters = record.run.adapters
    large = [a.alpha is not None and a.alpha >= a.r and abs(a.scale) > scale for a in adapters]
    return np.array(large, dtype=bool) & [a.scale_formula == "alpha/sqrt(r)" for a in adapters]
