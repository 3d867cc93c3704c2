"""LW1xx: the size of what the adapters add."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.prescription import Evidence
from lora_watch.base.records import StepRecord
from lora_watch.base.text import percent, plain
from lora_watch.measurement.signals.loss import FEW
from lora_watch.measurement.signals.policy import course
from lora_watch.rules.base import FAULTS, NON_FINITE, Finding, Rule, known_values, worst_first
from lora_watch.rules.forecast import (
    FAR_TOO_LOW,
    HIGHEST_END,
    ORDINARY_PACE,
    end_of,
    has_new_head,
    is_gentle,
    pace,
)
from lora_watch.rules.remedies import (
    Advice,
    from_before,
    improved,
    is_proven,
    sound_steps,
    stronger,
    suits,
    suspect,
    weaker,
)
from lora_watch.rules.size import (
    FAR_TOO_LARGE,
    HARM,
    NEAR,
    PAUSE,
    SLIGHT,
    SPECTRAL,
    Compared,
    Size,
    classes_of,
    compared,
    extent,
    projected,
    size_of,
    wanted_at_the_end,
)


def _worse(record: StepRecord, factor: float) -> bool:
    """The mean of the last five losses is above ``factor`` × the start by more than twice its noise, and not only by
    the highest of them: of a classifier on few examples one loss can be ten times the others."""
    start, recent, noise = (record.scalars.get(k) for k in ("loss_start", "loss_recent", "loss_noise"))
    if start is None or recent is None or noise is None or not start > 0:
        return False
    rest = record.scalars.get("loss_without_highest", recent)
    return recent > factor * start + 2.0 * noise and rest > (1.0 + factor) / 2.0 * start


def _has_few_labels(record: StepRecord) -> bool:
    """A classifier's batch has: its loss with the adapters, and that without, are noise unless others agree."""
    return 1 < classes_of(record) <= FEW


def _costs_twice(record: StepRecord, loss: float, mean: str) -> bool:
    """``loss`` lies above what predicting the ``mean`` of a regressor's targets costs by as much again. A lower one
    is LW207's: what fits noise costs more than the mean at any rate. True where that is not known."""
    chance = record.scalars.get("chance_loss", 0.0)
    return "targets_mean" not in record.scalars or not loss <= record.scalars[mean] + chance


def _not_below_start(record: StepRecord) -> bool:
    """The last five losses, without the highest of them, are no lower than the start; or a minus stands before all."""
    start = record.scalars.get("loss_start", math.inf)
    return start < 0.0 or record.scalars.get("loss_without_highest", 0.0) >= start


_ANOTHER_LOSS = Advice(
    ["steps and adapters are as small as those of good runs: what the training lowers is not this loss"],
    ["print the loss that backward() is given: no minus before it, and the labels that the model is given"],
)


class _Proof(NamedTuple):
    """Of adapters that are too large, in words, and beyond which size. A weak one is a WARNING."""

    why: str
    threshold: float
    weak: bool = False
    by_size_alone: bool = False


