"""The callback in a real Trainer: it does no harm, it stops what it should, and it leaves the files it promises."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError, watch
from lora_watch.adapters import walk
from lora_watch.norms import base
from tests.rules.test_episodes import Whole
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

ROOT = Path(__file__).parents[2]


def adapters_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


def report_of(trainer: Trainer) -> dict[str, Any]:
    return json.loads((Path(trainer.args.output_dir) / "lora_watch" / "report.json").read_text())


# -- no harm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="plain"),
        pytest.param({"gradient_accumulation_steps": 4}, id="accumulation"),
        pytest.param({"bf16": True}, id="bf16"),
        pytest.param({"gradient_checkpointing": True}, id="checkpointing"),
        pytest.param(
            {"neftune_noise_alpha": 5.0, "eval_strategy": "steps", "eval_steps": 2}, id="noise-and-evaluation"
        ),
    ],
)
def test_training_is_bit_for_bit_the_same_with_the_callback(arguments: dict[str, Any]) -> None:
    def run(callbacks: list[TrainerCallback]) -> tuple[dict[str, torch.Tensor], list[Any], torch.Tensor]:
        model = lora(tiny_model(), lora_dropout=0.1)
        if arguments.get("gradient_checkpointing"):
            model.enable_input_require_grads()
        trainer = build_trainer(
            model, None, 6, callbacks=callbacks, eval_dataset=stdlib_blocks(16), logging_steps=1, **arguments
        )
        trainer.train()
        losses = [(e.get("loss"), e.get("grad_norm"), e.get("eval_loss")) for e in trainer.state.log_history]
        return adapters_of(trainer), losses, torch.get_rng_state()

    torch.manual_seed(0)
    plain, plain_losses, plain_rng = run([])
    torch.manual_seed(0)
    callback = LoraWatchCallback(fail_on="never", console=False)
    watched, watched_losses, watched_rng = run([callback])

    assert callback.monitor is not None
    assert callback.monitor.last is not None
    assert callback.monitor.last.step == 6, "the run must have been watched, or the test says nothing"
    assert plain_losses == watched_losses
    assert torch.equal(plain_rng, watched_rng)
    assert plain.keys() == watched.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, watched[name]), name


def test_a_failure_inside_is_logged_once_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from lora_watch.norms import AdapterBank

    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(AdapterBank, "begin", broken)
    callback = LoraWatchCallback(fail_on="warning", console=False)
    trainer = build_trainer(lora(tiny_model()), None, 4, callbacks=[callback])
    trainer.train()
    assert trainer.state.global_step == 4
    assert [r.levelname for r in caplog.records if r.name == "lora_watch"] == ["ERROR", "ERROR"]  # start, then steps
    assert callback.monitor is not None
    failures = [a for a in callback.monitor.alerts if a.rule == "LW901"]
    assert len(failures) == 1
    assert "out of luck" in failures[0].message


# -- fail fast ---------------------------------------------------------------------------------------------------------

EXPLODED = {"lr": 5e-2}
"""With alpha 128 at r 8 this run is lost within a few steps: 6.3 → 5.6 and stuck."""


def test_an_error_stops_saves_and_raises() -> None:
    callback = LoraWatchCallback(fail_on="error", console=False)
    trainer = build_trainer(
        lora(tiny_model(), alpha=128), None, 40, callbacks=[callback], save_strategy="steps", save_steps=100, **EXPLODED
    )
    with pytest.raises(LoraWatchError, match="LW102 norm-explosion") as caught:
        trainer.train()
    stopped = trainer.state.global_step
    assert stopped < 12
    assert caught.value.alerts[0].rule == "LW102"
    report = report_of(trainer)
    assert (report["verdict"], report["step"]) == ("failed", stopped)
    assert "LW102" in report["message"]
    assert (Path(trainer.args.output_dir) / f"checkpoint-{stopped}" / "trainer_state.json").exists()
    logged = [e["step"] for e in trainer.state.log_history if "loss" in e]
    assert logged[-1:] == [stopped], "the step that failed is in the Trainer's own log"


@pytest.mark.parametrize("fail_on", ["never", None])
def test_never_never_raises(fail_on: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORA_WATCH_FAIL_ON", raising=False)
    callback = LoraWatchCallback(fail_on=fail_on, console=False)
    trainer = build_trainer(lora(tiny_model(), alpha=128), None, 12, callbacks=[callback], **EXPLODED)
    trainer.train()
    assert trainer.state.global_step == 12
    assert callback.monitor is not None
    assert "LW102" in {a.rule for a in callback.monitor.alerts}
    assert report_of(trainer)["verdict"] == "unhealthy"


def test_the_environment_decides_where_the_code_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_WATCH_FAIL_ON", "error")
    assert LoraWatchCallback().policy.can_end_a_run
    assert not LoraWatchCallback(fail_on="never").policy.can_end_a_run
    monkeypatch.setenv("LORA_WATCH_FAIL_ON", "eror")
    with pytest.raises(ValueError, match="'eror' is no severity"):
        LoraWatchCallback()


def test_a_typo_in_mute_is_an_error_that_suggests() -> None:
    with pytest.raises(ValueError, match=r"no rule is called 'LW1O2'; did you mean LW102 \(norm-explosion\)"):
        LoraWatchCallback(mute=["LW1O2"])


def test_a_warning_before_the_first_step_ends_the_run_before_it() -> None:
    callback = LoraWatchCallback(fail_on="warning", console=False)
    trainer = build_trainer(lora(tiny_model(), alpha=128), None, 40, callbacks=[callback], **EXPLODED)
    before = adapters_of(trainer)
    with pytest.raises(LoraWatchError, match="LW401 aggressive-scale"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert all(torch.equal(t, before[n]) for n, t in adapters_of(trainer).items())


class NanGradient(TrainerCallback):
    """Puts a NaN into one layer's gradient, after clipping, as an overflow in its backward pass would."""

    def __init__(self, at: int, layer: str):
        self.at, self.layer = at, layer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step + 1 == self.at:
            next(p for n, p in model.named_parameters() if self.layer in n and "lora_B" in n).grad[0, 0] = float("nan")


