"""What a loss says: whether it jumps or rises, has come down from its start, and what guessing would cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from statistics import median
from typing import Any

WARM_UP = 20
"""Steps before anything is judged: fewer say too little about the noise."""
DECISIVE = 4.5
"""Standard errors from which a rise is taken for real. A Gaussian exceeds 4.5 three times in a million; with 36
comparisons a step, noise estimated on the way and heavier tails it came to one to three alarms in 100,000 steps."""
SPIKE = 12.0
"""Standard deviations from which a single loss is an outlier worth a word."""
WINDOWS = (3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Steps that a rise may have lasted: fine enough that one of them is within a fifth of the best."""
BASELINES = (16, 32, 64, 128)
"""Steps before it that it is compared with: the short ones follow a falling loss, the long ones average more noise."""
FLOOR = 0.02
"""Least noise of log loss that is believed: 2 % up or down is nothing to act on, however quiet the loss is."""
OFFSET = 0.05
"""Share of the first loss that is added to every loss, so that one near 0 is not followed into ever wilder
logarithms."""
_LONGEST = BASELINES[-1]
_KEPT = WINDOWS[-1] + _LONGEST


@dataclass(frozen=True)
class LossReading:
    """In a record with ``loss_`` before each name. During warm-up, and for losses without a logarithm, the scores are 0
    and ``before`` is NaN."""

    spike_score: float = 0.0
    """How far log loss is above the mean of the last 16, in standard deviations of its own noise."""
    rise_score: float = 0.0
    """Evidence for a lasting rise, in standard errors; see ``LossDetector``."""
    expected: float = math.nan
    """The loss that the 16 steps before this one led to expect."""
    before: float = math.nan
    """The loss before the rise, if it is one: the baseline of ``rise_score``."""
    rise: float = 0.0
    """Mean of log(loss/before) over the last three steps: 0.1 is about 10 % above what was before."""


@dataclass
class LossDetector:
    """Judges each loss against the ones before it: a window-limited generalised likelihood ratio (Lai 1995).

    With u = log(loss + ``OFFSET`` × the first loss): has the mean of the last w steps risen above the mean of the b
    steps before them, for any w of ``WINDOWS`` and b of ``BASELINES``? The rise over its standard error, √(sd²·(1/w +
    1/b)), is a Student t; the largest becomes ``rise_score`` after Wallace's transform to the normal scale. After a
    fall of ``_LONGEST`` steps it counts too how far the loss is above that fall continued, by one standard error at
    most.

    sd comes from the differences of neighbouring losses, which a trend hardly touches: their root mean square over √2,
    of 128 steps (von Neumann 1941), or of the last 32 where these are noisier by more than chance. Each u enters
    clipped around the mean of the 16 before it, so far out that three such steps in a row are decisive and two are not;
    below the mean the second in a row is believed. Where far outliers are usual, a few in a row say less: the squared
    error grows by d·m/(3·w) as in Bernstein's inequality, with m by how much the highest outlier of the steps before
    passes 3 sd. A spike is measured in a quarter of that outlier where this is more than sd.

    Non-finite losses change nothing here. At a negative loss, or a first one of 0, the detector stands down for the
    rest of the run.
    """

    seen: int = 0
    offset: float = 0.0
    """What is added to every loss; not above 0 once the detector stands down."""
    values: list[float] = field(default_factory=list)
    """The last log losses, clipped: as many as the longest window and baseline need."""
    last: float = 0.0
    """The last log loss, not clipped."""
    outliers: list[float] = field(default_factory=list)
    """How far each of them, not clipped, was above the mean of the 16 before it."""

    def update(self, loss: float | None) -> LossReading:
        if loss is None or not math.isfinite(loss):
            return LossReading()
        if self.seen == 0:
            self.offset = OFFSET * loss
        if loss < 0 or self.offset <= 0:
            self.seen, self.offset = self.seen + 1, 0.0
            return LossReading()
        u, known = math.log(loss + self.offset), self.values
        recent = known[-16:]
        level = sum(recent) / len(recent) if recent else u
        sd, freedom = _noise(known[-_LONGEST - 1 :])
        three_in_a_row = 1.05 * math.sqrt(1.0 / 3.0 + 1.0 / 64.0)
        most = _student(DECISIVE, freedom) * three_in_a_row * sd if self.seen >= 5 else math.inf
        wide = max(sd, max(self.outliers, default=0.0) / 4.0)
        lowest = min(level, self.last if known else u) - most
        self.values = [*known[1 - _KEPT :], min(max(u, lowest), level + most)]
        self.last = u
        # No further than to the threshold of a spike, so that a real one does not hide the next.
        self.outliers = [*self.outliers[1 - _KEPT :], min(u - level, SPIKE * wide)]
        self.seen += 1
        expected = max(math.exp(level) - self.offset, 0.0)
        if self.seen <= WARM_UP:
            return LossReading(expected=expected)
        t, before = _scan(self.values, self.outliers, sd)
        rise = sum(self.values[-3:]) / 3.0 - before
        before = max(math.exp(before) - self.offset, 0.0)
        return LossReading((u - level) / wide, _normal(t, freedom), expected, before, rise)


