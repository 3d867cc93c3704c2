"""Learning rates that are changed while a schedule runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Keys of a parameter group that hold learning rates: ``max_lr`` and ``min_lr`` are OneCycleLR's."""


def multiplied(optimizer: Any, scheduler: Any, factors: Sequence[float]) -> None:
    """Multiply the learning rate of each parameter group, now and for the rest of the schedule.

    Reached are the groups themselves (``lr``, and where a scheduler keeps it there ``initial_lr``, ``max_lr``,
    ``min_lr``) and the rates that torch's schedulers keep, those inside a ChainedScheduler or SequentialLR as well.
    """
    for group, factor in zip(unwrapped(optimizer).param_groups, factors):
        for key in RATES:
            if isinstance(group.get(key), Tensor):
                group[key].mul_(factor)
            elif isinstance(group.get(key), (int, float)):
                group[key] *= factor
    for each in _schedulers(unwrapped(scheduler)):
        for name in ("base_lrs", "max_lrs", "_last_lr"):
            rates = getattr(each, name, None)
            if isinstance(rates, (list, tuple)) and len(rates) == len(factors):
                setattr(each, name, [float(rate) * factor for rate, factor in zip(rates, factors)])
    for group, rate in zip(unwrapped(optimizer).param_groups, planned(scheduler)):
        if isinstance(group.get("initial_lr"), (int, float)):  # whoever raises rates leaves this one as it is
            group["initial_lr"] = rate


def planned(scheduler: Any) -> list[float]:
    """What a schedule multiplies, one rate a parameter group; empty without one, or where it keeps no such rates."""
    found = (getattr(each, "base_lrs", None) for each in _schedulers(unwrapped(scheduler)))
    return [float(rate) for rate in next((rates for rates in found if rates), ())]


def _schedulers(scheduler: Any) -> Iterator[Any]:
    if scheduler is not None:
        yield scheduler
        for inner in getattr(scheduler, "_schedulers", ()):
            yield from _schedulers(inner)


def unwrapped(of: Any) -> Any:
    """The torch optimizer or scheduler inside accelerate's."""
    for name in ("optimizer", "scheduler"):
        inner = getattr(of, name, None)
        if inner is not None and type(of).__module__.startswith("accelerate."):
            return inner
    return of