def test_what_only_the_whole_run_shows_can_fail_it_at_its_end() -> None:
    callback = LoraWatchCallback(fail_on="error", rules=[Whole()], console=False)
    trainer = build_trainer(lora(tiny_model()), steps=2, callbacks=[callback], report_to="tensorboard")
    with pytest.raises(LoraWatchError, match="ended at step 2"):
        trainer.train()
    assert trainer.state.global_step == 2
    report = json.loads((Path(trainer.args.output_dir or "") / "lora_watch" / "report.json").read_text())
    assert (report["verdict"], report["step"]) == ("failed", 2)


def test_a_nan_gradient_never_reaches_the_weights_nor_the_checkpoint() -> None:
    from peft import PeftModel

    callback = LoraWatchCallback(fail_on="error", console=False)
    trainer = build_trainer(
        lora(tiny_model()),
        None,
        20,
        callbacks=[NanGradient(5, "layers.2.mlp.up_proj"), callback],
        save_strategy="steps",
        save_steps=1,
        save_total_limit=1,
    )
    with pytest.raises(LoraWatchError, match="LW101 non-finite-adapter") as caught:
        trainer.train()
    assert caught.value.alerts[0].adapters[0][0] == "model.layers.2.mlp.up_proj"
    assert caught.value.alerts[0].step == 5
    folder = Path(trainer.args.output_dir)
    assert sorted(p.name for p in folder.glob("checkpoint-*")) == ["checkpoint-4"]
    for saved in (folder / "checkpoint-4", folder / "lora_watch" / "last_good"):
        restored = PeftModel.from_pretrained(tiny_model(), saved)
        assert all(torch.isfinite(p).all() for p in restored.parameters())
    # last_good is the model as it was when the fault came: nothing was lost.
    kept = {n: p for n, p in restored.named_parameters() if "lora_" in n}
    assert all(torch.equal(p, kept[n]) for n, p in adapters_of(trainer).items())


