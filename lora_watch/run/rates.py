"""Learning rates: what schedules say of them, and one factor on them that is there in the optimizer's step alone."""

import bisect
import inspect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LinearLR, OneCycleLR

from lora_watch.measurement.signals.optimizer import unwrapped
from lora_watch.run.guard import Guard, guarded

_LONGEST = 1 << 20
"""Steps beyond which nobody looks for the end of a warm-up."""


class LoweredRate:
    """One ``factor`` on the learning rates of the parameter groups that hold adapters, in the optimizer's step alone,
    and the steps that are to change nothing.

    Schedulers, logs and checkpoints read and write the rates of the user's script, and find none of ours. A loop may
    set them by hand.
    """

    def __init__(self) -> None:
        self.factor, self.guard = 1.0, Guard()
        self.of_raised: tuple[float, Sequence[float]] = 1.0, ()
        """One more factor, on rates above these, one a group: something has raised them above their schedule."""
        self.others: frozenset[int] = frozenset()
        """The groups that hold something else and no adapter: the factor is not on them."""
        self.works = False
        """The optimizer has called the hooks and goes by these rates: its step is torch's, and not compiled away."""
        self._hooks: list[Any] = []
        self._inside: list[dict[str, Any]] = []
        """The optimizer's groups, inside its step."""
        self._own: list[tuple[dict[str, Any], Any]] = []
        """Groups that have our rate, and the user's."""
        self._taken: list[tuple[Tensor, Tensor]] = []
        """Inside a step that is to change nothing: parameters, and their gradients."""
        self._dropped = False
        """The step that comes or is under way changes nothing."""

    def attach(self, optimizer: Any, guard: Guard) -> None:
        """Be in the steps of ``optimizer`` from now on, and in those of no other."""
        self.detach()
        inner, self.guard = unwrapped(optimizer), guard
        pairs = (("register_step_pre_hook", self._begin), ("register_step_post_hook", self.give_back))
        self.of_raised = 1.0, ()
        self._hooks = [getattr(inner, name)(hook) for name, hook in pairs if hasattr(inner, name)]

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks, self.works = [], False
        self.give_back()

    def times(self, rates: Sequence[float], factor: float) -> tuple[float, ...]:
        """``rates``, one a parameter group, with ``factor`` on all but the others."""
        return tuple(rate if i in self.others else rate * factor for i, rate in enumerate(rates))

    def used(self, rates: Sequence[float]) -> tuple[float, ...]:
        """What the updates use where the groups' ``rates`` are there now."""
        if self._own:
            return tuple(rates)
        lowered, (further, highest) = self.times(rates, self.factor), self.of_raised
        if not highest:
            return lowered
        again = zip(rates, highest, lowered, self.times(lowered, further))
        return tuple(raised if rate > most else planned for rate, most, planned, raised in again)

    def drop(self) -> None:
        """The step that comes, or is under way, finds no gradients. A loss scaler sees them before it."""
        self._dropped = True
        for group in self._inside:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._taken.append((parameter, parameter.grad))
                    parameter.grad = None

    def end(self) -> bool:
        """The step is over, also one that has raised. True where it was dropped."""
        self.give_back()
        dropped, self._dropped = self._dropped, False
        return dropped

    @guarded("turning the learning rate down")
    def _begin(self, optimizer: Any, *_: Any) -> None:
        self._inside = groups = optimizer.param_groups
        self.works = all(group["lr"] is not None for group in groups)
        if self._dropped:
            self.drop()
        if self._own or self.factor == self.of_raised[0] == 1.0:  # a step in a step, as by ``super().step()``
            return
        used = self.used([group["lr"] for group in groups])
        self._own = [(group, group["lr"]) for group in groups]
        for group, rate in zip(groups, used):
            group["lr"] = rate

    @guarded("putting the learning rate back")
    def give_back(self, *_: Any) -> None:
        for group, rate in self._own:
            group["lr"] = rate
        for parameter, gradient in self._taken:
            parameter.grad = gradient
        self._own, self._taken, self._inside = [], [], []


