"""The incident record's story names the layer and the step that moved first."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lora_watch.gate import judge
from lora_watch.gate.story import tell
from tests.runs.written import incident_of
from tests.sinks.made_up import alert_of

NAMES = ["layers.0.q", "layers.1.q", "layers.2.q"]
STEPS = range(11, 21)


def quiet() -> np.ndarray:
    """``[steps][adapters]``: what a healthy metric does over ten steps."""
    return np.linspace(1.0, 1.5, len(STEPS))[:, None] * np.array([1.0, 2.0, 3.0])


def test_nothing_without_a_record() -> None:
    assert tell(None, []) == []


@pytest.mark.parametrize(
    "odd", [3, [], {}, {"steps": 1}, {"steps": [1], "adapters": [1]}, {"steps": ["x"], "adapters": []}]
)
def test_an_odd_file_is_one_sentence(odd: Any) -> None:
    (line,) = tell(odd, [])
    assert "not hold" in line


def test_a_quiet_record_has_no_first() -> None:
    (line,) = tell(incident_of(NAMES, STEPS, delta_norm=quiet()), [])
    assert re.findall(r"\d+", line) == ["10", "11", "20"]


def test_what_healthy_runs_do_is_no_jump(healthy: Path) -> None:
    log = judge([healthy]).runs[0].run.log
    metrics = {
        name: log.metric(name, log.steps) for name in ("a_grad_norm", "b_grad_norm", "delta_norm", "output_ratio")
    }
    names = list(metrics["delta_norm"][1])
    rows = {
        name: [[by_step[step][adapter] for adapter in names] if step in by_step else None for step in log.steps[1:]]
        for name, by_step in metrics.items()
    }
    incident = incident_of(names, log.steps[1:]) | {"metrics": rows}
    assert len(tell(incident, [])) == 1


def test_growth_from_zero_is_no_jump() -> None:
    """‖ΔW‖ begins at 0 and grows with the steps, faster under a warm-up."""
    steps = range(1, 11)
    grows = np.array([[step**2] * 3 for step in steps], dtype=float)
    assert len(tell(incident_of(NAMES, steps, delta_norm=grows), [])) == 1


def test_what_moved_first() -> None:
    gradient, norm = quiet(), quiet()
    gradient[4:, 1] *= 8
    norm[5:, 1] *= 4
    norm[7:, :] *= 6
    lines = tell(incident_of(NAMES, STEPS, delta_norm=norm, b_grad_norm=gradient), [])
    (first,) = [line for line in lines if line.startswith("What moved")]
    assert re.search(r": step 15, b_grad_norm of layers\.1\.q .*\b8(\.\d+)? ×", first)
    assert "layers.2.q at step 18" in first
    assert "layers.0.q at step 18" in first


def test_within_a_step_the_gradient_comes_before_the_norm() -> None:
    gradient, norm = quiet(), quiet()
    gradient[4:, 2] *= 6
    norm[4:, 0] *= 300
    lines = tell(incident_of(NAMES, STEPS, delta_norm=norm, b_grad_norm=gradient), [])
    assert re.search(r": step 15, b_grad_norm of layers\.2\.q .*; then 1 more ", lines[1])


def test_not_finite_first() -> None:
    norm = quiet()
    norm[6:, 2] = math.inf
    norm[8:, :] = math.nan
    lines = tell(incident_of(NAMES, STEPS, delta_norm=np.where(np.isfinite(norm), norm, norm)), [])
    assert re.match(
        r"Not finite .*: step 17, delta_norm of layers\.2\.q .*\binf; then .*layers\.0\.q .*\b19\b", lines[1]
    )


def test_the_loss_is_part_of_it() -> None:
    incident = incident_of(NAMES, STEPS, delta_norm=quiet())
    incident["loss"] = [2.0] * 8 + ["NaN", None]
    assert re.match(r"Not finite .*: step 19, loss .*\bnan\.$", tell(incident, [])[1])


def test_the_alerts_limit_and_the_adapter_that_is_saved() -> None:
    ratio = quiet()
    ratio[8:, 1] = 5.0
    incident = incident_of(NAMES, STEPS, output_ratio=ratio) | {"last_good": {"folder": "last_good", "step": 17}}
    lines = tell(incident, [alert_of(20, metric="output_ratio", threshold=4.2)])
    (beyond,) = [line for line in lines if "LW102's threshold" in line]
    assert re.search(r": step 19, output_ratio of layers\.1\.q .*\b5; then 1 more ", beyond)
    assert "Step 20: LW102 norm-explosion opened." in lines
    assert re.match(r"last_good/, .*incident\.json, .*step 17\.$", lines[-1])


def test_a_metric_that_was_measured_now_and_then() -> None:
    incident = incident_of(NAMES, STEPS, spectral_norm=quiet())
    incident["metrics"]["spectral_norm"][3] = None
    incident["metrics"]["spectral_norm"][5] = [None, "Infinity", 1.0]
    assert re.search(r": step 16, spectral_norm of layers\.1\.q .*\binf\b", tell(incident, [])[1])
