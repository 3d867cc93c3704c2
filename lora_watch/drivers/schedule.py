"""What a learning rate schedule says of the steps to come."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from torch.optim.lr_scheduler import LambdaLR


class Schedule(NamedTuple):
    fraction: Callable[[int], float]
    """Share of Σ lr spent after n steps."""
    peaks: tuple[float, ...]
    """The highest learning rate of each parameter group."""


def follows_a_metric(scheduler: Any) -> bool:
    """The schedule goes up and down with a metric (GreedyLR), so that nobody knows its highest rate in advance."""
    inner = getattr(scheduler, "scheduler", scheduler)
    step = getattr(inner, "step", None)
    return hasattr(inner, "max_lrs") and inspect.ismethod(step) and "metrics" in inspect.signature(step).parameters


def read_schedule(scheduler: Any, max_steps: int) -> Schedule | None:
    """What the Trainer's own schedules hold, from their function of the step (LambdaLR); None for others."""
    scheduler = getattr(scheduler, "scheduler", scheduler)
    lambdas, base = getattr(scheduler, "lr_lambdas", None), getattr(scheduler, "base_lrs", ())
    if max_steps <= 0 or not lambdas or not isinstance(scheduler, LambdaLR):
        return None
    # Long schedules are sampled: they are smooth, and the sum need not be exact.
    points = range(0, max_steps, max(1, max_steps // 2000))
    factors = {of: [max(float(of(t)), 0.0) for t in points] for of in dict.fromkeys(lambdas)}
    highest = {}
    for of, values in factors.items():
        at, reach = points[values.index(max(values))], points.step
        highest[of] = max(float(of(t)) for t in range(max(at - reach + 1, 0), min(at + reach, max_steps)))
    rates = factors[lambdas[0]]
    spent = list(itertools.accumulate(rates, initial=0.0))
    if not spent[-1] > 0:
        return None
    return Schedule(
        lambda step: spent[min(-(-step // points.step), len(rates))] / spent[-1],
        tuple(rate * highest[of] for rate, of in zip(base, lambdas)),
    )
