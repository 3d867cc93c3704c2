"""The callback in runs that are resumed, reused, killed or broken off."""

import json
from pathlib import Path
from typing import Any

import pytest

from lora_watch import LoraWatchCallback, LoraWatchError, watch
from lora_watch.measurement.norms import base
from tests.support import build_trainer, few, report_of, stdlib_blocks

# -- resume and reuse --------------------------------------------------------------------------------------------------


def to_nine_digits(state: Any) -> Any:
    """The last bits of a norm depend on where its factors lie in memory."""
    return json.loads(json.dumps(state), parse_float=lambda text: f"{float(text):.9g}")


def test_a_resumed_run_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = base.matrix_norms
    monkeypatch.setattr(base, "matrix_norms", lambda weight: read.append(1) or real(weight))
    whole = LoraWatchCallback(fail_on="never", console=False, full_every=1)
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5}
    trainer = build_trainer(few(), None, 10, callbacks=[whole], **settings)
    trainer.train()
    expected = whole.monitor.state_dict()
    assert len(read) == 8, "each frozen weight is read once a run"

    resumed = LoraWatchCallback(fail_on="never", console=False, full_every=1)
    again = build_trainer(few(), None, 10, callbacks=[resumed], **settings)
    again.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-5"))
    assert len(read) == 8, "and not again when it is resumed"
    assert to_nine_digits(resumed.monitor.state_dict()) == to_nine_digits(expected)


def test_a_resume_from_the_ruins_says_that_it_is_one() -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 50}
    settings["callbacks"] = [LoraWatchCallback(fail_on="error")]
    trainer = build_trainer(few(alpha=128), None, 20, lr=5e-2, **settings)
    with pytest.raises(LoraWatchError, match=r"^ERROR at step \d+: .*\(LW102\)"):
        trainer.train()
    (checkpoint,) = Path(trainer.args.output_dir).glob("checkpoint-*")
    again = build_trainer(few(alpha=128), None, 20, lr=1e-4, **settings)
    step = checkpoint.name.removeprefix("checkpoint-")
    with pytest.raises(LoraWatchError, match=rf"from step {step}: LW102 .* was open .*(.|\n)*\(LW102\)"):
        again.train(resume_from_checkpoint=str(checkpoint))


def test_patience_ends_in_a_step_with_no_full_measurement_of_its_own() -> None:
    trainer = build_trainer(
        few(alpha=128), None, 40, lr=5e-2, callbacks=[LoraWatchCallback(fail_on="error", patience=19)]
    )
    with pytest.raises(LoraWatchError) as raised:
        trainer.train()
    first = raised.value.alerts[0]
    assert (first.rule, trainer.state.global_step) == ("LW102", first.step + 19)


def test_a_resumed_run_tells_what_was_wrong_before(tmp_path: Path) -> None:
    """A job that is killed and put back into the queue: its second session is not green."""
    from lora_watch.gate import judge

    def session(resume: bool, fail_on: str = "never") -> None:
        callback = LoraWatchCallback(fail_on=fail_on, console=False)
        settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 6, "output_dir": str(tmp_path)}
        trainer = build_trainer(few(alpha=128), None, 7, callbacks=[callback], lr=5e-2, **settings)
        trainer.train(resume_from_checkpoint=resume)

    session(False)
    before = report_of(tmp_path)
    opened = next(alert["step"] for alert in before["alerts"] if alert["rule"] == "LW102")
    assert opened <= 6
    session(True)
    report = report_of(tmp_path)
    assert report["session"] == 2
    assert report["loss"]["start"] == before["loss"]["start"], "the run's own, not the session's"
    assert ("LW102", opened) in [(alert["rule"], alert["step"]) for alert in report["alerts"]]
    judgement = judge([tmp_path])
    steps = judgement.runs[0].run.data.steps
    assert (judgement.exit_code, steps) == (1, list(range(len(steps))))
    assert not (tmp_path / "lora_watch-2").exists()
    with pytest.raises(LoraWatchError):
        session(True, fail_on="error")  # which makes no step of its own
    assert report_of(tmp_path)["loss"] == report["loss"]


def test_a_checkpoint_made_without_the_callback_can_be_resumed_with_it() -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5}
    trainer = build_trainer(few(), None, 10, **settings)
    trainer.train()
    callback = LoraWatchCallback(fail_on="never", console=False)
    again = build_trainer(few(), None, 10, callbacks=[callback], **settings)
    again.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-5"))
    assert callback.monitor.last.step == 10
    assert not callback.monitor.alerts


def test_evaluations_reach_the_report_also_those_after_training() -> None:
    evaluates: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "eval_dataset": stdlib_blocks(16)}
    trainer = build_trainer(few(), None, 4, **evaluates)
    watch(trainer, console=False)
    trainer.evaluate()  # before there is a run: not noted
    trainer.train()
    during = report_of(trainer)["evaluation"]
    assert list(during) == ["eval_loss"]  # and not how long it took
    assert during["eval_loss"]["last"]["step"] == 4
    after = trainer.evaluate(stdlib_blocks(8), metric_key_prefix="test")
    content = report_of(trainer)
    assert content["verdict"] == "ok"
    assert content["evaluation"]["test_loss"]["last"] == {"step": 4, "value": after["test_loss"]}
