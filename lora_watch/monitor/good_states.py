"""Which copy of a run to go back to: the latest that is older than the evidence of an alert."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lora_watch.monitor.copies import COPIES, Copies, Copy
from lora_watch.rules.treatments import LONGEST_EVIDENCE, evidence

COPY_EVERY = 10
"""Optimizer steps between two copies, at least."""
LIGHT = 256 << 20
"""Bytes of a copy from which on they are made less often."""


class GoodStates:
    """Copies at fixed steps, alike on every rank. ``COPIES`` of them are in memory.

    Rules gather evidence for some steps, through which the adapter is ruined already: a copy is good for an alert when
    it is older than that. ``patience``: steps that an alert is given before it is acted on.
    """

    def __init__(self, copies: Copies, patience: int):
        self._copies, self._patience = copies, patience
        self._every = COPY_EVERY
        self._kept: list[Copy] = []
        """The oldest first."""

    def begin(self, step: int, monitor: Any) -> None:
        """The state that a run begins with is good, for want of a better one."""
        reach = math.ceil((LONGEST_EVIDENCE + self._patience) / (COPIES - 1))
        self._every = max(COPY_EVERY * max(math.ceil(self._copies.size / LIGHT), 1), reach)
        for kept in self._kept:
            self._copies.drop(kept)
        self._kept = [self._copies.take(step)]
        self._kept[0].monitor = monitor

    def good(self, rule: str, step: int) -> Copy | None:
        """To go back to for an alert of ``rule`` after ``step`` steps; None before ``begin``."""
        before = step - evidence(rule) - self._patience
        old = [kept for kept in self._kept if kept.step <= before and kept.monitor is not None]
        return (old or self._kept[:1] or [None])[-1]

    def updated(self, step: int, suspect: bool) -> None:
        """``step`` updates have been applied. ``suspect``: what has been trained lately may not be good."""
        if suspect:
            self.forget_after(step - evidence() - self._patience)
        elif step % self._every == 0:
            if len(self._kept) == COPIES:
                self._copies.drop(self._kept.pop(0))
            self._kept.append(self._copies.take(step))

    def judged(self, step: int, monitor: Callable[[], Any]) -> None:
        """``step`` has been judged: ``monitor`` makes what goes with the copy of that step."""
        for kept in self._kept:
            if kept.monitor is None and kept.step == step:
                kept.monitor = monitor()

    def forget_after(self, step: int) -> None:
        """What has been copied since is not good. The oldest stays."""
        first, *rest = self._kept
        self._kept = [first]
        for kept in rest:
            if kept.step <= step:
                self._kept.append(kept)
            else:
                self._copies.drop(kept)