class NanWeight(TrainerCallback):
    """Spoils one adapter behind everybody's back."""

    def __init__(self, at: int, layer: str):
        self.at, self.layer = at, layer

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step + 1 == self.at:
            with torch.no_grad():
                next(p for n, p in model.named_parameters() if self.layer in n and "lora_A" in n)[0, 0] = float("inf")


def test_a_spoiled_adapter_does_not_overwrite_a_good_checkpoint() -> None:
    callback = LoraWatchCallback(fail_on="error", console=False)
    trainer = build_trainer(
        lora(tiny_model()),
        None,
        20,
        callbacks=[NanWeight(5, "layers.1.self_attn.k_proj"), callback],
        save_strategy="steps",
        save_steps=1,
        save_total_limit=1,
    )
    with pytest.raises(LoraWatchError, match="LW101"):
        trainer.train()
    assert sorted(p.name for p in Path(trainer.args.output_dir).glob("checkpoint-*")) == ["checkpoint-4"]


def test_the_process_exits_with_one_and_says_why(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            """
            from lora_watch import LoraWatchCallback
            from tests.support import build_trainer, lora, stdlib_blocks, tiny_model
            trainer = build_trainer(lora(tiny_model(), alpha=128), None, 40, lr=5e-2, callbacks=[LoraWatchCallback()])
            trainer.train()
            """
        )
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LORA_WATCH_FAIL_ON": "error"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300)
    assert done.returncode == 1
    assert "ERROR LW102 norm-explosion" in done.stderr
    assert "lora_alpha 128 →" in done.stderr


# -- resume and reuse --------------------------------------------------------------------------------------------------


def to_nine_digits(state: Any) -> Any:
    """The last bits of a norm depend on where its factors lie in memory."""
    return json.loads(json.dumps(state), parse_float=lambda text: f"{float(text):.9g}")


def test_a_resumed_run_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = base.matrix_norms
    monkeypatch.setattr(base, "matrix_norms", lambda weight: read.append(1) or real(weight))
    # Everything is measured at every step: which steps are cheap enough is else the clock's to say.
    whole = LoraWatchCallback(fail_on="never", console=False, max_overhead=1.0)
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5}
    trainer = build_trainer(lora(tiny_model()), None, 10, callbacks=[whole], **settings)
    trainer.train()
    assert whole.monitor is not None
    expected = whole.monitor.state_dict()
    assert len(read) == 28, "each frozen weight is read once a run"

    resumed = LoraWatchCallback(fail_on="never", console=False, max_overhead=1.0)
    again = build_trainer(lora(tiny_model()), None, 10, callbacks=[resumed], **settings)
    again.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-5"))
    assert resumed.monitor is not None
    assert len(read) == 28, "and not again when it is resumed"
    assert to_nine_digits(resumed.monitor.state_dict()) == to_nine_digits(expected)


def test_a_resume_from_the_ruins_says_that_it_is_one() -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 50, "callbacks": [LoraWatchCallback("error")]}
    trainer = build_trainer(lora(tiny_model(), alpha=128), None, 20, lr=5e-2, **settings)
    with pytest.raises(LoraWatchError, match=r"^ERROR LW102"):
        trainer.train()
    (checkpoint,) = Path(trainer.args.output_dir).glob("checkpoint-*")
    again = build_trainer(lora(tiny_model(), alpha=128), None, 20, lr=1e-4, **settings)
    step = checkpoint.name.removeprefix("checkpoint-")
    with pytest.raises(LoraWatchError, match=rf"from step {step}: LW102 .* was open .*(.|\n)*ERROR LW102"):
        again.train(resume_from_checkpoint=str(checkpoint))


