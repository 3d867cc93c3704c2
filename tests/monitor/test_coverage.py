"""``ok`` is earned: it is decided from steps judged of steps done and adapters measured of adapters found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch

from lora_watch import Finding, Monitor, Rule, Severity, Sink, StepRecord
from lora_watch.gate import judge
from lora_watch.run.coverage import Coverage
from lora_watch.run.recording import Recorder
from lora_watch.run.recovery import Recovery
from lora_watch.snapshots.copies import Learned
from tests.monitor.test_monitor import built, loop
from tests.sinks.made_up import record_of, run_of
from tests.support import needs_peft, report_of, tiny_model


def judged(folder: Path, steps: int = 4, **settings: Any) -> tuple[Monitor, str, int]:
    """A healthy plain loop: its monitor, its verdict and the exit code of ``lora-watch check``."""
    model, optimizer = built()
    with Monitor(model, optimizer, output_dir=folder, console=False, **settings) as monitor:
        loop(monitor, model, optimizer, steps)
    return monitor, report_of(folder)["verdict"], judge([folder]).exit_code


class Broken(Rule):
    """Raises whenever it is asked."""

    id, name, severity = "X1", "broken", Severity.ERROR

    def check(self, record: StepRecord) -> Finding | None:
        raise RuntimeError("of the user's own")


# -- steps -------------------------------------------------------------------------------------------------------------


def test_a_rule_that_always_raises_costs_itself_alone_and_the_verdict(tmp_path: Path) -> None:
    model, optimizer = built(alpha=128, lr=5e-2)
    with Monitor(model, optimizer, output_dir=tmp_path, rules=[Broken()], console=False) as monitor:
        loop(monitor, model, optimizer, 6)
    rules = [alert.rule for alert in monitor.alerts]
    assert "LW102" in rules, "the other rules are asked"
    (failure,) = (alert for alert in monitor.alerts if alert.rule == "LW901")
    assert "X1" in failure.message
    _, verdict, code = judged(tmp_path / "healthy", rules=[Broken()])
    assert (verdict, code) == ("unknown", 2)
    assert [alert["rule"] for alert in report_of(tmp_path / "healthy")["alerts"]] == ["LW901"]


def test_a_run_of_no_step_is_no_success(tmp_path: Path) -> None:
    with Monitor(*built(), output_dir=tmp_path, console=False):
        pass
    assert report_of(tmp_path)["verdict"] == "unknown"


def test_an_error_that_is_over_was_one_all_the_same(tmp_path: Path) -> None:
    class Once(Rule):
        """Holds at the first step alone."""

        id, name, severity = "X2", "once", Severity.ERROR

        def check(self, record: StepRecord) -> Finding | None:
            return Finding("It was bad.") if record.step == 1 else None

    monitor, verdict, code = judged(tmp_path, 9, rules=[Once()])
    assert monitor.alerts[0].closed_step is not None
    assert (verdict, code) == ("unhealthy", 1), "the last line, the verdict and the gate agree"


# -- adapters ----------------------------------------------------------------------------------------------------------

OTHERS: Mapping[str, Any] = {
    "OFT": lambda: peft.OFTConfig(oft_block_size=32, r=0, target_modules=["q_proj"]),
    "IA3": lambda: peft.IA3Config(target_modules=["q_proj"], feedforward_modules=[]),
    "HRA": lambda: peft.HRAConfig(r=4, target_modules=["q_proj"]),
    "tokens": lambda: peft.TrainableTokensConfig(token_indices=[1], target_modules=["embed_tokens"]),
    "prompt": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
}


@pytest.mark.parametrize("method", [pytest.param(m, marks=needs_peft("0.15") if m == "tokens" else ()) for m in OTHERS])
def test_a_method_that_cannot_be_measured_is_not_ok(method: str, tmp_path: Path) -> None:
    model = peft.get_peft_model(tiny_model(), OTHERS[method]()).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(model, optimizer, output_dir=tmp_path, console=False) as monitor:
        loop(monitor, model, optimizer, 2)
    assert (report_of(tmp_path)["verdict"], judge([tmp_path]).exit_code) == ("unknown", 2)
    assert monitor.engine.coverage.is_blind
    assert monitor.alerts == []


@needs_peft("0.15")
def test_tokens_that_lora_trains_cost_no_verdict(tmp_path: Path) -> None:
    """As ``modules_to_save``."""
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], trainable_token_indices=[1, 2])
    model = peft.get_peft_model(tiny_model(), config).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(model, optimizer, output_dir=tmp_path, console=False) as monitor:
        loop(monitor, model, optimizer, 4)
    assert (report_of(tmp_path)["verdict"], judge([tmp_path]).exit_code) == ("ok", 0)


def records(sizes: list[float], known: int = 3) -> list[StepRecord]:
    run, there = run_of(), dict.fromkeys(METRICS, np.arange(3) < known)
    each = (dict.fromkeys(METRICS, np.full(3, size)) for size in sizes)
    return [record_of(run, step, metrics=metrics, known=there) for step, metrics in enumerate(each, 1)]


METRICS = ("delta_norm", "relative_spectral_norm")


@pytest.mark.parametrize(
    ("sizes", "known", "lost", "ok"),
    [
        ([0.1] * 2, 3, 0, True),
        ([0.1, 1.0, 900.0], 3, 0, False),  # of an absurd rate, and no rule has had the time to say so
        ([0.1] * 5 + [900.0], 3, 0, True),  # the rules have
        ([0.1] * 6, 2, 0, False),
        ([0.1] * 19, 3, 18, False),
        ([0.1] * 19, 3, 9, True),
    ],
)
def test_what_is_missing_for_ok(sizes: list[float], known: int, lost: int, ok: bool) -> None:
    coverage = Coverage()
    for record in records(sizes, known):
        coverage.done += 1
        coverage.judged(record, 0)
    coverage.concluded = True
    gap = coverage.gap(0, lost)
    assert (gap is None, "array" in str(gap)) == (ok, False)


# -- the start ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method", "settings"),
    [
        (Recorder, "find", {"fail_on": "error"}),
        (Learned, "content", {"recover": 3}),
        (Recovery, "prepare", {"recover": 3}),
    ],
)
def test_one_failure_at_the_start_ends_no_training(
    kind: type, method: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, first = getattr(kind, method), iter([True])
    monkeypatch.setattr(kind, method, lambda *args: 1 / 0 if next(first, False) else inner(*args))
    monitor, _, code = judged(tmp_path, **settings)
    assert [alert.rule for alert in monitor.alerts] == ["LW901"]
    assert len(monitor.run.adapters) == 28, "they are looked for again"
    assert (monitor.steps, code) == (4, 1)


# -- what is told ------------------------------------------------------------------------------------------------------


def test_every_failure_is_named_and_a_refused_connection_is_no_full_disk(tmp_path: Path) -> None:
    class Refused(Sink):
        def write(self, record: StepRecord, alerts: Any) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

    monitor, verdict, _ = judged(tmp_path, rules=[Broken()], sinks=[Refused()])
    (failure,) = monitor.alerts
    assert "Refused" in failure.message
    assert "X1" in failure.message
    assert not any("space" in remedy for remedy in failure.remedies)
    assert verdict == "unknown"
    assert judged(tmp_path / "writing alone", sinks=[Refused()])[1] == "ok", "a sink costs itself alone"
