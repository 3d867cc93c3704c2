"""LW202, LW203 and LW207: the course of the loss."""

import math
from dataclasses import dataclass, field
from statistics import fmean

from lora_watch.base.alerts import Severity
from lora_watch.base.prescription import Evidence
from lora_watch.base.records import StepRecord
from lora_watch.base.text import plain, times
from lora_watch.measurement.signals.loss import DECISIVE, FEW, SPIKE, WINDOWS, trend
from lora_watch.rules.base import FAULTS, NON_FINITE, Finding, Rule, RuleOfTheLoss, of_the_loss
from lora_watch.rules.forecast import HIGHEST_END, HIGHEST_PACE, is_gentle, pace
from lora_watch.rules.remedies import ORDINARY_SIZE, raised_by_hand, suits, suspect, weaker, why_strong
from lora_watch.rules.size import CLEAR, FAR_TOO_LARGE, HARM, SLIGHT, Compared, classes_of, compared, extent, guessing

JUDGED = "loss_spike_score"
"""A scalar of every record whose loss says how good the model is. A policy's does not."""
_NO_PATTERN = "the labels do not belong to their inputs, or the inputs do not determine them"


@dataclass
class LossDivergence(RuleOfTheLoss):
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
    large: float = FAR_TOO_LARGE
    compare: bool = True
    """Compute a batch with and without the adapters where that can be done: not in a sweep."""
    latest: list[float] = field(default_factory=list, init=False)
    """The latest comparison with the frozen model: its step, the loss with the adapters and that without."""
    slight: int = field(default=0, init=False)
    """Comparisons in a row in which the adapters did slight harm."""
    jumped: int = field(default=0, init=False)
    """The step of the latest spike."""
    risen: bool = field(default=False, init=False)
    """It has found a rise that has not come down since. Adapters that learn the new level do not end it."""

    def check(self, record: StepRecord) -> Finding | None:
        score, rise = record.scalars.get("loss_rise_score", 0.0), record.scalars.get("loss_rise", 0.0)
        self.jumped = record.step if record.scalars.get(JUDGED, 0.0) > SPIKE else self.jumped
        if (now := compared(record)) is not None:
            self.slight = now.in_a_row(self.slight, SLIGHT, record.step - int(self.latest[0]) if self.latest else 0)
            self.latest = [record.step, now.adapted, now.base]
        known = self.latest and record.step - self.latest[0] <= 3  # an older one does not count
        pair = Compared(self.latest[1], self.latest[2], record.run.nonzero_start) if known else None
        undecided = pair is None or (pair.harms(SLIGHT) and not pair.harms(CLEAR) and self.slight < 2)
        high = score > self.score and rise > self.rise
        self.risen &= high
        asks = undecided and self.compare and record.comparable and not self.risen
        self.wants = HARM if asks and score > 0.75 * self.score and rise > 0.0 else {}  # where it will soon be enough
        if record.loss is None or not high or asks:
            return None
        if not self.risen and (record.size_before or 0.0) < self.large and self._of_the_data(record, pair):
            return None
        self.risen = True
        before = record.scalars["loss_before"]
        by_heart = before < 0.05 * record.scalars.get("loss_start", 0.0) and pace(record) <= HIGHEST_PACE
        return Finding(
            "the loss has risen and stays up",
            f"The loss rose from {plain(before)} to {plain(record.loss)}, far beyond its noise.",
            metric="loss",
            threshold=self.score,
            follows=FAULTS,
            **vars(suspect(record, by_heart or suits(record), otherwise=4.0)),
        )

    def _of_the_data(self, record: StepRecord, pair: Compared | None) -> bool:
        """The data are harder, another domain, say: the adapters help, and no head has been spoiled. Or other texts
        began: the loss has jumped at once, which sound settings do not do. No noise costs less than guessing."""
        recent, highest = record.scalars.get("loss_recent", math.inf), guessing(record)
        if pair is not None and not pair.harms(SLIGHT) and min(recent, pair.adapted) <= CLEAR * highest:
            return True
        lowest = min(recent, pair.base if pair else math.inf)
        is_text = (classes_of(record) or record.run.own_classes) > FEW and lowest < highest
        return bool(self.jumped) and record.step - self.jumped <= WINDOWS[-1] and is_text and suits(record)


