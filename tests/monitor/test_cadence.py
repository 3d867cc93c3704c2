"""What is measured when, on a clock of the test's own: ``max_overhead`` caps all but every 16th step, or 64th."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lora_watch.base.records import Reading, RunInfo, StepRecord
from lora_watch.monitor.cadence import FIRST_STEPS, LONGEST_INTERVAL, LONGEST_INTERVAL_CALM, Cadence
from tests.rules.runs import healthy

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
        self.cadence.plan(first + 1, collective=False)
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
            self.cadence.plan(self.step + 1, **{"collective": False, **others})
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
    assert run.full[:FIRST_STEPS] == list(range(1, FIRST_STEPS + 1)), "whatever it costs"
    assert max(run.shares) <= cap * 1.001 + full / (LONGEST_INTERVAL * STEP)
    assert max(np.diff(run.full)) <= LONGEST_INTERVAL, "whatever it costs"
    if full / LONGEST_INTERVAL + base < cap * STEP / 2:
        assert max(run.shares) <= cap * 1.001
    if full + norms < (cap * STEP - base) * 3000:
        assert len(run.full) > FIRST_STEPS, "and nothing is given up"
    assert set(run.full) <= set(run.norms)
    assert run.cadence.start_seconds == pytest.approx(FIRST_STEPS * full)
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
    assert Run(0.0, norms=1e-3, full=2e-3).go(100).norms == [*range(1, FIRST_STEPS + 1), 36, 52, 68, 84, 100]
    assert Run(1.0, norms=1.0, full=9.0).go(50).full == list(range(1, 51))
    assert Run(1.0, norms=1.0, full=9.0, every=3).go(9).norms == [3, 6, 9]


def test_the_interval_is_what_it_has_come_to() -> None:
    run = Run(0.0, norms=1e-3, full=2e-3).go(100)
    assert run.cadence.full_every == 16
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
    assert slow.norms == fast.norms == [*range(1, 21), *range(24, 71, 4)]


def test_a_resumed_run_has_first_steps_of_its_own() -> None:
    assert Run(0.0, norms=1e-3, full=2e-3, first=100).go(30).full == list(range(101, 121))


@pytest.mark.parametrize("others", [{}, {"collective": True}, {"ranks": True}])
def test_the_last_step_is_measured_in_full(others: dict[str, bool]) -> None:
    run = Run(0.0, norms=1e-3, full=2e-3, every=3).go(40, max_steps=40, **others)
    assert (run.norms[-1], run.full[-1]) == (40, 40)


# -- calm runs ---------------------------------------------------------------------------------------------------------
RUN = RunInfo(healthy().run.adapters[:1])


class Adapting(Run):
    """A run whose adapters have the size ``size(Σ lr)``, and whose steps leave no time for measurements."""

    def __init__(self, size: Callable[[float], float], **settings: Any):
        self.size, self.lr_sum, self.scores = size, 0.0, {}
        super().__init__(settings.pop("cap", 0.0), norms=1e-3, full=2e-3, **settings)

    def adapt(self, steps: int, lr: float = 1e-3, **others: Any) -> Adapting:
        for _ in range(steps):
            step = self.step + 1
            metrics = {}
            if self.cadence.due(step).full:
                metrics["output_ratio"] = Reading(np.array([self.size(self.lr_sum) / RUN.depth]))
            self.lr_sum += lr
            self.cadence.see(StepRecord(RUN, step, metrics, lr=(lr,), scalars=self.scores.get(step, {})))
            self.go(1, **others)
        return self


def small(lr_sum: float) -> float:
    return lr_sum


def large(lr_sum: float) -> float:
    return 100.0 * lr_sum


def test_small_adapters_are_measured_as_they_grow() -> None:
    run = Adapting(small).adapt(600)
    assert [step for step in run.full if step <= FIRST_STEPS] == [1, 2, 3, 4, 6, 8, 11, 15]
    assert run.norms[:FIRST_STEPS] == list(range(1, FIRST_STEPS + 1))
    gaps = np.diff([step for step in run.full if step > FIRST_STEPS])
    assert min(gaps) == LONGEST_INTERVAL
    assert max(gaps) == gaps[-1] == LONGEST_INTERVAL_CALM == run.cadence.full_every


def test_large_adapters_are_measured_in_full_from_the_step_on_at_which_they_could_be_large() -> None:
    run = Adapting(large).adapt(100)
    first = next(step for step in range(1, 100) if large((step - 1) * 1e-3) >= 1.2)
    assert set(range(first + 1, FIRST_STEPS + 1)) <= set(run.full)
    assert max(np.diff(run.full)) == LONGEST_INTERVAL


def test_a_schedule_that_rises_has_them_measured_more_often_and_one_that_falls_less() -> None:
    constant = Adapting(small).adapt(FIRST_STEPS).full
    rising, falling = Adapting(small), Adapting(small)
    for step in range(FIRST_STEPS):
        rising.adapt(1, lr=1e-4 * (step + 1))
        falling.adapt(1, lr=1e-3 * 0.8**step)
    assert len(falling.full) < len(constant) < len(rising.full)


@pytest.mark.parametrize("lr", [None, (), (1e-3, math.nan)], ids=["no size", "no rate", "one rate of two"])
def test_a_run_of_which_too_little_is_known_is_not_calm(lr: tuple[float, ...] | None) -> None:
    run = Adapting(small)
    for _ in range(60):
        if lr is not None:
            run.cadence.see(StepRecord(RUN, run.step + 1, {"output_ratio": Reading(np.array([0.1]))}, lr=lr))
        run.go(1)
    assert run.full == [*range(1, FIRST_STEPS + 1), 36, 52]


def test_an_alert_calls_for_a_full_measurement_at_once_and_ends_the_calm() -> None:
    run = Adapting(small).adapt(300)
    while run.full[-1] != run.step - 2:  # so lately that nothing else calls for the next one
        run.adapt(1)
    begun = run.step
    run.adapt(100, alarmed=True)
    after = [step for step in run.full if step > begun]
    assert after[0] == begun + 2, "the first step that is planned with the alert"
    assert max(np.diff(after)) == LONGEST_INTERVAL


@pytest.mark.parametrize("score", [{"loss_rise_score": 3.1}, {"loss_spike_score": 4.5}])
def test_a_loss_that_looks_odd_calls_for_one_full_measurement(score: dict[str, float]) -> None:
    calm, odd = Adapting(small), Adapting(small)
    odd.scores = dict.fromkeys(range(301, 320), score)
    calm.adapt(350), odd.adapt(350)
    assert set(odd.full) - set(calm.full) == {302}


@pytest.mark.parametrize("why", ["collective", "ranks"])
def test_several_ranks_do_not_go_by_what_one_of_them_sees(why: str) -> None:
    run = Adapting(small)
    run.scores = {30: {"loss_spike_score": 9.0}}
    assert run.adapt(70, **{why: True}).full == [*range(1, 21), 32, 48, 64]


@pytest.mark.parametrize("others", [{}, {"ranks": True}])
def test_without_a_cap_a_calm_run_is_measured_in_full_at_every_step(others: dict[str, bool]) -> None:
    assert Adapting(small, cap=1.0).adapt(40, **others).full == list(range(1, 41))
