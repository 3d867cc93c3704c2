"""LW4xx: what the settings alone foretell, before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lora_watch.alerts import Severity
from lora_watch.records import StepRecord
from lora_watch.rules.base import Finding, Rule, worst_first
from lora_watch.rules.strength import weaker


@dataclass
class AggressiveScale(Rule):
    """A high scale together with a high learning rate, or a first step that is large beside the frozen weight.

    Under Adam the first update of a default-initialised adapter is s·lr·√(d_out·r/3) in Frobenius norm, whatever the
    gradient; it was measured within 0.98–1.14 of that. Fires before the first step when s ≥ ``scale`` and lr >
    ``lr`` (the founding article's rule of thumb), or when that prediction at the full learning rate exceeds
    ``first_step`` × ‖W₀‖_F in the median layer. Foresight only: it never says ERROR.
    """

    id = "LW401"
    name = "aggressive-scale"
    severity = Severity.WARNING
    lasting = True

    scale: float = 4.0
    lr: float = 3e-4
    first_step: float = 0.1

    def check(self, record: StepRecord) -> Finding | None:
        adapters = record.run.adapters
        if record.step != 0 or not adapters or not record.run.peak_lr:
            return None
        if "adam" not in (record.run.optimizer or "").lower():
            return None
        rates = record.run.peak_lr
        lr = np.array([rates[a.group] if a.group is not None and a.group < len(rates) else np.nan for a in adapters])
        scale = np.array([abs(a.scale) for a in adapters])
        predicted = np.array(
            [s * rate * math.sqrt(a.d_out * a.r / 3.0) / a.base_norm for a, s, rate in zip(adapters, scale, lr)]
        )
        hot = (scale >= self.scale) & (lr > self.lr)
        leap = float(np.nanmedian(predicted)) if np.isfinite(predicted).any() else math.nan
        if not hot.any() and not leap > self.first_step:
            return None
        worst = int(np.nanargmax(np.where(np.isnan(lr), -1.0, scale * lr)))
        says = f"the first full step moves the median layer by about {leap:.2g} of its weight's norm"
        change = weaker(record, max(scale[worst] / 2.0, leap / (0.3 * self.first_step), 2.0))
        return Finding(
            f"Scale {scale[worst]:g} ({adapters[worst].scale_formula}) with learning rate {lr[worst]:g} is aggressive: "
            f"s·lr = {scale[worst] * lr[worst]:.2g}" + (f"; {says}." if math.isfinite(leap) else "."),
            adapters=worst_first(record, scale * lr, hot if hot.any() else predicted > self.first_step),
            metric="effective_lr",
            limit=self.scale * self.lr if hot.any() else self.first_step,
            causes=["alpha was raised, or r lowered under a fixed alpha, without lowering the learning rate"],
            remedies=change.words,
            settings=change.settings,
        )
