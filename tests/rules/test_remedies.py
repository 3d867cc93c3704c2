"""Remedies: numbers that people type, and that fix the run."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from transformers import Trainer

from lora_watch.base.records import AdapterInfo
from lora_watch.drivers.loop import Monitor
from lora_watch.rules.remedies import rescaled, stronger, useful_rates, weaker
from tests.rules.runs import ids, numbers, run, the
from tests.support import lora, tiny_model


def adapter(r: int, alpha: float, scale: float, formula: str = "alpha/r") -> AdapterInfo:
    return AdapterInfo("layer", "Linear", 0, 64, 64, r, alpha, scale, formula, 0, 2 * 64 * r)


def test_a_high_scale_comes_down_before_the_learning_rate() -> None:
    assert rescaled(adapter(8, 64, 8.0), 4.0) == (16, 1.0)
    assert rescaled(adapter(8, 64, 8.0), 10.0) == (16, 2.5)
    assert rescaled(adapter(8, 16, 2.0), 10.0) == (16, 10.0)
    assert rescaled(adapter(64, 64, 8.0, "alpha/sqrt(r)"), 4.0) == (16, 1.0), "by its own formula"
    assert rescaled(adapter(64, 1, 1 / 64), 1 / 400) == (128, 0.32), "a tiny one is raised before the rate"
    assert rescaled(adapter(64, 1, 1 / 64), 1 / 50) == (48, 1.0)
    assert rescaled(adapter(8, 64, 8.0), 4.0, adaptive=False) == (64, 4.0), "under SGD the rate alone comes down"


def test_by_how_much_a_rate_is_too_low_for_sgd_nobody_knows() -> None:
    """The rate at which it would learn here, 1, ruins a run where nothing clips the gradients."""
    alert = the("LW104", monitor := run(steps=16, lr=2e-3, optim="sgd"))
    assert (alert.causes, alert.next_run) == (["learning rate 0.002 is too low for SGD"], None)
    assert 0.002 <= max(numbers(alert.remedies[0])) <= 0.01, "AdamW's"
    long = replace(monitor.last, run=replace(monitor.run, max_steps=2000))
    assert max(numbers(stronger(long, 1e-3).remedies[0])) == useful_rates(replace(long.run, optimizer="AdamW")).best


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"lr": 2e-3, "adam_epsilon": 1.0}, {"adam_epsilon": 1e-8}),
        ({"lr": 2e-3, "max_grad_norm": 1e-8}, {"max_grad_norm": 1.0}),
        ({"lr": 0.1, "optim": "sgd", "max_grad_norm": 1e-6}, {"max_grad_norm": 1.0}),
        ({"lr": 1e-5, "max_grad_norm": 5e-3}, {"learning_rate": 0.03}),  # which Adam does not feel
    ],
)
def test_the_setting_that_keeps_updates_small_is_put_back_and_not_the_rate(settings: Any, found: Any) -> None:
    alert = the("LW104", run(steps=16, **settings))
    assert alert.settings == found
    assert {*alert.settings} <= {*alert.causes[0].replace("learning rate", "learning_rate").split()}


def test_rates_of_which_none_is_the_scripts_are_raised_too() -> None:
    def groups(trainer: Trainer) -> None:
        named = [(name, p) for name, p in trainer.model.named_parameters() if p.requires_grad]
        factors = [[p for name, p in named if f"lora_{factor}" in name] for factor in "AB"]
        trainer.optimizer = torch.optim.AdamW([{"params": factors[0], "lr": 1e-6}, {"params": factors[1], "lr": 3e-6}])

    alert = the("LW104", run(steps=16, prepare=groups))
    (told,) = alert.next_run.settings.values()  # type: ignore[union-attr]
    assert told.yours == 3e-6


def test_a_tiny_scale_is_the_cause_and_no_rate_of_one_is_prescribed() -> None:
    alert = the("LW104", run(lora(tiny_model(), r=16, alpha=0.016), steps=16, lr=3e-3))
    assert alert.causes == ["learning rate 0.003 at alpha/r = 0.001 is too low for LoRA"]
    ((name, alpha),) = alert.settings.items()
    assert (name, 2 <= alpha <= 32) == ("lora_alpha", True)
    assert ids(run(lora(tiny_model(), r=16, alpha=alpha), steps=16, lr=3e-3)) == []


def test_no_range_holds_the_rate_that_failed() -> None:
    last = run(lora(tiny_model()), 4, lr=2e-2).last
    for advice in (weaker(last), stronger(last, 4.0)):
        assert advice.next_run is not None
        rate = advice.next_run.settings["learning_rate"]
        assert not rate.low <= rate.yours <= rate.high, rate  # type: ignore[operator]
        assert rate.low <= rate.ours <= rate.high, rate  # type: ignore[operator]


@pytest.mark.thorough
def test_a_schedule_that_multiplies_the_scripts_rate_is_to_blame() -> None:
    last = run(lora(tiny_model()), 4, lr=2e-2).last
    script = replace(last, run=replace(last.run, config={**last.run.config, "learning_rate": 0.005}))
    advice = weaker(script)
    assert (numbers(advice.causes[0]), advice.next_run) == ({0.005, 0.02}, None)
    assert "min(1.0" in advice.remedies[0]
    lowered = {"lr_factor": 0.5, "peak_lr": tuple(rate / 2 for rate in last.run.peak_lr)}
    again = weaker(replace(script, run=replace(script.run, **lowered), lr=tuple(rate / 2 for rate in script.lr)))
    assert numbers(again.causes[0]) == {0.005, 0.02, 0.5}, "after a recovery, too, the script's are its own"


def test_advice_for_a_rate_of_lora_plus_is_for_the_rate_that_people_set() -> None:
    """B's group trains at 16 times the learning rate: the advice is a new learning rate, and it fixes the run."""

    def trained(lr: float, alpha: float) -> Monitor:
        model = lora(tiny_model(), alpha=alpha)

        def plus(trainer: Trainer) -> None:
            trainer.optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=lr, loraplus_lr_ratio=16)

        return run(model, steps=20, lr=lr, prepare=plus)

    alert = the("LW102", trained(2e-3, 64))
    rate = alert.settings["learning_rate"]
    assert alert.settings["lora_alpha"] == 16
    assert 5e-4 <= rate <= 1e-3
    assert {0.002, rate} <= numbers(str(alert.next_run))
    assert ids(trained(alert.settings["learning_rate"], alert.settings["lora_alpha"])) == []


