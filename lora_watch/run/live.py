"""The settings of a training that can be changed while it runs: learning rates, and how large its adapters begin.

A scale is never changed: whoever loads a checkpoint, now or later, goes by the alpha of the user's script. While ΔW is
0, a scale that is too high by a factor c is mended by other means. Adam moves each element by the learning rate,
whatever the gradient's size. So with A, B and the learning rate divided by √c, the run is the one with alpha divided
by c.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lora_watch.adapters import Adapter
from lora_watch.adapters.tensors import local
from lora_watch.base.alerts import Alert
from lora_watch.measurement.signals.optimizer import rates_of, unwrapped
from lora_watch.rules.forecast import is_adaptive
from lora_watch.rules.treatments import RATE, START, in_rates_alone, ratios, usual_alpha
from lora_watch.run.monitored import MonitoredAdapters
from lora_watch.run.rates import RateWatch, multiplied, planned

RAISED = 1.5
"""A schedule's base rate is put back where something has multiplied it by more than this."""


@dataclass(frozen=True)
class Change:
    """What becomes of a training's settings. ``LiveSettings.make`` makes it."""

    rates: Sequence[float] = ()
    """What the learning rate of each parameter group is multiplied by; empty: nobody looks at the rates."""
    start: float = 1.0
    """What A and B are multiplied by."""
    values: Mapping[str, list[float]] = field(default_factory=dict)
    """``[from, to]`` by name, as it is reported."""
    lowers: bool = False
    """The run's own settings become lower; else rates go back to them."""


class LiveSettings:
    """Learning rates through parameter groups and scheduler, and the size of A and B at the start. The run's own
    settings, which the rules judge by, follow. ``scheduler`` may be None."""

    def __init__(self, optimizer: Any, scheduler: Any, monitored: MonitoredAdapters):
        self._optimizer, self._scheduler, self._monitored = optimizer, scheduler, monitored
        self._plan: list[float] = []
        """What the schedule is to multiply, one rate a parameter group; empty without a schedule."""
        self._start = 1.0
        """What A and B have been multiplied by before the first step."""
        self._rates = RateWatch(optimizer, scheduler)

    def use(self, optimizer: Any, scheduler: Any) -> None:
        """Another optimizer trains from now on, by rates of its own."""
        self._optimizer, self._scheduler = optimizer, scheduler
        self._plan, self._rates = planned(scheduler), RateWatch(optimizer, scheduler)

    def begin(self) -> None:
        """Bring in what ``load_state_dict`` brought: the optimizer is that of the user's script."""
        now = planned(self._scheduler)
        if len(self._plan) == len(now):
            self._multiply([plan / rate if rate > 0 else 1.0 for plan, rate in zip(self._plan, now)])
        self._plan = planned(self._scheduler)
        self._monitored.slow_down(1.0, self._start)

    def before_update(self, step: int) -> str | None:
        """The rates are about to be used by ``step``. A note, once, where somebody sets them: they would not stay
        lowered."""
        known = self._rates.found
        self._rates.see()
        if known is not None or self._rates.found is None:
            return None
        return (
            f"The learning rate of step {step} is {self._rates.found}: something sets it at each step, and recover "
            "cannot lower it. Leave it to a scheduler, and give that to the monitor"
        )

    @property
    def why_fixed(self) -> str | None:
        """Why the learning rate cannot be lowered, in words; None where it can."""
        if self._rates.found is not None:
            return f"the learning rate is set by hand: {self._rates.found}"
        if any(math.isnan(rate) for rate in rates_of(self._optimizer)):
            return "the optimizer makes its own learning rate"
        return None

    def back_to_plan(self, hold: bool) -> Change:
        """The schedule's base rates as they were, where something has raised them. ``hold``: else they stay as they
        are, and the next update tells whether something sets them."""
        now = planned(self._scheduler)
        by = [rate / plan if rate > RAISED * plan > 0 else 1.0 for rate, plan in zip(now, self._plan)]
        if max(by, default=1.0) == 1.0:
            return Change([1.0] * len(rates_of(self._optimizer))) if hold else Change()
        worst = by.index(max(by))
        return Change([1.0 / factor for factor in by], values={RATE: [now[worst], self._plan[worst]]})

    def weaker(self, alert: Alert, at_start: bool) -> Change:
        """The settings of ``alert``. ``at_start``: ΔW is 0, so that A and B may be made smaller without changing what
        the model computes; else all is taken from the learning rate."""
        of_alpha, of_rate = ratios(alert, self._monitored.run)
        if at_start and of_alpha != 1.0 and self._can_shrink:
            root = math.sqrt(of_alpha)
            of_rate *= root
        else:
            root, of_rate = 1.0, in_rates_alone(of_alpha, of_rate, self._monitored.run)
        to = {name: [value, value * {RATE: of_rate, START: root}[name]] for name, value in self._values.items()}
        changed = {name: pair for name, pair in to.items() if pair[0] != pair[1]}
        return Change([of_rate] * len(rates_of(self._optimizer)), root, changed, lowers=True)

    def make(self, change: Change) -> None:
        if change.start != 1.0:
            self._shrink(change.start)
        if change.rates:
            self._multiply(change.rates)
            self._rates.lowered()
        if change.lowers:
            self._monitored.slow_down(change.rates[0], change.start)
            self._plan = planned(self._scheduler)

    def advised(self, changed: Mapping[str, list[float]]) -> dict[str, float]:
        """What the next run is to begin with for what has been ``changed`` in this one: there alpha does it."""
        settings = {RATE: self._values[RATE] / self._start} if RATE in changed else {}
        alpha = usual_alpha(self._monitored.run)
        if START in changed and alpha is not None:
            settings["lora_alpha"] = alpha * self._start**2
        return {name: float(f"{value:.12g}") for name, value in settings.items()}  # 0.003, not 0.0030000000000000005

    @property
    def _values(self) -> dict[str, float]:
        run = self._monitored.run
        rate = run.config.get("learning_rate") or max(run.peak_lr, default=None)
        return ({} if rate is None else {RATE: float(rate)}) | {START: self._start}

    @property
    def _can_shrink(self) -> bool:
        """The product of A and B is all that the adapters add, and both learn, by steps of the learning rate's size.
        Nothing else is trained, to whose rate alpha is nothing: a head."""
        adapters, groups = self._monitored.adapters, unwrapped(self._optimizer).param_groups
        products = all(isinstance(adapter, Adapter) and adapter.diagonal is None for adapter in adapters)
        if not products or not is_adaptive(self._monitored.run):
            return False
        own = {id(parameter) for adapter in adapters for parameter in adapter.own}
        trained = {id(p) for group in groups for p in group["params"] if p.requires_grad}
        return trained <= own and all(p.requires_grad for adapter in adapters for p in adapter.parameters)

    def _shrink(self, factor: float) -> None:
        parameters = {id(p): p for adapter in self._monitored.adapters for p in adapter.parameters}
        with torch.no_grad():
            for parameter in parameters.values():
                local(parameter).mul_(factor)
        self._start *= factor

    def _multiply(self, factors: Sequence[float]) -> None:
        if any(not math.isclose(factor, 1.0) for factor in factors):
            multiplied(self._optimizer, self._scheduler, factors)
            self._rates.lowered()

    def state_dict(self) -> dict[str, Any]:
        return {"plan": list(self._plan), "start": self._start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._plan, self._start = list(state.get("plan", [])), float(state.get("start", 1.0))
