"""Which learning rate each step of a sweep has, what came of it, and when the sweep is over."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import FloatArray, RunInfo, StepRecord
from lora_watch.rules import Finding, LossDivergence, NonFiniteAdapter, NonFiniteLoss, NormExplosion, choose
from lora_watch.rules.base import ANOTHER_RUN, GROWN_TOO_LARGE, NON_FINITE
from lora_watch.rules.forecast import USEFUL_END, first_step_of, is_adaptive

STEPS = 60
ASKED = frozenset({*NON_FINITE, *GROWN_TOO_LARGE, "LW204", "LW205", "LW301", "LW303", "LW309"})
"""The rules of a sweep: those on the adapters' size and on the loss, which tell where a rate does harm, and those on
what is broken at any rate."""
WINDOW = 5
"""Steps that a smoothed loss is the mean of: itself and those before."""
BASELINE = 10
"""First steps of a sweep, whose rates are too low to change the loss: their mean is where it begins."""
FIRST_STEPS = (3e-4, 10.0)
"""Where a sweep begins and where it ends at the latest: size of one full step of Adam, ‖ΔW‖/‖W₀‖ summed over blocks.
Good runs of the corpus have 0.01 to 1."""
UNKNOWN_SPAN, GRADIENT_SPAN = (1e-6, 1.0), (1e-3, 1e3)
"""The same as learning rates: where ‖W₀‖ is not known, and where steps follow the gradient's size (SGD)."""


@dataclass(frozen=True)
class Curve:
    """A sweep, step by step. Arrays are float64 ``[steps]``."""

    rates: FloatArray
    """Of the reference parameter group, the first; the others keep their ratio to it."""
    losses: FloatArray
    """Mean training loss of each whole optimizer step."""
    sizes: FloatArray
    """Depth-scaled output ratio: its p90 over layers times ``RunInfo.depth``; NaN where it was not measured."""

    def __len__(self) -> int:
        return len(self.rates)


@dataclass
class Sweep:
    """Rates from ``lowest`` to ``highest`` in equal ratios, and what has come of them so far."""

    lowest: float
    highest: float
    steps: int = STEPS
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    edge: float | None = None
    """The rate at which it became harmful."""
    error: Alert | None = None
    """What has ended it: of a high rate, or else what is broken at any rate."""
    warnings: list[str] = field(default_factory=list)
    """What else the rules have said."""

    def __post_init__(self) -> None:
        if not (0 < self.lowest < self.highest < math.inf and self.steps > 1):
            raise ValueError(f"a sweep of {self.steps} steps from {self.lowest:g} to {self.highest:g} makes no sense")

    @property
    def over(self) -> bool:
        return self.error is not None or len(self.rates) >= self.steps

    @property
    def next_rate(self) -> float:
        share = len(self.rates) / (self.steps - 1)
        return self.lowest * (self.highest / self.lowest) ** share

    def add(self, loss: float | None, size: float | None, error: Alert | None) -> None:
        """The step at ``next_rate`` is done; ``error`` ``ends`` the sweep. The rate of a step without a loss, as of a
        batch without a target, is tried again."""
        rate, loss, self.error = self.next_rate, math.nan if loss is None else loss, error
        if error is None and not math.isfinite(loss):
            return
        self.rates.append(rate)
        self.losses.append(loss)
        self.sizes.append(math.nan if size is None else size)
        if error is not None:
            # Where the rule blames the rate, or cannot since it knows no weights: by large adapters numbers overflow.
            grown = error.next_run is not None or any(size >= USEFUL_END for size in self.sizes)
            self.edge = rate if error.rule in (*GROWN_TOO_LARGE, *NON_FINITE * grown) else None

    @property
    def curve(self) -> Curve:
        return Curve(np.array(self.rates), np.array(self.losses), np.array(self.sizes))


def smoothed(losses: FloatArray) -> FloatArray:
    """``[steps]``: the mean of the last ``WINDOW`` losses, of fewer at the start; NaN from the first that is one."""
    total = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(ends - WINDOW, 0)
    return (total[ends] - total[starts]) / (ends - starts)


def span_of(run: RunInfo, ratios: tuple[float, ...]) -> tuple[float, float]:
    """``(lowest, highest)`` rate of a sweep for this run. ``ratios``: each parameter group's to the reference's."""
    if not is_adaptive(run):
        return GRADIENT_SPAN
    full_step = first_step_of(replace(run, peak_lr=ratios))
    if not full_step > 0:
        return UNKNOWN_SPAN
    return FIRST_STEPS[0] / full_step, FIRST_STEPS[1] / full_step


def monitor_settings() -> dict[str, Any]:
    """Of the monitor of a sweep: it measures all that it can, asks ``ASKED`` alone, and only looks on. No batch is
    computed twice: the rates rise so fast that the answer would be of another rate."""
    rules = choose([NormExplosion(compare=False), LossDivergence(compare=False), _Adapter(), _Loss()])
    mute = [rule.id for rule in rules if rule.id not in ASKED]
    acts = {"fail_on": "never", "patience": 0, "recover": 0, "console": False, "full_every": 1}
    return {"rules": rules, "mute": mute, **acts}


def ends(alert: Alert) -> bool:
    """What ``alert`` says ends a sweep: an ERROR, or a fault without which it would be another training."""
    return alert.severity >= Severity.ERROR or f"{alert.rule}:{alert.kind}" in ANOTHER_RUN


def _at_its_rate(record: StepRecord) -> StepRecord:
    """As in a run at this rate, that nothing has raised."""
    config = {**record.run.config, "learning_rate": max(record.lr, default=None)}
    return record.amended(run=replace(record.run, peak_lr=record.lr, config=config))


class _Adapter(NonFiniteAdapter):
    def check(self, record: StepRecord) -> Finding | None:
        return super().check(_at_its_rate(record)) if record.lr else None  # after an update alone


class _Loss(NonFiniteLoss):
    def check(self, record: StepRecord) -> Finding | None:
        return super().check(_at_its_rate(record)) if record.lr else None
