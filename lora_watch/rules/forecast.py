"""How large the adapters of a run become, and which learning rate makes them as large as is useful: one model for all
advice.

The model is the first full step at the peak of the schedule: what it adds to the depth-scaled output ratio. It is
proportional to s·lr, since B begins at zero, and good runs of three models lie in one range of it. Three sources tell
how large that step is, each better than the one before: the weights, the run's own first steps, a sweep.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lora_watch.base.prescription import in_figures
from lora_watch.base.records import AdapterInfo, RunInfo, StepRecord

ORDINARY_SCALE = 2.0
"""Above this scale, lower alpha first: α = r and α = 2r are what learning rates in papers and docs are meant for."""
USEFUL_STEP = 0.25
"""What the first full step adds to the depth-scaled output ratio of a useful run, at ``ORDINARY_SCALE``."""
WITH_A_HEAD = 0.35
"""Of that, where a classifier's head learns from nothing at the same rate."""
OF_PREFERENCES = 0.1
"""Of that, where preferences are learned against a reference: as recipes' rates for DPO to those for fine-tuning."""
SCALE_EXPONENT = 0.7
"""The best rate falls with the scale as s^−0.7, not s^−1, because A moves with the learning rate alone."""
SHORT_RUN, LONG_RUN, LENGTH_EXPONENT = 40, 2000, 0.2
LENGTH_LAW = {False: (LENGTH_EXPONENT, SHORT_RUN, LONG_RUN), True: (0.5, 12, 600)}
"""Without and with a new head: the power by which the best rate falls with the steps of the run, the shortest and the
longest run that it was measured on (``benchmarks/LENGTHS.md``). A sweep and the weights tell that of ``SHORT_RUN``."""
USEFUL_END, HIGHEST_END = 4.0, 8.0
"""Depth-scaled output ratio at the end of a useful run, and the highest."""
OF_WEIGHTS, OF_GROWTH = 3.0, 2.0
"""The best rate lies within this factor of the one that the weights, or the measured first step, say."""
FAR_TOO_LOW = 20.0
"""By how much the weights show a rate to be too low, whatever else slows a run down."""
ORDINARY_PACE = 1.2
"""Up to this ``pace`` the learning rate is ordinary."""
HIGHEST_PACE = 4.0
"""Nothing is advised above it, whatever was measured: LW401's threshold is 5."""
ADAPTIVE = ("adam", "lion", "adafactor")
"""Optimizers whose first step is one learning rate an element, whatever the gradient's size."""


@dataclass(frozen=True)
class Rates:
    """Learning rates: the best one is expected at ``best``, and between ``low`` and ``high``."""

    low: float
    best: float
    high: float

    @classmethod
    def around(cls, best: float, within: float) -> "Rates":
        return cls(best / within, best, best * within)

    def __str__(self) -> str:
        return " to ".join(f"{end:g}" for end in in_figures(self.low, self.best, self.high))


def is_adaptive(run: RunInfo) -> bool:
    """Whether steps follow the learning rate rather than the gradient's size."""
    return any(name in (run.optimizer or "").lower() for name in ADAPTIVE)


# -- how large -----------------------------------------------------------------------------------------------------
def first_step_of(run: RunInfo) -> float:
    """Size of one full step from the default start, ‖ΔW‖_F/‖W₀‖_F = s·lr·√(d_out·r/3)/‖W₀‖_F of the median layer, times
    the blocks; NaN where unknown and for optimizers that are not ``ADAPTIVE``."""
    reach = run.norm_per_lr * [abs(a.scale) / (a.base_norm or math.nan) for a in run.adapters]
    steps = run.per_adapter(run.peak_lr) * reach
    known = steps[np.isfinite(steps)]
    return float(np.median(known)) * run.blocks if len(known) and is_adaptive(run) else math.nan


def pace(record: StepRecord) -> float:
    """The first full step as a multiple of a useful one, at the scale of the median adapter; NaN where unknown. Of
    Adam's the weights tell; that of SGD and the like follows the gradient, and has to be measured."""
    run = record.run
    step = foretold_step(run) if is_adaptive(run) else record.first_step or math.nan
    return step / useful_step(run, typical_scale(run)) if run.adapters else math.nan


def end_of(record: StepRecord, size: float) -> float:
    """A size of now carried on to the end of the schedule, as if every update agreed."""
    return size / (record.lr_fraction or 1.0)


def useful_step(run: RunInfo, scale: float = ORDINARY_SCALE) -> float:
    """What the first full step should add to the depth-scaled output ratio, at this scale."""
    of_scale = (abs(scale) / ORDINARY_SCALE) ** (1.0 - SCALE_EXPONENT) if is_adaptive(run) else 1.0
    of_task = OF_PREFERENCES if run.learns_preferences else WITH_A_HEAD if has_new_head(run) else 1.0
    slowest, of_b = min((rate for rate in run.peak_lr if rate > 0), default=math.nan), run.per_adapter(run.peak_lr)
    by_b_alone = len(of_b) and (of_b >= 4.0 * slowest).all()  # the product grows so where A's rate is lower (LoRA+)
    return USEFUL_STEP * of_scale * (1.5 if by_b_alone else 1.0) * of_task


def _useful_for_length(record: StepRecord) -> float:
    """``useful_step`` for a run of this length, where that is known."""
    return at_its_length(useful_step(record.run, _scale(record)), record.run)


def foretold_step(run: RunInfo) -> float:
    """The first step in the output: 1.75 times that in the weights, ‖ΔW‖/‖W₀‖ of the median layer × depth."""
    return first_step_of(run) / run.blocks * run.depth * 1.75


