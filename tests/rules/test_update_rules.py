"""The rules of updates on real runs: each must fire where updates come to nothing and stay silent on a healthy twin."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from transformers import Trainer

from benchmarks.corpus.faults import FAULTS, victim
from lora_watch import Monitor
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.tune.preflight import preflight
from tests.rules.runs import At, ids, numbers, run, said, schedule, the
from tests.support import few, lora, on, stdlib_blocks, tiny_model

# -- LW306 -------------------------------------------------------------------------------------------------------------


def test_a_schedule_that_ends_long_before_the_run_does() -> None:
    monitor = run(few(), steps=20, prepare=schedule(lambda step: max(0.0, 1 - step / 8)))
    alert = the("LW306", monitor)
    assert alert.step == 11, "the third update at zero"
    assert {9, 20} <= numbers(said(alert))
    assert alert.closed_step is None
    assert ids(monitor) in (["LW306"], ["LW104", "LW306"]), "so few steps leave the adapters small as well"


@pytest.mark.parametrize(("step", "settings"), [(0, {"lr": 0.0}), (3, {"prepare": schedule(lambda step: 0.0)})])
def test_a_rate_that_stays_zero_is_an_error_as_soon_as_that_is_certain(step: int, settings: dict[str, Any]) -> None:
    (alert,) = run(few(), steps=12, **settings).alerts
    assert (alert.rule, alert.severity.name, alert.step, alert.graver_at) == ("LW306", "ERROR", step, None)


def test_a_rate_that_touches_zero_is_no_fault() -> None:
    assert ids(run(steps=20, lr=4e-3, lr_scheduler_type="linear", warmup_steps=3)) == []


def test_decay_that_eats_the_adapters() -> None:
    monitor = run(steps=40, prepare=lambda trainer: FAULTS["decay-eats"].inject(trainer, 20))
    alert = the("LW306", monitor)
    assert 20 <= alert.step <= 22
    assert 47.6 in numbers(alert.causes[0])
    assert numbers(alert.details) == {5.0}
    assert ids(monitor) == ["LW306"]


@pytest.mark.parametrize(("decay", "severity"), [(0.1, None), (20.0, "WARNING"), (100.0, "ERROR")])
def test_decay_that_leaves_two_updates_is_an_error(decay: float, severity: str | None) -> None:
    """At half of the weights a step a run has gained 0.25 nats where its twin gains 1.8, and with a tenth 1.25."""
    monitor = run(lora(tiny_model()), steps=12, lr=5e-3, weight_decay=decay)
    expected = [("LW306", severity, {"weight_decay": 0.01})] if severity else []
    assert [(a.rule, a.severity.name, a.settings) for a in monitor.alerts] == expected
    arguments = {"learning_rate": 5e-3, "weight_decay": decay}
    before = preflight({"r": 8, "lora_alpha": 16}, arguments, model=TINY_LLAMA).findings
    assert [(a.rule, a.severity.name, a.settings) for a in before] == expected, "as a run says"


def test_a_layer_with_a_rate_of_its_own() -> None:
    model = lora(tiny_model())
    name = victim(model).name
    monitor = run(model, steps=20, prepare=lambda trainer: FAULTS["one-hot-layer"].inject(trainer, 0))
    alert = the("LW306", monitor)
    assert [found for found, _ in alert.adapters] == [name]
    assert {0.2, 0.002} <= numbers(alert.details)
    assert alert.step == 1
    assert len(monitor.alerts) <= 2


def test_rates_that_differ_as_those_of_lora_plus_do_are_no_fault() -> None:
    def plus(trainer: Any) -> None:
        trainer.optimizer = create_loraplus_optimizer(trainer.model, torch.optim.AdamW, lr=1e-4, loraplus_lr_ratio=16)

    assert "LW306" not in ids(run(steps=10, lr=1e-4, prepare=plus))


# -- LW307 -------------------------------------------------------------------------------------------------------------


def in_half(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def test_updates_too_small_for_bf16_are_named_with_what_keeps_them() -> None:
    monitor = run(in_half(few()), steps=12, lr=1e-5)
    alert = the("LW307", monitor)
    assert alert.metric == "a_changed", "B starts at zero, where numbers are fine enough"
    assert all(share < 0.5 for _, share in alert.adapters)
    assert ids(monitor) == ["LW307"]
    assert "float32" in alert.remedies[0]


@pytest.mark.parametrize(("half", "settings"), [(True, {"lr": 2e-3, "warmup_steps": 10}), (False, {"lr": 1e-5})])
def test_updates_that_show_are_no_fault(half: bool, settings: dict[str, Any]) -> None:
    assert "LW307" not in ids(run(in_half(few()) if half else few(), steps=12, **settings))


def scaled_loop(overflows: Callable[[int], bool], steps: int, **settings: Any) -> Monitor:
    """A plain loop under a real loss scaler; the loss is infinite to the backward pass at the steps named."""
    torch.manual_seed(0)
    model = few().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)  # type: ignore[attr-defined]
    ids = torch.tensor([stdlib_blocks()[i]["input_ids"] for i in range(4)])
    with Monitor(model, optimizer, scaler=scaler, max_steps=steps, **settings) as monitor:
        for step in range(1, steps + 1):
            loss = model(input_ids=ids, labels=ids).loss
            scaler.scale(loss * (float("inf") if overflows(step) else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            monitor.step(loss=loss)
            optimizer.zero_grad()
    return monitor


def test_steps_that_go_on_being_skipped_are_one_alert_in_the_words_in_which_it_opened() -> None:
    monitor = scaled_loop(lambda step: step % 3 == 0, steps=24)
    alert = the("LW307", monitor)
    assert alert.step == 15, "the fifth"
    assert {5, 15} <= numbers(said(alert)), "what the console has shown stays so in the files"
    assert ids(monitor) == ["LW307"]


def test_the_scalers_search_at_the_start_is_no_fault_and_one_that_never_ends_is() -> None:
    assert ids(scaled_loop(lambda step: step <= 12, steps=30)) == []
    assert the("LW307", scaled_loop(lambda step: True, steps=24)).step == 21


# -- LW309 -------------------------------------------------------------------------------------------------------------


def unfrozen(names: str) -> Callable[[Trainer], None]:
    def prepare(trainer: Trainer) -> None:
        for name, parameter in trainer.model.named_parameters():  # type: ignore[union-attr]
            if names in name and "lora_" not in name:
                parameter.requires_grad_(True)

    return prepare


def test_a_weight_that_trains_under_its_adapter_is_named() -> None:
    monitor = run(few(), steps=4, prepare=unfrozen("layers.2.mlp.down_proj"))
    alert = the("LW309", monitor)
    assert alert.step == 1
    assert [name for name, _ in alert.adapters] == ["model.layers.2.mlp.down_proj"]
    assert ids(monitor) == ["LW309"]


def test_a_weight_that_is_overwritten_half_way_is_named() -> None:
    def overwrite(model: Any) -> None:
        for name, parameter in model.named_parameters():
            if "q_proj.base_layer" in name:
                parameter.mul_(1.05)

    alert = the("LW309", run(few(), steps=6, before=(At(3, overwrite),)))
    assert (alert.step, len(alert.adapters), alert.threshold) == (3, 4, 0.01)


@pytest.mark.parametrize(("merges", "found"), [(range(2, 13), ["WARNING"]), ((4, 8), [])], ids=["always", "twice"])
def test_weights_that_each_merge_rounds_a_little_are_named(merges: Sequence[int], found: list[str]) -> None:
    def merge(state: Any, model: Any, **_: Any) -> None:
        if state.global_step in merges:
            model.merge_adapter()
            model.unmerge_adapter()

    monitor = run(lora(tiny_model().bfloat16()), 14, (on("step_begin", merge),), dataset=stdlib_blocks(64, 16), lr=1e-2)
    assert [alert.severity.name for alert in monitor.alerts if alert.rule == "LW309"] == found


def test_training_what_is_not_under_an_adapter_is_no_fault() -> None:
    assert ids(run(few(), steps=4, prepare=unfrozen("norm"))) == []
    saved = lora(tiny_model(), targets=["q_proj", "v_proj"], modules_to_save=["lm_head"])
    assert ids(run(saved, steps=4)) == []
