"""A plain loop as README shows it: it speaks, it leaves its files, and nothing non-finite reaches the weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.optim import lr_scheduler as schedules
from transformers import get_linear_schedule_with_warmup

from lora_watch import LoraWatchError, Monitor
from lora_watch.base.alerts import in_order
from lora_watch.rules.remedies import Advice
from lora_watch.rules.wiring import CLEARED, DETACHED, NO_STEP
from tests.monitor.test_monitor import built, loop
from tests.support import report_of, stdlib_blocks, tiny_model


def train(monitor: Monitor, model: Any, optimizer: Any, steps: int, nan_at: int | None = None) -> None:
    with monitor:
        loop(monitor, model, optimizer, steps, nan_at)


def test_it_speaks_and_leaves_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer = built(alpha=128, lr=5e-2)
    monitor = Monitor(model, optimizer, output_dir=tmp_path)
    train(monitor, model, optimizer, 12)
    printed = capsys.readouterr().err
    assert "lora_watch: 28 adapters: q k v o gate up down in 4 of 4 blocks; 7.8 % of " in printed
    assert "(LW102)" in printed
    assert f"  Report: {tmp_path / 'lora_watch' / 'report.json'}\n" in printed
    events = list((tmp_path / "runs").rglob("events.out.tfevents.*"))
    assert f"  Curves: tensorboard --logdir {events[0].parent}" in printed
    report = report_of(tmp_path)
    assert report["step"] == 12
    assert PeftModel.from_pretrained(tiny_model(), str(tmp_path / "lora_watch" / "last_good"))


@pytest.mark.parametrize("nan_at", [1, 3])
def test_no_nan_reaches_the_weights_under_fail_on(nan_at: int) -> None:
    model, optimizer = built()
    monitor = Monitor(model, optimizer, fail_on="error", console=False)
    with pytest.raises(LoraWatchError, match="LW101"):
        train(monitor, model, optimizer, 5, nan_at)
    assert monitor.steps == nan_at - 1
    assert "the loss of this batch" in monitor.alerts[-1].causes[0]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    # Nothing of ours is left in the optimizer: it goes on as anybody's.
    optimizer.step()
    assert not all(torch.isfinite(p).all() for p in model.parameters())


def test_a_gradient_of_one_layer_is_not_blamed_on_the_loss() -> None:
    model, optimizer = built()
    next(p for name, p in model.named_parameters() if "lora_B" in name).register_hook(lambda grad: grad * torch.nan)
    monitor = Monitor(model, optimizer, fail_on="error", console=False)
    with pytest.raises(LoraWatchError, match="LW101"):
        train(monitor, model, optimizer, 2)
    assert "the loss of this batch" not in monitor.alerts[-1].causes[0]
    assert monitor.alerts[-1].remedies


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        *[("no step", NO_STEP), ("set to None", CLEARED), ("set to zero", CLEARED), ("detached", DETACHED)],
        *[("checkpointed", None), ("", None)],
    ],
)
def test_why_a_loop_learns_nothing(fault: str, why: Advice | None) -> None:
    model, optimizer = built()
    if fault == "checkpointed":
        model.gradient_checkpointing_enable({"use_reentrant": True})
    with Monitor(model, optimizer, console=False) as monitor:
        for example in stdlib_blocks(4, 32):
            ids = torch.tensor([example["input_ids"]])
            loss = model(input_ids=ids, labels=ids).loss
            (loss.detach().requires_grad_() if fault in ("detached", "checkpointed") else loss).backward()
            if fault.startswith("set"):
                optimizer.zero_grad(set_to_none="None" in fault)
            if fault != "no step":
                optimizer.step()
            monitor.step(loss=loss)
            optimizer.zero_grad()
    told = [(alert.rule, alert.step, alert.causes[0], alert.remedies[0]) for alert in monitor.alerts]
    if fault == "checkpointed":
        assert "enable_input_require_grads" in told[0][3]
    else:
        assert told == ([("LW303", 3, *why.causes, *why.remedies)] if why else [])
    assert fault != "detached" or not monitor.run.notes, "of zero_grad nothing is to be said"


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer: schedules.LinearLR(optimizer, 0.01, 1.0, total_iters=12),
        lambda optimizer: schedules.LambdaLR(optimizer, lambda step: min(step / 12, 1.0)),
        lambda optimizer: schedules.LambdaLR(optimizer, lambda step: min((step + 1) / 12, 1.0)),
        lambda optimizer: get_linear_schedule_with_warmup(optimizer, 12, 8),
        lambda optimizer: schedules.OneCycleLR(optimizer, 1e-3, total_steps=40),
        lambda optimizer: schedules.SequentialLR(
            optimizer, [schedules.LinearLR(optimizer, 0.01, total_iters=12), schedules.ConstantLR(optimizer)], [12]
        ),
    ],
)
def test_a_warm_up_beyond_the_end_is_told(schedule: Any) -> None:
    for steps, told in ((8, ["LW409"]), (20, [])):
        model, optimizer = built()
        scheduler = schedule(optimizer)
        with Monitor(model, optimizer, scheduler=scheduler, max_steps=steps, console=False) as monitor:
            for _ in range(3):
                optimizer.step()
                monitor.step()
                scheduler.step()
            resumed = Monitor(model, optimizer, max_steps=steps, console=False)
            resumed.load_state_dict(monitor.state_dict())
            optimizer.step()
            resumed.step()
        assert monitor.last.lr_fraction is resumed.last.lr_fraction is None, "nobody knows how far the rate will rise"
        assert [alert.rule for alert in monitor.alerts if alert.step == 0] == told
        if told:
            assert monitor.next_run.settings["warmup_steps"].yours == 12, "as the script has it"


@pytest.mark.parametrize("made", [False, True], ids=["stopped before it", "made by DeepSpeed"])
def test_a_batch_was_not_trained_on_where_its_update_could_be_refused(made: bool) -> None:
    model, optimizer = built()
    engine = Monitor(model, optimizer, console=False, fail_on="error").engine
    engine.start()
    with pytest.raises(LoraWatchError) as raised:
        engine.raise_for(engine.before_update(torch.tensor(float("nan")), made))
    told = [str(raised.value), *(alert.details for alert in engine.alerts)]
    assert [text for text in told if "this batch was not trained on" in text] == ([] if made else told)


def faulty(fault: str, lr: float, steps: int) -> Monitor:
    model, optimizer = built(lr=lr)
    if fault == "moved":  # the weights under the adapters train, too
        model.requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    ids = torch.tensor([block["input_ids"] for block in stdlib_blocks(4 * steps, 32)])
    with Monitor(model, optimizer, max_steps=steps, console=False, mute=["LW401"]) as monitor:
        for batch in ids.split(4):
            loss = model(input_ids=batch, labels=batch).loss * (-1 if fault == "sign" else 1)
            loss.backward()
            optimizer.step()
            monitor.step(loss=loss)
            if fault != "adds up":
                optimizer.zero_grad()
    return monitor


@pytest.mark.parametrize(
    ("fault", "lr", "steps"), [("adds up", 1e-2, 20), ("sign", 1e-2, 20), ("moved", 3e-2, 10), ("", 3e-2, 10)]
)
def test_a_fault_of_the_code_is_the_cause_of_the_harm_that_comes_after_it(fault: str, lr: float, steps: int) -> None:
    """And its twin without one, whose rate is too high, is told a lower one."""
    monitor = faulty(fault, lr, steps)
    first, *rest = in_order(monitor.alerts)
    harm = rest[0] if fault else first
    assert (first.kind, first.closed_step, harm.rule, len(monitor.alerts)) == (fault, None, "LW102", 1 + bool(fault))
    assert harm.causes[0].startswith(first.message if fault else f"learning rate {lr:g} is too strong")
    assert (monitor.next_run is None) == bool(fault)
    assert not fault or harm.remedies == first.remedies
    assert ("not below its start" in harm.details) == ("The model's own loss" in harm.details) == (fault == "sign")