@dataclass
class NormExplosion(Rule):
    """The adapters have become so large that they make the model worse.

    An ERROR:

    - two batches in a row cost 10 % more with the adapters than without, or three 3 % more; of large adapters one;
    - where no batch can be computed twice, the loss rises above its start in the first steps, or is not below it with
      large adapters;
    - the adapters have a size that no good run has reached.

    A classifier's last losses must agree. A WARNING at twice `threshold` by large steps on a trained base, and under
    DPO whenever they are large. After small steps the loss has the wrong sign.
    """

    id = "LW102"
    needs = "relative_spectral_norm"  # there in every full measurement; ``output_ratio`` may be switched off
    severity = Severity.ERROR
    zone = "exploding"
    evidence = 5 + PAUSE
    yields_to = ("LW101", "LW201")

    threshold_if_worse: float = 1.5
    threshold: float = FAR_TOO_LARGE
    of_preferences: float = 2.0
    beyond: float = 500.0
    loss_factor: float = 1.1
    compare: bool = True
    """Compute a batch with and without the adapters where that can be done: not in a sweep."""
    holds: bool = field(default=False, init=False)
    highest: float = field(default=0.0, init=False)
    """The highest learning rate so far."""
    warm_up: int = field(default=0, init=False)
    """The step at which it was reached."""
    slight: int = field(default=0, init=False)
    clear: int = field(default=0, init=False)
    """Comparisons in a row in which the adapters did slight or clear harm."""
    helpful: int = field(default=0, init=False)
    """Comparisons in a row, while it holds, in which the adapters help."""
    compared_at: int = field(default=0, init=False)
    """The step of the latest comparison."""
    void: bool = field(default=False, init=False)
    """That one proves nothing (``Compared.is_void``)."""
    vast: bool = field(default=False, init=False)
    foreign: bool = field(default=False, init=False)
    """What the training lowers is not the model's loss, as long as this holds."""
    fallen: list[int] = field(default_factory=list, init=False)
    """Steps of the first and the latest row of those in a row with a reward that has fallen."""

    def check(self, record: StepRecord) -> Finding | None:
        if (reward := course(record)) is not None and record.logged is not None:
            falls = reward.start - reward.recent > 3.0 * reward.noise
            self.fallen = [*self.fallen[:1], record.logged.step] if falls else []
        if record.lr and max(record.lr) > self.highest:
            self.highest, self.warm_up = max(record.lr), record.step
        metric, unit = "output_ratio", 1.0
        if (size := size_of(record, metric)) is None:
            metric, unit = "relative_spectral_norm", SPECTRAL
            size = size_of(record, metric)
        if size is None:
            return None
        overall, if_worse, always = unit * size.overall, self.threshold_if_worse, self.threshold
        # Later, or below its start for some steps, a loss above it has likelier causes than the adapters (LW202).
        young = record.step <= 20 + self.warm_up
        bad_start = young and sound_steps(record) < 5
        suspected = overall > always or ((bad_start or self.slight > 0) and overall > if_worse / 2.0)
        if self.holds:  # and holds above ``always``, whatever the loss
            suspected = overall <= always
        harm = self._harm(record, suspected, at_once=overall > always, young=young)
        by_size = metric == "output_ratio" and not record.run.untrained  # it is known what good runs reach
        proof = self._proof(record, size, overall, harm, by_size, bad_start)
        if proof is None:
            self.holds, self.foreign, self.helpful = False, False, 0
            return None
        self.foreign |= harm is not None and not self.holds and self._is_foreign(record)
        self.holds = not proof.weak
        if self.foreign:
            said = "the training raises the model's loss"
            return Finding(said, proof.why, kind="sign", follows=FAULTS, **vars(_ANOTHER_LOSS))
        unproven = proof.by_size_alone or record.run.learns_preferences
        return Finding(
            "the adapters are damaging the model" if harm is not None else "the adapters have become too large",
            proof.why if harm is not None else f"{_in_words(metric, size)} {proof.why}".rstrip(),
            adapters=size.worst(record),
            metric=metric,
            threshold=proof.threshold / unit / size.depth,
            severity=Severity.WARNING if proof.weak else self.severity,
            follows=FAULTS,
            **vars(weaker(record, overall) if unproven else suspect(record, is_proven(record), overall)),
        )

    def _proof(
        self, record: StepRecord, size: Size, overall: float, harm: Compared | None, by_size: bool, bad_start: bool
    ) -> _Proof | None:
        """What shows that adapters of the size ``overall`` are too large; None for nothing. The strongest first."""
        if_worse, always, reward = self.threshold_if_worse, self.threshold, course(record)
        compares = self.compare and record.comparable and not self.void
        prefers = record.run.learns_preferences
        if by_size and overall > self.beyond:
            why = "No run that ended well had adapters of this size." if harm is None else f"{harm}."
            return _Proof(why, self.beyond)
        if harm is not None and overall > if_worse:
            return _Proof(f"{harm}.", if_worse)
        if not compares and bad_start and overall > if_worse and _worse(record, self.loss_factor):
            start, recent = record.scalars["loss_start"], record.scalars["loss_recent"]
            return _Proof(f"Meanwhile the mean loss rose from {plain(start)} to {plain(recent)}.", if_worse)
        if self.fallen and overall > (if_worse if self.fallen[-1] - self.fallen[0] >= 4 else always):
            # With a row each step the mean of five holds none from before; with fewer rows it takes two in a row.
            why = f"Meanwhile the mean {'margin' if prefers else 'reward'} fell {reward}."
            # Some such policies learn it again.
            return _Proof(why, if_worse, weak=overall <= always)
        judged = not (compares or prefers or record.run.untrained) and record.step >= 3
        if judged and overall > always and self._has_not_fallen(record):
            why = "The loss is not below its start."
            if "loss_start" not in record.scalars:  # it says nothing
                why = "" if reward is None else f"Meanwhile the mean reward went {reward}."
            elif "classes" in record.scalars and record.scalars["loss_start"] < 0.0:  # a minus stands before it
                why = "The model's own loss is not below its start."
            return _Proof(why, always)
        if prefers and by_size and overall > self.of_preferences:
            why = f"Most good runs on preferences stay below {plain(self.of_preferences / size.depth)}."
            if reward is not None and reward.has_risen:
                why = "A margin rises even where the answers get worse: read some of them."
            why = why if reward is None else f"Meanwhile the mean margin went {reward}. {why}"
            return _Proof(why, self.of_preferences, weak=not self.holds)
        if self.holds and overall > (threshold := always if improved(record) or self.helpful > 1 else if_worse):
            return _Proof("", threshold)
        if self._is_vast(record, by_size, overall):
            why = f"Most good runs stay below {plain(HIGHEST_END / size.depth)}, and learn more."
            return _Proof(why, 2.0 * always, weak=True, by_size_alone=True)
        return None

    def at_the_end(self, record: StepRecord) -> Finding | None:
        """The last batch that was compared costs more than before the last update, and more than without the adapters.
        Where none can be: they are beyond any size that a good run has reached."""
        size, now = size_of(record, "relative_spectral_norm"), compared(record)
        if size is None or self.holds:
            return None
        before, factor = record.scalars.get("adapted_loss_before"), self.loss_factor
        if before is None or now is None:
            vast = SPECTRAL * size.overall > self.beyond and not record.run.untrained
            harm = _in_words("relative_spectral_norm", size) if vast else None
        else:
            worse = not now.adapted < factor * before and (now.harms(factor) or now.is_void(record))
            harm = f"{now}." if worse else None
        if harm is None:
            return None
        return Finding(
            "the last update has damaged the model",
            harm,
            adapters=size.worst(record),
            metric="relative_spectral_norm",
            follows=FAULTS,
            causes=["the last update was much too large, or code has written to the weights after it"],
            resume=from_before(record.step),
            next_run=weaker(record, extent(record) or 0.0, evidence=Evidence.HARM).next_run,
        )

    def has_evidence(self, record: StepRecord) -> bool:
        ratios = known_values(record, "output_ratio")
        return super().has_evidence(record) or (ratios is not None and bool(np.isfinite(ratios).any()))

    def _is_vast(self, record: StepRecord, by_size: bool, overall: float) -> bool:
        """The adapters are far larger than those of good runs, by large steps and not by the length of the run."""
        judged = by_size and "loss_start" in record.scalars and pace(record) > ORDINARY_PACE
        judged &= "targets_far" not in record.scalars  # else LW205 says why
        self.vast = judged and overall > (1.0 if self.vast else 2.0) * self.threshold
        return self.vast

    def _has_not_fallen(self, record: StepRecord) -> bool:
        """The losses so far are no better than at the start, and no fault of the targets explains it."""
        of_few = _worse(record, self.loss_factor) if self.void else _not_below_start(record)
        not_below = of_few if _has_few_labels(record) else not improved(record)
        not_below &= "targets_far" not in record.scalars  # else LW205 says why
        return not_below and _costs_twice(record, record.scalars.get("loss_recent", math.inf), "chance_loss")

    def _is_foreign(self, record: StepRecord) -> bool:
        """No rate explains the harm: no run of the corpus is harmed by a rate whose steps are so small."""
        rates = record.run.peak_lr or (0.0,)
        own = min(rates) == max(rates) > self.highest / 1.2 and not record.run.began_large
        return own and suits(record) and sound_steps(record) < 5  # else the data have changed

    def _harm(self, record: StepRecord, suspected: bool, at_once: bool, young: bool) -> Compared | None:
        """The comparison of this step, if it shows that the adapters do harm; asks for the next where it is due."""
        now = compared(record)
        if now is not None:
            steps = record.step - self.compared_at
            self.slight = now.in_a_row(self.slight, SLIGHT, steps)
            self.clear = now.in_a_row(self.clear, self.loss_factor, steps)
            self.compared_at, self.void = record.step, now.is_void(record)
            helps = now.base > SLIGHT * now.adapted and not self.void
            self.helpful = self.helpful + 1 if self.holds and helps else 0
        if self.holds:
            pause = PAUSE if self.helpful else NEAR
        elif self.slight or not self.compared_at or (at_once and young and not improved(record)):
            pause = 0
        else:
            pause = PAUSE
        due = suspected and record.step >= self.compared_at + pause
        self.wants = HARM if self.compare and record.comparable and due else {}
        if now is None or not (self.clear >= (1 if at_once else 2) or self.slight > 2):
            return None
        if not _costs_twice(record, now.adapted, "chance_of_batch"):
            return None
        above = now.adapted > SLIGHT * record.scalars.get("loss_start", math.inf)
        return now if not _has_few_labels(record) or (above and _not_below_start(record)) else None