def test_a_resumed_run_tells_what_was_wrong_before(tmp_path: Path) -> None:
    """A job that is killed and put back into the queue: its second session is not green."""
    from lora_watch.gate import judge

    def session(resume: bool) -> None:
        callback = LoraWatchCallback(fail_on="never", console=False)
        settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 6, "output_dir": str(tmp_path)}
        trainer = build_trainer(lora(tiny_model(), alpha=128), None, 7, callbacks=[callback], lr=5e-2, **settings)
        trainer.train(resume_from_checkpoint=resume)

    session(False)
    before = json.loads((tmp_path / "lora_watch" / "report.json").read_text())
    opened = next(alert["step"] for alert in before["alerts"] if alert["rule"] == "LW102")
    assert opened <= 6
    session(True)
    report = json.loads((tmp_path / "lora_watch" / "report.json").read_text())
    assert report["session"] == 2
    assert ("LW102", opened) in [(alert["rule"], alert["step"]) for alert in report["alerts"]]
    assert judge([tmp_path]).exit_code == 1


def test_a_checkpoint_made_without_the_callback_can_be_resumed_with_it() -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5}
    trainer = build_trainer(lora(tiny_model()), None, 10, **settings)
    trainer.train()
    callback = LoraWatchCallback(fail_on="never", console=False)
    again = build_trainer(lora(tiny_model()), None, 10, callbacks=[callback], **settings)
    again.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-5"))
    assert callback.monitor is not None
    assert callback.monitor.last is not None
    assert callback.monitor.last.step == 10
    assert not callback.monitor.alerts


def test_watch_adds_the_callback_to_a_built_trainer() -> None:
    trainer = build_trainer(lora(tiny_model()), None, 3)
    callback = watch(trainer, fail_on="never", console=False)
    trainer.train()
    assert callback.monitor is not None
    assert callback.monitor.last is not None
    assert callback.monitor.last.loss is not None
    assert callback.monitor.last.metrics["output_ratio"].values.shape == (28,)


def test_evaluations_reach_the_report_also_those_after_training() -> None:
    callback = LoraWatchCallback(console=False)
    trainer = build_trainer(
        lora(tiny_model()),
        None,
        4,
        callbacks=[callback],
        eval_dataset=stdlib_blocks(16),
        eval_strategy="steps",
        eval_steps=2,
    )
    trainer.evaluate()  # before there is a run: not noted
    trainer.train()
    during = report_of(trainer)["evaluation"]
    assert list(during) == ["eval_loss"]  # and not how long it took
    assert [during["eval_loss"][which]["step"] for which in ("max", "last")] == [2, 4]
    after = trainer.evaluate(stdlib_blocks(8), metric_key_prefix="test")
    told = report_of(trainer)
    assert told["verdict"] == "ok"
    assert told["evaluation"]["test_loss"]["last"] == {"step": 4, "value": after["test_loss"]}


def test_a_model_without_adapters_is_one_clear_error_and_no_crash() -> None:
    callback = LoraWatchCallback(fail_on="never", console=False)
    trainer = build_trainer(copy.deepcopy(tiny_model()), None, 3, callbacks=[callback])
    trainer.train()
    assert callback.monitor is not None
    assert [a.rule for a in callback.monitor.alerts] == ["LW301"]
    assert "get_peft_model" in str(callback.monitor.alerts[0])
    assert callback.monitor.last is not None
    assert callback.monitor.last.loss is not None, "the loss is still watched"


