"""What is measured when, on a clock of the test's own: ``max_overhead`` caps all but every 16th step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lora_watch.monitor.cadence import FULL_AT_START, LONGEST_INTERVAL, Cadence

STEP = 0.1
"""Seconds of a step without us."""


class Run:
    """A run in which a step takes ``STEP`` and what measuring it costs: ``base``, ``norms`` or ``full``."""

    def __init__(self, cap: float, *, base: float = 0.0, norms: float, full: float, every: int = 1, first: int = 0):
        self.now = self.seconds = self.inside = 0.0
        guard: Any = self
        self.cadence = Cadence(every, cap, guard, lambda: self.now)
        self.costs = base, norms, full
        self.norms: list[int] = []
        self.full: list[int] = []
        self.shares: list[float] = []
        self.step = first
        self.cadence.start(first)
        self.cadence.plan(first + 1, dense=False, collective=False)
        self.cadence.start_clock()

    def go(self, steps: int, **others: Any) -> Run:
        for _ in range(steps):
            self.step += 1
            due = self.cadence.due(self.step)
            cost = self.costs[due.norms + due.full]
            self.seconds += cost
            self.inside += cost
            self.now += STEP + cost
            self.norms += [self.step] * due.norms
            self.full += [self.step] * due.full
            if self.cadence.settled_overhead is not None:
                self.shares.append(self.cadence.settled_overhead)
            self.cadence.plan(self.step + 1, **{"dense": False, "collective": False, **others})
        return self


@pytest.mark.parametrize("cap", [0.001, 0.02, 0.05])
@pytest.mark.parametrize(
    ("base", "norms", "full"),
    [(1e-5, 1e-4, 5e-4), (1e-5, 4e-4, 2e-3), (2e-5, 2e-3, 0.02), (5e-5, 0.02, 0.3), (0.0, 0.2, 0.4)],
)
def test_after_the_first_steps_the_running_share_stays_below_the_cap_but_for_every_16th_step(
    cap: float, base: float, norms: float, full: float
) -> None:
    run = Run(cap, base=base, norms=norms, full=full).go(3000)
    assert run.full[:FULL_AT_START] == list(range(1, FULL_AT_START + 1)), "whatever it costs"
    assert max(run.shares) <= cap * 1.001 + full / (LONGEST_INTERVAL * STEP)
    assert max(np.diff(run.full)) <= LONGEST_INTERVAL, "whatever it costs"
    if full / LONGEST_INTERVAL + base < cap * STEP / 2:
        assert max(run.shares) <= cap * 1.001
    if full + norms < (cap * STEP - base) * 3000:
        assert len(run.full) > FULL_AT_START, "and nothing is given up"
    assert set(run.full) <= set(run.norms)
    assert run.cadence.start_seconds == pytest.approx(FULL_AT_START * full)
    if base + norms < 0.9 * cap * STEP:
        # What the cap allows is used.
        assert run.shares[-1] > 0.8 * cap or len(run.full) == 3000


def test_what_is_cheap_is_measured_at_every_step() -> None:
    assert Run(0.02, norms=2e-5, full=18e-5).go(500).full[20:] == list(range(21, 501))
    cheap_norms = Run(0.02, norms=6e-4, full=1e-2).go(500)
    assert len(cheap_norms.norms) > 480
    assert 50 < len(cheap_norms.full) < 100


def test_the_norms_get_their_half_where_they_are_dear() -> None:
    run = Run(0.02, norms=4e-3, full=8e-3).go(2000)
    assert len(run.norms) - len(run.full) > 200
    assert len(run.full) > 150


def test_there_is_every_16th_without_a_budget_and_all_without_a_cap() -> None:
    assert Run(0.0, norms=1e-3, full=2e-3).go(100).norms == [*range(1, FULL_AT_START + 1), 36, 52, 68, 84, 100]
    assert Run(1.0, norms=1.0, full=9.0).go(50).full == list(range(1, 51))
    assert Run(1.0, norms=1.0, full=9.0, every=3).go(9).norms == [3, 6, 9]


def test_the_interval_is_what_it_has_come_to() -> None:
    run = Run(0.0, norms=1e-3, full=2e-3).go(100)
    assert (run.cadence.full_every, run.cadence.norms_every) == (16, 16)
    assert Run(1.0, norms=1e-3, full=2e-3).go(100).cadence.full_every == 1


def test_a_run_that_costs_more_for_a_while_is_back_below_the_cap_later() -> None:
    run = Run(0.02, norms=2e-3, full=8e-3).go(200)
    run.costs = 0.0, 5e-3, 2e-2
    run.go(200)
    assert run.shares[-1] <= 0.0202
    run.costs = 0.0, 2e-3, 8e-3
    assert run.go(500).shares[-1] <= 0.0202


@pytest.mark.parametrize("why", ["collective", "ranks"])
def test_ranks_measure_alike_whatever_each_has_spent(why: str) -> None:
    slow, fast = (Run(0.02, norms=cost, full=4 * cost).go(70, **{why: True}) for cost in (1.0, 1e-6))
    assert slow.full == fast.full == [*range(1, 21), 32, 48, 64]
    assert slow.norms == fast.norms == list(range(1, 71))


def test_a_resumed_run_has_first_steps_of_its_own() -> None:
    assert Run(0.0, norms=1e-3, full=2e-3, first=100).go(30).full == list(range(101, 121))


@pytest.mark.parametrize("others", [{}, {"collective": True}, {"ranks": True}, {"dense": True}])
def test_the_last_step_is_measured_in_full(others: dict[str, bool]) -> None:
    run = Run(0.0, norms=1e-3, full=2e-3, every=3).go(40, max_steps=40, **others)
    assert (run.norms[-1], run.full[-1]) == (40, 40)
