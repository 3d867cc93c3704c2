"""LW4xx: settings alone, before the first step."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from lora_watch import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules import AggressiveScale
from lora_watch.rules.remedies import weaker
from tests.rules.runs import ids, numbers, run, the
from tests.support import lora, tiny_model


@pytest.mark.parametrize(
    ("alpha", "lr", "stated", "formula"), [(16, 5e-2, {0.05}, "learning rate"), (128, 1e-2, {16, 0.01}, "alpha/r")]
)
def test_aggressive_scale(alpha: int, lr: float, stated: set[float], formula: str) -> None:
    monitor = run(lora(tiny_model(), alpha=alpha), steps=1, lr=lr)
    alert = the("LW401", monitor)
    assert (alert.step, alert.severity) == (0, Severity.WARNING)
    assert stated <= numbers(alert.message)
    assert formula in alert.message
    assert "times" not in alert.details, "by which its own rates would have to differ"
    assert alert.settings


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({"alpha": 32}, {"lr": 5e-3}),  # above an ordinary step, and far from a ruinous one
        ({"alpha": 128, "targets": ["q_proj", "v_proj"]}, {"lr": 1e-2}),  # few modules may each be larger
        ({"alpha": 16}, {"lr": 2e-3}),  # the rate alone
        ({"alpha": 32}, {"lr": 1e-3, "optim": "sgd"}),  # whose first step follows the gradient
        ({"r": 2, "alpha": 16, "use_rslora": True}, {"lr": 1e-5}),
        ({"r": 64, "alpha": 16}, {}),  # a low α/r is no fault, either
        ({"r": 64, "alpha": 16, "use_rslora": True}, {}),  # the article's example: 2
        ({"r": 8, "alpha": 8, "use_rslora": True}, {}),  # 2.8
        ({"r": 1, "alpha": 16}, {}),  # a high α/r is no fault
    ],
)
def test_aggressive_scale_is_silent(config: dict[str, Any], settings: dict[str, Any]) -> None:
    assert "LW401" not in ids(run(lora(tiny_model(), **config), steps=1, **settings))


def test_an_untrained_base_is_called_so_and_judged_by_no_rate_or_size_of_trained_ones() -> None:
    for base, untrained in ((type(tiny_model())(tiny_model().config), True), (tiny_model(), False)):
        assert ("LW104" not in ids(run(lora(copy.deepcopy(base)), 13, lr=1e-5))) is untrained
        monitor = run(lora(base, alpha=16), steps=1, lr=5e-2)
        told = weaker(StepRecord(monitor.run, 1, {})).next_run
        assert (told is not None and told.settings["learning_rate"].low is None) is untrained
        assert any("looks untrained" in note for note in monitor.run.notes) is untrained
        assert ("LW401" not in ids(monitor)) is untrained


def test_aggressive_scale_gives_way_to_a_rate_that_a_sweep_has_found() -> None:
    planned = run(lora(tiny_model(), alpha=16), steps=1, lr=5e-2).run
    for found, silent in ((5e-2, True), (1e-2, False)):
        swept = replace(planned, config={**planned.config, "find_lr": {"rate": found}})
        assert (AggressiveScale().check(StepRecord(swept, 0, {})) is None) is silent


def test_rslora_over_an_alpha_that_was_meant_for_alpha_over_r_where_the_size_is_unknown() -> None:
    alert = the("LW401", run(lora(tiny_model(), r=64, alpha=128, use_rslora=True), steps=1, optim="sgd"))
    assert (alert.step, alert.severity, alert.settings) == (0, Severity.WARNING, {})
    assert {128, 2, 16} <= numbers(str(alert))
