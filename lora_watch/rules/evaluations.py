"""What evaluations say of a run: whether it learns its texts by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules.base import GROWN_TOO_LARGE, NON_FINITE, Finding, Rule

_PAIRED = 0.5
"""By how many nats two evaluations of one example differ, as two standard deviations: measured 0.06 to 0.5."""
_OF_SECOND_DIFFERENCES = 0.6745 * math.sqrt(6.0)
"""Their median relative to the standard deviation of one value, where values are a line and Gaussian noise."""


@dataclass
class Overfitting(Rule):
    """The evaluation loss has passed its lowest and rises, while the training loss falls.

    Fires when the last two evaluations are above the best one by more than their noise, and the training loss has
    fallen by more than that. The noise is what evaluations differ by around their own trend, and more for a set of few
    examples. Runs without evaluations are not judged.
    """

    id = "LW209"
    name = "overfitting"
    severity = Severity.WARNING
    yields_to = (*NON_FINITE, *GROWN_TOO_LARGE)

    rise: float = 0.01
    noise: float = 3.0
    evaluations: list[list[float]] = field(default_factory=list, init=False)
    """Step, evaluation loss, and mean training loss since the one before, of each."""
    trained: list[float] = field(default_factory=lambda: [0.0, 0.0], init=False)
    """Sum and number of the training losses since the last evaluation."""

    def check(self, record: StepRecord) -> Finding | None:
        finding = self._judge(record)
        if record.loss is not None and math.isfinite(record.loss):
            self.trained = [self.trained[0] + record.loss, self.trained[1] + 1]
        return finding

    def conclude(self, record: StepRecord) -> Finding | None:
        return self._judge(record)

    def has_evidence(self, record: StepRecord) -> bool:
        return record.evaluation is not None

    def _judge(self, record: StepRecord) -> Finding | None:
        last = record.evaluation
        if last is None or not math.isfinite(last.loss) or not record.scalars:
            return None
        total, steps = self.trained
        self.evaluations.append([last.step, last.loss, total / steps if steps else math.nan])
        self.trained = [0.0, 0.0]
        when, losses, training = np.array(self.evaluations).T
        best = int(losses.argmin())
        risen = float(losses[-2:].min() - losses[best])
        margin = self._margin(losses, last.samples)
        if len(losses) - best < 3 or not risen > margin:
            return None
        if not training[best] - training[-1] > risen:
            return None
        at = f"{when[best]:.0f}"
        stop = "stop earlier: fewer epochs, or EarlyStoppingCallback; more examples help most"
        if last.kept is None:
            remedies = [stop]
        elif int(when[best]) in last.kept:
            remedies = [f"use checkpoint-{at}, the best one", stop]
        else:
            remedies = [f"no checkpoint of step {at} is left: set load_best_model_at_end=True, which keeps it", stop]
        return Finding(
            "the model learns its training texts by heart",
            f"The evaluation loss was best at step {at} ({losses[best]:.4g}) and has risen to {losses[-1]:.4g}, while "
            f"the training loss fell from {training[best]:.4g} to {training[-1]:.4g}.",
            metric="eval_loss",
            threshold=float(losses[best]),
            numbers={"margin": margin},
            causes=["too many passes over too few examples"],
            remedies=remedies,
        )

    def _margin(self, losses: np.ndarray, samples: int | None) -> float:
        """What evaluations may differ by without meaning anything."""
        around = float(np.median(np.abs(np.diff(losses, 2)))) / _OF_SECOND_DIFFERENCES if len(losses) > 2 else 0.0
        few = _PAIRED / math.sqrt(samples) if samples else 0.0
        return max(self.rise * abs(float(losses.min())), self.noise * around, few)
