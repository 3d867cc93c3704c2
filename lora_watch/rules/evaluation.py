"""LW209: what evaluations say of texts that are not trained on."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import Evaluation, StepRecord
from lora_watch.base.text import count, percent, plain
from lora_watch.measurement.signals.loss import FEW
from lora_watch.rules.base import GROWN_TOO_LARGE, NON_FINITE, Finding, Rule
from lora_watch.rules.forecast import learns_preferences
from lora_watch.rules.loss import JUDGED, first_pass
from lora_watch.rules.remedies import suits, why_strong
from lora_watch.rules.size import classes_of

_FALLEN = 0.05
"""Share of the training loss that a model which learns by heart brings it down by."""
_OTHERS_THAN = (
    "too few different examples are trained on, or the evaluation's are of another kind: texts, template or labels",
    "decode one example of training and one of evaluation. Are those general texts? They belong into probe=",
)
_SWAPPED = (
    "chosen and rejected are swapped in the training pairs, or in those of the evaluation",
    "read three pairs of training and three of evaluation",
)
_MAPPED = (
    "the labels of the training data are not those of the evaluation: other numbers for the classes, or shifted rows",
    "print three texts with their labels, of training and of evaluation",
)
"""Why nothing that is learned holds for the evaluation, and what to look at."""


def _few(samples: int | None) -> float:
    """By how much two evaluations of so many examples may differ without meaning anything: of one example by 0.06 to
    0.5 nats, as two standard deviations."""
    return 0.5 / math.sqrt(samples) if samples else 0.0


@dataclass
class WorseOnOtherTexts(Rule):
    """The model gets worse on texts that it is not trained on.

    Fires when the last two evaluation losses are above the best by more than their noise and the training loss has
    fallen by 5 % since, or one is far above. Also at one 5 % above guessing, or above the loss before the training,
    while the training loss falls: an ERROR where fewer answers are right than by guessing. Also when the texts of
    ``probe=`` cost 10 % more than without the adapters, twice running. Three epochs and 200 steps without an evaluation
    end with an INFO.
    """

    id = "LW209"
    severity = Severity.WARNING
    of = "evaluation"
    yields_to = (*NON_FINITE, *GROWN_TOO_LARGE)

    rise: float = 0.01
    noise: float = 3.0
    worse: float = 0.05
    forgets: float = 0.1
    epochs: int = 3
    steps: int = 200
    evaluations: list[list[float]] = field(default_factory=list, init=False)
    """Step, evaluation loss, and mean training loss since the one before, of each."""
    examples: int = field(default=0, init=False)
    """How many the latest evaluation had; 0 if unknown."""
    first: float = field(default=math.nan, init=False)
    """The training loss of the first step."""
    trained: list[float] = field(default_factory=lambda: [0.0, 0.0], init=False)
    """Sum and number of the training losses since the last evaluation."""
    lowest: float = field(default=math.inf, init=False)
    """Evaluation loss so far."""
    above: int = field(default=0, init=False)
    """Evaluations in a row at which ``probe=`` cost more and nothing was gained."""

    def check(self, record: StepRecord) -> Finding | None:
        if record.step == 1 and record.loss is not None:
            self.first = record.loss
        finding = self._judge(record)
        if record.loss is not None and math.isfinite(record.loss):
            self.trained = [self.trained[0] + record.loss, self.trained[1] + 1]
        return finding

    def conclude(self, record: StepRecord) -> Finding | None:
        epochs = record.run.config.get("epochs") or 0
        known = self.evaluations or record.evaluation is not None or JUDGED not in record.scalars
        if known or epochs < self.epochs or record.step < self.steps:
            return self._judge(record)
        return Finding(
            "whether the model has learned its training texts by heart is not known",
            f"It has seen each of them about {count(epochs, 'time')}, and no evaluation loss was measured.",
            remedies=["keep some examples out of the training data, and evaluate on them: eval_strategy"],
            severity=Severity.INFO,
        )

    def _judge(self, record: StepRecord) -> Finding | None:
        if (last := record.evaluation) is None:
            return None
        by_heart, forgets = self._noted(record, last), self._forgets(last)
        if by_heart and forgets:
            return replace(by_heart, details=f"{by_heart.details} {forgets.details}", kind="both")
        return by_heart or forgets

    def _noted(self, record: StepRecord, last: Evaluation) -> Finding | None:
        if not math.isfinite(last.loss) or JUDGED not in record.scalars:
            return None
        total, steps = self.trained
        start = record.scalars.get("loss_start", math.nan)
        # Their number is known by time and rate, about.
        if self.examples and last.samples and abs(last.samples - self.examples) > 0.1 * self.examples:
            self.evaluations = []  # of other examples
        self.examples = last.samples or 0
        self.evaluations.append([last.step, last.loss, total / steps if steps else start])
        self.trained = [0.0, 0.0]
        level = last.loss
        if not last.samples or not (classes_of(record) or learns_preferences(record.run)):  # its noise is not known
            level = min(loss for _, loss, _ in self.evaluations[-2:]) if len(self.evaluations) > 1 else -math.inf
        return self._knows_less(record, last, start, level) or self._has_risen(record, last, start, level)

    def _knows_less(self, record: StepRecord, last: Evaluation, start: float, level: float) -> Finding | None:
        """By how much is evidence enough: it takes no further evaluation where its noise is known."""
        classes, pairs = classes_of(record), learns_preferences(record.run)
        if pairs:  # which all cost the same before the training, whatever they are
            classes = 2 * (abs(self.first - math.log(2.0)) < 0.1)
        guess = math.log(classes) if classes > 1 else math.inf
        first, untrained, _ = self.evaluations[0]
        untrained = math.inf if first else untrained
        least, few = min(guess, untrained), _few(last.samples)
        learns = self.evaluations[-1][2] < (1.0 - _FALLEN) * start
        if not learns or min(loss for _, loss, _ in self.evaluations) < (1.0 - self.rise) * least:
            return None
        chooses = 1 < classes <= FEW
        by_chance, right = 1.0 / classes if chooses else 0.0, last.right if chooses else None
        if right is not None and right > by_chance:  # and too sure of what it gets wrong
            return None
        fewer = right is not None and right < by_chance - 2.0 * _few(last.samples or 25)  # standard deviations
        more = 1.0 if chooses and right is None else self.worse
        if not level > least + max(more * least, 0.0 if fewer else 4.0 * few):
            return None
        got = "" if right is None else f" It gets {percent(right)} right; guessing gets {percent(by_chance)}."
        than, by = ("guessing", "by guessing") if guess <= untrained else ("before the training", "before it")
        cause, remedy = _OTHERS_THAN
        if fewer:  # a loss alone proves nothing: whoever forgets other texts, or is too sure, loses as much
            cause, remedy = _SWAPPED if pairs else _MAPPED
            remedy += "; mend what differs and begin anew: no checkpoint of this run is better"
        return Finding(
            f"on the evaluation's examples the model is worse than {than}",
            f"They cost {plain(last.loss)}, and {plain(least)} {by}, while the training loss fell from "
            f"{plain(start)} to {plain(self.evaluations[-1][2])}.{got}",
            metric="eval_loss",
            kind="knows less",
            threshold=least,
            causes=[cause],
            remedies=[remedy],
            severity=Severity.ERROR if fewer else None,
        )

    def _has_risen(self, record: StepRecord, last: Evaluation, start: float, level: float) -> Finding | None:
        when, losses, training = np.array(self.evaluations).T
        training = np.where(np.isnan(training), start, training)  # that of an evaluation before the first step
        best = int(losses.argmin())
        risen = float(losses[-2:].min() - losses[best])
        lowest, chance = abs(float(losses[best])), record.scalars.get("chance_loss", math.inf)
        # What evaluations may differ by without meaning anything: around their own trend, and for few examples. Of a
        # line and Gaussian noise the median second difference is 0.6745 * √6 standard deviations of one value.
        around = float(np.median(np.abs(np.diff(losses, 2)))) / (0.6745 * math.sqrt(6.0)) if len(losses) > 3 else 0.0
        margin = max(self.rise * lowest, self.noise * around, _few(last.samples))
        guesses = bool(losses[-2:].min() > (1.0 + self.rise) * chance)
        if guesses:  # and what is lost by that is no noise
            margin = self.rise * lowest
        far = bool(level - losses[best] > max(0.25 * lowest, 8.0 * _few(last.samples)))
        falls = bool(training[-1] < (1.0 - _FALLEN) * training[best])
        if not far and not (falls and len(losses) - best > 2 and risen > margin):
            return None
        at, trains = f"{when[best]:.0f}", f"from {training[best]:.4g} to {training[-1]:.4g}"
        back: list[str] = []
        if last.kept is not None and when[best]:
            keep = "load_best_model_at_end=True keeps it, with save_strategy as eval_strategy"
            is_kept = int(when[best]) in last.kept
            back = [f"use checkpoint-{at}, the best one" if is_kept else f"no checkpoint of step {at} is left: {keep}"]
        remedies = [*back, "stop earlier: fewer epochs, or EarlyStoppingCallback; more examples help most"]
        message, kind = "the model learns its training texts by heart", "by heart"
        course, cause = f", while the training loss fell {trains}.", "too many passes over too few examples"
        if not falls:
            message, kind = "the evaluation loss has risen far, and the training loss does not fall", "changed"
            course, remedies = f". The training loss went {trains}.", ["shuffle the training data", *back]
            cause = f"the training data changed after step {at}: they are not shuffled, or other texts began"
            if not suits(record):
                cause, remedies = why_strong(record), ["lower the learning rate", *back]
        elif (once := first_pass(record)) or guesses:
            message = "the model fits its training texts alone" if once else message
            costs = f" (guessing costs {plain(chance)})" if guesses else ""
            cause = f"nothing that it learns holds for them{costs}: few examples, or wrong labels"
        return Finding(
            message,
            f"The evaluation loss was best at step {at} ({losses[best]:.4g}) and has risen to {losses[-1]:.4g}{course}",
            metric="eval_loss",
            kind=kind,
            threshold=float(losses[best]),
            causes=[cause],
            remedies=remedies,
        )

    def _forgets(self, last: Evaluation) -> Finding | None:
        """The texts of ``probe=`` and the model's mode are the same each time, so that their loss has no noise."""
        if last.probe is None:
            return None
        now, base = last.probe
        gains = last.loss < (1.0 - self.rise) * self.lowest
        self.lowest = min(self.lowest, last.loss)
        self.above = self.above + 1 if now > (1.0 + self.forgets) * base and not gains else 0
        if self.above < 2:
            return None
        return Finding(
            "the model unlearns what it knew, and its task gains nothing any more",
            f"The texts of probe= cost {plain(now)}, and {plain(base)} without the adapters. The evaluation loss is "
            f"{last.loss:.4g} and was {self.lowest:.4g} at best.",
            metric="probe_loss",
            kind="forgets",
            threshold=(1.0 + self.forgets) * base,
            causes=["the training goes on after the task has been learned, on nothing but its own texts"],
            remedies=["stop earlier, or mix a tenth of general texts into the training data"],
        )
