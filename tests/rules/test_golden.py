"""A sample of the corpus gives the alerts that were kept: ``python -m benchmarks.corpus.golden`` replays all of it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.corpus.generate import files, load_all, plan, trace
from benchmarks.corpus.golden import changes, plain, read
from benchmarks.corpus.plan import Spec, larger
from benchmarks.corpus.replay import judge
from benchmarks.corpus.traces import names
from lora_watch.base.alerts import Alert
from lora_watch.rules import BarelyMoves, NormExplosion
from lora_watch.rules.norms import BATCHES
from lora_watch.rules.size import compared, projected

EVERY = 40
"""One in so many runs of the plan is replayed: some 35, every label and several faults among them."""


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {**read()}


@pytest.fixture(scope="module")
def sample() -> dict[Spec, list[Alert]]:
    return {spec: judge(trace) for spec, trace in load_all(plan()[::EVERY]).items()}


def test_every_trace_has_its_alerts_kept(kept: dict[str, Any]) -> None:
    assert {*kept} == {name for file in files() for name in names(file)} & {spec.name for spec in [*plan(), *larger()]}


def test_a_sample_gives_the_alerts_that_were_kept(kept: dict[str, Any], sample: dict[Spec, list[Alert]]) -> None:
    moved = {}
    for spec, alerts in sample.items():
        now = json.loads(json.dumps(plain(alerts)))
        if found := changes(kept[spec.name], now):
            moved[spec.name] = found
    assert moved == {}


def test_no_run_ends_with_two_prescriptions(sample: dict[Spec, list[Alert]]) -> None:
    carried = [sum(alert.next_run is not None for alert in alerts) for alerts in sample.values()]
    assert max(carried) == 1
    assert sum(carried) > 5


def test_new_values_stand_in_the_prescription_alone(sample: dict[Spec, list[Alert]]) -> None:
    def texts() -> Iterator[str]:
        for alert in (alert for alerts in sample.values() for alert in alerts):
            yield from (alert.message, alert.details, *alert.causes, *alert.remedies)

    numbers = r"→|(learning_rate|lora_alpha)=[\d.]|times (too (strong|low)|as large as a useful)"
    assert [text for text in texts() if re.search(numbers, text)] == []


def test_a_moved_threshold_shows(kept: dict[str, Any]) -> None:
    rules = [NormExplosion(threshold_if_worse=1000.0, threshold=1000.0), BarelyMoves(reach=0.0, slow=0.0)]
    some = load_all(spec for spec in plan() if spec.name in SHOWS)
    moved = {spec.name for spec, trace in some.items() if changes(kept[spec.name], plain(judge(trace, rules)))}
    assert moved == SHOWS


SHOWS = {Spec(lr=1e-5, seed=0, steps=60, batch=4).name, Spec(lr=1e-2, scale=16.0, seed=2).name}


# -- LW104 on stored runs that are too long to train here --------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "named"),
    [
        pytest.param(Spec(lr=1e-5, seed=0, steps=60, batch=4), True, id="it gains 1 % of the best"),
        pytest.param(Spec(base="smollm2", lr=5e-4, seed=2, steps=25, batch=4), False, id="a twelfth of a useful one"),
    ],
)
def test_a_slow_run_is_named_where_larger_adapters_lower_the_loss_by_little(spec: Spec, named: bool) -> None:
    run = load_all([spec])[spec]
    rules = ([BarelyMoves()], [BarelyMoves(reach=0.0, slow=0.0)], [BarelyMoves(slow=0.1)])
    assert ["LW104" in {alert.rule for alert in judge(run, each)} for each in rules] == [named, False, True]


def test_adapters_that_learn_preferences_may_stay_small() -> None:
    small = Spec(lr=1e-5, seed=2)
    run = load_all([small])[small]
    assert "LW104" in {alert.rule for alert in judge(run)}
    dpo = replace(run.records[0].run, config={**run.records[0].run.config, "preference": True})
    under_dpo = replace(run, records=[replace(record, run=dpo) for record in run.records])
    assert "LW104" not in {alert.rule for alert in judge(under_dpo)}


def test_a_new_trace_holds_the_losses_that_rules_ask_for() -> None:
    records = trace(Spec(steps=12, batch=1, length=64)).records
    assert sum(projected(record) is not None for record in records) == 2 * BATCHES
    assert sum(compared(record) is not None for record in records) > 2 * BATCHES
