"""Adapters that come, go or are replaced while a model is trained: the monitor measures what is there, and says so."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from lora_watch import LoraWatchCallback, Monitor
from tests.support import build_trainer, lora, on, report_of, stdlib_blocks, tiny_model, train, updates

TARGETS = ["q_proj", "v_proj"]
PER_TARGET = 4
SEVERAL = ["q_proj", "v_proj", "down_proj"]


def trained(change: Callable[[Any], object], steps: int = 6, at: int = 3) -> Monitor:
    """``change(model)`` comes before step ``at`` + 1; the norms of the base model are trained all along."""
    torch.manual_seed(0)
    model = lora(tiny_model(), r=2, alpha=4, targets=TARGETS).train()
    norms = [parameter for name, parameter in model.named_parameters() if "norm" in name]
    loras = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW([*loras, *norms], lr=1e-3)
    batch = torch.tensor([block["input_ids"] for block in stdlib_blocks(4, 16)])
    with Monitor(model, optimizer, console=False, fail_on="never") as monitor:
        for i in range(steps):
            if i == at:
                change(model)
            for parameter in norms:
                parameter.requires_grad_(True)
            updates(monitor, optimizer, [model(input_ids=batch, labels=batch).loss])
    return monitor


def opened(monitor: Monitor) -> dict[str, int]:
    """Step at which each rule opened its first alert."""
    return {alert.rule: alert.step for alert in reversed(monitor.alerts)}


def second(model: Any, targets: list[str] = TARGETS) -> None:
    model.add_adapter("second", peft.LoraConfig(r=2, lora_alpha=4, target_modules=targets))
    model.base_model.set_adapter(["default", "second"])


def test_an_adapter_that_is_deleted_is_reported_by_its_rule_alone() -> None:
    """Its gradients cannot be asked for any more, before or after they are clipped."""

    def delete(state: Any, **_: Any) -> None:
        if state.global_step == 3:
            second(model)
            model.set_adapter("second")
            model.delete_adapter("default")

    model = lora(tiny_model(), r=2, alpha=4, targets=TARGETS)
    watch = LoraWatchCallback(console=False, tensorboard=False)
    train(model, stdlib_blocks(16, 16), 6, callbacks=[watch, on("step_begin", delete)])
    assert opened(watch.monitor) == {"LW301": 4}
    assert all(name.endswith(".second") for name in watch.monitor.run.names)


@pytest.mark.parametrize("how", ["unload", "merge_and_unload"])
def test_what_is_taken_out_is_gone_at_once(how: str) -> None:
    monitor = trained(lambda model: getattr(model, how)())
    assert opened(monitor)["LW301"] == 4
    assert "LW901" not in opened(monitor)
    assert monitor.run.adapters == ()
    assert "delta_norm" not in monitor.last.metrics


@pytest.mark.parametrize("targets", [TARGETS, ["o_proj"]], ids=["of the same layers", "of others"])
def test_an_adapter_beside_the_first_is_measured_too(targets: list[str]) -> None:
    monitor = trained(lambda model: second(model, targets))
    assert len(monitor.run.adapters) == (len(TARGETS) + len(targets)) * PER_TARGET
    assert monitor.last.metrics["delta_norm"].known.all()
    assert opened(monitor) == {"LW301": 4}, "the optimizer does not hold it"


def in_turn(model: Any, step: int) -> None:
    """Two adapters of the same layers, trained by turns."""
    model.base_model.set_adapter(("default", "second")[step % 2])
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.requires_grad_(True)


def some_layers(model: Any, step: int) -> None:
    """Two of four layers are trained in each step (LISA)."""
    trained = random.Random(step).sample(range(4), 2)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.requires_grad_(int(name.split("layers.")[1].split(".")[0]) in trained)


@pytest.mark.parametrize(
    ("switch", "first"),
    [
        (in_turn, True),
        (some_layers, False),
        pytest.param(in_turn, False, marks=pytest.mark.thorough),
        pytest.param(some_layers, True, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize(("lr", "rules"), [(1.0, {"LW102"}), (2e-3, set())], ids=["explodes", "sound"])
def test_adapters_that_change_at_every_step_are_measured_and_judged(
    switch: Callable[[Any, int], None], lr: float, rules: set[str], first: bool
) -> None:
    model = lora(tiny_model(), r=8, alpha=16, targets=SEVERAL)
    model.add_adapter("second", peft.LoraConfig(r=8, lora_alpha=16, target_modules=SEVERAL))
    watch = LoraWatchCallback(console=False, tensorboard=False, mute=["LW401"])
    switches = on("step_end", lambda state, **_: switch(model, state.global_step))
    callbacks = [switches, watch] if first else [watch, switches]
    trainer = build_trainer(model, stdlib_blocks(64, 32), 12, callbacks, lr)
    trainer.create_optimizer_and_scheduler(12)
    trainer.optimizer = torch.optim.AdamW([p for n, p in model.named_parameters() if "lora_" in n], lr=lr)
    trainer.train()
    assert set(opened(watch.monitor)) & {"LW102", "LW303"} == rules
    assert watch.monitor.last.metrics["output_ratio"].known.all(), "seen, whoever came into use"


def test_a_loop_whose_adapters_change_unseen_is_not_called_ok(tmp_path: Path) -> None:
    """Before the pass and after the step, so that no full measurement sees those that the pass goes through."""
    model = lora(tiny_model(), r=2, alpha=4, targets=TARGETS).train()
    second(model)
    in_turn(model, 0)
    optimizer = torch.optim.AdamW([p for n, p in model.named_parameters() if "lora_" in n], lr=1e-3)
    batch = torch.tensor([block["input_ids"] for block in stdlib_blocks(4, 16)])
    with Monitor(model, optimizer, output_dir=tmp_path, console=False, full_every=1) as monitor:
        for step in range(8):
            in_turn(model, step)
            updates(monitor, optimizer, [model(input_ids=batch, labels=batch).loss])
    report = report_of(tmp_path)
    assert report["verdict"] == "unknown"
    assert "LW102" in report["message"]


@pytest.mark.parametrize(("active", "verdict"), [(["default", "other"], "unknown"), (["default"], "ok")])
def test_adapters_of_another_method_that_train_beside_lora_are_noted_and_leave_a_gap(
    active: list[str], verdict: str
) -> None:
    model = peft.get_peft_model(tiny_model(), peft.LoraConfig(r=2, target_modules=["q_proj"]), mixed=True)
    model.add_adapter("other", peft.LoHaConfig(r=2, target_modules=["v_proj"]))
    model.set_adapter(active)
    callback = LoraWatchCallback(console=False, tensorboard=False)
    trainer = train(model, stdlib_blocks(16, 16), 6, callbacks=[callback])
    assert any("LOHA" in note for note in callback.monitor.run.notes)
    assert len(callback.monitor.run.adapters) == PER_TARGET
    report = report_of(trainer)
    assert report["verdict"] == verdict, report["message"]


@pytest.mark.parametrize(
    ("switch", "rule"),
    [
        (lambda model: model.merge_adapter(), "LW301"),
        (lambda model: model.requires_grad_(False), "LW301"),
        (lambda model: None, ""),
        (lambda model: model.merge_adapter() or model.register_forward_pre_hook(lambda *_: 1 / 0), ""),
    ],
)
def test_what_leaves_the_backward_pass_without_a_gradient_is_named(switch: Callable[[Any], object], rule: str) -> None:
    """The Trainer ends by torch's own exception, before a step shows the switch."""

    model = lora(tiny_model(), r=2, alpha=4, targets=TARGETS)
    switches = on("step_end", lambda state, **_: state.global_step == 2 and switch(model))
    watch = LoraWatchCallback(console=False, tensorboard=False)
    with contextlib.suppress(RuntimeError, ZeroDivisionError):
        train(model, stdlib_blocks(16, 16), 4, callbacks=[watch, switches])
    assert opened(watch.monitor) == ({rule: 2} if rule else {})
