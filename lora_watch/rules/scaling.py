"""LW401 to LW404: whether the scale is what was meant, judged from the settings before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import AdapterInfo, BoolArray, StepRecord
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
from lora_watch.rules.tasks import SOURCES


@dataclass
class AggressiveScale(RuleOnSettings):
    """A high scale meets a high learning rate, or the first step is many times as large as is useful.

    Fires before the first step:

    - as a WARNING when the predicted first step at the full learning rate exceeds ``useful_steps`` useful ones;
    - as a WARNING when that step is unknown, s ≥ ``far``, and s·lr > ``scale`` · ``lr`` or the rate is unknown too;
    - as an INFO when s ≥ ``scale`` and lr > ``lr``, a rule of thumb that many useful runs break. A first step that is
      known to be ordinary refutes it. An α that was meant for α/r is left to LW403 and LW404 while that step is
      unknown.

    Under Adam the first update of a default-initialised adapter is s·lr·√(d_out·r/3) in Frobenius norm, for any
    gradient. It is taken relative to ‖W₀‖_F in the median layer, times the depth. A useful first step grows with the
    scale as s^0.3, and is smaller where a classifier's head learns from nothing (``forecast.useful_step``). The rule
    is a forecast and never an ERROR. Up to a learning rate that a sweep has found on the run's own data (``find_lr``),
    it is silent.
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
        if not run.adapters or not is_adaptive(run) or _is_found(record):
            return None
        lr = run.per_adapter(run.peak_lr)
        scale = np.array([abs(a.scale) for a in run.adapters])
        predicted, times = first_steps(run), pace(record)
        too_large = times > self.useful_steps
        meant = _meant_for_vanilla(record)
        hot = (scale >= self.scale) & (lr > self.lr) & (not times <= ORDINARY_PACE)
        hot &= math.isfinite(times) | ~meant
        far = (scale >= self.far) & ~(scale * lr <= self.scale * self.lr) & (not math.isfinite(times))
        if not (hot | far).any() and not too_large:
            return None
        worst = int(np.nanargmax(scale * lr if np.isfinite(lr).any() else scale))
        adapter, rate = run.adapters[worst], float(lr[worst])
        if too_large:
            metric, threshold = "relative_norm", self.useful_steps / times * first_step_of(run) / run.blocks
        elif run.peak_lr:
            metric, threshold = "effective_lr", self.scale * self.lr
        else:
            metric, threshold = "scale", self.far
        warns = bool(too_large or far.any())
        change = self._weaker(record, adapter, rate)
        return Finding(
            f"{self._message(adapter, rate, times, warns)}.",
            adapters=worst_first(record, predicted, np.isfinite(predicted)) if too_large else [],
            metric=metric,
            threshold=threshold,
            causes=[KEPT]
            if meant[worst]
            else ["alpha was raised, or r lowered under a fixed alpha, without lowering the learning rate"]
            if scale[worst] > ORDINARY_SCALE
            else [f"the learning rate is too high for these weights: the scale {scale[worst]:g} is ordinary"],
            remedies=change.words,
            settings=change.settings,
            severity=Severity.WARNING if warns else Severity.INFO,
        )

    def _message(self, adapter: AdapterInfo, rate: float, times: float, warns: bool) -> str:
        scale = f"{abs(adapter.scale):g} ({adapter.scale_formula})"
        if math.isnan(rate):
            return f"The scale {scale} is too high for an ordinary learning rate (threshold {self.far:g})"
        verdict = "too high" if warns else "above the rule of thumb"
        message = f"s·lr = {abs(adapter.scale) * rate:.2g} is {verdict}: scale {scale} × learning rate {rate:g}"
        if math.isfinite(times):
            message += f". By the weights the first full step is {times:.2g} times as large as a useful one (threshold "
            message += f"{self.useful_steps:g})"
        return message

    def _weaker(self, record: StepRecord, adapter: AdapterInfo, rate: float) -> Change:
        """To an easy first step; to the rule of thumb where the size of that step is unknown."""
        if math.isnan(rate) and adapter.alpha is not None:
            alpha = round_alpha(ORDINARY_SCALE * per_scale(adapter))
            return with_alpha(record, adapter, alpha)
        thumb = max(abs(adapter.scale) / ORDINARY_SCALE, abs(adapter.scale) * rate / (self.scale * self.lr))
        known = math.isfinite(pace(record))
        return weaker(record, otherwise=2.0 if known else thumb)


