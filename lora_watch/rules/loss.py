"""LW2xx: the loss itself."""

import math
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import Evaluation, StepRecord
from lora_watch.base.text import count, percent, plain, times
from lora_watch.measurement.signals.loss import DECISIVE, FEW, FIRST, SEEN_FIRST, SPIKE, WARM_UP, WINDOWS, trend
from lora_watch.rules.base import FAULTS, GROWN_TOO_LARGE, NON_FINITE, Finding, Rule
from lora_watch.rules.forecast import HIGHEST_END, HIGHEST_PACE, is_gentle, learns_preferences, pace
from lora_watch.rules.non_finite import without_target
from lora_watch.rules.remedies import suits, suspect, weaker, why_strong
from lora_watch.rules.size import CLEAR, HARM, SLIGHT, Compared, classes_of, compared, extent, guessing

JUDGED = "loss_spike_score"
"""A scalar of every record whose loss says how good the model is. A policy's does not."""
_FRESH = 3
"""Steps for which a comparison with the frozen model counts."""
_AT_CHANCE = 0.98
"""Share of what guessing costs from which on a base model is no better: with random weights it is 0.99 and more."""
_STEADY = 1.1
"""By what factor the two losses after it may be higher, of a model that does not explode at once."""
_GUESSES = 0.8
"""Share of the entropy of guessing from which on a model guesses: with random weights 0.9 and more, a trained one 0.2
to 0.65, whatever it is given."""
_RANDOM = "its weights are random (from_config instead of from_pretrained)"
_FIT = 0.9
"""Share of the labels below which they are not those of their inputs. Masked ones (-100) do not count."""
_MISMATCH = "the labels are wrong (shuffled, or shifted twice), or the tokenizer is another model's"
_NOT_THEIRS = "the labels are those of other rows or positions"
_SHIFTED = "the labels were shifted before, and the model shifts them once more"
_PADDED = 0.1
"""Share of the labels from which on padding among them is no slip of single tokens."""
_SURPRISED = 1.3
"""How many times the entropy of its predictions a first loss is that labels of another place explain."""
ALL_MASKED = "every label is -100: the prompt template does not match the text, or truncation cut the answers off"
SEE_LABELS = "print one batch of the data collator: (labels != -100).sum() must not be 0"
"""The cause of a loss that is exactly 0, and what to do."""
_NO_PATTERN = "the labels do not belong to their inputs, or the inputs do not determine them"
_BY_HEART = 0.05
"""Share of the loss at the start below which the data so far have been learned by heart."""
_OTHERS = 8
"""Labels after the last of a single class by which it is decided whether the data are sorted, or a class is rare."""
_SETTLED = 5
"""Steps after a spike from which on a loss that is still up is none. LW202 has decided by then."""
_LIKELY = 0.75
"""Share of the evidence for a rise from which that comparison is asked for."""


class _OfTheLoss(Rule):
    """What judges a loss that is a number: behind a NaN it is silent because it cannot know."""

    def has_evidence(self, record: StepRecord) -> bool:
        return record.loss is not None and math.isfinite(record.loss)