def _noise(values: Sequence[float]) -> tuple[float, float]:
    """``(sd, degrees of freedom)`` of what is left of ``values`` without their trend."""
    count = max(len(values) - 1, 1)
    squares = [(b - a) * (b - a) for a, b in pairwise(values)]
    # Noise grows where a classifier becomes sure of itself, and errs. That of the last 32 differences is uncertain by a
    # sixth: 0.8 of it is believed, so that steady noise seldom looks like growing.
    recent = squares[-32:]
    variance = max(sum(squares) / count, 0.8 * 0.8 * sum(recent) / max(len(recent), 1)) / 2.0
    return max(math.sqrt(variance), FLOOR), max(0.6 * count, 1.0)  # neighbouring differences share a value


def _scan(values: Sequence[float], outliers: Sequence[float], sd: float) -> tuple[float, float]:
    """The largest t of a rise within ``values``, and the level that it is a rise from."""
    total, highest = [0.0, *accumulate(values)], list(accumulate(outliers, max))
    best, level, against_trend = -math.inf, values[-1], -math.inf
    for window in WINDOWS:
        end = len(values) - window
        if end < BASELINES[0]:
            break
        now, before = (total[-1] - total[end]) / window, 0.0
        tail = max(highest[end - 1] - 3.0 * sd, 0.0) / (3.0 * window)
        for length in BASELINES:
            length = min(length, end)
            before = (total[end] - total[end - length]) / length
            rise = now - before
            t = rise / math.sqrt(sd * sd * (1.0 / window + 1.0 / length) + tail * abs(rise))
            if t > best:
                best, level = t, before
            if length == end:
                break
        pace = max(_pace(total, end, 64), _pace(total, end, _LONGEST)) if end >= _LONGEST else 0.0
        if pace < 0.0:
            ahead = (_LONGEST + window) / 2.0
            error = sd * sd * (1.0 / window + 1.0 / _LONGEST + ahead * ahead * 16.0 / _LONGEST**3)
            rise = now - before - pace * ahead
            against_trend = max(against_trend, rise / math.sqrt(error + tail * abs(rise)))
    return max(best, min(against_trend, best + 1.0)), level


def _pace(total: Sequence[float], end: int, length: int) -> float:
    """Change per step over the ``length`` values that end at ``end``: the mean of one half against the other's."""
    half = length // 2
    return (total[end] - 2.0 * total[end - half] + total[end - length]) / (half * half)


def _normal(t: float, freedom: float) -> float:
    """The normal deviate as improbable as a Student t (Wallace 1959)."""
    size = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    return math.copysign(size, t)


def _student(z: float, freedom: float) -> float:
    """The inverse of ``_normal`` for z > 0."""
    z *= (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)
    return math.sqrt(freedom * math.expm1(min(z * z / freedom, 50.0)))


STILL = 0.5
"""Size of the adapters (``rules.size``) below which a loss is still that of the pretrained model."""


@dataclass(frozen=True)
class Progress:
    """Where the loss stands against its start, in the loss's own unit; in a record with ``loss_`` before each name."""

    start: float
    """The loss of the pretrained model: the mean over the first steps, while the adapters were still small."""
    recent: float
    """Mean of the last five losses."""
    without_highest: float
    """The same without the highest of them, which one batch can make ten times the others."""
    noise: float
    """Standard error of ``recent - start``, from the differences of neighbouring losses."""
    improved: bool
    """``recent`` lies below ``start`` by more than twice ``noise``."""