def _is_found(record: StepRecord) -> bool:
    """The learning rate is no higher than what a sweep has found: measured beats predicted."""
    found, used = record.run.config.get("find_lr") or {}, record.run.config.get("learning_rate")
    return isinstance(used, (int, float)) and used <= (found.get("rate") or 0.0) * (1 + 1e-9)


@dataclass
class FadingScale(RuleOnSettings):
    """The vanilla scale α/r at a high rank with a small α shrinks faster with r than the update can bear.

    Fires as an INFO when the formula is α/r, r ≥ ``rank`` and s < ``scale``.

    The adapter's output keeps its size as r grows only if s ∝ 1/√r (Kalajdzievski 2023, arXiv:2312.03732). With α/r and
    a fixed α, a higher rank learns more slowly, and its extra capacity stays unused. A higher learning rate makes up
    for it: the rule is silent where the first full step at s = 1 is known to be too large for LW401.
    """

    id = "LW402"
    name = "fading-scale"
    severity = Severity.INFO

    rank: int = 64
    scale: float = 0.5

    def check(self, record: StepRecord) -> Finding | None:
        adapters = record.run.adapters
        fades = [a.scale_formula == "alpha/r" and a.r >= self.rank and 0 < a.scale < self.scale for a in adapters]
        faded = np.array(fades, dtype=bool)
        if not faded.any():
            return None
        scale = np.array([a.scale for a in adapters])
        worst = adapters[int(np.argmin(np.where(faded, scale, np.inf)))]
        if pace(record) / worst.scale**SCALE_EXPONENT > AggressiveScale.useful_steps:
            return None
        change = Change([f"lora_alpha={worst.r} (scale 1)"], {"lora_alpha": float(worst.r)})
        if worst.alpha is not None:
            change = with_alpha(record, worst, float(worst.r))
        stable = (worst.alpha or worst.scale * worst.r) / math.sqrt(worst.r)
        return Finding(
            f"Scale alpha/r is {worst.scale:g} at rank {worst.r} (threshold {self.scale:g}): it falls as 1/r, and 1/√r "
            "would keep the size of the update.",
            adapters=worst_first(record, scale, faded),
            metric="scale",
            threshold=self.scale,
            causes=[
                f"r was raised under a fixed alpha; only a scale that falls as 1/√r is stable: {SOURCES['rslora']}"
            ],
            remedies=[
                f"use_rslora=True (scale {worst.scale:g} → {stable:.3g} with the same alpha), with another learning "
                "rate",
                *change.words,
            ],
            settings=change.settings,
        )


def _is_rslora(record: StepRecord) -> BoolArray:
    return np.array([a.scale_formula == "alpha/sqrt(r)" for a in record.run.adapters], dtype=bool)


KEPT = f"use_rslora was switched on and alpha kept: {SOURCES['rslora']}"


def _meant_for_vanilla(record: StepRecord, scale: float = 4.0) -> BoolArray:
    """``[n_adapters]``: under rsLoRA at a scale above ``scale``, with an α that is a multiple of r."""
    large = [a.alpha is not None and a.alpha >= a.r and abs(a.scale) > scale for a in record.run.adapters]
    return _is_rslora(record) & np.array(large, dtype=bool)


def _unless_gentle(record: StepRecord) -> Severity:
    """INFO where the first full step is known to be of an ordinary size whatever the scale, WARNING otherwise."""
    return Severity.INFO if pace(record) <= AggressiveScale.useful_steps else Severity.WARNING


