"""LW107 and LW108 on real runs: each must fire on the sick run, and stay silent on its twin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback

from benchmarks.corpus.faults import FAULTS, victim
from tests.rules.runs import ids, numbers, run, the
from tests.support import lora, tiny_model

# -- LW107 -------------------------------------------------------------------------------------------------------------


def test_adapter_decays() -> None:
    monitor = run(steps=40, prepare=lambda trainer: FAULTS["decay-eats"].inject(trainer, 20))
    alert = the("LW107", monitor)
    assert 20 <= alert.step <= 30
    assert {47.619, 4.8} <= numbers(alert.causes[0])
    assert ids(monitor) == ["LW107"]


def test_decay_of_the_usual_size_is_silent() -> None:
    assert ids(run(steps=40, weight_decay=0.1)) == []


@pytest.mark.thorough
def test_shrinking_without_decay_is_not_blamed_on_it() -> None:
    """A decay so small that it explains nothing, and a hand that takes a tenth off every B at each step."""

    class Shrink(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if state.global_step >= 20 and "lora_B" in name:
                        parameter.mul_(0.9)

    monitor = run(steps=40, before=(Shrink(),), weight_decay=0.01)
    assert "LW107" not in ids(monitor)


# -- LW108 -------------------------------------------------------------------------------------------------------------


def hot_layer(trainer: Trainer) -> None:
    FAULTS["one-hot-layer"].inject(trainer, 0)


def test_layer_outlier_names_the_layer_and_its_group() -> None:
    model = lora(tiny_model())
    name = victim(model).name
    monitor = run(model, steps=20, prepare=hot_layer)
    alert = the("LW108", monitor)
    assert alert.adapters[0][0] == name
    assert len(alert.adapters) == 1
    assert {0.2, 0.002} <= numbers(alert.causes[0])
    assert alert.step == 5
    assert len(monitor.alerts) <= 2


@pytest.mark.parametrize(
    "settings",
    [{"optim": "sgd", "lr": 1.0}, pytest.param({"per_device_train_batch_size": 1}, marks=pytest.mark.thorough)],
)
def test_layer_outlier_is_silent_on_runs_that_learn(settings: dict[str, Any]) -> None:
    assert "LW108" not in ids(run(steps=40, **settings))
