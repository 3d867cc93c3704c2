"""LW306 on the rates of single layers and on weight decay: it fires on the sick run, and not on its twin."""

import pytest
import torch
from transformers import Trainer

from benchmarks.corpus.faults import FAULTS, victim
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.tune.preflight import preflight
from tests.rules.runs import ids, numbers, run, the
from tests.support import lora, tiny_model


def test_decay_that_eats_the_adapters() -> None:
    monitor = run(steps=40, prepare=lambda trainer: FAULTS["decay-eats"].inject(trainer, 20))
    alert = the("LW306", monitor)
    assert 20 <= alert.step <= 22
    assert 47.619 in numbers(alert.causes[0])
    assert numbers(alert.details) == {5.0}
    assert ids(monitor) == ["LW306"]


@pytest.mark.parametrize(("decay", "severity"), [(0.1, None), (20.0, "WARNING"), (100.0, "ERROR")])
def test_decay_that_leaves_two_updates_is_an_error(decay: float, severity: str | None) -> None:
    """At half of the weights a step a run has gained 0.25 nats where its twin gains 1.8, and with a tenth 1.25."""
    monitor = run(steps=12, lr=5e-3, weight_decay=decay)
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
    assert alert.adapters[0][0] == name
    assert len(alert.adapters) == 1
    assert {0.2, 0.002} <= numbers(alert.details)
    assert alert.step == 1
    assert len(monitor.alerts) <= 2


def test_rates_that_differ_as_those_of_lora_plus_do_are_no_fault() -> None:
    def prepare(trainer: Trainer) -> None:
        lora_a, lora_b = (
            [p for n, p in trainer.model.named_parameters() if part in n]  # type: ignore[union-attr]
            for part in ("lora_A", "lora_B")
        )
        groups = [{"params": lora_a}, {"params": lora_b, "lr": 16 * trainer.args.learning_rate}]
        trainer.optimizer = torch.optim.AdamW(groups, lr=trainer.args.learning_rate)

    assert "LW306" not in ids(run(steps=10, lr=1e-4, prepare=prepare))
