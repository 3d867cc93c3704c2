"""The settings of a training that can be changed while it runs: learning rates and scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from lora_watch.adapters.peft_alpha import active_alphas, change_alpha
from lora_watch.alerts import Alert
from lora_watch.monitor.rates import multiplied, planned, unwrapped
from lora_watch.monitor.roster import Roster
from lora_watch.rules.treatments import in_rates_alone, ratios

RAISED = 1.5
"""A schedule's base rate is put back where something has multiplied it by more than this."""
LOWERED, AGAIN = 0.5, 0.9
"""A rate that has been multiplied by at most ``LOWERED`` does not come back to ``AGAIN`` times what it was within one
step of a schedule: somebody has set it."""


class LiveSettings:
    """Learning rates through parameter groups and scheduler, alpha through PEFT; the run's own settings follow.

    Args:
        model, optimizer, scheduler: what is trained, and how. ``scheduler`` may be None.
        roster: knows the run's settings, which the rules judge by.
    """

    def __init__(self, model: nn.Module, optimizer: Any, scheduler: Any, roster: Roster):
        self._model, self._optimizer, self._scheduler, self._roster = model, optimizer, scheduler, roster
        self._plan: list[float] = []
        """What the schedule is to multiply, one rate a parameter group; empty without a schedule."""
        self._alpha: dict[str, list[float]] = {}
        """Of each adapter's configuration: alpha as the run began with it, and as it has been changed."""
        self._lowered: list[tuple[float, float]] = []
        """What the groups' rates have been lowered from and to, until the next step is done."""

    def begin(self) -> None:
        """Bring in what ``load_state_dict`` brought: the model and the optimizer are those of the user's script."""
        for key, alpha in active_alphas(self._model).items():
            before, after = self._alpha.get(key, (alpha, alpha))
            if before != after and math.isclose(alpha, before):
                change_alpha(self._model, after / before)
                break  # one ratio for all
        now = planned(self._scheduler)
        if len(self._plan) == len(now):
            self._multiply([plan / rate if rate > 0 else 1.0 for plan, rate in zip(self._plan, now)])
        self._plan = planned(self._scheduler)

    @property
    def values(self) -> dict[str, float]:
        """``learning_rate`` and, under PEFT, ``lora_alpha``, as they are set now."""
        run = self._roster.run
        rate = run.config.get("learning_rate") or max(run.peak_lr, default=None)
        alpha = next(iter(active_alphas(self._model).values()), None)
        named = {"learning_rate": rate, "lora_alpha": alpha}
        return {name: float(value) for name, value in named.items() if value is not None}

    def put_back_raised(self) -> dict[str, list[float]]:
        """Put the schedule's base rates back where something has raised them; ``{"learning_rate": [from, to]}``."""
        now = planned(self._scheduler)
        by = [rate / plan if rate > RAISED * plan > 0 else 1.0 for rate, plan in zip(now, self._plan)]
        if max(by, default=1.0) == 1.0:
            return {}
        self._multiply([1.0 / factor for factor in by])
        worst = by.index(max(by))
        return {"learning_rate": [now[worst], self._plan[worst]]}

    def weaken(self, alert: Alert, may_scale: bool) -> dict[str, list[float]]:
        """Apply the settings of ``alert``; by name what they were and are. ``may_scale``: ΔW is 0 now, so that another
        scale does not change what the model computes; else the learning rate is lowered in its place."""
        before = self.values
        own = active_alphas(self._model) if may_scale else {}
        of_alpha, of_rate = ratios(alert, self._roster.run, next(iter(own.values()), None))
        if own and of_alpha != 1.0:
            change_alpha(self._model, of_alpha)
            for key, alpha in active_alphas(self._model).items():
                self._alpha[key] = [self._alpha.get(key, [own[key]])[0], alpha]
        elif not own:
            of_rate = in_rates_alone(of_alpha, of_rate, self._roster.run)
        self._multiply([of_rate] * len(unwrapped(self._optimizer).param_groups))
        self._roster.slow_down(of_rate)
        self._plan = planned(self._scheduler)
        return {name: [before[name], after] for name, after in self.values.items() if after != before.get(name, after)}

    def expect_less_than(self, rates: Sequence[float]) -> None:
        """The groups' rates are lower now than ``rates``, which the last step has used, if nothing raises them."""
        self._lowered = list(zip(rates, self._rates))

    def undone(self, rates: Sequence[float]) -> tuple[float, float] | None:
        """``(lowered to, used)`` of a group whose learning rate did not stay as it had been lowered right before the
        step that used ``rates``; None where they all did, and at later steps."""
        lowered, self._lowered = self._lowered, []
        for (then, now), used in zip(lowered, rates):
            if now <= LOWERED * then and used >= AGAIN * then:
                return now, used
        return None

    @property
    def _rates(self) -> list[float]:
        return [float(group["lr"]) for group in unwrapped(self._optimizer).param_groups]

    def _multiply(self, factors: Sequence[float]) -> None:
        if any(not math.isclose(factor, 1.0) for factor in factors):
            before = self._rates
            multiplied(self._optimizer, self._scheduler, factors)
            self.expect_less_than(before)

    def state_dict(self) -> dict[str, Any]:
        return {"plan": list(self._plan), "alpha": {key: list(pair) for key, pair in self._alpha.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._plan = list(state.get("plan", []))
        self._alpha = {key: list(pair) for key, pair in state.get("alpha", {}).items()}
