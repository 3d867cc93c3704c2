"""LW306 and its kin: the gradients are there, and the updates come to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.alerts import Severity
from lora_watch.records import FloatArray, RunInfo, StepRecord
from lora_watch.rules.base import Finding, Rule


def _rates(run: RunInfo, lr: tuple[float, ...]) -> FloatArray:
    """The learning rates among ``lr``, one a parameter group, of the groups that hold adapters."""
    groups = {adapter.group for adapter in run.adapters if adapter.group is not None}
    return np.array([lr[g] for g in sorted(groups) if g < len(lr)])


@dataclass
class LearningRateIsZero(Rule):
    """The learning rate of every parameter group that holds an adapter is exactly zero, and stays there.

    Schedules touch zero for one step only: linear warm-up at its first, decay at its last. So this fires after
    ``updates`` updates at zero in a row, steps that a loss scaler has skipped not counted, if they began with more
    than ``left`` of the planned steps ahead: a decay that ends a little early costs nothing.
    """

    id = "LW306"
    name = "lr-is-zero"
    severity = Severity.WARNING
    yields_to = ("LW304", "LW301", "LW302")

    updates: int = 3
    left: float = 0.1
    zeros: int = field(default=0, init=False)
    """Updates at zero in a row so far."""

    def check(self, record: StepRecord) -> Finding | None:
        rates = _rates(record.run, record.lr)
        if record.step == 0 or not len(rates):
            return None
        if (rates != 0).any():
            self.zeros = 0
            return None
        self.zeros += record.updated
        planned = record.run.max_steps
        late = planned is not None and record.step - self.zeros >= (1.0 - self.left) * planned
        if self.zeros < self.updates or late:
            return None
        peak = _rates(record.run, record.run.peak_lr)
        high = f" (it was meant to reach {peak.max():.3g})" if len(peak) and peak.max() > 0 else ""
        ahead = f" with {planned - record.step} of {planned} steps to go" if planned is not None else ""
        return Finding(
            f"The learning rate of the adapters has been exactly 0 for {self.zeros} updates{ahead}{high}: nothing is "
            "learned any more.",
            metric="lr",
            limit=0.0,
            causes=[
                "the schedule was made for fewer steps than are trained (max_steps, epochs, accumulation or ranks "
                "counted differently)",
                "learning_rate is 0, or a schedule of one's own returns 0",
            ],
            remedies=[
                "let the Trainer make the schedule (lr_scheduler_type), or give num_training_steps the number of "
                "optimizer steps",
                "lr_scheduler_type='constant_with_warmup' where the length is not known",
            ],
        )


@dataclass
class StepsSkipped(Rule):
    """The optimizer goes on skipping steps: a loss scaler finds overflowing gradients again and again.

    Under fp16 the scale starts at 2¹⁶ and is halved at every overflow until steps go through: what is skipped before
    the first update is that search, if it takes no more than ``search`` halvings. After that a sound scaler skips one
    step in about 2,000, when it tries a larger scale. Fires when ``skips`` of the last ``window`` steps were skipped,
    a scale 2⁵ times too high once more. At the end of the run it says how many there were in all, if it has fired or
    if they were more than ``share`` of the steps.
    """

    id = "LW308"
    name = "optimizer-steps-skipped"
    severity = Severity.WARNING

    search: int = 16
    window: int = 20
    skips: int = 5
    share: float = 0.01
    counts: list[int] = field(default_factory=lambda: [0, 0, 0], init=False)
    """Steps seen; skipped before the first update; skipped since."""
    recent: list[int] = field(default_factory=list, init=False)
    """1 for a skipped step, 0 for an update: the last ``window`` since the first update."""
    fired: bool = field(default=False, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        if record.step == 0:
            return None
        steps, before, since = self.counts
        searching = steps == before and before < self.search
        if not record.updated and searching:
            self.counts = [steps + 1, before + 1, since]
            return None
        self.counts = [steps + 1, before, since + (not record.updated)]
        self.recent = [*self.recent, int(not record.updated)][-self.window :]
        if sum(self.recent) < self.skips:
            return None
        self.fired = True
        return self._finding(f"The optimizer has skipped {sum(self.recent)} of the last {len(self.recent)} steps")

    def conclude(self, record: StepRecord) -> Finding | None:
        steps, before, since = self.counts
        if not self.fired and (since < self.skips or since <= self.share * steps):
            return None
        return self._finding(
            f"In all the optimizer has skipped {before + since} of {steps} steps: the run had {steps - before - since} "
            "real updates"
        )

    @staticmethod
    def _finding(what: str) -> Finding:
        return Finding(
            f"{what}. Their gradients overflowed at the loss scaler's scale, and their batches taught nothing.",
            causes=[
                "fp16 cannot hold this model's gradients or activations: models trained in bf16 often overflow in it",
                "the gradients grow: the learning rate or the scale is too high",
            ],
            remedies=["bf16=True instead of fp16=True, or neither", "max_grad_norm=1.0 and a lower learning rate"],
        )