def has_new_head(run: RunInfo) -> bool:
    """A classifier's head learns from nothing together with the adapters."""
    configs = (run.config.get("lora") or {}).values()
    return any(str(lora.get("task_type")).endswith("_CLS") for lora in configs if isinstance(lora, Mapping))


# -- which rate ----------------------------------------------------------------------------------------------------
def by_weights(run: RunInfo) -> Rates | None:
    """Of a run that has not begun: the rate of its fastest group, by the weights alone; None where they are unknown."""
    step, rate = foretold_step(run), max(run.peak_lr, default=math.nan)
    if not step > 0:
        return None
    return Rates.around(rate * useful_step(run, typical_scale(run)) / step, OF_WEIGHTS)


def by_sweep(lowest: float, one: float | None) -> float:
    """The rate between that of the lowest smoothed loss, which is too high for a whole run, and the one at which the
    depth-scaled output ratio passes 1, which is too low: their geometric mean. Without it half the first."""
    return lowest / 2.0 if one is None else math.sqrt(lowest * one)


def by_crossing(one: float) -> Rates:
    """Of a sweep whose loss says nothing: where the best rates lay, relative to the one at which the depth-scaled
    output ratio passes 1."""
    return Rates(one / 3.0, one * math.sqrt(4.0 / 3.0), one * 4.0)


def at_scale(rate: float, scale: float, new: float) -> float:
    """The rate that was found at one scale of the same adapters, at another: rate · (scale/new)^0.7."""
    return rate * (scale / new) ** SCALE_EXPONENT


def at_its_length(short: float, run: RunInfo) -> float:
    """A rate, or the size of a step, that suits a short run, for one of this length."""
    return at_steps(short, None, run.max_steps, has_new_head(run))


def at_steps(rate: float, found_at: int | None, steps: int | None, new_head: bool = False) -> float:
    """The peak rate that suits a run of one length, for a run of another: rate · (found_at/steps)^power. None is a
    ``SHORT_RUN``. Runs beyond the lengths of ``LENGTH_LAW`` count as the nearest of these."""
    power, shortest, longest = LENGTH_LAW[new_head]
    of, to = (min(max(n or SHORT_RUN, shortest), longest) for n in (found_at, steps))
    return rate * (of / to) ** power


def weaker_by(record: StepRecord, overall: float | None = None, otherwise: float = 2.0) -> tuple[float, float | None]:
    """By how much s·lr should come down, from 2 on: to a useful first step for the run's length. Where single steps are
    of an ordinary size and only their sum is too large, to an end near ``USEFUL_END`` instead, and by 10 at most:
    ``overall`` is the size now. Where that is unknown too, ``otherwise``. In any case to a pace up to ``HIGHEST_PACE``.
    Returns it, and the factor within which the best rate lies of the one that results; None where nothing tells."""
    known = record.first_step or foretold_step(record.run)  # NaN where neither is known
    useful, within = _useful_for_length(record), OF_GROWTH if record.first_step else OF_WEIGHTS
    by, allowed = (_too_fast(record, excess) for excess in (known / useful, pace(record) / HIGHEST_PACE))
    if not by > 2.0:
        within = None
        by = otherwise if overall is None else min(max(end_of(record, overall) / USEFUL_END, 2.0), 10.0)
    return float(np.fmax(by, allowed)), within


def stronger_by(record: StepRecord, overall: float) -> float:
    """By how much s·lr should go up, from 2 on: to a useful first step for the run's length, to an end up to
    ``HIGHEST_END``, and to a pace up to ``HIGHEST_PACE``. ``overall`` is the size now."""
    step = _useful_for_length(record) / max(record.first_step or 0.0, 1e-12)
    by = min(HIGHEST_END / max(end_of(record, overall), 1e-12), step)
    if (now := pace(record)) > 0:
        by = min(by, HIGHEST_PACE / now)
    return max(by, 2.0)


def is_gentle(record: StepRecord, below: float = 0.5) -> bool:
    """The first full step was measured to be less than ``below`` of a useful one: the settings are not too strong."""
    return 0.0 < (record.first_step or 0.0) < below * _useful_for_length(record)


def _too_fast(record: StepRecord, excess: float) -> float:
    """By how much s·lr is too high where a step is ``excess`` times what it should be at this scale. A lower scale,
    which is tried first, leaves A a faster motion, so that each step may be a little smaller."""
    run, scale = record.run, _scale(record)
    if not is_adaptive(run) or scale <= ORDINARY_SCALE:
        return excess
    by_alpha = excess ** (1.0 / SCALE_EXPONENT)
    return by_alpha if scale / by_alpha > ORDINARY_SCALE else excess * useful_step(run, scale) / useful_step(run)


def typical_scale(run: RunInfo) -> float:
    """|s| of the median adapter. ``run.adapters`` must not be empty."""
    return float(np.median([abs(adapter.scale) for adapter in run.adapters]))


def _scale(record: StepRecord) -> float:
    """|s| of the adapter with the highest s·lr; 1 without adapters."""
    return abs(strongest(record).scale) if record.run.adapters else 1.0


def strongest(record: StepRecord) -> AdapterInfo:
    """The adapter with the highest s·lr. ``run.adapters`` must not be empty."""
    return max(record.run.adapters, key=lambda a: a.scale * (rate_of(record, a) or 0.0))


def rate_of(record: StepRecord, adapter: AdapterInfo) -> float | None:
    """The peak learning rate of an adapter's own group; None where unknown."""
    rates = record.run.peak_lr or record.lr
    if adapter.group is None or adapter.group >= len(rates) or not rates[adapter.group] > 0:
        return None
    return rates[adapter.group]
