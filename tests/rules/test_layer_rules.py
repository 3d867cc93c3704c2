"""LW107 and LW108 on real runs: each must fire on the sick run, and stay silent on its twin."""

from __future__ import annotations

from transformers import Trainer

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


def test_layer_outlier_is_silent_on_a_run_that_learns() -> None:
    assert "LW108" not in ids(run(steps=40, optim="sgd", lr=1.0))
