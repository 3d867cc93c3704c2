"""When to measure what, and the overhead that decides it."""

from __future__ import annotations

import logging
import time

from lora_watch.monitor.guard import Guard
from lora_watch.records import Due

log = logging.getLogger("lora_watch")

FULL_AT_START = 10
"""Steps at which everything is measured whatever it costs: most runs that explode have done so by then."""
LONGEST_INTERVAL = 16
"""Measurements of the norms to one full measurement, at most."""
LONGEST_INTERVAL_DENSE = 256
"""The same where a measurement has to make whole matrices."""


class Cadence:
    """Decides before each step whether it is measured in full: with spectrum and ``output_ratio``.

    Args:
        every: optimizer steps between two measurements of the norms.
        max_overhead: share of the wall time that full measurements may bring the overhead to.
        guard: knows the time that has been spent.
    """

    def __init__(self, every: int, max_overhead: float, guard: Guard):
        if every < 1:
            raise ValueError(f"every={every}: measure every 1, 2, … optimizer steps")
        self.every, self.max_overhead = every, max_overhead
        self.full_every = every
        """Optimizer steps between two full measurements at present."""
        self.guard = guard
        self._full = True
        """The coming step is measured in full."""
        self._first_step = self._last_full = 0
        self.start_clock()

    def start(self, step: int) -> None:
        """``step``: steps done before the run."""
        self._first_step = self._last_full = step

    def start_clock(self) -> None:
        """Count the overhead from now on."""
        self._began, self._spent_before = time.perf_counter(), self.guard.seconds

    @property
    def overhead(self) -> float:
        """Share of the wall time since ``start_clock`` that was spent inside the guard, forward hooks included."""
        spent = self.guard.seconds - self._spent_before
        return spent / max(time.perf_counter() - self._began, 1e-9)

    def due(self, step: int) -> Due:
        """What is measured at ``step``, the coming one of the latest ``plan``."""
        norms = step == self._first_step or step % self.every == 0
        return Due(step, trained=step != self._first_step, norms=norms, full=norms and self._full)

    def plan(self, step: int, *, dense: bool, collective: bool) -> bool:
        """Decide whether the coming ``step`` is measured in full.

        Args:
            dense: a measurement has to make whole matrices.
            collective: it takes every rank, so that all must measure at the same steps, whatever each has spent.
        """
        self._full = self._dense_is_due(step, collective) if dense else self._is_due(step, collective)
        if self._full:
            self._last_full = step
        return self._full

    def _is_due(self, step: int, collective: bool) -> bool:
        # Judged anew the longer the interval, so that it has had time to show.
        settled = step - 1 - self._first_step >= FULL_AT_START * self.full_every // self.every
        longest = LONGEST_INTERVAL * self.every
        if settled and collective:
            self.full_every = longest
        elif settled and self.overhead > self.max_overhead and self.full_every < longest:
            wanted = self.full_every * self.overhead / max(self.max_overhead, 1e-9)
            while self.full_every < min(wanted, longest):
                self.full_every *= 2
            log.info(
                "lora_watch takes %.1f %% of the time, more than max_overhead=%g: spectrum and output_ratio are now "
                "measured every %d steps",
                100 * self.overhead,
                self.max_overhead,
                self.full_every,
            )
        return step % self.full_every == 0

    def _dense_is_due(self, step: int, collective: bool) -> bool:
        """Whole matrices cost more: at first at twice the steps of the last one, and as often as is cheap."""
        longest = min(self._last_full - self._first_step, LONGEST_INTERVAL_DENSE * self.every)
        late = step - self._last_full >= longest
        cheap = not collective and self.overhead <= self.max_overhead
        return step % self.every == 0 and (late or cheap)
