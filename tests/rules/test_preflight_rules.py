"""LW4xx: settings alone, before the first step."""

from __future__ import annotations

from typing import Any

import pytest

from lora_watch import Severity
from tests.rules.runs import healthy, ids, run, the
from tests.support import lora, tiny_model


@pytest.mark.parametrize(
    ("config", "lr", "severity", "words"),
    [
        ({"alpha": 32}, 1e-3, Severity.INFO, ["Scale 4 (alpha/r)", "learning rate 0.001", "s·lr = 0.004"]),
        ({"r": 16, "alpha": 32, "use_rslora": True}, 1e-3, Severity.INFO, ["Scale 8 (alpha/sqrt(r))"]),
        ({"alpha": 16}, 5e-2, Severity.WARNING, ["s·lr = 0.1", "over 4 blocks"]),
        ({"alpha": 128}, 1e-2, Severity.WARNING, ["Scale 16 (alpha/r)"]),
    ],
    ids=["scale", "rslora-is-not-alpha-over-r", "first-step", "both"],
)
def test_aggressive_scale(config: dict[str, Any], lr: float, severity: Severity, words: list[str]) -> None:
    monitor = run(lora(tiny_model(), **config), steps=1, lr=lr)
    alert = the("LW401", monitor)
    assert (alert.step, alert.severity) == (0, severity)
    for word in words:
        assert word in alert.message
    assert alert.settings


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({"alpha": 32}, {"lr": 2e-4}),  # the scale alone
        ({"alpha": 16}, {"lr": 2e-3}),  # the rate alone
        ({"alpha": 32}, {"lr": 1e-3, "optim": "sgd"}),  # the rule of thumb is about Adam
    ],
)
def test_aggressive_scale_is_silent(config: dict[str, Any], settings: dict[str, Any]) -> None:
    assert "LW401" not in ids(run(lora(tiny_model(), **config), steps=1, **settings))


def test_the_prediction_is_what_adam_does_in_its_first_step() -> None:
    """s·lr·√(d_out·r/3) against the measured norm after one step, all layers, two ranks."""
    for r in (4, 16):
        monitor = run(lora(tiny_model(), r=r, alpha=2 * r), steps=1, lr_scheduler_type="constant")
        assert monitor.last is not None
        quotient = monitor.last.metrics["delta_norm"] / monitor.last.metrics["predicted_norm"]
        assert 0.85 < quotient.min() <= quotient.max() < 1.2


def test_the_twin_is_silent() -> None:
    assert ids(healthy()) == []
