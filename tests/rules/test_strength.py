"""Remedies: numbers that people type, and that cure."""

from __future__ import annotations

import pytest

from lora_watch.records import AdapterInfo
from lora_watch.rules.strength import rescaled, typed
from tests.rules.runs import ids, run, the
from tests.support import lora, tiny_model


def adapter(r: int, alpha: float, scale: float, formula: str = "alpha/r") -> AdapterInfo:
    return AdapterInfo("layer", "Linear", 0, 64, 64, r, alpha, scale, formula, 0, 2 * 64 * r)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0123, 0.01), (8e-3, 5e-3), (1e-3, 1e-3), (0.00299, 0.002), (3.0, 3.0)]
)
def test_a_learning_rate_is_rounded_down_to_what_people_type(value: float, expected: float) -> None:
    assert typed(value, (1, 2, 3, 5), 10) == pytest.approx(expected)


def test_a_high_scale_comes_down_before_the_learning_rate() -> None:
    assert rescaled(adapter(8, 64, 8.0), 1e-3, 4.0) == (16, 2.0, 1e-3)
    assert rescaled(adapter(8, 64, 8.0), 1e-3, 10.0) == (16, 2.0, pytest.approx(3e-4))
    assert rescaled(adapter(8, 16, 2.0), 1e-3, 10.0) == (16, 2.0, pytest.approx(1e-4))


def test_rslora_is_rescaled_by_its_own_formula() -> None:
    alpha, scale, _ = rescaled(adapter(64, 64, 8.0, "alpha/sqrt(r)"), 1e-3, 4.0)
    assert (alpha, scale) == (16, 2.0)


def test_strengthening_leaves_the_scale_alone() -> None:
    assert rescaled(adapter(8, 16, 2.0), 1e-5, 1 / 50) == (16, 2.0, pytest.approx(5e-4))


@pytest.mark.parametrize(
    ("rule", "alpha", "lr"),
    [("LW102", 64, 2e-2), ("LW102", 128, 5e-2), ("LW102", 32, 3e-2), ("LW104", 16, 1e-5)],
)
def test_the_advice_cures(rule: str, alpha: float, lr: float) -> None:
    """Train again with the numbers that the alert gives: the run learns, and nothing above INFO is left to say."""
    sick = run(lora(tiny_model(), alpha=alpha), steps=40, lr=lr)
    alert = the(rule, sick)
    advice, new = alert.remedies[0], alert.settings
    for value in new.values():
        assert f"→ {value:g}" in advice
    cured = run(lora(tiny_model(), alpha=new.get("lora_alpha", alpha)), steps=40, lr=new.get("learning_rate", lr))
    assert ids(cured) == [], advice
    assert cured.last is not None
    assert cured.last.scalars["loss_improved"] == 1.0, advice