@dataclass
class RankStabilisedTooLow(RuleOnSettings):
    """rsLoRA is used at a very low rank: α/√r is α itself at r = 1.

    Fires below r = ``rank``: as a WARNING when s > ``scale``, as an INFO when s is lower or the first full step is
    known to be of an ordinary size.

    Rank stabilisation keeps high ranks from fading (Kalajdzievski 2023, arXiv:2312.03732). At low ranks there is
    nothing to stabilise, and an α meant for α/r gives a much higher scale.
    """

    id = "LW403"
    name = "rslora-at-low-rank"
    severity = Severity.WARNING
    yields_to = ("LW401",)

    rank: int = 8
    scale: float = 4.0

    def check(self, record: StepRecord) -> Finding | None:
        adapters = record.run.adapters
        low = _is_rslora(record) & np.array([a.r < self.rank for a in adapters], dtype=bool)
        if not low.any():
            return None
        scale = np.array([abs(a.scale) for a in adapters])
        worst = adapters[int(np.argmax(np.where(low, scale, -1.0)))]
        high = abs(worst.scale) > self.scale
        if worst.alpha is None:
            return None
        severity = _unless_gentle(record) if high else Severity.INFO
        change = Change([], {})
        if severity is Severity.WARNING:
            change = with_alpha(record, worst, round_alpha(ORDINARY_SCALE * math.sqrt(worst.r)))
        plain = f"use_rslora=False with lora_alpha {worst.alpha:g}: scale {worst.alpha / worst.r:g}"
        return Finding(
            f"Scale alpha/√r is {worst.scale:.3g} at rank {worst.r}: rsLoRA has nothing to stabilise below rank "
            f"{self.rank}.",
            adapters=worst_first(record, scale, low),
            metric="scale",
            threshold=self.scale if high else None,
            causes=[f"use_rslora is made for high ranks: {SOURCES['rslora']}"],
            remedies=[*change.words, plain],
            settings=change.settings,
            severity=severity,
        )


@dataclass
class AlphaMeantForVanilla(RuleOnSettings):
    """α was chosen as a multiple of r, for α/r, and rsLoRA is on: α = 2r becomes s = 2√r, 16 at r = 64.

    Fires when the formula is α/√r (Kalajdzievski 2023, arXiv:2312.03732), α ≥ r and s > ``scale``. It is a WARNING, or
    an INFO if the first full step is known to be of an ordinary size.

    With rsLoRA one α serves every rank: it is not raised with r.
    """

    id = "LW404"
    name = "alpha-meant-for-vanilla"
    severity = Severity.WARNING
    yields_to = ("LW401", "LW403")

    scale: float = 4.0

    def check(self, record: StepRecord) -> Finding | None:
        adapters = record.run.adapters
        scale = np.array([abs(a.scale) for a in adapters])
        high = _meant_for_vanilla(record, self.scale)
        if not high.any():
            return None
        worst = adapters[int(np.argmax(np.where(high, scale, -1.0)))]
        assert worst.alpha is not None
        wanted = min(worst.alpha / worst.r, ORDINARY_SCALE)
        severity, change = _unless_gentle(record), Change([], {})
        if severity is Severity.WARNING:
            change = with_alpha(record, worst, round_alpha(wanted * math.sqrt(worst.r)))
        return Finding(
            f"Scale alpha/√r is {worst.scale:.3g} at rank {worst.r} (threshold {self.scale:g}): lora_alpha "
            f"{worst.alpha:g} is {worst.alpha / worst.r:.3g} × r, which is meant for alpha/r.",
            adapters=worst_first(record, scale, high),
            metric="scale",
            threshold=self.scale,
            causes=[KEPT],
            remedies=[*change.words, f"use_rslora=False, if the scale {worst.alpha / worst.r:.3g} is meant"],
            settings=change.settings,
            severity=severity,
        )
