"""LW209: what evaluations say of texts that are not trained on."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import Evaluation, StepRecord
from lora_watch.base.text import count, percent, plain
from lora_watch.measurement.signals.loss import FEW
from lora_watch.rules.base import NON_FINITE, Finding, Rule
from lora_watch.rules.forecast import HIGHEST_PACE, has_new_head, pace
from lora_watch.rules.loss import JUDGED, StuckAtChance, first_pass
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
_COUNT = "count different examples: len(set(map(str, train_dataset))). Few? Add more. Many? Mend labels: read both sets"


def _few(samples: int | None) -> float:
    """By how much two evaluations of so many examples may differ without meaning anything: of one example by 0.06 to
    0.5 nats, as two standard deviations."""
    return 0.5 / math.sqrt(samples) if samples else 0.0


@dataclass
class WorseOnOtherTexts(Rule):
    """The model gets worse on texts that it is not trained on.

    A WARNING while the training loss falls:

    - a set's last two losses are above its best beyond noise, or one is far above;
    - one (a classifier: two) is 5 % above guessing, or above the untrained one, and guessing is as often right: an
      ERROR if more often, or where DPO's rate is ruinous.

    While another set gains, one may lose 10 %; more is an INFO up to guessing. Also if ``probe=`` costs 10 % more than
    without adapters, twice. An INFO: an end no better than guessing; three epochs and 200 steps without evaluation.
    """

    id = "LW209"
    severity = Severity.WARNING
    of = "evaluation"
    yields_to = (*NON_FINITE, "LW102:ERROR", "LW202")

    rise: float = 0.01
    noise: float = 3.0
    worse: float = 0.05
    forgets: float = 0.1
    epochs: int = 3
    steps: int = 200
    sets: dict[str, list[list[float]]] = field(default_factory=dict, init=False)
    """Of each set of examples, by the name of its loss: steps, evaluation losses, mean training losses since the one
    before, and how many examples (0 if unknown)."""
    since: dict[str, list[float]] = field(default_factory=lambda: {"": [0.0, 0.0]}, init=False)
    """Sum and number of the training losses since the last evaluation of each set, and since the beginning."""
    first: float = field(default=math.nan, init=False)
    """The training loss of the first step."""
    lowest: float = field(default=math.inf, init=False)
    """Evaluation loss so far."""
    best_step: float = field(default=math.inf, init=False)
    """That of the best evaluation of a set whose last one is more than 2 % above it, the earliest of all sets: no
    finding yet, and no praise for the run since then. Infinite where none is."""
    above: int = field(default=0, init=False)
    """Evaluations in a row at which ``probe=`` cost more and nothing was gained."""
    useful: bool = field(default=False, init=False)
    """An evaluation got more right than guessing does, beyond its noise."""
    fired: dict[str, float] = field(default_factory=dict, init=False)
    """Of each set the lowest loss at which it has fired. One that is no better ends no alert, even within the noise."""

    def has_evidence(self, record: StepRecord) -> bool:
        return super().has_evidence(record) and all(self.sets[of][1][-1] < loss for of, loss in self.fired.items())

    def check(self, record: StepRecord) -> Finding | None:
        if record.step == 1 and record.loss is not None:
            self.first = record.loss
        finding = self._judge(record)
        record.derived["best step"] = self.best_step
        if record.loss is not None and math.isfinite(record.loss):
            self.since = {name: [total + record.loss, steps + 1] for name, (total, steps) in self.since.items()}
        return finding

    def _best_step(self) -> float:
        gain = {name for name, (_, losses, *_) in self.sets.items() if losses[-1] == min(losses) < losses[0]}
        best = []
        for name, (steps, losses, *_) in self.sets.items():
            least = min(losses)
            if losses[-1] > least + (self.forgets if gain - {name} else 0.02) * abs(least):  # as where sets trade
                best.append(steps[losses.index(least)])
        return min(best, default=math.inf)

    def conclude(self, record: StepRecord) -> Finding | None:
        epochs = record.run.config.get("epochs") or 0
        known = self.sets or record.evaluation is not None or JUDGED not in record.scalars
        if known or epochs < self.epochs or record.step < self.steps:
            return self._judge(record) or self._in_vain(record)
        return Finding(
            "whether the model has learned its training texts by heart is not known",
            f"It has seen each of them about {count(epochs, 'time')}, and no evaluation loss was measured.",
            remedies=["keep some examples out of the training data, and evaluate on them: eval_strategy"],
            severity=Severity.INFO,
        )

    def _judge(self, record: StepRecord) -> Finding | None:
        """Of all sets one finding: the gravest."""
        seen = [last for last in record.evaluations.values() if math.isfinite(last.loss) and JUDGED in record.scalars]
        for last in seen:
            self._note(last, record.scalars.get("loss_start", math.nan))
            self.useful |= (last.right or 0.0) > 1.0 / max(self._choices(record), 1) + 2.0 * _few(last.samples or 25)
            self.best_step = self._best_step()
        found = [finding for last in seen if (finding := self._of_one_set(record, last))]
        of = {finding.metric for finding in found}
        self.fired |= {e.name: min(e.loss, self.fired.get(e.name, e.loss)) for e in seen if e.name in of}
        found += [self._unknown(last) for last in record.evaluations.values() if math.isnan(last.loss)]
        by_heart = max(found, key=lambda finding: finding.severity or self.severity, default=None)
        if (forgets := self._forgets(record.evaluation)) and by_heart:
            return replace(by_heart, details=f"{by_heart.details} {forgets.details}", kind="both")
        return by_heart or forgets

    def _in_vain(self, record: StepRecord) -> Finding | None:
        """No evaluation of the run was below guessing by more than its noise, the last two were not at all, and the
        training loss is."""
        if self.useful or self.fired or record.run.learns_preferences:  # whose reward can be good at that
            return None
        losses: list[float] = []
        guess = math.log(classes) if 1 < (classes := self._choices(record)) <= FEW else math.nan
        for _, losses, training, counts in self.sets.values():
            best = min(losses) + _few(int(counts[-1]))
            if len(losses) < 2 or not min(*losses[-2:], best) > guess > training[-1] / 0.98:
                return None
        if not losses:
            return None
        message, causes = "the evaluation loss is no better than guessing", ["few examples, or wrong labels or pairs"]
        details = f"It is {plain(losses[-1])}, and guessing costs {plain(guess)}. The training loss is lower."
        return Finding(message, details, causes=causes, remedies=[_COUNT], severity=Severity.INFO)

    def _unknown(self, last: Evaluation) -> Finding:
        return Finding(
            f"the evaluation loss{self._named(last)} is NaN, so nothing is known of other texts",
            "It is a mean over the labels that are not -100, and NaN where all are.",
            metric=last.name,
            kind="nan",
            causes=["all labels of the evaluation are -100 (template, truncation), or its data hold NaN"],
            remedies=["print one batch of the evaluation: (labels != -100).sum() must not be 0"],
        )

    def _note(self, last: Evaluation, start: float) -> None:
        *_, counts = before = self.sets.get(last.name, [[], [], [], []])
        if counts and last.samples and counts[-1] and abs(last.samples - counts[-1]) > 0.1 * counts[-1]:
            before = [[], [], [], []]  # of other examples: their number is known by time and rate, about
            self.fired.pop(last.name, None)
        total, steps = self.since.get(last.name, self.since[""])
        now = (last.step, last.loss, total / steps if steps else start, last.samples or 0)
        self.sets[last.name] = [[*column, value] for column, value in zip(before, now)]
        self.since[last.name] = [0.0, 0.0]

    def _choices(self, record: StepRecord) -> int:
        """Among how many classes the loss chooses, of pairs the better one of two; 0 if unknown."""
        if record.run.learns_preferences:  # which all cost the same before the training, whatever they are
            return 2 * (abs(self.first - math.log(2.0)) < 0.1)
        return 2 if record.run.config.get("preference") and has_new_head(record.run) else classes_of(record)

    def _of_one_set(self, record: StepRecord, last: Evaluation) -> Finding | None:
        level, classes, losses = last.loss, self._choices(record), self.sets[last.name][1]
        if not last.samples or not (classes or record.run.learns_preferences):  # its noise is not known
            level = min(losses[-2:]) if len(losses) > 1 else -math.inf
        found = self._knows_less(record, last, level, classes) or self._has_risen(record, last, level)
        gains = next((name for name in self.sets if name != last.name and self._gains(name, classes)), None)
        if found is None or gains is None:
            return found
        if (least := min(losses)) >= min(losses[-2:]) - self.forgets * abs(least):  # general texts may, for a task
            return None
        of, other = (name.removesuffix("_loss") for name in (last.name, gains))
        guesses = classes > 1 and min(losses[-2:]) > (1.0 + self.worse) * math.log(classes)
        return replace(
            found,
            message=f"on the evaluation's examples ({of}) the model gets worse, while it gains on {other}",
            kind="trades",
            causes=[f"the examples of {of} are of another kind than those of {other}: texts, template or labels"],
            remedies=[f"decode one example of each. Is {of} general text? Mix a tenth of such into the training data"],
            severity=None if guesses or least < (1.0 - _FALLEN) * losses[0] else Severity.INFO,
        )

    def _gains(self, name: str, classes: int) -> bool:
        """It is better than untrained, as far as is known, and about as good as ever. Training texts prove nothing."""
        _, losses, _, counts = self.sets[name]
        untrained = max(losses[0], math.log(classes)) if 1 < classes <= FEW else losses[0]
        best = min(losses) + max(self.rise * abs(min(losses)), _few(int(counts[-1])))
        return losses[-1] < min((1.0 - _FALLEN) * untrained, best) and not name.startswith("eval_train")

    def _named(self, last: Evaluation) -> str:
        return f" ({last.name.removesuffix('_loss')})" if len(self.sets) > 1 else ""

    def _knows_less(self, record: StepRecord, last: Evaluation, level: float, classes: int) -> Finding | None:
        """By how much is evidence enough: it takes no further evaluation where its noise is known."""
        (steps, losses, training, _), start = self.sets[last.name], record.scalars.get("loss_start", math.nan)
        guess = math.log(classes) if classes > 1 else math.inf
        untrained = math.inf if steps[0] else losses[0]
        least, few = min(guess, untrained), _few(last.samples)
        chooses, prefers = 1 < classes <= FEW, record.run.learns_preferences
        pairs = record.run.config.get("preference")
        start = max(start, guess) if pairs and chooses else start  # the mean of its first losses is lower already
        learns = training[-1] < (1.0 - _FALLEN) * start
        if not (learns or prefers) or (learns and min(losses) < (1.0 - self.rise) * least):
            return None
        by_chance, right = 1.0 / classes if chooses else 0.0, last.right if chooses else None
        fewer = right is not None and right < by_chance - 2.0 * _few(last.samples or 25)  # standard deviations
        # Two are evidence where labels that nobody can know have been learned by heart.
        two = chooses and not (fewer or prefers) and few > 0.0 and len(losses) > 1 and training[-1] < 0.95 * guess
        level = min(losses[-2:]) if two else level
        if right is not None and right > by_chance + 2.0 * few * two:  # and too sure of what it gets wrong
            return None
        more = 1.0 if chooses and right is None and not two else self.worse
        if not level > least + max(more * least, 0.0 if fewer else few if two else 4.0 * few):
            return None
        got = "" if right is None or two else f" It gets {percent(right)} right; guessing gets {percent(by_chance)}."
        than, by = ("guessing", "by guessing") if guess <= untrained else 2 * ("before the training",)
        (cause, remedy), kind = _OTHERS_THAN, "knows less"
        if fewer and learns:  # a loss alone proves nothing: whoever forgets other texts, or is too sure, loses as much
            cause, remedy = _SWAPPED if pairs else _MAPPED
            remedy += "; mend what differs and begin anew: no checkpoint of this run is better"
        elif pace(record) > HIGHEST_PACE or not (learns or suits(record)):
            cause, remedy, kind = why_strong(record), "lower the learning rate", "harmed"
        return Finding(
            f"on the evaluation's examples{self._named(last)} the model is worse than {than}",
            f"They cost {plain(last.loss)}, and {plain(least)} {by}, while the training loss "
            f"{'fell' if learns else 'went'} from {plain(start)} to {plain(training[-1])}.{got}",
            metric=last.name,
            kind=kind,
            threshold=least,
            causes=[cause],
            remedies=[remedy],
            severity=Severity.ERROR if fewer or (prefers and kind == "harmed") else None,
        )

    def _has_risen(self, record: StepRecord, last: Evaluation, level: float) -> Finding | None:
        when, losses, training, _ = np.array(self.sets[last.name])
        training = np.where(np.isnan(training), record.scalars.get("loss_start", math.nan), training)  # of step 0
        best = int(losses.argmin())
        risen = float(losses[-2:].min() - losses[best])
        lowest, classes = abs(float(losses[best])), classes_of(record)
        chance = record.scalars.get("chance_loss", math.inf) if classes else math.inf
        # What evaluations may differ by without meaning anything: around their own trend, and for few examples. Of a
        # line and Gaussian noise the median second difference is 0.6745 * √6 standard deviations of one value.
        around = float(np.median(np.abs(np.diff(losses, 2)))) / (0.6745 * math.sqrt(6.0)) if len(losses) > 3 else 0.0
        by_heart = bool(training[-1] < _FALLEN * training[best])  # all of it: one standard deviation tells then
        margin = max(self.rise * lowest, self.noise * around, _few(last.samples) / (1 + by_heart))
        guesses = bool(losses[-2:].min() > (1.0 + self.rise) * chance)
        if never := classes > FEW and lowest > (1.0 - self.rise) * math.log(classes):  # a language model's best one
            guesses, chance = True, math.log(classes)
        if guesses:  # and what is lost by that is no noise
            margin = self.rise * lowest
        far = bool(level - losses[best] > max(0.25 * lowest, 8.0 * _few(last.samples)))
        falls = bool(training[-1] < (1.0 - _FALLEN) * training[best])
        if falls and training[-1] > record.scalars.get("chance_loss", math.inf):
            return None  # it fits nothing yet: LW207
        if not far and not (falls and len(losses) - best > 2 and risen > margin):
            return None
        at, trains = f"{when[best]:.0f}", f"from {training[best]:.4g} to {training[-1]:.4g}"
        back: list[str] = []
        if last.kept is not None and when[best]:
            of = "" if last.name == "eval_loss" else f' and metric_for_best_model="{last.name}"'
            keep = f"load_best_model_at_end=True{of} keeps it, with save_strategy as eval_strategy"
            there = f"use checkpoint-{at}, the best one{self._named(last)}"
            if record.run.config.get("best_model_by") in (last.name, last.name.removeprefix("eval_")):
                there = f"nothing: load_best_model_at_end loads checkpoint-{at}, the best one, at the end"
            back = [there if int(when[best]) in last.kept else f"no checkpoint of step {at} is left: {keep}"]
        remedies = [*back, "stop earlier: fewer epochs, or early stopping; more examples help most"]
        message, kind = "the model learns its training texts by heart", "by heart"
        course, cause = f", while the training loss fell {trains}.", "too many passes over too few examples"
        if not falls:
            message, kind = "the evaluation loss has risen far, and the training loss does not fall", "changed"
            course, remedies = f". The training loss went {trains}.", ["shuffle the training data", *back]
            cause = f"the training data changed after step {at}: they are not shuffled, or other texts began"
        elif (once := first_pass(record)) or guesses:
            message = "the model fits its training texts alone" if once or never else message
            costs = f" (guessing costs {plain(chance)})" if guesses else ""
            why = f"{'the same rows again and again' if once else 'few examples'}, or wrong labels in one of the two"
            cause = f"nothing that it learns holds for the evaluation's examples{costs}: {why}"
            remedies = [_COUNT, *remedies]
        if pace(record) > HIGHEST_PACE or not (falls or suits(record)):
            cause, remedies = why_strong(record), ["lower the learning rate", *back]
        return Finding(
            message,
            f"The evaluation loss{self._named(last)} was best at step {at} ({losses[best]:.4g}) and has risen to "
            f"{losses[-1]:.4g} at step {when[-1]:.0f}{course}",
            metric=last.name,
            kind=kind,
            threshold=float(losses[best]),
            causes=[cause],
            remedies=remedies,
            follows=() if falls else (StuckAtChance.id,),
        )

    def _forgets(self, last: Evaluation | None) -> Finding | None:
        """The texts of ``probe=`` and the model's mode are the same each time, so that their loss has no noise."""
        if last is None or last.probe is None:
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
