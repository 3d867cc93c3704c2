"""What a learning rate schedule says of the steps to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Schedule(NamedTuple):
    fraction: Callable[[int], float | None]
    """Share of Σ lr spent after n steps."""
    peaks: tuple[float, ...]
    """The highest learning rate of each parameter group."""


def read_schedule(scheduler: Any, max_steps: int) -> Schedule | None:
    """What a schedule holds, where it is a function of the step (LambdaLR) and says so."""
    scheduler = getattr(scheduler, "scheduler", scheduler)
    lambdas, base = getattr(scheduler, "lr_lambdas", None), getattr(scheduler, "base_lrs", ())
    if not lambdas or max_steps <= 0:
        return None
    # Long schedules are sampled: they are smooth, and the sum need not be exact.
    points = range(0, max_steps, max(1, max_steps // 2000))
    factors = {of: [max(float(of(t)), 0.0) for t in points] for of in dict.fromkeys(lambdas)}
    highest = {
        of: _highest(of, points[values.index(max(values))], points.step, max_steps) for of, values in factors.items()
    }
    rates = factors[lambdas[0]]
    total = sum(rates)
    if not total > 0:
        return None
    spent = [0.0]
    for rate in rates:
        spent.append(spent[-1] + rate / total)
    return Schedule(
        lambda step: spent[min(-(-step // points.step), len(rates))],
        tuple(rate * highest[of] for rate, of in zip(base, lambdas)),
    )


def _highest(of: Callable[[int], float], around: int, reach: int, end: int) -> float:
    """The highest value of a schedule at the steps less than ``reach`` away from ``around``."""
    return max(float(of(t)) for t in range(max(around - reach + 1, 0), min(around + reach, end)))
