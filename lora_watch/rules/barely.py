"""LW104: adapters that stay too small to change the model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import count
from lora_watch.rules.base import NON_FINITE, Finding, Rule, worst_first
from lora_watch.rules.forecast import ORDINARY_SCALE, end_of, stronger_by
from lora_watch.rules.remedies import improved, stronger
from lora_watch.rules.size import size_of


@dataclass
class BarelyMoves(Rule):
    """At this pace the adapter will not have moved the model by the end of the schedule, and the loss agrees.

    Fires when the projected depth-scaled output ratio stays below ``reach``, unless the loss has fallen by more than
    its noise and more than ``fall`` of its start.

    The rule decides once, when ``spent`` of the schedule's Σ lr and at least ``steps`` steps are done. The projection
    is the most that the adapter can reach: ratio now × (total Σ lr / Σ lr so far), as if every update agreed. The
    advice is a forecast from the measured growth, and it names the number to check.
    """

    id = "LW104"
    name = "barely-moves"
    severity = Severity.WARNING
    zone = "barely-moves"
    lasting = True
    yields_to = (*NON_FINITE, "LW304", "LW301", "LW302", "LW303", "LW306", "LW307")

    reach: float = 0.13
    fall: float = 0.05
    spent: float = 0.25
    steps: int = 10
    judged: bool = field(default=False, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        if self.judged or not record.lr_fraction or record.lr_fraction < self.spent or record.step < self.steps:
            return None
        size, step = size_of(record, "output_ratio"), record.first_step
        start, recent = record.scalars.get("loss_start"), record.scalars.get("loss_recent")
        if size is None or step is None or record.loss is None or start is None or recent is None:
            return None
        self.judged = True
        reach = end_of(record, size.overall)
        if reach >= self.reach or (improved(record) and start - recent > self.fall * abs(start)):
            return None
        change = stronger(record, stronger_by(record, size.overall))
        if record.run.other_methods:
            causes = ["the learning rate is too low for this method"]
        else:
            causes = ["the learning rate is too low, such as one for full fine-tuning: LoRA wants about ten times more"]
            if max(adapter.scale for adapter in record.run.adapters) < ORDINARY_SCALE / 2:
                causes.append("the scale is small: alpha was kept while r was raised")
        return Finding(
            f"Adapter output stays small: output_ratio {size}, and at most {reach:.2g} by the end of "
            f"the schedule (threshold {self.reach:g}), while the mean loss went {start:.4g} → {recent:.4g}.",
            adapters=worst_first(record, size.values, np.isfinite(size.values))[:10],
            metric="output_ratio",
            threshold=self.reach / size.depth,
            causes=causes,
            remedies=[
                *change.words,
                f"check the rate early: {change.by:.4g}× is extrapolated from {count(record.step, 'step')}. One full "
                f"step should add {change.by * step:.2g} to output_ratio p90 × depth {size.depth:.3g}; above "
                f"{2 * change.by * step:.2g}, halve the learning rate",
            ],
            settings=change.settings,
        )