@pytest.mark.parametrize("cycles", [False, True], ids=["an optimizer", "OneCycleLR"])
def test_the_rate_that_a_script_gives_its_own_optimizer_is_the_scripts(cycles: bool) -> None:
    def own(trainer: Trainer) -> None:
        trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), 2e-3 if cycles else 0.05, weight_decay=0.3)
        if cycles:
            trainer.lr_scheduler = torch.optim.lr_scheduler.OneCycleLR(trainer.optimizer, 0.05, total_steps=13)

    monitor = run(lora(tiny_model()), steps=12, prepare=own)
    alert = the("LW102", monitor)
    assert alert.next_run.settings["learning_rate"].yours == 0.05  # type: ignore[union-attr]
    assert alert.causes[0].startswith("learning rate 0.05 (set outside TrainingArguments)"), "where to change it"
    assert [monitor.run.config[name] for name in ("learning_rate", "weight_decay")] == [0.05, 0.3]


def test_an_alpha_of_a_pattern_is_no_new_lora_alpha() -> None:
    model = lora(tiny_model(), alpha_pattern={"down_proj": 256})
    change = weaker(run(model, steps=1, lr=1e-2).last).next_run
    ((name, alpha), *_) = change.settings.items()
    assert (alpha.yours, alpha.ours, "lora_alpha" in change.settings) == (256, 128, False)
    for word in ("lora_alpha", "down_proj", "alpha_pattern"):
        assert word in name


def test_the_advice_is_for_the_fastest_group() -> None:
    """Equal scales, and one block at a hundred times the rate of the others: that rate has to come down."""
    model = lora(tiny_model())

    def groups(trainer: Trainer) -> None:
        fast = [p for name, p in model.named_parameters() if p.requires_grad and ".layers.3." in name]
        slow = [p for name, p in model.named_parameters() if p.requires_grad and ".layers.3." not in name]
        trainer.optimizer = torch.optim.AdamW([{"params": slow, "lr": 2e-3}, {"params": fast, "lr": 0.2}])

    change = weaker(run(model, steps=1, prepare=groups).last).next_run
    (rate,) = change.settings.values()
    assert rate.yours in (0.002, 0.2)
    assert rate.ours / rate.yours <= 0.5