@dataclass
class LossProgress:
    """Has the loss improved on its start by more than its noise? O(1) state. The start is the mean of the first losses,
    up to the step at which the adapters have grown to ``STILL`` or the loss has improved."""

    exact: bool = False
    """The first loss alone is the start, and has no noise: preferences against a reference cost all the same then."""
    first: list[float] = field(default_factory=list)
    """The losses that the start is the mean of: ten at most."""
    past_start: bool = False
    """The adapters have grown, or the loss has improved: later losses are no longer of the start."""
    recent: list[float] = field(default_factory=list)
    """The last 33 losses at most."""
    sound: int = 0
    """Steps at which the loss had improved, this one counted, without those at less than half of this step's rate:
    ``high``, and where the rate is below half of ``rate``, ``low`` too."""
    high: int = 0
    low: int = 0
    rate: float = 0.0
    """The learning rate when counting began; it begins anew at more than twice that."""

    def update(self, loss: float | None, size: float | None = None, rate: float = 0.0) -> Progress | None:
        """None until there are three finite losses. ``size``: of the adapters that ``loss`` was computed with; where
        it is None, the first loss alone is taken to be of the start. ``rate``: the step's highest learning rate."""
        if rate > 2.0 * self.rate:  # what was sound at a lower rate proves nothing
            self.high, self.low, self.rate = 0 if self.rate else self.sound, 0, rate
        is_high = 2.0 * rate >= self.rate
        if loss is None or not math.isfinite(loss):
            return self._compare()
        self.past_start |= size is not None and size >= STILL
        if not self.first or (size is not None and not (self.past_start or self.exact) and len(self.first) < 10):
            self.first = [*self.first, loss]
        self.recent = [*self.recent[-32:], loss]
        if (progress := self._compare()) is not None:
            if progress.improved:
                self.past_start = True
                self.high, self.low = self.high + is_high, self.low + (not is_high)
            self.sound = self.high if is_high else self.high + self.low
        return progress

    def _compare(self) -> Progress | None:
        if len(self.recent) < 3:
            return None
        sd = 1.4826 * median(abs(b - a) for a, b in pairwise(self.recent)) / math.sqrt(2.0)
        last = self.recent[-5:]
        start, recent = sum(self.first) / len(self.first), sum(last) / len(last)
        error = sd * math.sqrt(1.0 / len(last) + (not self.exact) / len(self.first))
        rest = (sum(last) - max(last)) / (len(last) - 1)
        return Progress(start, recent, rest, error, start - recent > 2.0 * error)


FIRST = 3
"""Steps whose losses are those of the base model, unless the rate is ruinous."""
SEEN_FIRST = ("entropy", "labels_fit", "labels_ahead", "labels_behind", "labels_padded", "labels_a_row", "labels_token")
"""What is asked in the first steps alone: see ``labels``."""
_SQUARED, _ENOUGH, _FAR = 0.01, 16, 20.0
"""Share by which a loss in bf16 differs from the mean squared error; targets that tell their mean; a mean that a head
which begins near 0 is long to reach."""
FEW = 20
"""Most classes for which a loss is compared with guessing where no label has been seen."""


