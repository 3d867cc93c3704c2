"""Learning rates that are changed while a schedule runs on, and whether they stay as they were set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from lora_watch.measurement.signals.optimizer import RATES, rates_of, unwrapped

_LISTS = ("base_lrs", "max_lrs", "min_lrs", "_last_lr")
"""Attributes of schedulers that hold a rate of each group; ``eta_min`` is one for all."""
TWICE = 2
"""Updates in a row with other rates than expected, from which on somebody is taken to set them."""


def multiplied(optimizer: Any, scheduler: Any, factors: Sequence[float]) -> None:
    """Multiply the learning rate of each parameter group, now and for the rest of the schedule.

    Reached are the groups themselves (``RATES``, where a scheduler keeps them there) and the rates that torch's and
    transformers' schedulers keep, those inside a ChainedScheduler or SequentialLR as well.
    """
    for group, factor in zip(unwrapped(optimizer).param_groups, factors):
        for key in RATES:
            if isinstance(group.get(key), (int, float, Tensor)):  # a tensor is multiplied in its place
                group[key] *= factor
    for each in _schedulers(unwrapped(scheduler)):
        for name in _LISTS:
            rates = getattr(each, name, None)
            if isinstance(rates, (list, tuple)) and len(rates) == len(factors):
                setattr(each, name, [float(rate) * factor for rate, factor in zip(rates, factors)])
        if isinstance(floor := getattr(each, "eta_min", None), (int, float)):
            each.eta_min = floor * max(factors, default=1.0)
    for group, rate in zip(unwrapped(optimizer).param_groups, planned(scheduler)):
        # Whoever raises rates leaves this one as it is. With ``max_lr`` it is OneCycleLR's own, and multiplied above.
        if isinstance(group.get("initial_lr"), (int, float)) and "max_lr" not in group:
            group["initial_lr"] = rate


def planned(scheduler: Any) -> list[float]:
    """What a schedule multiplies, one rate a parameter group; empty without one, or where it keeps no such rates."""
    found = (getattr(each, "base_lrs", None) for each in _schedulers(unwrapped(scheduler)))
    return [float(rate) for rate in next((rates for rates in found if rates), ())]


def peaks(scheduler: Any) -> tuple[float, ...]:
    """The highest rate of each group where a schedule cycles up to it (CyclicLR); empty for others."""
    found = (getattr(each, "max_lrs", None) for each in _schedulers(unwrapped(scheduler)) if hasattr(each, "base_lrs"))
    return tuple(float(rate) for rate in next((rates for rates in found if rates), ()))


class RateWatch:
    """Are the rates that updates use those that the scheduler has set, or else those of the update before? Only then
    they stay lowered."""

    def __init__(self, optimizer: Any, scheduler: Any):
        self._optimizer, self._scheduler = optimizer, scheduler
        self._before: Sequence[float] | None = None
        """Those of the update before, without a scheduler."""
        self._odd = 0
        """Updates in a row with others than expected."""
        self.found: str | None = None
        """The rate that was used and that was expected, in words, where somebody sets it at each step."""

    def lowered(self) -> None:
        """The rates have been set by us: the next update tells."""
        self._before, self._odd = rates_of(self._optimizer), TWICE - 1

    def see(self) -> None:
        """The rates that are there now are about to be used."""
        now = rates_of(self._optimizer)
        pairs = [(e, u) for e, u in zip(self._expected() or now, now) if not math.isclose(e, u, rel_tol=1e-6)]
        self._before = now
        self._odd = self._odd + 1 if pairs else 0
        self.found = None
        if self._odd >= TWICE:
            expected, used = pairs[0]
            self.found = f"{used:.3g}, where {expected:.3g} was expected"

    def _expected(self) -> Sequence[float] | None:
        scheduler = unwrapped(self._scheduler)
        if scheduler is None:
            return self._before
        last = getattr(scheduler, "get_last_lr", None)
        try:
            return [float(rate) for rate in last()] if last is not None else None
        except AttributeError:  # one that has not made a step yet
            return None


def _schedulers(scheduler: Any) -> Iterator[Any]:
    if scheduler is not None:
        yield scheduler
        for inner in getattr(scheduler, "_schedulers", ()):
            yield from _schedulers(inner)