def _in_words(metric: str, size: Size) -> str:
    number = plain(size.p90)
    if metric == "output_ratio":
        said = f"add {'as much as' if number == '1' else f'{number} times'} the layer's own output"
    else:
        said = f"are {'' if number == '1' else f'{number} times '}as large as the frozen weights"
    return f"In one layer of ten the adapters {said}, or more."


STEPS = 12
"""A run of fewer planned steps is not judged, nor is the size before: it is small at a sound learning rate, too."""
OF_A_POLICY = 6.0
"""How much larger the adapters of a policy become before its reward rises."""
BATCHES = 3
"""Batches whose losses decide. One is noise."""


@dataclass
class BarelyMoves(Rule):
    """At this pace the adapter will not have moved the model enough by the end of the schedule.

    Fires once, after a quarter of the rates' sum:

    - at this pace the adapters will stay too small, or
    - adapters twice as large as these will become lower the loss of each of three batches by a fifth more.

    A policy is judged while its reward has not risen, gentle DPO by its margin: at half of the schedule where that
    nearly suffices. Adapters that began large never are.
    """

    id = "LW104"
    severity = Severity.WARNING
    zone = "barely-moves"
    lasting = True
    yields_to = (*NON_FINITE, *FAULTS, "LW205:head", "LW301", "LW303", "LW306:zero", "LW307:rounded")

    reach: float = 0.125
    spent: float = 0.25
    half: float = 0.5
    more: float = 0.2
    slow: float = 1.0 / 16.0
    margin: float = 0.1
    """Of preferences, against a reference. The chosen answer is then preferred with 52 %, from 50 %."""
    highest: float = field(default=0.0, init=False)
    judged: bool = field(default=False, init=False)
    asked: int = field(default=0, init=False)
    losses: list[list[float]] = field(default_factory=list, init=False)
    """Of each comparison so far what was ``projected``."""
    compared: bool = field(default=False, init=False)
    forecast: float = field(default=0.0, init=False)
    """The size at the end, as it was said."""

    def check(self, record: StepRecord) -> Finding | None:
        self.highest = max(self.highest, *record.lr, 0.0)
        if (self.judged and self.compared) or record.run.began_large:
            return None
        reward = course(record)
        if record.scalars.get("reward_flat") or (reward is not None and reward.recent == 0.0):
            return None  # no rate moves a policy that has nothing to learn from: LW210's
        if (record.run.max_steps or STEPS) < STEPS or not (record.lr_fraction or 0.0) >= self.spent:
            return None
        prefers = bool(record.run.config.get("preference"))  # whose loss any change lowers
        size, threshold, why = size_of(record), None, None if prefers else self._falls(record)
        if size is None or record.first_step is None:
            return None
        margin = reward if record.run.learns_preferences else None
        kind, reach = "", self.reach
        if has_new_head(record.run):
            kind, reach = " that also train a head", 2.0 * reach
        elif reward is not None and not prefers:
            kind, reach = " of a policy", OF_A_POLICY * reach
        becomes, least, stays = end_of(record, size.overall), reach, reward is None or not reward.has_risen
        about = float(f"{becomes:.1g}")  # as it is said
        if margin is not None:  # it begins at 0; of few rows the noise holds what it has risen by since
            becomes = end_of(record, margin.recent + 2.0 * margin.noise)
            least, stays = self.margin, is_gentle(record)
        known = not record.run.untrained and (reward is not None or (not prefers and "loss_start" in record.scalars))
        waits = reward is not None and becomes > least / 2.0 and (record.lr_fraction or 0.0) < self.half
        judges = not self.judged and known and record.step >= STEPS and not waits
        too_small = judges and becomes < least and stays
        self.judged |= judges
        if too_small:
            self.compared, threshold = True, reach / size.depth
            why = f"Useful runs{kind} reach {percent(reach)} and more."
            if margin is not None:
                threshold, why = None, f"Useful runs reach a margin of {self.margin:g} and more. It went {margin}."
            elif reward is not None:
                why += f" The mean {'margin' if prefers else 'reward'} went {reward}."
        elif why is None:
            return None
        advice, peak = stronger(record, size.overall), max(record.run.peak_lr, default=0.0)
        short = max((record.run.learning_rate or peak) / (peak or 1.0), 1.0)
        if self.highest < peak / 2.0:  # although a quarter of the schedule should be done
            cause = f"the schedule should have come near {peak:.3g}, and the rate was {self.highest:.3g} at most"
            advice = Advice([cause], ["call scheduler.step() after each optimizer.step(), the unit of its warm-up"])
        self.forecast = about
        counted, of_all = int(np.isfinite(size.values).sum()), len(size.values)
        whose = "All adapters" if counted == of_all else f"{counted} of {of_all} adapters"
        return Finding(
            "this run will hardly change the model" if about < self.reach else "the run learns less than it could",
            f"{whose} together add {percent(size.overall)} of a layer's output, at this pace about "
            f"{percent(about)} by the end. {why}",
            adapters=worst_first(record, size.values, np.isfinite(size.values))[:10],
            metric="output_ratio",
            threshold=threshold,
            # A run that lacks layers, or ends in its warm-up, is not as slow as that for this reason.
            follows=() if pace(record) * short * FAR_TOO_LOW < 1.0 else ("LW409", "LW310"),
            **vars(advice),
        )

    def _falls(self, record: StepRecord) -> str | None:
        """Batch after batch costs clearly less with larger adapters, in a sentence. The first that does not decides,
        unless the run is slow."""
        if self.compared:
            return None
        if self.asked and (now := projected(record)) is not None:
            self.losses.append(list(now))
            end, twice = np.mean(self.losses, axis=0)
            gained = record.scalars.get("loss_start", end) - end
            falls = all(larger < 0.995 * as_large for as_large, larger in self.losses)  # less proves nothing
            falls &= end - twice > self.more * gained
            slow = is_gentle(record, self.slow)
            self.compared = len(self.losses) >= BATCHES or not (falls or slow)
            if self.compared and (falls or (slow and twice < 0.999 * end)):  # bf16 may be wrong by that
                digits = max(1 - math.floor(math.log10(end - twice)), 0)
                than = f"{twice:.{digits}f} instead of {end:.{digits}f}"
                return f"With adapters twice as large the loss of a batch is {than}."
        self.compared |= has_new_head(record.run)
        if record.comparable and not self.compared and self.asked < 2 * BATCHES:
            self.asked += 1
            self.wants = wanted_at_the_end(record)
        return None
