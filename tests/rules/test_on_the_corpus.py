"""LW102 and LW104 on stored runs of the corpus that are too long to train here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.corpus.generate import load_all, trace
from benchmarks.corpus.plan import Spec, everyday
from benchmarks.corpus.replay import judge
from lora_watch.base.alerts import Alert
from lora_watch.rules import BarelyMoves
from lora_watch.rules.harm import compared, projected
from lora_watch.rules.norms import BATCHES


def explosion(name: str) -> Alert:
    (trace,) = load_all(spec for spec in everyday(held_out=True) if spec.name == name).values()
    (alert,) = [alert for alert in judge(trace) if alert.rule == "LW102"]
    return alert


def test_adapters_are_compared_at_a_great_size_although_the_loss_has_improved() -> None:
    assert explosion("tiny_headers_r8_s2_lr0.02_b1_constant4_adamw_torch0.01_t64_qv_longest_seed19").step > 20


def test_an_explosion_is_over_when_the_adapters_help_although_the_data_have_become_harder() -> None:
    """The easiest examples come first, so that no later loss is below that of the start."""
    good = explosion("tiny_news_r8_s16_lr0.01_b4_linear_t64_qv_easiest_seed19")
    assert good.closed_step is not None
    assert good.closed_step < 70
    assert explosion("tiny_python_r8_s2_lr0.05_b4_linear_t128_v_easiest_seed17").closed_step is None, "a damaged run"


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
