"""Which steps are measured, and in full: by steps and the run's own numbers, whatever the machine is doing."""

import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from lora_watch import Monitor
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.run.recording import FIRST_STEPS, Cadence
from tests.monitor.test_monitor import built, loop
from tests.support import few

FIRST = list(range(1, FIRST_STEPS + 1))


def measured(
    steps: int,
    *,
    every: int = 1,
    full_every: int = 16,
    first: int = 0,
    scores: Mapping[int, dict[str, float]] = {},
    opened: Mapping[int, int] = {},
    **others: Any,
) -> tuple[list[int], list[int]]:
    """The steps with norms, and the full ones. ``scores``: of the loss of a step; ``opened``: alerts at a step."""
    cadence, alerts, norms, full = Cadence(every, full_every), 0, [], []
    cadence.first = first
    for step in range(first + 1, first + steps + 1):
        cadence.plan(step, alerts=alerts, **others)
        due = cadence.due
        assert due.trained
        norms += [step] * due.norms
        full += [step] * due.full
        cadence.see(StepRecord(RunInfo(()), step, {}, scalars=scores.get(step, {})))
        alerts += opened.get(step, 0)
    return norms, full


def test_norms_at_every_step_and_everything_at_the_first_and_at_fixed_ones() -> None:
    assert measured(70) == (list(range(1, 71)), [*FIRST, 32, 48, 64])
    assert measured(30, full_every=1)[1] == list(range(1, 31))
    assert measured(30, first=100)[1] == [*range(101, 121), 128], "a resumed run has first steps of its own"
    assert measured(100, every=3) == (list(range(3, 100, 3)), [3, 6, 9, 12, 15, 18, 48, 96])


@pytest.mark.parametrize("score", [{"loss_rise_score": 3.1}, {"loss_spike_score": 4.5}])
def test_a_loss_that_begins_to_look_odd_has_the_next_step_measured_in_full(score: dict[str, float]) -> None:
    odd = dict.fromkeys(range(40, 47), score)
    assert measured(60, scores=odd)[1] == [*FIRST, 32, 41, 48]
    assert measured(60, scores=odd, ranks=True)[1] == [*FIRST, 32, 48], "other ranks see other losses"


def test_an_alert_that_opens_has_the_next_step_measured_in_full() -> None:
    assert measured(60, opened={25: 1, 40: 2})[1] == [*FIRST, 26, 32, 41, 48]
    assert measured(60, opened={25: 1}, ranks=True)[1] == [*FIRST, 32, 48]
    assert measured(60, every=5, opened={26: 1})[1] == [5, 10, 15, 20, 30], 'with "every" the next one that is measured'


def test_what_is_wanted_is_measured_in_full_off_the_beat_too() -> None:
    cadence = Cadence(5)
    assert cadence.plan(33, wanted=True)
    assert cadence.due == (33, True, True, True)
    assert not cadence.plan(34)
    assert cadence.due == (34, True, False, False)
    assert Cadence().due == (0, False, True, True), "the state before the first step"


def test_a_slow_machine_measures_the_same_steps_and_writes_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the second run each look at a clock seems to come an hour after the one before."""
    quiet = numbers()
    for clock in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        now = itertools.count(getattr(time, clock)(), 3600.0)
        monkeypatch.setattr(time, clock, lambda now=now: next(now))
    assert numbers() == quiet


def numbers() -> list[tuple[int, float | None, dict[str, bytes]]]:
    torch.manual_seed(0)
    model = few().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    with Monitor(model, optimizer, console=False) as monitor:
        records = loop(monitor, model, optimizer, 36)
    return [
        (r.step, r.loss, {name: reading.measured.tobytes() for name, reading in r.metrics.items()}) for r in records
    ]


def test_the_overhead_is_counted_anew_after_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[int] = []
    model, optimizer = built()
    monitor = Monitor(model, optimizer, console=False)
    monkeypatch.setattr(monitor.guard, "start_clock", lambda: began.append(monitor.last.step if monitor.last else 0))
    loop(monitor, model, optimizer, FIRST_STEPS + 3)
    assert began == [0, FIRST_STEPS - 1], "at the start, and while the last of the first steps is judged"