@dataclass
class LossSpike(RuleOfTheLoss):
    """One loss lies far above its own noise. A single spike often passes; several announce a divergence.

    Fires from the 21st step on, when the loss lies far outside its own noise, and twice as far above its mean as the
    highest outlier of about the last 200 steps. Five steps later the alert says so if the loss stays up there; of a
    language model sooner, and after half such a jump, where without the adapters a batch costs what noise costs.
    """

    id = "LW203"
    severity = Severity.WARNING
    quiet = 1
    turns_out = True
    guesses = True
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
    highest: list[float] = field(default_factory=list, init=False)
    """Lately: how far outside its noise the loss has been, at which step, and what was to be expected at it."""
    strange: list[float] = field(default_factory=list, init=False)
    """What a batch costs without the adapters that is not what training began with, and what that cost."""
    rates: list[float] = field(default_factory=list, init=False)
    """The highest learning rate of each of the last ten steps."""

    def check(self, record: StepRecord) -> Finding | None:
        self.rates = [*self.rates[-9:], max(record.lr, default=0.0)]
        if record.loss is None or not math.isfinite(record.loss):
            return None
        score = record.scalars.get(JUDGED, 0.0)
        self._see_strange(record, score)
        settled = bool(self.strange) or record.step >= self.since + 5  # LW202 has decided by then
        level = record.scalars.get("loss_recent", record.loss) if settled else record.loss
        is_up = self.since > 0 and record.step <= self.since + WINDOWS[-1] and level > self.half
        if score > self.score and not is_up:
            self.since, self.before, self.course = record.step, record.scalars["loss_expected"], "up"
            self.half = (self.before + record.loss) / 2.0
        elif settled:
            self.since *= is_up
            stays = self.course == "stays" or record.scalars.get("loss_rise_score", 0.0) > DECISIVE
            if not (self.since and stays):
                self.strange = []
                return None
            self.course = "stays"
            message = f"the loss has jumped at step {self.since} and stays up"
            details = f"It was about {plain(self.before)} before, and its last five are {plain(level)}."
            cause = f"the training data changed at step {self.since}: they are not shuffled, or other texts began"
            remedy = "shuffle the training data, or train on one kind of texts at a time on purpose"
            if self.strange:
                costs, first = map(plain, self.strange)
                details += f" Without the adapters a batch costs {costs} now, and the first ones cost {first}."
                cause = f"texts or labels are not what they were before step {self.since}"
                remedy = f"read a batch from step {self.since} on: input_ids and labels"
            return of_the_loss(message, details, cause, remedy, kind="stays", threshold=DECISIVE)
        elif not is_up or self.course == "down":
            self.course = "down"
            return None
        cause, remedy = "an unusual batch: very long, very short or damaged samples", "look at the batch of this step"
        if raised_by_hand(record) and self.rates[-1] > 2.0 * min(self.rates):  # which no warm-up does by then
            cause, remedy = why_strong(record), "let the learning rate rise less"
        return of_the_loss(
            "one loss is far above the others",
            f"The loss jumped from about {plain(self.before)} to {plain(record.loss)}, by {times(score)} its usual "
            "noise. A single spike often passes; several announce a divergence.",
            *(cause, remedy),
            threshold=self.score,
        )

    def _see_strange(self, record: StepRecord, score: float) -> None:
        """A smaller jump counts, too, where the frozen model shows that batches are of another kind since then."""
        if not self.highest or score > self.highest[0] or record.step > self.highest[1] + WINDOWS[-1]:
            self.highest = [score, record.step, record.scalars.get("loss_expected", math.nan)]
        now, start = compared(record), record.scalars.get("loss_start", math.inf)
        if self.since or now is None or self.highest[0] < self.score / 2.0 or record.scalars["loss_recent"] < start:
            return
        # Wrong labels cost a small model more than guessing, and a large one as much; other texts cost less.
        noise = now.base > guessing(record) * (0.95 if now.base > 2.0 * start else 1.2)
        if noise and now.base > 1.25 * start and (classes_of(record) or record.run.own_classes) > FEW:
            self.since, self.before = int(self.highest[1]), self.highest[2]
            self.half, self.course, self.strange = 1.05 * self.before, "stays", [now.base, start]


def first_pass(record: StepRecord, unknown: bool = False) -> bool:
    """No example has been seen twice; ``unknown`` where that is not known."""
    epochs, planned = record.run.config.get("epochs"), record.run.max_steps
    return record.step * epochs <= planned if epochs and planned else unknown