def peaks(scheduler: Any) -> tuple[float, ...]:
    """The highest rate of each group where a schedule cycles up to it (CyclicLR); empty for others."""
    found = (getattr(each, "max_lrs", None) for each in _schedulers(unwrapped(scheduler)) if hasattr(each, "base_lrs"))
    return tuple(float(rate) for rate in next((rates for rates in found if rates), ()))


def _schedulers(scheduler: Any) -> Iterator[Any]:
    if scheduler is not None:
        yield scheduler
        for inner in getattr(scheduler, "_schedulers", ()):
            yield from _schedulers(inner)


def kept_rate(optimizer: Any, scheduler: Any, own: Any) -> float | None:
    """The one rate by which a schedule of a function of the step goes, where the script has built the optimizer with
    another one, its ``own``: a checkpoint that is loaded brings its rates with it, and leaves the defaults alone."""
    scheduler, built = unwrapped(scheduler), getattr(unwrapped(optimizer), "defaults", {}).get("lr")
    rates = {float(rate) for rate in scheduler.base_lrs} if isinstance(scheduler, LambdaLR) else set[float]()
    known = own and built == own and len(rates) == 1
    return next((rate for rate in rates if not math.isclose(rate, own)), None) if known else None


def warm_up(scheduler: Any) -> int:
    """For how many steps a schedule rises from its beginning: a function of the step, LinearLR or OneCycleLR, alone or
    in another, in the script's number: a rise to 1/n, 2/n … has n. 0 for others."""
    for each in _schedulers(unwrapped(scheduler)):
        if isinstance(each, LinearLR) and each.start_factor < each.end_factor:
            return each.total_iters
        if isinstance(each, OneCycleLR):
            return math.ceil(each._schedule_phases[0]["end_step"]) + 1
        if isinstance(each, LambdaLR):
            rate, end = each.lr_lambdas[0], 1
            if (told := getattr(rate, "keywords", {}).get("num_warmup_steps")) is not None:  # transformers' own
                return int(told)
            while end < _LONGEST and rate(end) > rate(end - 1):
                end *= 2
            rises = bisect.bisect_left(range(end), True, key=lambda step: not rate(step + 1) > rate(step))
            return rises + (rises > 0 and math.isclose(rate(0), rate(1) - rate(0)))
    return 0


def follows_a_metric(scheduler: Any) -> bool:
    """The schedule goes up and down with a metric (GreedyLR), so that nobody knows its highest rate in advance."""
    inner = unwrapped(scheduler)
    step = getattr(inner, "step", None)
    return hasattr(inner, "max_lrs") and inspect.ismethod(step) and "metrics" in inspect.signature(step).parameters


def read_schedule(scheduler: Any, max_steps: int) -> dict[str, Any]:
    """``lr_fraction`` and ``peak_lr`` of ``RunSettings``, from the schedule's function of the step, as the Trainer's
    own have one (LambdaLR); empty for others."""
    scheduler = unwrapped(scheduler)
    lambdas, base = getattr(scheduler, "lr_lambdas", None), getattr(scheduler, "base_lrs", ())
    if max_steps <= 0 or not lambdas or not isinstance(scheduler, LambdaLR):
        return {}
    # Long schedules are sampled: they are smooth, and the sum need not be exact.
    points = range(0, max_steps, max(1, max_steps // 2000))
    factors = {of: [max(float(of(t)), 0.0) for t in points] for of in dict.fromkeys(lambdas)}
    highest = {}
    for of, values in factors.items():
        at, reach = points[values.index(max(values))], points.step
        highest[of] = max(float(of(t)) for t in range(max(at - reach + 1, 0), min(at + reach, max_steps)))
    rates = factors[lambdas[0]]
    spent = list(itertools.accumulate(rates, initial=0.0))
    peak = {"peak_lr": tuple(rate * highest[of] for rate, of in zip(base, lambdas))}
    if not spent[-1] > 0:
        return peak
    return peak | {"lr_fraction": lambda step: spent[min(-(-step // points.step), len(rates))] / spent[-1]}