def test_the_curves_land_in_the_trainers_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    callback = LoraWatchCallback(fail_on="never", console=False)
    trainer = build_trainer(
        lora(tiny_model()), None, 6, callbacks=[callback], report_to="tensorboard", logging_steps=1,
        **({"logging_dir": str(tmp_path / "tb")} if "logging_dir" in _fields() else {}),
    )  # fmt: skip
    trainer.train()
    files = list((tmp_path / "tb").rglob("events.out.tfevents.*"))
    assert len(files) == 1, "one writer in one directory"
    events = EventAccumulator(str(files[0].parent), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    losses = [tag for tag in tags["scalars"] if tag == "train/loss"]
    assert losses
    assert len(events.Scalars("train/loss")) == 6
    assert len(events.Tensors("lora_watch/m/product_norm")) >= 6
    assert not (Path(trainer.args.output_dir) / "runs").exists()


def _fields() -> set[str]:
    from dataclasses import fields

    from transformers import TrainingArguments

    return {f.name for f in fields(TrainingArguments)}


@pytest.mark.parametrize("after", [0.2, 1.1])
def test_a_killed_run_leaves_readable_files(tmp_path: Path, after: float) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from lora_watch import LoraWatchCallback
            from tests.support import build_trainer, lora, tiny_model
            build_trainer(lora(tiny_model()), None, 2000, callbacks=[LoraWatchCallback(console=False)],
                          output_dir={str(tmp_path / "out")!r}).train()
            """
        )
    )
    report = tmp_path / "out" / "lora_watch" / "report.json"
    training = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not report.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(after)
    finally:
        training.kill()
        training.wait()
    content = json.loads(report.read_text())
    assert content["verdict"] == "interrupted"
    assert len(content["adapters"]) == 28
    (events,) = (tmp_path / "out" / "runs").rglob("events.out.tfevents.*")
    readable = EventAccumulator(str(events.parent), size_guidance={"tensors": 0})
    readable.Reload()
    assert "lora_watch/schema" in readable.Tags()["tensors"]


def test_a_monitor_that_cannot_start_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from lora_watch.trainer import facts

    monkeypatch.setattr(facts, "config_of", lambda *args: 1 / 0)
    trainer = build_trainer(lora(tiny_model()), None, 3, callbacks=[LoraWatchCallback(fail_on="error", console=False)])
    trainer.train()
    assert trainer.state.global_step == 3
    assert any("failed while starting" in record.message for record in caplog.records)
    assert "training_step" not in vars(trainer)


def test_a_run_that_breaks_off_leaves_nothing_behind_for_the_next() -> None:
    class Breaks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                raise KeyError("theirs")

    callback, breaks = LoraWatchCallback(fail_on="never", console=False), Breaks()
    trainer = build_trainer(lora(tiny_model()), None, 4, callbacks=[callback, breaks])
    with pytest.raises(KeyError):
        trainer.train()
    assert report_of(trainer)["verdict"] == "interrupted"
    trainer.remove_callback(breaks)
    trainer.train()
    assert callback.monitor is not None
    assert callback.monitor.last is not None
    assert callback.monitor.last.loss is not None
    assert report_of(trainer)["verdict"] == "ok"
    assert report_of(trainer)["session"] == 2
    assert not any(module._forward_hooks for _, module in walk(trainer.model))


def test_an_exception_of_the_training_is_in_the_report_at_once() -> None:
    class OutOfMemory(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            if self.state.global_step == 2:
                raise MemoryError("17 GiB")
            return super().compute_loss(model, inputs, return_outputs, **kwargs)

    callback = LoraWatchCallback(console=False, tensorboard=False)
    trainer = build_trainer(lora(tiny_model()), None, 4, callbacks=[callback], trainer_class=OutOfMemory)
    with pytest.raises(MemoryError):
        trainer.train()
    report = report_of(trainer)
    assert (report["verdict"], report["step"], report["message"]) == ("interrupted", 2, "MemoryError: 17 GiB")


@mock.patch.dict(os.environ)  # where older Trainers leave their wish to compile, for every Trainer that follows
def test_a_compiled_model_is_watched_by_its_weights() -> None:
    def run(alpha: float, lr: float) -> LoraWatchCallback:
        callback = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)
        trainer = build_trainer(
            lora(tiny_model(), alpha=alpha),
            None,
            9,  # each of these is measured in full, however slow the machine
            callbacks=[callback],
            lr=lr,
            torch_compile=True,
            torch_compile_backend="eager",
        )
        trainer.train()
        assert not any(module._forward_hooks for _, module in walk(trainer.model))
        return callback

    healthy, sick = run(16, 2e-3).monitor, run(128, 5e-2).monitor
    assert healthy is not None
    assert healthy.last is not None
    assert sick is not None
    assert not healthy.last.metrics["output_ratio"].known.any()
    assert any("compiled" in note for note in healthy.run.notes)
    assert healthy.alerts == []
    found = next(alert for alert in sick.alerts if alert.rule == "LW102")
    assert found.metric == "relative_spectral_norm"
