"""LW207: a classifier that is no better than guessing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.measurement.signals.loss import trend
from lora_watch.rules.base import NON_FINITE, Finding, Rule
from lora_watch.rules.forecast import is_gentle, pace
from lora_watch.rules.harm import guessing
from lora_watch.rules.remedies import TOO_LOW, is_ordinary, stronger, weaker, why_strong
from lora_watch.rules.size import size_of


@dataclass
class StuckAtChance(Rule):
    """A classifier whose adapters have grown is no better than guessing.

    Fires when the mean of the last ``steps`` losses, and that of their later half, has come less than 1 - ``share`` of
    the way from guessing to a perfect model, no longer falls by more than its noise, and the depth-scaled output ratio
    is above ``size``. It is an ERROR if the run ends like that. Guessing costs the entropy of the labels so far, or ln
    n where a loop names up to 20 classes, ``Monitor(model, config={"classes": n})``; language models and regression are
    not judged.
    """

    id = "LW207"
    name = "stuck-at-chance"
    severity = Severity.WARNING
    yields_to = (
        *(*NON_FINITE, "LW102", "LW202", "LW204", "LW205"),
        *("LW301", "LW302", "LW303", "LW304", "LW305", "LW306", "LW307"),
    )

    share: float = 0.97
    steps: int = 50
    size: float = 1.0
    spectral_size: float = 3.0
    """In place of ``size`` where ``output_ratio`` is unavailable and ``relative_spectral_norm`` stands in."""
    recent: list[float] = field(default_factory=list, init=False)
    """The last 2 * ``steps`` losses, as shares of the way from always right, 0, to guessing, 1."""
    overall: float = field(default=0.0, init=False)
    """The size as last measured, in units of its threshold."""

    def check(self, record: StepRecord) -> Finding | None:
        if (size := size_of(record)) is not None:
            self.overall = size.overall / self.size
        elif (size := size_of(record, "relative_spectral_norm")) is not None:
            self.overall = size.overall / self.spectral_size
        chance, best = _costs(record)
        if record.loss is not None and math.isfinite(record.loss) and chance > best:
            self.recent = [*self.recent, (record.loss - best) / (chance - best)][-2 * self.steps :]
        return self._judged(record, Severity.WARNING)

    def conclude(self, record: StepRecord) -> Finding | None:
        return self._judged(record, Severity.ERROR)

    def _judged(self, record: StepRecord, severity: Severity) -> Finding | None:
        if len(self.recent) < self.steps or not self.overall > 1.0:
            return None
        level, later = (fmean(self.recent[-steps:]) for steps in (self.steps, self.steps // 2))
        if min(level, later) < self.share or self._falls(record):
            return None
        chance, best = _costs(record)
        mean = best + (chance - best) * level
        slow = is_gentle(record) and is_ordinary(record)
        change = (stronger if slow else weaker)(record, self.overall * self.size)
        why = [TOO_LOW] if slow else why_strong(record)
        data = "the labels do not belong to their inputs, or the inputs do not determine them"
        trial = (
            "train on eight examples: if even their loss stays at chance at the new settings, the data are the cause"
        )
        fast = pace(record) > 1.0
        return Finding(
            f"The loss is stuck at chance: mean {mean:.3g} over {self.steps} steps, where guessing costs {chance:.3g} "
            f"(threshold {best + self.share * (chance - best):.3g}), although the adapters have grown.",
            metric="loss",
            threshold=best + self.share * (chance - best),
            causes=[*why, data] if fast else [data, *why],
            remedies=[*change.words, trial] if fast else [trial, *change.words],
            settings=change.settings,
            severity=severity,
        )

    def _falls(self, record: StepRecord) -> bool:
        """The loss falls by more than its noise. A fall from above its start does not count: it undoes harm."""
        chance, best = _costs(record)
        early, late, error = (part * (chance - best) for part in trend(self.recent))
        start = max(guessing(record), record.scalars.get("loss_start", 0.0))
        return min(early, start - best) - late > 2.0 * error


def _costs(record: StepRecord) -> tuple[float, float]:
    """What guessing costs and what a model that is always right does; NaN, which is above nothing, where unknown."""
    return record.scalars.get("chance_loss", math.nan), record.scalars.get("best_loss", 0.0)
