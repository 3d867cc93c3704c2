"""LW104 on stored runs of the corpus that are too long to train here."""

from dataclasses import replace

import pytest

from benchmarks.corpus.generate import load_all, trace
from benchmarks.corpus.plan import Spec
from benchmarks.corpus.replay import judge
from lora_watch.rules import BarelyMoves
from lora_watch.rules.norms import BATCHES
from lora_watch.rules.size import compared, projected


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        pytest.param(Spec(lr=1e-5, seed=0, steps=60, batch=4), True, id="it gains 1 % of the best"),
        pytest.param(
            Spec(base="smollm2", lr=5e-4, seed=2, steps=25, batch=4),
            False,
            id="its first step is a twelfth of a useful one",
        ),
    ],
)
def test_a_slow_run_is_named_where_larger_adapters_lower_the_loss_by_little(spec: Spec, named: bool) -> None:
    trace = load_all([spec])[spec]
    assert ("LW104" in {alert.rule for alert in judge(trace)}) == named
    without = [BarelyMoves(reach=0.0, slow=0.0)]
    assert "LW104" not in {alert.rule for alert in judge(trace, without)}
    quick = [BarelyMoves(slow=0.1)]
    assert "LW104" in {alert.rule for alert in judge(trace, quick)}


def test_adapters_that_learn_preferences_may_stay_small() -> None:
    small = Spec(lr=1e-5, seed=2)
    trace = load_all([small])[small]
    assert "LW104" in {alert.rule for alert in judge(trace)}
    dpo = replace(trace.records[0].run, config={**trace.records[0].run.config, "preference": True})
    under_dpo = replace(trace, records=[replace(record, run=dpo) for record in trace.records])
    assert "LW104" not in {alert.rule for alert in judge(under_dpo)}


def test_a_new_trace_holds_the_losses_that_rules_ask_for() -> None:
    records = trace(Spec(steps=12, batch=1, length=64)).records
    assert sum(projected(record) is not None for record in records) == 2 * BATCHES
    assert sum(compared(record) is not None for record in records) > 2 * BATCHES