@dataclass
class StuckAtChance(Rule):
    """A classifier is no better than guessing, or a regressor than predicting the mean.

    Fires 20 steps after the adapters have grown, if the last 50 losses are no better and do not fall below that:

    - an INFO at first, a WARNING after 100 steps or three such evaluations;
    - an ERROR after 20 steps with vast adapters, or if the run ends so.

    From the second epoch on only an evaluation loss ends it. Losses of smoothed labels, or not the model's own, are not
    judged.
    """

    id = "LW207"
    severity = Severity.WARNING
    quiet = 25
    evidence = 20
    yields_to = (
        *(*NON_FINITE, *FAULTS, "LW102", "LW104", "LW202", "LW204", "LW205"),
        *("LW301", "LW303", "LW306:zero", "LW307:rounded"),
    )

    share: float = 0.97
    steps: int = 50
    few: int = 20
    size: float = 1.0
    recent: list[float] = field(default_factory=list, init=False)
    """The last 2 * ``steps`` losses, as shares of what guessing costs; a regressor's without the luck of the batch."""
    overall: float = field(default=0.0, init=False)
    large: int = field(default=0, init=False)
    """Losses since the adapters have grown. Of those before nobody expects anything."""
    evaluated: float = field(default=math.inf, init=False)
    in_vain: int = field(default=0, init=False)
    """Evaluations in a row, up to the latest, that were no better than guessing."""

    def has_evidence(self, record: StepRecord) -> bool:
        """In a second pass the training loss falls by heart, too: there an evaluation has to show what was learned."""
        chance = record.scalars.get("chance_loss", math.nan)
        return first_pass(record, unknown=True) or self.evaluated < self.share * chance

    def check(self, record: StepRecord) -> Finding | None:
        chance = record.scalars.get("chance_loss", 0.0)  # 0: no classifier, as far as is known
        if chance > 0 and (size := extent(record)) is not None:
            self.overall = size
        if record.loss is not None and math.isfinite(record.loss) and chance > 0:
            luck = chance - record.scalars.get("chance_of_batch", chance)
            self.recent = [*self.recent, (record.loss + luck) / chance][-2 * self.steps :]
            self.large += self.overall > self.size
        return self._judged(record)

    def conclude(self, record: StepRecord) -> Finding | None:
        return self._judged(record, is_over=True)

    def _judged(self, record: StepRecord, is_over: bool = False) -> Finding | None:
        chance = record.scalars.get("chance_loss")
        if record.evaluation is not None:
            self.evaluated = record.evaluation.loss
            self.in_vain = self.in_vain + 1 if chance is not None and self.evaluated > self.share * chance else 0
        far = "targets_far" in record.scalars  # of which LW205 says why
        vast = self.overall > 2.0 * FAR_TOO_LARGE and not far and pace(record) > 1.0
        enough = self.few if vast or (is_over and self.overall > HIGHEST_END) else self.steps
        grown = len(self.recent) >= enough and self.overall > self.size and self.large >= 0.4 * enough
        if chance is None or (not grown and (not is_over or len(self.recent) < self.few)):
            return None  # at the end of the run there is an INFO
        level, later = (fmean(self.recent[-steps:]) for steps in (self.steps, self.steps // 2))
        mean, spread = (record.scalars.get(f"targets_{name}") for name in ("mean", "spread"))
        lately = 1.0 if mean is None else fmean(self.recent[-self.steps // 5 :])
        if min(level, later, lately + 0.1) < self.share or self._falls(record, chance, is_over):
            return None
        severity, fast = Severity.ERROR if is_over or vast else self.severity, pace(record) > 1.0
        strong = fast or self.overall > ORDINARY_SIZE
        causes, known, otherwise = [_NO_PATTERN], None, "lower the rate" if strong else "change the rate"
        if grown and record.run.untrained:
            causes, otherwise = ["the base model looks untrained, and learns slowly", _NO_PATTERN], "train longer"
            severity = Severity.WARNING
        elif not grown:
            slow, otherwise = (" or its rate too low", "raise the rate") if is_gentle(record) else ("", "train longer")
            causes, long = [f"the run is too short{slow}", _NO_PATTERN], len(self.recent) >= 2 * self.steps
            useful = self.overall > self.size / 4.0  # the adapters of a run that learns are
            severity = Severity.WARNING if useful and (long or self.in_vain > 2) else Severity.INFO
        elif fast and self.overall > (HIGHEST_END if mean is None else 2.0 * FAR_TOO_LARGE):  # fitted noise makes half
            causes = [f"{why_strong(record)}: the adapters are larger than those of useful runs"]
            known = weaker(record, self.overall, evidence=Evidence.HARM if vast else None)
        elif strong:
            causes = [_NO_PATTERN, f"{why_strong(record)}. The run cannot tell which"]
        first = "decode eight inputs and read them with their labels. Then " if causes[0] == _NO_PATTERN else ""
        fix = f"{first}train on eight examples: if their loss falls to 0, read the labels; if not, {otherwise}"
        fixes = [fix] if known is None else known.remedies
        if mean is not None and spread is not None and abs(mean) > spread:
            causes = [f"the targets are not scaled (mean {plain(mean)}, spread {plain(spread)})", *causes]
            fix = f"subtract {plain(mean)} from the targets and divide them by {plain(spread)}"
            fixes = [". Else ".join([fix, *fixes])]
        what, than = ("classifier", "guessing") if mean is None else ("regressor", "predicting the mean")
        return Finding(
            f"the {what} is no better than {than}",
            f"The mean of its last {min(len(self.recent), self.steps)} losses is {plain(chance * level)}, and {than} "
            f"costs {plain(chance)}, {'although the adapters have grown' if grown else 'at the end of the run'}.",
            metric="loss",
            threshold=self.share * chance,
            causes=["; or ".join(causes)],
            remedies=fixes,
            next_run=None if known is None else known.next_run,
            severity=severity,
        )

    def _falls(self, record: StepRecord, chance: float, is_over: bool) -> bool:
        """The loss falls by more than its noise. A fall from above its start does not count: it undoes harm. Nor does,
        at the end of the run, one to what guessing costs, or predicting the mean."""
        early, late, error = (part * chance for part in trend(self.recent))
        start = 0.0 if is_over else record.scalars.get("loss_start", 0.0)
        highest = chance if is_over and "targets_mean" in record.scalars else max(guessing(record), start)
        return min(early, highest) - late > 2.0 * error
