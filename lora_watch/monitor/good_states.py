"""Which copy of a run to go back to: the latest that healthy steps have followed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lora_watch.monitor.copies import Copies, Copy

COPY_EVERY = 10
"""Optimizer steps between two copies; more where one copy is larger than ``LIGHT``."""
LIGHT = 256 << 20
"""Bytes."""
CONFIRMED_AFTER = 5
"""Steps that must follow a copy without anything to recover from before it counts as good, as for ``last_good``."""


class GoodStates:
    """Copies at fixed steps, alike on every rank. Two of them are in memory.

    A copy counts as good when ``CONFIRMED_AFTER`` steps have followed it: rules need evidence, and just before an alert
    the adapter is ruined already. ``patience``: steps that an alert is given before it is acted on.
    """

    def __init__(self, copies: Copies, patience: int):
        self._copies, self._confirmed = copies, CONFIRMED_AFTER + patience
        self._every = COPY_EVERY
        self.good: Copy | None = None
        """To go back to; None before ``begin``."""
        self._new: Copy | None = None

    def begin(self, step: int, monitor: Any) -> None:
        """The state that a run begins with is good, for want of a better one."""
        self._every = COPY_EVERY * max(math.ceil(self._copies.size / LIGHT), 1)
        self.good, self._new = self._copies.take(step), None
        self.good.monitor = monitor

    def updated(self, step: int, suspect: bool) -> None:
        """``step`` updates have been applied. ``suspect``: what has been trained lately may not be good."""
        if suspect:
            self.forget_new()
        elif self._new is not None and step >= self._new.step + self._confirmed:
            self._copies.drop(self.good)
            self.good, self._new = self._new, None
        if self._new is None and step % self._every == 0 and not suspect:
            self._new = self._copies.take(step)

    def judged(self, step: int, monitor: Callable[[], Any]) -> None:
        """``step`` has been judged: ``monitor`` makes what goes with the copy of that step."""
        if self._new is not None and self._new.monitor is None and self._new.step == step:
            self._new.monitor = monitor()

    def forget_new(self) -> None:
        """What has been copied lately is not good."""
        self._copies.drop(self._new)
        self._new = None
