"""Which parameter group each adapter belongs to, and at which learning rate it trains."""

import inspect
import math
import operator
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from lora_watch.adapters.sharding.zero import chain, held
from lora_watch.base.records import BoolArray

RATES = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
"""Keys of a parameter group that hold learning rates: ``max_lr``, ``min_lr`` are OneCycleLR's, ``swa_lr`` SWALR's."""


class ParameterGroups:
    """Where the adapters' tensors are in an optimizer, by identity.

    ``optimizer`` is anything with ``param_groups``, wrapped or not (accelerate, DeepSpeed), or None. Of one that holds
    flat partitions (ZeRO) the engine says whose they are. ``adapters``: what each of them trains.
    """

    def __init__(self, optimizer: Any, adapters: Sequence[tuple[Tensor, Tensor]]):
        self.optimizer = optimizer
        self._members = [list(group["params"]) for group in getattr(optimizer, "param_groups", ())]
        groups = held(optimizer)
        self.known = bool(groups)
        place = {id(parameter): index for index, group in enumerate(groups or ()) for parameter in group}
        self.group = [next((place[id(p)] for p in reversed(pair) if id(p) in place), None) for pair in adapters]
        """For each adapter, the index of the group that holds B (A's where B is not held), or None."""
        holding = {place[id(p)] for pair in adapters for p in pair if id(p) in place}
        others = {i for i, group in enumerate(groups or ()) if group} - holding if holding else set[int]()
        self.others = frozenset(others)
        """Indices of the groups that hold something, and no tensor of an adapter; none where no adapter is known."""
        lacking = [[p.requires_grad and id(p) not in place for p in pair] for pair in adapters]
        self.lacking: BoolArray = np.array(lacking, dtype=bool).reshape(-1, 2)
        """``[n_adapters, 2]``: the optimizer does not hold A, or B, of the adapter, which is trainable."""

    @property
    def is_same(self) -> bool:
        """The optimizer has the same tensors in the same groups as when it was looked at."""
        now = getattr(self.optimizer, "param_groups", ())
        return len(now) == len(self._members) and all(
            len(group["params"]) == len(before) and all(map(operator.is_, group["params"], before))
            for group, before in zip(now, self._members)
        )

    @property
    def name(self) -> str | None:
        """Class name of the innermost optimizer, such as ``AdamW``."""
        return next((type(inner).__name__ for inner in reversed(list(chain(self.optimizer)))), None)

    @property
    def settings(self) -> dict[str, Any]:
        """``weight_decay``, the highest, and what numbers of the innermost optimizer are not its class's own."""
        out = dict[str, Any]()
        with suppress(Exception):  # a class of somebody's own
            inner = list(chain(self.optimizer))[-1]
            given, own = inner.param_groups[0], inspect.signature(type(inner)).parameters
            names = [name for name in own if type(given.get(name)) in (int, float, tuple) and name not in RATES]
            out = {name: given[name] for name in names if given[name] != own[name].default}
        return out | {"weight_decay": max(self.weight_decay)} if self.weight_decay else out

    @property
    def peak_lr(self) -> tuple[float, ...]:
        """The highest rate of each group's schedule: ``initial_lr``, or OneCycleLR's ``max_lr``."""
        return rates_of(self.optimizer, "max_lr", "initial_lr")

    @property
    def weight_decay(self) -> tuple[float, ...]:
        return tuple(float(group.get("weight_decay", 0.0)) for group in getattr(self.optimizer, "param_groups", ()))


def rates_of(optimizer: Any, *others: str) -> tuple[float, ...]:
    """The learning rate of each parameter group, or the first of ``others`` that it has; NaN where the optimizer makes
    its own (Adafactor's relative step)."""
    groups = getattr(optimizer, "param_groups", ())
    rates = (group[next((name for name in others if name in group), "lr")] for group in groups)
    return tuple(math.nan if rate is None else float(rate) for rate in rates)


def unwrapped(of: Any) -> Any:
    for name in ("optimizer", "scheduler"):
        inner = getattr(of, name, None)
        if inner is not None and type(of).__module__.startswith("accelerate."):
            return inner
    return of