@dataclass
class LossDivergence(_OfTheLoss):
    """The loss has risen and stays up: the mean of its last 3 to 48 steps lies far above the steps before.

    Fires from the 21st step on, when the rise is far above the loss's own noise and the last three losses lie 5 % above
    the level before it. Harder data raise a loss too: the rule is silent where a batch costs no more with the adapters
    than without, unless it costs more than guessing or the adapters are very large. A jump at sound settings is
    LW203's, unless the data are noise.
    """

    id = "LW202"
    severity = Severity.ERROR
    zone = "diverged"
    yields_to = ("LW101", "LW102", "LW201", "LW301:switched", "LW314")

    score: float = DECISIVE
    rise: float = 0.05
    large: float = 12.0
    """Depth-scaled output ratio; the same as LW102's ``threshold``."""
    compare: bool = True
    """Compute a batch with and without the adapters where that can be done: not in a sweep."""
    latest: list[float] = field(default_factory=list, init=False)
    """The latest comparison with the frozen model: its step, the loss with the adapters and that without."""
    slight: int = field(default=0, init=False)
    """Comparisons in a row in which the adapters did slight harm."""
    jumped: int = field(default=0, init=False)
    """The step of the latest spike."""

    def check(self, record: StepRecord) -> Finding | None:
        score, rise = record.scalars.get("loss_rise_score", 0.0), record.scalars.get("loss_rise", 0.0)
        self.jumped = record.step if record.scalars.get(JUDGED, 0.0) > SPIKE else self.jumped
        if (now := compared(record)) is not None:
            steps = record.step - int(self.latest[0]) if self.latest else 0
            self.slight = now.in_a_row(self.slight, SLIGHT, steps)
            self.latest = [record.step, now.adapted, now.base]
        fresh = bool(self.latest) and record.step - self.latest[0] <= _FRESH
        pair = Compared(self.latest[1], self.latest[2], record.run.nonzero_start) if fresh else None
        undecided = pair is None or (pair.harms(SLIGHT) and not pair.harms(CLEAR) and self.slight < 2)
        asks = undecided and self.compare and record.comparable
        self.wants = HARM if asks and score > _LIKELY * self.score and rise > 0.0 else {}
        if record.loss is None or not (score > self.score and rise > self.rise) or asks:
            return None
        small = (record.size_before or 0.0) < self.large
        if pair is not None and small and not pair.harms(SLIGHT):
            # Unless the data are noise, or a head has been spoiled, they are harder: another domain, say.
            lost = min(record.scalars.get("loss_recent", math.inf), pair.adapted) > CLEAR * guessing(record)
            if not lost:
                return None
        if small and self._other_texts(record, pair):
            return None
        before, now = record.scalars["loss_before"], record.loss
        by_heart = before < _BY_HEART * record.scalars.get("loss_start", 0.0) and pace(record) <= HIGHEST_PACE
        return Finding(
            "the loss has risen and stays up",
            f"The loss rose from {plain(before)} to {plain(now)}, far beyond its noise.",
            metric="loss",
            threshold=self.score,
            follows=FAULTS,
            **vars(suspect(record, by_heart or suits(record), otherwise=4.0)),
        )

    def _other_texts(self, record: StepRecord, pair: Compared | None) -> bool:
        """The loss has jumped at once, which sound settings do not do, and no noise costs less than guessing."""
        lowest = min(record.scalars.get("loss_recent", math.inf), pair.base if pair else math.inf)
        is_text = (classes_of(record) or record.run.own_classes) > FEW and lowest < guessing(record)
        return bool(self.jumped) and record.step - self.jumped <= WINDOWS[-1] and is_text and suits(record)


