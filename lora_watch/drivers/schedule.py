"""What a learning rate schedule says of the steps to come."""

from __future__ import annotations

import copy
import inspect
import itertools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lora_watch.measurement.signals.optimizer import ParameterGroups
from lora_watch.run.rates import peaks

LONGEST = 20_000
"""Steps of a schedule that are tried one by one: some 10 µs each."""


class Schedule(NamedTuple):
    fraction: Callable[[int], float | None] | None
    """Share of Σ lr spent after n steps; None where that is not known."""
    peaks: tuple[float, ...]
    """The highest learning rate of each parameter group."""


def follows_a_metric(scheduler: Any) -> bool:
    """The schedule goes up and down with a metric (GreedyLR), so that nobody knows its highest rate in advance."""
    inner = getattr(scheduler, "scheduler", scheduler)
    return _takes_a_metric(inner) and hasattr(inner, "max_lrs")


def read_schedule(scheduler: Any, max_steps: int) -> Schedule | None:
    """What a schedule holds: from its function of the step (LambdaLR), else by a twin of it that is tried in advance.
    None where neither can be done."""
    scheduler = getattr(scheduler, "scheduler", scheduler)
    lambdas, base = getattr(scheduler, "lr_lambdas", None), getattr(scheduler, "base_lrs", ())
    if max_steps <= 0 or scheduler is None:
        return None
    if not lambdas or not isinstance(scheduler, LambdaLR):
        return _tried(scheduler, max_steps)
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


def _tried(scheduler: Any, max_steps: int) -> Schedule | None:
    """``scheduler`` from where it is now, by the rates of a twin with an optimizer of its own."""
    if _takes_a_metric(scheduler):
        return None
    try:
        groups = scheduler.optimizer.param_groups
        settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
        optimizer = SGD([{**copy.deepcopy(kept), "params": [torch.zeros(())]} for kept in settings], lr=0.0)
        twin, steps = _twin(scheduler, optimizer), min(max_steps, LONGEST)
        rates = []
        with warnings.catch_warnings():  # torch warns of schedules that are stepped without their optimizer
            warnings.simplefilter("ignore")
            for _ in range(steps):
                rates.append([float(group["lr"]) for group in optimizer.param_groups])
                twin.step()
    except Exception:  # somebody's own class: what it holds is not known
        return None
    begun = getattr(scheduler, "last_epoch", 0) > 0
    spent = list(itertools.accumulate((max(each) for each in rates), initial=0.0))
    whole = steps == max_steps and not begun and spent[-1] > 0
    if not whole:  # the highest rates may lie behind it, or further ahead than was tried
        said = ParameterGroups(scheduler.optimizer, ()).peak_lr
        rates += [said, peaks(scheduler) or said]
    return Schedule((lambda step: spent[min(step, steps)] / spent[-1]) if whole else None, tuple(map(max, zip(*rates))))


def _twin(scheduler: LRScheduler, optimizer: Optimizer) -> LRScheduler:
    """A copy that steps ``optimizer`` in place of its own. Functions that it calls are shared, and lists are not."""
    twin = copy.copy(scheduler)
    for name, value in vars(scheduler).items():
        if isinstance(value, Optimizer):
            setattr(twin, name, optimizer)
        elif isinstance(value, list):
            setattr(twin, name, [_twin(v, optimizer) if isinstance(v, LRScheduler) else v for v in value])
    return twin


def _takes_a_metric(scheduler: Any) -> bool:
    step = getattr(scheduler, "step", None)
    return inspect.ismethod(step) and "metrics" in inspect.signature(step).parameters
