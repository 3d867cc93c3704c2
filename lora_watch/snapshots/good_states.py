"""Which copy of a run to go back to: the latest that is older than the evidence of an alert."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from lora_watch.rules.policy import Policy
from lora_watch.rules.treatments import TREATED
from lora_watch.snapshots.copies import COPIES, Copy
from lora_watch.snapshots.training import TrainingCopies

COPY_EVERY = 10
"""Optimizer steps between two copies, at least."""
LIGHT = 256 << 20
"""Bytes of a copy from which on they are made less often."""


class GoodStates:
    """Copies at fixed steps, alike on every rank. ``COPIES`` of them are in memory.

    Rules gather evidence for some steps, in which the adapter is damaged already: a copy is good for an alert when it
    is older than that. ``policy`` knows how long it takes, with the patience that the alert is given.
    """

    def __init__(self, copies: TrainingCopies, policy: Policy):
        self._copies, self._policy = copies, policy
        self._every = COPY_EVERY
        self._kept: list[Copy] = []
        """The oldest first."""

    def begin(self, step: int, monitor: Any) -> None:
        """The state that a run begins with is good, for want of a better one."""
        reach = math.ceil(max(map(self._policy.reach, TREATED)) / (COPIES - 1))
        self._every = max(COPY_EVERY * max(math.ceil(self._copies.size / LIGHT), 1), reach)
        self._copies.drop(*self._kept)
        self._kept = [self._copies.take(step)]
        self._kept[0].monitor = monitor

    def good(self, rule: str, step: int) -> Copy | None:
        """To go back to for an alert of ``rule`` after ``step`` steps; None before ``begin``."""
        before = step - self._policy.reach(rule)
        old = [kept for kept in self._kept if kept.step <= before and kept.monitor is not None]
        return (old or self._kept[:1] or [None])[-1]

    def updated(self, step: int, suspects: Iterable[str] = ()) -> None:
        """``step`` updates have been applied. ``suspects``: rules by which what has been trained lately may not be
        good."""
        if reaches := [self._policy.reach(rule) for rule in suspects]:
            self.forget_after(step - max(reaches))
        elif step % self._every == 0:
            if len(self._kept) == COPIES:
                self._copies.drop(self._kept.pop(0))
            self._kept.append(self._copies.take(step))

    def judged(self, step: int, monitor: Callable[[], Any]) -> None:
        """``step`` has been judged: ``monitor`` makes what goes with the copy of that step."""
        for kept in self._kept:
            if kept.monitor is None and kept.step == step:
                kept.monitor = monitor()

    def renew(self, kept: Copy) -> None:
        """What is there now takes the place of ``kept``, after as many steps."""
        place = self._kept.index(kept)
        self._kept[place] = self._copies.take(kept.step)
        self._kept[place].monitor = kept.monitor
        self._copies.drop(kept)

    def forget_after(self, step: int) -> None:
        """What has been copied since is not good. The oldest stays."""
        spoiled = [kept for kept in self._kept[1:] if kept.step > step]
        self._copies.drop(*spoiled)
        self._kept = [kept for kept in self._kept if kept not in spoiled]
