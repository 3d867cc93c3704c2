"""LW4xx: what the settings alone foretell, before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lora_watch.alerts import Severity
from lora_watch.records import StepRecord
from lora_watch.rules.base import Finding, Rule, worst_first
from lora_watch.rules.strength import EASY_STEP, blocks, first_steps, is_adaptive, leap, peak_rates, weaker


@dataclass
class AggressiveScale(Rule):
    """A high scale together with a high learning rate, or a first step that is large beside the frozen weight.

    Under Adam the first update of a default-initialised adapter is s·lr·√(d_out·r/3) in Frobenius norm, whatever the
    gradient; it was measured within 0.98–1.14 of that. A WARNING, before the first step, when that prediction at the
    full learning rate, beside ‖W₀‖_F in the median layer and summed over the transformer blocks, exceeds
    ``first_step``: no useful run of the corpus did. Otherwise INFO when s ≥ ``scale`` and lr > ``lr``, the founding
    article's rule of thumb: many useful runs are beyond it. Foresight only: it never says ERROR.
    """

    id = "LW401"
    name = "aggressive-scale"
    severity = Severity.WARNING
    lasting = True

    scale: float = 4.0
    lr: float = 3e-4
    first_step: float = 0.7

    def check(self, record: StepRecord) -> Finding | None:
        adapters = record.run.adapters
        if record.step != 0 or not adapters or not record.run.peak_lr or not is_adaptive(record.run):
            return None
        lr = peak_rates(record.run)
        scale = np.array([abs(a.scale) for a in adapters])
        predicted = first_steps(record.run)
        hot = (scale >= self.scale) & (lr > self.lr)
        size = leap(record.run)
        leaps = size > self.first_step
        if not hot.any() and not leaps:
            return None
        worst = int(np.nanargmax(np.where(np.isnan(lr), -1.0, scale * lr)))
        says = (
            f"; the first full step adds about {size:.2g} of the weights' norm, summed over {blocks(record.run)} blocks"
        )
        change = weaker(record, max(size / EASY_STEP, 2.0) if math.isfinite(size) else 2.0)
        return Finding(
            f"Scale {scale[worst]:g} ({adapters[worst].scale_formula}) with learning rate {lr[worst]:g} is aggressive: "
            f"s·lr = {scale[worst] * lr[worst]:.2g}{says if math.isfinite(size) else ''}.",
            adapters=worst_first(record, predicted, np.isfinite(predicted))
            if leaps
            else worst_first(record, scale * lr, hot),
            metric="relative_norm" if leaps else "effective_lr",
            limit=self.first_step if leaps else self.scale * self.lr,
            causes=["alpha was raised, or r lowered under a fixed alpha, without lowering the learning rate"],
            remedies=change.words,
            settings=change.settings,
            severity=Severity.WARNING if leaps else Severity.INFO,
        )
