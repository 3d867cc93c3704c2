"""The adapter that is kept loads with PEFT and is as good as the run was when it was last healthy."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import Trainer, TrainerCallback

from lora_watch import Alert, LoraWatchCallback, LoraWatchError, Monitor, Rule, Severity
from lora_watch.base.records import StepRecord
from lora_watch.gate import judging
from lora_watch.gate.formats.text import text
from lora_watch.rules.policy import Policy
from lora_watch.run.engine import NOT_MADE
from lora_watch.sinks.kept import LastGoodSink
from lora_watch.sinks.report import ReportSink
from lora_watch.snapshots import last_good
from tests.rules.runs import trainer_with_loss
from tests.support import build_trainer, few, lora, on, report_of, stdlib_blocks, tiny_model, updates

HELD_OUT = torch.tensor([block["input_ids"] for block in stdlib_blocks(72, 64)[64:]])


def held_out_loss(model: Any) -> float:
    training = model.training
    model.eval()
    with torch.no_grad():
        loss = model(input_ids=HELD_OUT, labels=HELD_OUT).loss.item()
    model.train(training)
    return loss


def judges(losses: dict[int, float]) -> list[TrainerCallback]:
    """What the model is worth after each step."""

    def judge(state: Any, model: Any, **_: Any) -> None:
        losses[state.global_step] = held_out_loss(model)

    return [on("train_begin", judge), on("step_end", judge)]


NAN_AT = 7
NanLoss = trainer_with_loss(lambda step, loss: loss * math.nan if step == NAN_AT else loss)
CASES: dict[str, tuple[str, type[Trainer], dict[str, Any], float]] = {
    "explosion": ("LW102", Trainer, {"alpha": 128}, 2e-2),
    "nan": ("LW201", NanLoss, {}, 2e-3),
    "nan with more than factors": ("LW201", NanLoss, {"use_dora": True, "modules_to_save": ["lm_head"]}, 2e-3),
}


@pytest.mark.parametrize("fail_on", ["error", pytest.param("never", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("case", CASES)
def test_it_loads_and_is_as_good_as_the_run_was_then(case: str, fail_on: str, tmp_path: Path) -> None:
    rule, trainer_class, config, lr = CASES[case]
    losses: dict[int, float] = {}
    torch.manual_seed(0)
    callbacks = [*judges(losses), LoraWatchCallback(fail_on=fail_on, console=False)]
    model, out = lora(tiny_model(), **config), str(tmp_path)
    trainer = build_trainer(model, None, 12, callbacks, lr=lr, trainer_class=trainer_class, output_dir=out)
    if fail_on == "error":
        with pytest.raises(LoraWatchError, match=rule) as caught:
            trainer.train()
        (alert,) = [alert for alert in report_of(tmp_path)["alerts"] if alert["rule"] == rule]
        assert [NOT_MADE in told for told in (str(caught.value), alert["details"])] == [rule == "LW201"] * 2
    else:
        trainer.train()

    report = report_of(tmp_path)
    opened = next(alert["step"] for alert in report["alerts"] if alert["rule"] == rule)
    step = report["last_good"]["step"]
    told = f"last_good (step {step})" in text(judging.judge([tmp_path])), report["last_good"]["folder"] is not None
    assert told == (step > 0, True), "the untrained one is there and not proposed"
    assert step < opened
    restored = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "lora_watch" / "last_good"))
    loss = held_out_loss(restored)
    assert loss == pytest.approx(losses[step], abs=1e-5)
    if rule == "LW201" and fail_on == "error":  # found before the update: not a step is lost
        assert step == NAN_AT - 1
    end = held_out_loss(trainer.model)
    if fail_on == "never":
        assert math.isnan(end) or loss < end


@pytest.mark.parametrize(("lr", "at", "offered"), [(0.0, 11, False), (2e-6, 20, False), (2e-3, 20, True)])
def test_an_adapter_that_has_learned_nothing_is_not_offered(lr: float, at: int, offered: bool, tmp_path: Path) -> None:
    loss = trainer_with_loss(lambda step, loss: loss * math.nan if step == at else loss)
    callback = LoraWatchCallback(fail_on="never", mute=["LW104", "LW306"], console=False)
    build_trainer(
        lora(tiny_model()), None, at, callbacks=[callback], lr=lr, trainer_class=loss, output_dir=str(tmp_path)
    ).train()
    known, folder = report_of(tmp_path)["last_good"], tmp_path / "lora_watch" / "last_good"
    assert (known["folder"], known["gained"], folder.exists()) == ("last_good" if offered else None, offered, offered)
    assert not offered or f"The adapter of step {known['step']}" in (folder / "README.md").read_text()
    assert ("Last good" in text(judging.judge([tmp_path]))) is offered


@pytest.mark.parametrize(("at", "step", "fix"), [(12, 10, "checkpoint before step 12"), (1, None, "begin anew")])
def test_after_a_nan_it_is_the_latest_copy(at: int, step: int | None, fix: str, tmp_path: Path) -> None:
    def spoil(state: Any, model: Any, **_: Any) -> None:
        if state.global_step == at:
            next(p for name, p in model.named_parameters() if "lora_B" in name).data[0, 0] = math.nan

    callbacks = [on("step_end", spoil), LoraWatchCallback(fail_on="error", console=False)]
    with pytest.raises(LoraWatchError, match=f"(?s)LW101.*Fix: .*{fix}"):
        build_trainer(few(), None, 20, callbacks=callbacks, output_dir=str(tmp_path)).train()
    assert report_of(tmp_path)["last_good"]["step"] == step
    assert ("Last good" in text(judging.judge([tmp_path]))) is bool(step)


def test_training_goes_on_as_if_nothing_had_been_kept_or_written(tmp_path: Path) -> None:
    """An explosion that nobody stops, with AdaLoRA, whose settings PEFT changes when it saves."""

    def run(callbacks: list[Any]) -> tuple[Any, Any]:
        torch.manual_seed(0)
        settings: dict[str, Any] = {"tinit": 1, "tfinal": 3, "deltaT": 1, "total_step": 12, "task_type": "CAUSAL_LM"}
        config = AdaLoraConfig(init_r=6, target_r=3, lora_alpha=512, target_modules=["q_proj", "v_proj"], **settings)

        model = get_peft_model(tiny_model(), config)
        allocates = on("optimizer_step", lambda state, **_: model.base_model.update_and_allocate(state.global_step))
        trainer = build_trainer(model, None, 12, callbacks=[allocates, *callbacks], lr=0.1, output_dir=str(tmp_path))
        trainer.train()
        weights = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" in name}
        return weights, vars(model.peft_config["default"])

    monitored, their_settings = run([LoraWatchCallback(fail_on="never", console=False)])
    assert (tmp_path / "lora_watch" / "last_good").is_dir()
    plain, settings = run([])
    assert all(torch.equal(monitored[name], plain[name]) for name in plain)
    assert str(their_settings) == str(settings)


def evidence_of(steps: int) -> Policy:
    class Slow(Rule):
        id, name, evidence = "X001", "slow", steps

        def check(self, record: StepRecord) -> None:
            pass

    return Policy((Slow(),))


@pytest.mark.parametrize(
    ("evidence", "nan_at", "seen", "best", "good"),
    [
        (12, None, 25, math.inf, 10),
        (5, None, 25, math.inf, 20),
        (5, 20, 25, math.inf, 10),
        (5, None, 17, math.inf, 10),
        (5, None, 25, 10, 10),
    ],
)
def test_it_is_from_before_the_evidence_also_where_the_alert_has_ended(
    evidence: int, nan_at: int | None, seen: int, best: float, good: int, tmp_path: Path
) -> None:
    """A NaN at a step whose norms were not measured is in no good copy. ``seen``: first, as a warning.
    ``best``: evaluated so at that step, and worse since."""
    model = few(r=2)
    engine = Monitor(model, console=False).engine
    engine.start()
    sink = LastGoodSink(ReportSink(tmp_path), model, evidence_of(evidence))
    sink.start(engine.run, 0)
    alert = Alert("X001", "slow", Severity.WARNING, seen, "damaged since step 14")
    for step in range(35):
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.constant_(parameter, math.nan if step == nan_at else step)
        sink.updated(step)
        alert.closed_step = 26 if step == 26 else None
        alert.severity = Severity.ERROR if step >= 25 else Severity.WARNING
        record = StepRecord(engine.run, step, {})
        record.derived["best step"] = best
        sink.write(record, [alert] if step in (seen, 25, 26) else [])
    sink.finish("unhealthy", None)
    kept = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "last_good")).state_dict()
    assert {b.mean().item() for name, b in kept.items() if "lora_B" in name} == {good}


@pytest.mark.parametrize("fail_on", ["never", "error"])
def test_a_batch_that_is_nan_before_its_update_lends_nothing_to_what_has_got_worse(
    fail_on: str, tmp_path: Path
) -> None:
    """With ``fail_on`` the weights that are there then are finite; the best evaluation was at step 15."""
    model = few(r=2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    monitor = Monitor(model, optimizer, output_dir=tmp_path, max_steps=32, console=False, fail_on=fail_on)
    rows = torch.tensor([row["input_ids"] for row in stdlib_blocks(4, 16)])
    with suppress(LoraWatchError), monitor:
        for step in range(1, 33):
            updates(monitor, optimizer, [model(input_ids=rows, labels=rows).loss * (math.nan if step == 31 else 1.0)])
            if step % 5 == 0:
                monitor.evaluated({"eval_loss": 5.0 + abs(step - 15) / 10})
    assert report_of(tmp_path)["last_good"]["step"] <= 15


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def test_what_is_too_large_to_be_held_twice_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_good, "LARGEST_COPY", 1000)
    model = few(r=2)
    assert f"{1000 / 2**30:g} GiB" in str(last_good.why_not_kept(model, trained(model)))


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = few(r=2)
    last_good.write_adapter(model, trained(model), tmp_path / "last_good")
    before = sorted(path.name for path in (tmp_path / "last_good").iterdir())
    monkeypatch.setattr("peft.peft_model.safe_save_file", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        last_good.write_adapter(model, trained(model), tmp_path / "last_good")
    assert sorted(path.name for path in (tmp_path / "last_good").iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["last_good"]


def test_the_hub_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket may be opened, and the switch that keeps PEFT from trying is off."""

    def forbidden(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise OSError("no network here")

    asked: list[int] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.socket.connect", forbidden)
    monkeypatch.setattr("socket.getaddrinfo", forbidden)
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", forbidden)
    model = few(r=2)
    model.peft_config["default"].base_model_name_or_path = "somebody/some-model"
    last_good.write_adapter(model, trained(model), tmp_path / "last_good")
    assert not asked
    restored = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "last_good"))
    assert held_out_loss(restored) == held_out_loss(model)
    assert json.loads((tmp_path / "last_good" / "adapter_config.json").read_text())["base_model_name_or_path"]