@dataclass
class Chance:
    """What a classifier's loss is when its outputs do not depend on its inputs: the entropy of the distribution of the
    labels seen so far. Without labels it is the logarithm of the number of classes."""

    classes: int = 0
    """Number of classes; 0 where the loss is not known to be a cross-entropy."""
    smoothed: bool = False
    """The labels are: such a loss is compared with nothing."""
    counts: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    """Of a regression: see ``labels.OwnLoss.take``."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Chance":
        """For a run with these settings: ``classes`` and ``label_smoothing_factor``."""
        classes = config.get("classes")
        return cls(classes if isinstance(classes, int) else 0, bool(config.get("label_smoothing_factor")))

    def update(self, counts: Sequence[float] | None) -> dict[str, float]:
        """``counts``, how often each label was seen in this step, ``[classes]``; the record's scalar ``chance_loss``,
        what guessing costs, in nats, and where labels were seen how many, the class of most and that one's share. Empty
        where that is not known."""
        if counts is not None and sum(counts) > 0:
            self.counts = [float(a + b) for a, b in zip(self.counts or [0.0] * len(counts), counts)]
        if self.smoothed or not (self.counts or 1 < self.classes <= FEW):
            return {}
        if not self.counts:
            return {"chance_loss": math.log(self.classes)}
        seen, most = sum(self.counts), max(self.counts)
        shares = [count / seen for count in self.counts if count > 0]
        # Of few labels the entropy comes out too low by about (classes - 1) / (2 * labels) (Miller 1955).
        entropy = -sum(share * math.log(share) for share in shares) + (len(shares) - 1) / (2.0 * seen)
        of_labels = {"labels_seen": seen, "labels_class": float(self.counts.index(most)), "labels_share": most / seen}
        return {"chance_loss": min(entropy, math.log(len(self.counts)))} | of_labels

    def of_numbers(self, loss: float | None, squares: Sequence[float] | None, lowest: float) -> dict[str, float]:
        """Mean and spread (standard deviation) of a regression's targets so far; ``chance_loss``, what predicting that
        mean costs, the spread's square, and ``chance_of_batch``, what it costs in this step. ``targets_far`` where the
        mean is far from 0 and ``lowest``, of the mean losses, well above that."""
        if loss is None or squares is None or not abs(loss - squares[3] / squares[0]) <= _SQUARED * loss:
            return {}
        self.squares = [float(a + b) for a, b in zip(self.squares or [0.0] * len(squares), squares)]
        seen, mean = self.squares[0], self.squares[1] / self.squares[0]
        variance = max(self.squares[2] / seen - mean * mean, 0.0) * seen / max(seen - 1.0, 1.0)
        if seen < _ENOUGH:
            return {}
        of_batch = (squares[2] - 2.0 * mean * squares[1]) / squares[0] + mean * mean
        far = {"targets_far": 1.0} if abs(mean) >= _FAR and lowest > 1.5 * variance else {}
        costs = {"chance_loss": variance, "chance_of_batch": of_batch}
        return {"targets_mean": mean, "targets_spread": math.sqrt(variance), **costs, **far}


def trend(losses: Sequence[float]) -> tuple[float, float, float]:
    """``(early, late, error)``: the means of the first and the last third of ``losses``, and the standard error of
    their difference, from the differences of neighbours, so that the trend itself does not count as noise."""
    third = max(len(losses) // 3, 1)
    sd = 0.5 * math.sqrt(math.pi) * sum(abs(b - a) for a, b in pairwise(losses)) / max(len(losses) - 1, 1)
    return sum(losses[:third]) / third, sum(losses[-third:]) / third, sd * math.sqrt(2.0 / third)


@dataclass
class LossSignals:
    """The numbers of a ``StepRecord`` that rules read of the loss."""

    detector: LossDetector = field(default_factory=LossDetector)
    progress: LossProgress = field(default_factory=LossProgress)
    chance: Chance = field(default_factory=Chance)

    def update(
        self,
        loss: float | None,
        labels: Sequence[float] | None = None,
        size: float | None = None,
        lr: Sequence[float] = (),
        squares: Sequence[float] | None = None,
    ) -> dict[str, float]:
        """Judge one step's loss; the entries of ``StepRecord.scalars`` for it.

        ``labels``: how often each class was a label in this step, ``[classes]``; None where unknown. ``size``: see
        ``LossProgress.update``. ``lr``: the step's learning rates, one a parameter group. ``squares``: see ``Chance``.
        """
        found, progress = vars(self.detector.update(loss)), self.progress.update(loss, size, max(lr, default=0.0))
        if progress is not None:
            found = {**found, **vars(progress), "sound": self.progress.sound}
        lowest = min(progress.start, progress.recent) if progress else 0.0
        of_labels = self.chance.update(labels) | self.chance.of_numbers(loss, squares, lowest)
        return {f"loss_{name}": float(value) for name, value in found.items()} | of_labels

    def state_dict(self) -> dict[str, Any]:
        chance = {"counts": self.chance.counts, "squares": self.chance.squares}  # all else of it are settings
        return {"detector": dict(vars(self.detector)), "progress": dict(vars(self.progress)), "chance": chance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in vars(self).items():
            vars(part).update(state.get(name, {}))