@dataclass
class LossSpike(_OfTheLoss):
    """One loss lies far above its own noise. A single spike often passes; several announce a divergence.

    Fires from the 21st step on, when the loss lies far outside its own noise, and twice as far above its mean as the
    highest outlier of about the last 200 steps. Five steps later the alert says so if the loss stays up there.
    """

    id = "LW203"
    severity = Severity.WARNING
    quiet = 1
    turns_out = True
    yields_to = ("LW101", "LW102", "LW201", "LW202", *FAULTS, "LW301:switched", "LW306:raised", "LW314")

    score: float = SPIKE
    """Standard deviations of the loss's own noise."""
    since: int = field(default=0, init=False)
    """The step at which the loss has jumped; 0 when it is down again, or has been up for so long that this is usual."""
    before: float = field(default=0.0, init=False)
    """The loss that was to be expected at it."""
    half: float = field(default=0.0, init=False)
    """Half of the way up. A loss below it has come down."""
    course: str = field(default="", init=False)
    """Of the latest jump: ``up``, ``down`` where one of the next losses was, and ``stays`` when that is known."""

    def check(self, record: StepRecord) -> Finding | None:
        if record.loss is None or not math.isfinite(record.loss):
            return None
        score, settled = record.scalars.get("loss_spike_score", 0.0), record.step >= self.since + _SETTLED
        level = record.scalars.get("loss_recent", record.loss) if settled else record.loss
        is_up = self.since > 0 and record.step <= self.since + WINDOWS[-1] and level > self.half
        if score > self.score and not is_up:
            self.since, self.before, self.course = record.step, record.scalars["loss_expected"], "up"
            self.half = (self.before + record.loss) / 2.0
        elif settled:
            self.since *= is_up
            stays = self.course == "stays" or record.scalars.get("loss_rise_score", 0.0) > DECISIVE
            if not (self.since and stays):
                return None
            self.course, recent = "stays", plain(record.scalars["loss_recent"])
            why = f"the training data changed at step {self.since}: they are not shuffled, or other texts began"
            return Finding(
                f"the loss has jumped at step {self.since} and stays up",
                f"It was about {plain(self.before)} before, and its last five are {recent}.",
                metric="loss",
                kind="stays",
                threshold=DECISIVE,
                causes=[why],
                remedies=["shuffle the training data, or train on one kind of texts at a time on purpose"],
            )
        elif not is_up or self.course == "down":
            self.course = "down"
            return None
        return Finding(
            "one loss is far above the others",
            f"The loss jumped from about {plain(self.before)} to {plain(record.loss)}, by {times(score)} its usual "
            "noise. A single spike often passes; several announce a divergence.",
            metric="loss",
            threshold=self.score,
            causes=["an unusual batch: very long, very short or damaged samples"],
            remedies=["look at the batch of this step"],
        )


