"""When to measure what, and the overhead that decides it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from lora_watch.base.records import Due, StepRecord
from lora_watch.monitor.guard import Guard
from lora_watch.rules.size import extent

log = logging.getLogger("lora_watch")

FIRST_STEPS = 20
"""Steps whose cost is not capped. Most runs that explode do so then, and LW102 is strictest."""
LONGEST_INTERVAL = 16
"""Beats of ``every`` from one full measurement to the next at most, and always where ranks agree without a clock."""
NORMS_INTERVAL = 4
"""Beats from one measurement of the norms to the next where ranks agree without a clock."""
LONGEST_INTERVAL_CALM = 64
"""The same of a run that is calm."""

_UNCAPPED = 1.0
"""``max_overhead`` from which on everything is measured at every step."""
_NORMS_OF_FULL = 0.5
"""What norms alone are taken to cost of a full measurement, before a step has shown it: more than they do."""
_NEWEST = 0.3
"""Weight of the latest step in what a step is taken to cost."""
_GROWN = 1.4
"""Factor of Σ lr since the latest full measurement from which a calm run is measured again."""
_SMALL = 1.2
"""The size of adapters below which no rule on size acts. LW102 acts from 1.5 on."""
_SUSPECT = {"loss_rise_score": 3.0, "loss_spike_score": 4.0}
"""Scores of the loss that call for a full measurement: less than they take to open an alert. Healthy losses of the
corpus reach one of them anew at 0.8 % of their steps."""


@dataclass
class Growth:
    """How large the adapters may have become since their size was measured last, from the sum of the learning rates.

    An optimizer moves the factors by about the learning rate at each step, and the product of two factors grows with
    the square of what they have moved.
    """

    spent: float = 0.0
    """Σ of the highest learning rate of each update; NaN once one was unknown."""
    seen: float = 0.0
    """The same when the size was measured last."""
    size: float | None = None
    """That size, see ``rules.size.extent``; None where it is unknown."""

    def see(self, record: StepRecord) -> None:
        """Take the records of a run in order."""
        if (size := extent(record)) is not None:  # of the forward pass, which has seen the updates before this one
            self.size, self.seen = size, self.spent
        if record.step and record.updated:
            self.spent += math.nan if any(map(math.isnan, record.lr)) else max(record.lr, default=math.nan)

    @property
    def is_small(self) -> bool:
        """The adapters were small when they were measured last, and have not become large or very different since."""
        if self.size is None or not self.spent < _GROWN * self.seen:
            return False
        return self.size * (self.spent / self.seen) ** 2 < _SMALL


class Cadence:
    """Decides before each step what is measured: nothing but loss and gradients, the norms too, or everything.

    Of the first steps all have their norms measured. They are measured in full as soon as the adapters are large, or an
    alert is open; a calm run has a full measurement whenever ``Growth`` says that its size may have changed.

    After the first steps a step is measured when what it is likely to cost has been saved up. Half of the time is kept
    for full measurements, as long as they have not had it; what the norms leave of theirs is added to it. At any cost
    one step of each longest interval is measured in full: where steps are so short that the loss and the gradients
    alone take all of the time, adapters would never be measured again. So is the last one: a run is judged and shown as
    it ended. And so is the next one when a loss looks odd, or an alert has opened.

    ``every``, ``max_overhead``: see ``Monitor``. ``guard`` knows the time that has been spent. ``clock``: seconds, for
    tests.
    """

    def __init__(self, every: int, max_overhead: float, guard: Guard, clock: Callable[[], float] = time.perf_counter):
        if every < 1:
            raise ValueError(f"every={every}: measure every 1, 2, … optimizer steps")
        self.every, self.max_overhead, self.guard = every, max_overhead, guard
        self.full_every = every
        """Optimizer steps between the latest two full measurements, or since the latest, whichever is more."""
        self._clock = clock
        self._norms = self._full = True
        """What the coming step is to have measured."""
        self._first_step = self._last_full = 0
        self._costs: dict[tuple[bool, bool], float] = {}
        """Seconds that a step takes of us, by what is measured of it."""
        self._step_seconds = 0.0
        """Wall time of a step without us."""
        self._settled: tuple[float, float] | None = None
        """Clock and time spent when the first steps were over."""
        self._for_full = 0.0
        """Seconds that steps with a full measurement have taken of us since then."""
        self._growth = Growth()
        self._suspect = self._alarmed = self._called = False
        self.start_clock()

    def start(self, step: int) -> None:
        """``step``: steps done before the run."""
        self._first_step = self._last_full = step

    def see(self, record: StepRecord) -> None:
        """Take the records of a run in order: they say whether it is calm."""
        self._growth.see(record)
        before = self._suspect
        self._suspect = any(record.scalars.get(name, 0.0) >= least for name, least in _SUSPECT.items())
        self._called |= self._suspect and not before

    def start_clock(self) -> None:
        """Count the overhead from now on."""
        self._began = self._clock(), self.guard.seconds
        self._mark = self._began[0], self.guard.seconds

    @property
    def overhead(self) -> float:
        """Share of the wall time since ``start_clock`` that was spent inside the guard, forward hooks included, and by
        threads of ours."""
        return self._share_since(self._began)

    @property
    def settled_overhead(self) -> float | None:
        """The same since the first steps were over: what ``max_overhead`` caps, but for every 16th step or 64th."""
        return None if self._settled is None else self._share_since(self._settled)

    @property
    def start_seconds(self) -> float | None:
        """Seconds that the first steps, with their full measurements, have taken of us; None before they are over."""
        return None if self._settled is None else self._settled[1] - self._began[1]

    def _share_since(self, mark: tuple[float, float]) -> float:
        return (self.guard.seconds - mark[1]) / max(self._clock() - mark[0], 1e-9)

    def due(self, step: int) -> Due:
        """What is measured at ``step``, the coming one of the latest ``plan``."""
        norms = step == self._first_step or self._norms
        return Due(step, trained=step != self._first_step, norms=norms, full=norms and self._full)

    def plan(
        self,
        step: int,
        *,
        collective: bool,
        ranks: bool = False,
        max_steps: int | None = None,
        asked: bool = False,
        alarmed: bool = False,
    ) -> bool:
        """Decide what the coming ``step`` has measured. True if that is everything.

        Args:
            collective: it takes every rank, so that all must measure at the same steps, whatever each has spent.
            ranks: there are others, which go by what is measured, and whose clocks show other times.
            max_steps: the last step of the run, where it is known.
            asked: a rule needs a full measurement of this step.
            alarmed: an alert that is more than a remark is open.
        """
        if step > self._first_step + 1:
            self._learn(step - 1)
        self._called |= alarmed and not self._alarmed
        self._alarmed = alarmed
        if step == max_steps or asked:  # says nothing of the interval
            self._norms = self._full = True
            return True
        self._norms = on_beat = step % self.every == 0
        calm = self.max_overhead < _UNCAPPED and not alarmed and self._growth.is_small
        longest = LONGEST_INTERVAL_CALM if calm else LONGEST_INTERVAL
        if not on_beat:
            self._full = False
        elif collective or (ranks and self.max_overhead < _UNCAPPED):
            settled = self._settled is not None
            self._norms = not settled or step % (NORMS_INTERVAL * self.every) == 0
            self._full = not settled or step % (LONGEST_INTERVAL * self.every) == 0
        elif self._settled is None:
            self._full = self._called or not calm
        elif self._called or step - self._last_full >= longest * self.every:  # whatever it costs
            self._norms = self._full = True
        else:
            self._norms, self._full = self._affordable()
        self._called &= not self._full
        self._note(step)
        return self._full

    def _note(self, step: int) -> None:
        if self._full:
            self.full_every, self._last_full = max(step - self._last_full, self.every), step
        elif self._settled is not None and step - self._last_full > self.full_every:
            if self.full_every == self.every:
                log.info(
                    "lora_watch measures less often from step %d on, to take no more than max_overhead=%g of the time",
                    step,
                    self.max_overhead,
                )
            self.full_every = step - self._last_full

    def _learn(self, done: int) -> None:
        """What the step that is ``done`` has cost. Called inside the guard, whose time counts up to now. Threads of
        ours work for many steps at a time: what they spend counts for the share, not for one step."""
        now = self._clock(), self.guard.seconds
        wall, spent = now[0] - self._mark[0], now[1] - self._mark[1]
        self._mark = now
        kind = self._norms, self._full
        self._costs[kind] = _blend(self._costs.get(kind), spent)
        self._step_seconds = _blend(self._step_seconds or None, max(wall - spent, 0.0))
        if self._settled is not None:
            self._for_full += spent if self._full else 0.0
        elif done - self._first_step >= FIRST_STEPS:
            self._settled = now[0], self.guard.seconds

    def _affordable(self) -> tuple[bool, bool]:
        """Whether the coming step may have its norms measured, and everything."""
        if self.max_overhead >= _UNCAPPED or self._settled is None:
            return True, True
        full = self._costs.get((True, True), 0.0)
        norms = self._costs.get((True, False), _NORMS_OF_FULL * full)
        began, spent_before = self._settled
        time_that_counts = self._clock() - began + self._step_seconds
        left = self.max_overhead * time_that_counts - (self.guard.seconds - spent_before)
        if left >= full + norms:
            return True, True
        kept_for_full = max(self.max_overhead * time_that_counts / 2 - self._for_full, 0.0)
        return left - kept_for_full >= norms, False


def _blend(before: float | None, now: float) -> float:
    return now if before is None else (1 - _NEWEST) * before + _NEWEST * now
