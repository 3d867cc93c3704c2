"""One model of the size of the adapters: its sources agree, and what is advised needs no further advice."""

import itertools
from dataclasses import replace

import pytest

from lora_watch import find_learning_rate
from lora_watch.base.alerts import Alert
from lora_watch.base.records import AdapterInfo, RunInfo, StepRecord
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.rules import AggressiveScale
from lora_watch.rules.forecast import (
    LONG_RUN,
    OF_GROWTH,
    SHORT_RUN,
    at_steps,
    by_weights,
    stronger_by,
    useful_step,
    weaker_by,
)
from lora_watch.rules.remedies import typed_rate, weaker
from lora_watch.tune.preflight import preflight
from tests.rules.runs import run, the
from tests.support import build_trainer, lora, tiny_model


def record_of(
    alpha: float,
    lr: float,
    first: float | None = None,
    r: int = 8,
    modules: int = 6,
    base_norm: float = 3.0,
    optimizer: str = "AdamW",
    task: str = "CAUSAL_LM",
    rslora: bool = False,
    steps: int = SHORT_RUN,
) -> StepRecord:
    """The third of ``steps`` of a run on four blocks whose first full step has added ``first`` to the output ratio."""
    scale, formula = (alpha / r**0.5, "alpha/sqrt(r)") if rslora else (alpha / r, "alpha/r")
    adapters = tuple(
        AdapterInfo(f"layers.{i}.m{k}", "Linear", i, 128, 128, r, alpha, scale, formula, 0, 2 * 128 * r, base_norm)
        for i in range(4)
        for k in range(modules)
    )
    config = {"learning_rate": lr, "lora": {"default": {"task_type": task}}}
    record = StepRecord(RunInfo(adapters, steps, config, optimizer=optimizer, peak_lr=(lr,)), 3, {}, lr=(lr,))
    if first is not None:
        record.derived["first step"] = first
    return record


def test_a_first_step_that_is_measured_comes_down_to_a_useful_one_under_any_optimizer() -> None:
    for optimizer, first in itertools.product(("AdamW", "SGD", "Adafactor"), (0.5, 2.0, 50.0)):
        record = record_of(16, 1e-2, first, optimizer=optimizer)
        assert weaker_by(record)[0] == pytest.approx(first / useful_step(record.run))
    head = record_of(16, 1e-2, 2.0, task="SEQ_CLS")
    assert useful_step(head.run) < useful_step(record_of(16, 1e-2).run)
    assert weaker_by(head)[0] > weaker_by(record_of(16, 1e-2, 2.0))[0]


def test_a_longer_run_is_advised_a_lower_rate_by_the_law_of_lengths() -> None:
    short, long, longer = (record_of(16, 1e-2, 2.0, steps=steps) for steps in (SHORT_RUN, LONG_RUN, 3 * LONG_RUN))
    lowered = at_steps(1.0, SHORT_RUN, LONG_RUN)
    assert weaker_by(short)[0] == pytest.approx(lowered * weaker_by(long)[0])
    assert weaker_by(longer)[0] == pytest.approx(weaker_by(long)[0])
    small = [stronger_by(record_of(16, 1e-5, 1e-3, steps=steps), 1e-6) for steps in (SHORT_RUN, LONG_RUN)]
    assert small[1] == pytest.approx(lowered * small[0])


def test_with_a_new_head_the_rate_falls_faster_and_no_further_than_it_was_measured() -> None:
    by = [weaker_by(record_of(16, 1e-2, 2.0, task="SEQ_CLS", steps=steps))[0] for steps in (6, 12, 40, 160, 600, 2000)]
    assert by[3] == pytest.approx(2 * by[2])
    assert by[5] == by[4] > 3 * by[2]
    assert by[0] == by[1] == pytest.approx(by[2] * (12 / 40) ** 0.5)


GRID = [
    *itertools.product((4, 16, 64, 128, 1024), (1e-4, 2e-3, 3e-2, 0.5), (None, 0.05, 0.4, 1.5, 40.0), (8,), (1, 6)),
    *itertools.product((16, 256), (2e-3, 3e-2), (0.4, 40.0), (1, 64), (1, 6)),
]


@pytest.mark.parametrize("rslora", [False, True])
def test_what_is_advised_is_lower_and_asks_for_no_further_advice(rslora: bool) -> None:
    for alpha, lr, first, r, modules in GRID:
        record = record_of(alpha, lr, first, r, modules, rslora=rslora)
        advised = weaker(record, overall=20.0).next_run
        new = advised.settings
        rate, other = (new[k].ours if k in new else own for k, own in (("learning_rate", lr), ("lora_alpha", alpha)))
        assert rate <= lr
        assert rate * other <= rate * alpha
        assert rate * other <= lr * alpha / 1.99, (alpha, lr, first, r, modules)
        planned = replace(record_of(other, rate, r=r, modules=modules, rslora=rslora), step=0)
        again = AggressiveScale().check(planned)  # of a scale that falls with the rank it tells, and prescribes nothing
        assert again is None or not again.next_run, (alpha, lr, first, r, modules, new)


def stated(alert: Alert) -> tuple[float, float]:
    """The range that is prescribed for the rate."""
    rate = alert.next_run.settings["learning_rate"]
    assert rate.low <= rate.ours <= rate.high
    return rate.low, rate.high


def test_all_sources_agree_on_one_run() -> None:
    """The packaged Llama at r 8 and alpha 16: the weights, the settings, an alert and a sweep."""
    failing = run(lora(tiny_model()), 20, lr=3e-2)
    weights = by_weights(failing.run)
    settings = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
    judged = preflight(settings, {"learning_rate": 5e-2}, model=TINY_LLAMA).findings[0]
    exploded = the("LW102", failing)
    swept = find_learning_rate(build_trainer(lora(tiny_model()), None, 40), steps=40)
    assert swept.predicted == typed_rate(weights.best), "as people type it"
    ranges = [(weights.low, weights.high), stated(judged), stated(exploded), (swept.low, swept.high)]
    assert max(low for low, _ in ranges) <= min(high for _, high in ranges), ranges
    for low, high in ranges[:3]:
        assert low <= swept.rate <= high, ranges
    longer = replace(failing.last, run=replace(failing.run, max_steps=LONG_RUN))
    longer.derived.update(failing.last.derived)
    told = weaker(longer).next_run
    advised = told.values["learning_rate"]
    in_a_long_run = swept.at_steps(LONG_RUN)
    assert 1 / OF_GROWTH <= advised / in_a_long_run <= OF_GROWTH
