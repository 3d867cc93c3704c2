"""When to measure what: by steps and by the run's own numbers, so that the same run measures the same steps."""

from __future__ import annotations

from lora_watch.base.records import Due, StepRecord

FIRST_STEPS = 20
"""Steps from a start on that are measured in full. Most runs that explode do so then, and LW102 is strictest."""
GATHERED_EVERY = 4
"""Beats from one measurement of the norms to the next where each factor has to be brought together first (ZeRO-3)."""

_SUSPECT = {"loss_rise_score": 3.0, "loss_spike_score": 4.0}
"""Scores of the loss that call for a full measurement: less than they take to open an alert. Healthy losses of the
corpus reach one of them anew at 0.8 % of their steps."""


class Cadence:
    """Decides before each step what is measured of it: the norms at every beat, everything at the first beats and at
    some after them, and at the next one when a loss begins to look odd or an alert has opened.

    ``every``: optimizer steps from one beat to the next. ``full_every``: beats from one full measurement to the next.
    """

    def __init__(self, every: int = 1, full_every: int = 16):
        self._every, self._full_every = every, full_every
        self._norms = self._full = True
        """What the coming step is to have measured."""
        self._first = 0
        self._alerts = 0
        self._odd = self._called = False

    def start(self, step: int) -> None:
        """The run begins after ``step``, or has gone back and begins anew there."""
        self._first = step

    def ends_the_first(self, step: int) -> bool:
        """``step`` is the last of those that are all measured in full."""
        return step - self._first == FIRST_STEPS

    def see(self, record: StepRecord) -> None:
        """Take the records of a run in order: their losses may call for a full measurement."""
        odd = any(record.scalars.get(name, 0.0) >= least for name, least in _SUSPECT.items())
        self._called |= odd and not self._odd
        self._odd = odd

    def plan(
        self, step: int, *, wanted: bool = False, alerts: int = 0, gathered: bool = False, ranks: bool = False
    ) -> bool:
        """Decide what the coming ``step`` has measured. True if that is everything.

        Args:
            wanted: it is the last step, or a rule needs a full measurement of it.
            alerts: how many have opened so far.
            gathered: to read the norms takes much, see ``GATHERED_EVERY``.
            ranks: there are others. They see other losses and alerts, and must measure the same steps.
        """
        self._called |= alerts > self._alerts
        self._alerts = alerts
        beat, rest = divmod(step, self._every)
        early, called = step - self._first <= FIRST_STEPS, self._called and not ranks
        self._full = wanted or (rest == 0 and (early or called or beat % self._full_every == 0))
        self._norms = self._full or (rest == 0 and not (gathered and beat % GATHERED_EVERY))
        self._called &= not self._full
        return self._full

    def due(self, step: int) -> Due:
        """What is measured at ``step``, the coming one of the latest ``plan``; all that can be before the first."""
        return Due(step, trained=step > 0, norms=self._norms or step == 0, full=self._full or step == 0)