@dataclass
class LossExactlyZero(_OfTheLoss):
    """There is nothing to learn: the loss is exactly 0.0 for several steps, or all labels are of one class.

    Fires when all of the last five losses, or the first three, are exactly 0. It also fires at a step whose batch has
    no target: all of its labels are -100, and its loss is NaN. It fires when a classifier's first 230 labels in twelve
    steps or more are of one class, and when others follow all at once. It is an ERROR if the run ends so.
    """

    id = "LW204"
    severity = Severity.WARNING
    yields_to = ("LW201",)

    steps: int = 12
    few: int = 100
    labels: int = 230
    """Among so many a class of 2 % is seen with 99 % probability. A run of ``few`` ends with a WARNING."""
    alike: float = field(default=0.0, init=False)
    """Labels of one class before there was any other."""
    is_sorted: bool = field(default=False, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        if without_target(record):
            return Finding(
                "a batch has no target",
                "All of its labels are -100, so its loss is NaN. A single such batch does no harm.",
                metric="loss",
                causes=["the template masks its answers, or truncation cut them off"],
                remedies=["drop samples without a target, or raise max_length so that answers are not cut off"],
            )
        alike = self._of_one_class(record)
        if alike or record.loss != 0.0 or record.scalars.get("loss_recent") != 0.0:
            return alike
        return Finding(
            "the loss is exactly 0, so nothing is learned",
            "The loss has been 0.0 for several steps.",
            metric="loss",
            threshold=0.0,
            causes=[ALL_MASKED],
            remedies=[SEE_LABELS],
        )

    def conclude(self, record: StepRecord) -> Finding | None:
        """Of a run that has met a single class it is known that its classifier has learned nothing."""
        return None if self.is_sorted else self._of_one_class(record, is_over=True)

    def _of_one_class(self, record: StepRecord, is_over: bool = False) -> Finding | None:
        seen, share = record.scalars.get("labels_seen", 0.0), record.scalars.get("labels_share", 0.0)
        others, since = (1.0 - share) * seen, seen - self.alike
        if share == 1.0:
            self.alike = seen
        elif self.alike and since >= _OTHERS and not self.is_sorted:
            self.is_sorted = others > since / 2.0
            self.alike *= self.is_sorted  # a rare class is no fault
        least = self.few if self.is_sorted or is_over else self.labels
        if record.step < self.steps or self.alike < least or not (share == 1.0 or self.is_sorted):
            return None
        if self.is_sorted:
            return Finding(
                "the training data come sorted by class",
                f"The first {self.alike:.0f} labels were all the same, and then nearly all were of another class.",
                kind="sorted",
                causes=["the data are not shuffled: the model forgets each class while it learns the next"],
                remedies=["shuffle the training data"],
            )
        return Finding(
            f"every label so far is class {record.scalars['labels_class']:.0f}, so there is nothing to tell apart",
            f"There were {self.alike:.0f} labels in {record.step} steps.",
            kind="one class",
            causes=["the training data are sorted by class, or all labels are the same by mistake"],
            remedies=["count the labels of the training data; if there are others, shuffle"],
            severity=Severity.ERROR if is_over and self.alike >= self.labels else None,
        )


_PAIRED = 0.5
"""By how many nats two evaluations of one example differ, as two standard deviations: measured 0.06 to 0.5."""
_FALLEN = 0.05
"""Share of the training loss that a model which learns by heart brings it down by."""
_OF_SECOND_DIFFERENCES = 0.6745 * math.sqrt(6.0)
"""Their median relative to the standard deviation of one value, where values are a line and Gaussian noise."""
_FAR = 0.25
"""Share by which an evaluation loss above the best one proves something at once."""
_OTHER_SET = 0.1
"""Share by which the number of examples differs where it is another set. It is known by time and rate."""
_UNKNOWN = 25
"""Of how many examples a share of right answers is taken to be where their number is not known."""
_OF_PAIRS = 0.1
"""How far from ln 2 the loss of pairs begins."""
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


def _first_pass(record: StepRecord, unknown: bool = False) -> bool:
    """No example has been seen twice; ``unknown`` where that is not known."""
    epochs, planned = record.run.config.get("epochs"), record.run.max_steps
    return record.step * epochs <= planned if epochs and planned else unknown


def _few(samples: int | None) -> float:
    """By how much two evaluations of so many examples may differ without meaning anything."""
    return _PAIRED / math.sqrt(samples) if samples else 0.0


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
        if self.examples and last.samples and abs(last.samples - self.examples) > _OTHER_SET * self.examples:
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
            classes = 2 * (abs(self.first - math.log(2.0)) < _OF_PAIRS)
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
        fewer = right is not None and right < by_chance - 2.0 * _few(last.samples or _UNKNOWN)  # standard deviations
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
        margin, chance = self._margin(losses, last.samples), record.scalars.get("chance_loss", math.inf)
        guesses = bool(losses[-2:].min() > (1.0 + self.rise) * chance)
        if guesses:  # and what is lost by that is no noise
            margin = self.rise * abs(float(losses.min()))
        far = bool(level - losses[best] > max(_FAR * abs(float(losses[best])), 8.0 * _few(last.samples)))
        falls = bool(training[-1] < (1.0 - _FALLEN) * training[best])
        if not far and not (falls and len(losses) - best > 2 and risen > margin):
            return None
        at, trains = f"{when[best]:.0f}", f"from {training[best]:.4g} to {training[-1]:.4g}"
        risen_to = f"({losses[best]:.4g}) and has risen to {losses[-1]:.4g}"
        stop = "stop earlier: fewer epochs, or EarlyStoppingCallback; more examples help most"
        if last.kept is None or (best == 0 and not when[0]):
            remedies = [stop]
        elif int(when[best]) in last.kept:
            remedies = [f"use checkpoint-{at}, the best one", stop]
        else:
            keep = "load_best_model_at_end=True keeps it, with save_strategy as eval_strategy"
            remedies = [f"no checkpoint of step {at} is left: {keep}", stop]
        message, kind = "the model learns its training texts by heart", "by heart"
        course, cause = f", while the training loss fell {trains}.", "too many passes over too few examples"
        if not falls:
            message, kind = "the evaluation loss has risen far, and the training loss does not fall", "changed"
            course, first = f". The training loss went {trains}.", "shuffle the training data"
            cause = f"the training data changed after step {at}: they are not shuffled, or other texts began"
            if not suits(record):
                cause, first = why_strong(record), "lower the learning rate"
            remedies = [first, *remedies[:-1]]
        elif (once := _first_pass(record)) or guesses:
            message = "the model fits its training texts alone" if once else message
            costs = f" (guessing costs {plain(chance)})" if guesses else ""
            cause = f"nothing that it learns holds for them{costs}: few examples, or wrong labels"
        return Finding(
            message,
            f"The evaluation loss was best at step {at} {risen_to}{course}",
            metric="eval_loss",
            kind=kind,
            threshold=float(losses[best]),
            causes=[cause],
            remedies=remedies,
        )

    def _margin(self, losses: np.ndarray, samples: int | None) -> float:
        """What evaluations may differ by without meaning anything: around their own trend, and for few examples."""
        around = float(np.median(np.abs(np.diff(losses, 2)))) / _OF_SECOND_DIFFERENCES if len(losses) > 3 else 0.0
        return max(self.rise * abs(float(losses.min())), self.noise * around, _few(samples))

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


@dataclass
class FirstLossTooHigh(_OfTheLoss):
    """The first losses or batches show that weights, labels, head or the sign of the loss are wrong.

    Fires at the third step when a language model's first three losses are about what guessing a word costs,
    or a classifier's 1.5 times that; also when a classifier guesses whose head is outside of ``modules_to_save``.
    Labels that are shifted or on padding count at any loss. An ERROR where labels are not their inputs' tokens, the
    losses are minus the model's own, or they end no better. Of other losses it names only those below zero.
    """

    id = "LW205"
    severity = Severity.WARNING
    yields_to = ("LW101", "LW102", "LW201")

    factor: float = 1.5
    guessed: float = 0.95
    """Share of what guessing costs, of a language model's first losses: they lie no further below it than this. A new
    classifier's head does guess."""
    first: list[float] = field(default_factory=list, init=False)
    """The first three losses: that of the base model, and two of adapters that have hardly moved yet."""
    seen: dict[str, float] = field(default_factory=dict, init=False)
    """``entropy`` of the base model's predictions, in nats, and where its labels lie, as far as known: see
    ``signals.labels``."""

    def check(self, record: StepRecord) -> Finding | None:
        classes, start = classes_of(record), record.scalars.get("loss_start")
        if len(self.first) < record.step <= FIRST and record.loss is not None:
            self.first = [*self.first, record.loss]
            if record.step == 1:
                self.seen = {name: record.scalars[name] for name in SEEN_FIRST if name in record.scalars}
        if start is not None and len(self.first) == FIRST and max(self.first) < 0.0:
            return self._below_zero(record, bool(classes))
        if not classes or start is None or record.loss is None:
            return None
        chance, many = math.log(classes), classes > FEW
        threshold = self.factor * chance
        if record.run.unsaved_head and len(self.first) == FIRST and fmean(self.first) > self.guessed * chance:
            return self._head_is_lost(record.run.unsaved_head, chance)
        far = start > threshold and record.scalars["loss_recent"] > threshold
        no_better, entropy = far or (many and self._no_better(chance)), self.seen.get("entropy", 0.0)
        guesses = many and entropy > _GUESSES * chance
        placed = self._misplaced(no_better) if many and len(self.first) == FIRST and not guesses else None
        if placed or not no_better:
            return placed
        first = self.first[0] if self.first else start
        tokens = "tokens" if many else "classes"
        details = f"The first loss is {plain(first)}. Guessing among {classes} {tokens} costs {plain(chance)}."
        message, cause = "the first losses are no better than guessing", _MISMATCH
        remedy = "decode input_ids and labels of a batch and read them: a causal model shifts labels itself. Then "
        remedy += f"evaluate the base model without adapters: its loss should be far below {plain(chance)}"
        if guesses:
            details += f" The model takes about {math.exp(entropy):.0f} of them for equally likely."
            message, cause, remedy = "the base model guesses", _RANDOM, "load the model with from_pretrained"
        elif far:
            cause = f"{_MISMATCH}, or weights of the base model are damaged"
        elif many and not entropy:
            cause = f"{_RANDOM}, or {_MISMATCH}"
        return Finding(
            message,
            details,
            metric="loss",
            threshold=threshold if far else self.guessed * chance,
            causes=[cause],
            remedies=[remedy],
        )

    def conclude(self, record: StepRecord) -> Finding | None:
        """A run that ends where it began has learned nothing."""
        finding, recent = self.check(record), record.scalars.get("loss_recent", 0.0)
        learned = record.step < WARM_UP or recent < _AT_CHANCE * math.log(max(classes_of(record), 2))
        return finding if finding is None or learned or finding.kind else replace(finding, severity=Severity.ERROR)

    def _misplaced(self, no_better: bool) -> Finding | None:
        """What the labels of the first batch prove, of a causal model."""
        fit, padded = self.seen.get("labels_fit", 1.0), self.seen.get("labels_padded", 0.0)
        ahead, behind = (self.seen.get(f"labels_{place}", 0.0) >= _FIT > fit for place in ("ahead", "behind"))
        if ahead or behind:  # of a calibrated model entropy is what right labels cost
            no_better |= self.first[0] > _SURPRISED * self.seen["entropy"]
        if no_better and fit < _FIT:
            message, cause = "the labels do not fit the inputs", _SHIFTED if ahead or behind else _NOT_THEIRS
            details = f"Only {percent(fit)} of the labels are the token that input_ids has at their place."
            if ahead or behind:
                details = f"Each label is the token {'after' if ahead else 'before'} its own place in input_ids."
            remedy = "labels = input_ids, with -100 at places that are not to be learned"
        elif padded >= _PADDED:  # which NaN is not: no label counts
            message = "padding counts as text to be learned"
            details = f"{percent(padded)} of the labels that count lie where attention_mask is 0."
            cause = "labels are a copy of input_ids that keeps the padding: the model learns to write it"
            remedy = "set the labels to -100 where attention_mask is 0"
        else:
            return None
        return Finding(
            message,
            f"The first loss is {plain(self.first[0])}. {details}",
            metric="loss",
            kind="labels" if no_better else "padding",
            causes=[cause],
            remedies=[remedy],
            severity=Severity.ERROR if no_better else Severity.WARNING,
        )

    def _head_is_lost(self, head: str, chance: float) -> Finding:
        return Finding(
            f"the classifier's new head is saved in no checkpoint: {head}",
            f"It is not in modules_to_save. The first losses are what guessing costs, {plain(chance)}, so it is new: "
            "whoever loads the adapter draws another one.",
            metric="loss",
            kind="head",
            causes=["without a task_type PEFT takes the head for a part of the pretrained model"],
            remedies=[f'begin anew with modules_to_save=["{head}"] in the LoraConfig, or the right task_type'],
        )

    def _below_zero(self, record: StepRecord, is_minus: bool) -> Finding | None:
        """Of a model that chooses among classes or tokens, whatever its loss: a comparison of answers may be below."""
        if not record.run.own_classes or record.run.config.get("preference"):
            return None
        message, cause = "the training raises the model's loss: its sign is wrong", "a minus stands before the loss"
        remedy = "take the minus away: an optimizer lowers the loss that it is given"
        if not is_minus:
            message, cause = "the loss is below zero", f"{cause}, or it is no cross-entropy"
            remedy += ". If it is meant to be below zero, mute this rule"
        return Finding(
            message,
            f"The first loss is {plain(self.first[0])}. A cross-entropy is never below zero.",
            metric="loss",
            kind="sign" if is_minus else "below zero",
            threshold=0.0,
            causes=[cause],
            remedies=[remedy],
            severity=Severity.ERROR if is_minus else None,
        )

    def _no_better(self, chance: float) -> bool:
        """The base model is not, and the first updates have moved it neither down nor far up."""
        if len(self.first) < FIRST or not self.first[0] > _AT_CHANCE * chance:
            return False
        return min(self.first) > self.guessed * chance and max(self.first) < _STEADY * self.first[0]


@dataclass
class StuckAtChance(Rule):
    """A classifier whose adapters have grown is no better than guessing.

    Fires when the adapters have grown and the last 50 losses are no better than guessing, and do not fall. It is an
    ERROR if the run ends like that, with adapters beyond useful ones after 20 steps; else an INFO. From the second
    epoch on only an evaluation loss ends it. Losses of smoothed labels, or not a classifier's own, are not judged.
    """

    id = "LW207"
    severity = Severity.WARNING
    quiet = 25
    yields_to = (
        *(*NON_FINITE, *FAULTS, "LW102", "LW104", "LW202", "LW204", "LW205"),
        *("LW301", "LW303", "LW306:zero", "LW307:rounded"),
    )

    share: float = 0.97
    steps: int = 50
    few: int = 20
    size: float = 1.0
    recent: list[float] = field(default_factory=list, init=False)
    """The last 2 * ``steps`` losses, as shares of what guessing costs."""
    overall: float = field(default=0.0, init=False)
    evaluated: float = field(default=math.inf, init=False)

    def has_evidence(self, record: StepRecord) -> bool:
        """In a second pass the training loss falls by heart, too: there an evaluation has to show what was learned."""
        chance = record.scalars.get("chance_loss", math.nan)
        return _first_pass(record, unknown=True) or self.evaluated < self.share * chance

    def check(self, record: StepRecord) -> Finding | None:
        if record.evaluation is not None:
            self.evaluated = record.evaluation.loss
        if (chance := record.scalars.get("chance_loss")) is None:  # no classifier, as far as is known
            return None
        if (size := extent(record)) is not None:
            self.overall = size
        if record.loss is not None and math.isfinite(record.loss) and chance > 0:
            self.recent = [*self.recent, record.loss / chance][-2 * self.steps :]
        return self._judged(record, Severity.WARNING)

    def conclude(self, record: StepRecord) -> Finding | None:
        return self._judged(record, Severity.ERROR)

    def _judged(self, record: StepRecord, severity: Severity) -> Finding | None:
        chance = record.scalars.get("chance_loss")
        is_over = severity is Severity.ERROR
        enough = self.few if is_over and self.overall > HIGHEST_END else self.steps
        grown = len(self.recent) >= enough and self.overall > self.size
        if chance is None or (not grown and (not is_over or len(self.recent) < self.few)):
            return None  # at the end of the run there is an INFO
        level, later = (fmean(self.recent[-steps:]) for steps in (self.steps, self.steps // 2))
        if min(level, later) < self.share or self._falls(record, chance):
            return None
        cause, fast, next_run, otherwise = _NO_PATTERN, pace(record) > 1.0, None, "lower the rate"
        if not grown:
            gentle = is_gentle(record)
            slow, otherwise = (" or its learning rate too low", "raise the rate") if gentle else ("", "train longer")
            cause, severity = f"the run is too short{slow}, or {_NO_PATTERN}", Severity.INFO
        elif fast and self.overall > HIGHEST_END:
            cause = f"{why_strong(record)}: the adapters are larger than those of useful runs"
            next_run = weaker(record, self.overall).next_run
        elif fast:
            cause = f"{_NO_PATTERN}; or {why_strong(record)}. The run cannot tell which"
        first = "decode eight inputs and read them with their labels. Then " if cause.startswith(_NO_PATTERN) else ""
        when = "although the adapters have grown" if grown else "at the end of the run"
        return Finding(
            "the classifier is no better than guessing",
            f"The mean of its last {min(len(self.recent), self.steps)} losses is {plain(chance * level)}, and guessing "
            f"costs {plain(chance)}, {when}.",
            metric="loss",
            threshold=self.share * chance,
            causes=[cause],
            remedies=[
                f"{first}train on eight examples: if their loss falls to 0, read the labels; if not, {otherwise}"
            ],
            next_run=next_run,
            severity=severity,
        )

    def _falls(self, record: StepRecord, chance: float) -> bool:
        """The loss falls by more than its noise. A fall from above its start does not count: it undoes harm."""
        early, late, error = (part * chance for part in trend(self.recent))
        return min(early, max(guessing(record), record.scalars.get("loss_start", 0.0))) - late > 2.0 * error
