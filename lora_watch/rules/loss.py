"""LW2xx: the loss itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lora_watch.alerts import Severity
from lora_watch.records import StepRecord
from lora_watch.rules.base import Finding, Rule
from lora_watch.rules.strength import weaker
from lora_watch.signals.loss import DECISIVE, SPIKE


@dataclass
class NonFiniteLoss(Rule):
    """The true loss of an optimizer step is NaN or infinite.

    Read from the training step itself. The Trainer's own log may show 0.0 or a plausible average instead, because
    ``logging_nan_inf_filter`` (on by default) replaces what is not finite before anybody sees it.
    """

    id = "LW201"
    name = "non-finite-loss"
    severity = Severity.ERROR
    urgent = True
    yields_to = ("LW101",)

    def check(self, record: StepRecord) -> Finding | None:
        if record.loss is None or math.isfinite(record.loss):
            return None
        change = weaker(record, 10.0)
        return Finding(
            f"The loss of step {record.step} is {record.loss}. The Trainer's log can show 0.0 or a plausible average "
            "here: logging_nan_inf_filter hides it.",
            metric="loss",
            causes=[
                "a batch with no target token left (all labels -100), or a division by zero in the loss",
                "numbers out of range in half precision (fp16 above 65504)",
                "weights that an earlier update made non-finite or huge",
            ],
            remedies=[
                "look at the batch of this step; drop samples without targets",
                "train in bf16 or fp32 instead of fp16",
                *change.words,
            ],
            settings=change.settings,
        )


@dataclass
class LossDivergence(Rule):
    """The loss has risen and stays up: the mean of its last 3 to 48 steps lies far above that of the steps before.

    Fires when a rise of any of those lengths is more than ``score`` standard errors, on the log of the loss and beside
    its own noise, and the last three losses lie on average more than ``rise`` (in log units, .05 is about 5 %) above
    the level before it. A loss that falls, stands still or stops falling does not fire it, nor does one bad batch.
    Judges from the 21st step on. With a noise of 8 % a step it finds a loss that jumps to 1.5 times its level in 3
    steps and one that begins to rise by .5 % a step from a level in 27, where no detector with as few false alarms can
    do with fewer than 25; ``benchmarks/loss_detection.py`` has the whole table.
    """

    id = "LW202"
    name = "loss-divergence"
    severity = Severity.ERROR
    yields_to = ("LW101", "LW102", "LW201")

    score: float = DECISIVE
    """Evidence for a rise, in standard errors."""
    rise: float = 0.05
    """Least mean rise of log loss over the last three steps."""

    def check(self, record: StepRecord) -> Finding | None:
        score, rise = record.scalars.get("loss_rise_score", 0.0), record.scalars.get("loss_rise", 0.0)
        if record.loss is None or not (score > self.score and rise > self.rise):
            return None
        change = weaker(record, 4.0)
        return Finding(
            f"The loss has risen to {record.loss:.4g} where {record.scalars['loss_before']:.4g} was to be expected, "
            f"and stays up ({score:.1f} standard errors, limit {self.score:g}).",
            metric="loss",
            limit=self.score,
            causes=[
                "the learning rate is too high for this scale, or has just been raised",
                "the data changed: another domain, corrupted batches, a new epoch's order",
            ],
            remedies=change.words,
            settings=change.settings,
        )


@dataclass
class LossSpike(Rule):
    """One loss far above its own noise. It often passes by itself; several are the herald of divergence.

    Fires when the log loss lies more than ``score`` standard deviations of its own noise (from the differences of
    neighbouring losses over 128 steps, at least 2 %) above the mean of the last 16, and twice as far as the highest
    outlier of about the last 200 steps. The spike does not join the baseline. Judges from the 21st step on.
    """

    id = "LW203"
    name = "loss-spike"
    severity = Severity.WARNING
    yields_to = ("LW101", "LW102", "LW201", "LW202")

    score: float = SPIKE
    """Standard deviations of the loss's own noise."""

    def check(self, record: StepRecord) -> Finding | None:
        score = record.scalars.get("loss_spike_score", 0.0)
        if record.loss is None or not score > self.score:
            return None
        return Finding(
            f"The loss jumped to {record.loss:.4g} where {record.scalars['loss_expected']:.4g} was to be expected "
            f"({score:.1f} standard deviations, limit {self.score:g}).",
            metric="loss",
            limit=self.score,
            causes=[
                "an outlier batch: very long, very short or damaged samples",
                "a learning rate at the edge of what this scale bears",
            ],
            remedies=[
                "look at the batch of this step",
                "lower max_grad_norm (1.0 → 0.3) so that one batch cannot move the adapter far",
            ],
        )
