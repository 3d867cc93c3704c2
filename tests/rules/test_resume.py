"""A run that is resumed from a checkpoint says what the uninterrupted one says."""

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from benchmarks.corpus.faults import FAULTS
from benchmarks.corpus.generate import load_all
from benchmarks.corpus.replay import records
from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.base.records import StepRecord
from lora_watch.drivers.loop import Monitor
from lora_watch.rules import Episodes, catalogue
from tests.support import build_trainer, lora, report_of, tiny_model


def monitored(fault: str, begins: int, resume_from: Path | None = None) -> tuple[Trainer, list[dict[str, Any]]]:
    """40 steps with a checkpoint at 16; the Trainer and every alert as it stands in the report."""
    callback = LoraWatchCallback(fail_on="never", console=False, tensorboard=False, full_every=1, mute=["LW104"])
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 16}
    trainer = build_trainer(lora(tiny_model()), None, 40, callbacks=[callback], **settings)
    FAULTS[fault].inject(trainer, begins)
    trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    report = report_of(trainer)
    return trainer, report["alerts"]


@pytest.mark.parametrize(
    ("fault", "begins", "rule"),
    [
        pytest.param("decay-eats", 10, "LW306", id="open-in-the-checkpoint", marks=pytest.mark.thorough),
        pytest.param("no-targets", 14, "LW204", id="half-way-through-the-evidence", marks=pytest.mark.thorough),
        pytest.param("corrupted-batches", 26, "LW202", id="later-with-the-memory-of-before"),
    ],
)
def test_a_resumed_run_raises_the_same_alerts(fault: str, begins: int, rule: str) -> None:
    trainer, alerts = monitored(fault, begins)
    assert rule in [alert["rule"] for alert in alerts]
    _, resumed = monitored(fault, begins, Path(str(trainer.args.output_dir)) / "checkpoint-16")
    assert resumed == alerts


def test_a_resumed_run_says_that_the_session_before_ended_with_an_error(tmp_path: Path) -> None:
    """Its own verdict is none the worse for it."""

    def trained(nan_from: int, resume_from: str | None = None) -> dict[str, Any]:
        watch = LoraWatchCallback(fail_on="error", console=False, tensorboard=False)
        saves = {"save_strategy": "steps", "save_steps": 4, "output_dir": str(tmp_path)}
        trainer = build_trainer(lora(tiny_model()), None, 8, callbacks=[watch], **saves)
        inner: Any = trainer.compute_loss

        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            return inner(*args, **kwargs) * (math.nan if trainer.state.global_step >= nan_from else 1.0)

        trainer.compute_loss = compute_loss
        with nullcontext() if resume_from else pytest.raises(LoraWatchError):
            trainer.train(resume_from_checkpoint=resume_from)
        return json.loads((tmp_path / "lora_watch" / "report.json").read_text())

    assert trained(nan_from=5)["notes"] == []
    report = trained(nan_from=99, resume_from=str(tmp_path / "checkpoint-4"))
    assert report["notes"] == ["the session before this one ended with an ERROR at step 6: the loss is NaN (LW201)"]
    assert (report["verdict"], report["alerts"]) == ("ok", [])


def test_a_session_with_the_prescribed_alpha_is_told_to_begin_anew(tmp_path: Path) -> None:
    def trained(alpha: float, steps: int, resume_from: str | None = None) -> Monitor:
        watch = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)
        settings = {"lr": 1e-2, "save_strategy": "steps", "save_steps": 8, "output_dir": str(tmp_path)}
        trainer = build_trainer(lora(tiny_model(), alpha=alpha), None, steps, callbacks=[watch], **settings)
        trainer.train(resume_from_checkpoint=resume_from)
        return watch.monitor

    told = trained(128, 8).next_run
    assert told is not None
    assert {"lora_alpha", "learning_rate"} == {*told.values}
    again = trained(16, 9, str(tmp_path / "checkpoint-8"))
    assert again.next_run == told.without("lora_alpha"), "which it has"
    other = next(alert for alert in again.alerts if alert.rule == "LW314")
    assert other.fixes == ["begin anew: this checkpoint's run has failed (LW102)"]
    file = tmp_path / "lora_watch" / "report.json"
    report = json.loads(file.read_text())
    for alerts in ([], report["alerts"]):
        file.write_text(json.dumps(report | {"verdict": "interrupted", "alerts": alerts}))
        noted = any("resume_from_checkpoint=True goes on" in note for note in trained(16, 1).run.notes)
        assert noted == (not alerts), "nobody is sent back to a run that has failed"


def resumed_at(cut: int | None, recorded: list[StepRecord]) -> Episodes:
    """What the rules say of a recorded run, broken off after ``cut`` and taken up by new ones from a checkpoint."""
    episodes = Episodes(catalogue())
    for record in recorded:
        if record.step - 1 == cut:
            state = json.loads(json.dumps(episodes.state_dict()))
            episodes = Episodes(catalogue())
            episodes.load_state_dict(state)
        episodes.check(record)
    episodes.conclude(recorded[-1])
    return episodes


@pytest.mark.thorough
def test_every_rule_goes_on_where_it_stood_on_every_fault_of_the_corpus() -> None:
    touched: set[str] = set()
    for trace in (trace for spec, trace in load_all().items() if spec.fault and spec.held_out):
        recorded = list(records(trace))
        whole = resumed_at(None, recorded)
        for cut in (2, 12, 26):
            again = resumed_at(cut, recorded)
            assert [a.to_dict() for a in again.alerts] == [a.to_dict() for a in whole.alerts], (trace.spec, cut)
            assert json.dumps(again.state_dict()) == json.dumps(whole.state_dict()), (trace.spec, cut)
        touched |= {rule.id for rule, fresh in zip(whole.rules, catalogue()) if rule.state_dict() != fresh.state_dict()}
    with_state = {rule.id for rule in catalogue() if rule.state_dict().keys() - {"wants"}}
    # No such trace has rewards, or labels of its batches; all others must have something to keep.
    assert with_state - touched == {"LW201", "LW204", "LW207", "LW210", "LW315"}
