"""A detector for losses that jump or rise: a one-sided CUSUM and an outlier score of the log loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Any

WARM_UP = 20
"""Steps before anything is judged: fewer residuals say too little about the noise."""


@dataclass(frozen=True)
class LossReading:
    """What the detector makes of one loss."""

    spike_score: float = 0.0
    """Residual of log loss over its own noise: how many (robust) standard deviations above the expected loss."""
    cusum: float = 0.0
    """Accumulated evidence for a lasting rise, in standard deviations; see ``LossDetector``."""
    expected: float = math.nan
    """The loss that the steps before this one led to expect."""
    rise: float = 0.0
    """Mean of log(loss/expected) over the last three steps: 0.1 is about 10 % above what was expected."""
    ready: bool = False
    """False during warm-up and for losses without a logarithm; the scores are then 0."""


@dataclass
class LossDetector:
    """Judges each loss against the ones before it; O(1) state.

    With u = log(loss), the level μ is an exponential mean of u (weight ``follow``; a plain mean for the first
    steps), and e = u − μ. While the loss falls, μ lags above it and e is centred below zero, so e is judged against
    its own median m over the last 64 steps where that is negative: z = (e − min(m, 0))/sd, with sd = 1.4826 ×
    the median of |e − m|, at least ``floor``. The CUSUM (Page 1954) is g ← max(0, g + clip(z, ±4) − 0.5). A residual
    enters the level only up to 2.5 sd, so that what is flagged does not become the baseline it is compared with.
    Non-finite losses are the business of another rule and change nothing here; losses ≤ 0 have no logarithm, and the
    detector stands down for the rest of the run.
    """

    follow: float = 0.02
    floor: float = 0.02
    seen: int = 0
    level: float = 0.0
    cusum: float = 0.0
    residuals: list[float] = field(default_factory=list)
    """The last residuals, 64 at most."""
    stood_down: bool = False

    def update(self, loss: float | None) -> LossReading:
        if loss is None or not math.isfinite(loss) or self.stood_down:
            return LossReading()
        if loss <= 0:
            self.stood_down = True
            return LossReading()
        u = math.log(loss)
        if self.seen == 0:
            self.level = u
        residual, expected = u - self.level, math.exp(self.level)
        middle = median(self.residuals) if self.residuals else 0.0
        spread = median(abs(e - middle) for e in self.residuals) if self.residuals else 0.0
        sd = max(1.4826 * spread, self.floor)
        z = (residual - min(middle, 0.0)) / sd

        ready = self.seen >= WARM_UP
        if ready:
            # Capped, so that an episode ends soon after its cause.
            self.cusum = min(max(0.0, self.cusum + min(max(z, -4.0), 4.0) - 0.5), 20.0)
        weight = max(1.0 / (self.seen + 1), self.follow) if self.seen < 40 else self.follow
        self.level += weight * (min(residual, 2.5 * sd) if self.seen >= 5 else residual)
        self.residuals = [*self.residuals[-63:], residual]
        self.seen += 1
        if not ready:
            return LossReading(expected=expected)
        return LossReading(z, self.cusum, expected, sum(self.residuals[-3:]) / 3.0, True)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for a checkpoint."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for key in vars(self):
            if key in state:
                setattr(self, key, state[key])


@dataclass(frozen=True)
class Progress:
    """Where the loss stands against its start. All in the loss's own unit."""

    start: float
    """The lower of the first loss and the median of the first five."""
    recent: float
    """Mean of the last five losses."""
    noise: float
    """Standard error of ``recent``, from the differences of neighbouring losses."""
    improved: bool
    """``recent`` lies below ``start`` by more than twice the noise of that comparison."""


@dataclass
class LossProgress:
    """Has the loss improved on its start by more than its noise? O(1) state."""

    first: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    """The last 33 losses at most."""

    def update(self, loss: float | None) -> Progress | None:
        """None until there are three finite losses."""
        if loss is None or not math.isfinite(loss):
            return self._judge()
        if len(self.first) < 5:
            self.first = [*self.first, loss]
        self.recent = [*self.recent[-32:], loss]
        return self._judge()

    def _judge(self) -> Progress | None:
        if len(self.recent) < 3:
            return None
        steps = [abs(b - a) for a, b in zip(self.recent, self.recent[1:])]
        sd = 1.4826 * median(steps) / math.sqrt(2.0)
        last = self.recent[-5:]
        start, recent, error = min(self.first[0], median(self.first)), sum(last) / len(last), sd / math.sqrt(len(last))
        return Progress(start, recent, error, start - recent > 2.0 * math.sqrt(2.0) * error)

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.first, self.recent = list(state.get("first", [])), list(state.get("recent", []))


@dataclass
class LossSignals:
    """Detector and progress together: the numbers of a ``StepRecord`` that rules read of the loss."""

    detector: LossDetector = field(default_factory=LossDetector)
    progress: LossProgress = field(default_factory=LossProgress)

    def update(self, loss: float | None) -> dict[str, float]:
        """Judge one step's loss; the entries of ``StepRecord.scalars`` for it."""
        reading = self.detector.update(loss)
        out = {
            "loss_spike_score": reading.spike_score,
            "loss_cusum": reading.cusum,
            "loss_expected": reading.expected,
            "loss_rise": reading.rise,
        }
        if (progress := self.progress.update(loss)) is not None:
            out["loss_start"], out["loss_recent"] = progress.start, progress.recent
            out["loss_noise"], out["loss_improved"] = progress.noise, float(progress.improved)
        return out

    def state_dict(self) -> dict[str, Any]:
        return {"detector": self.detector.state_dict(), "progress": self.progress.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.detector.load_state_dict(state.get("detector", {}))
        self.progress.load_state_dict(state.get("progress", {}))
