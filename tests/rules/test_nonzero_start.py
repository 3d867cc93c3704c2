"""Adapters that are not zero before the first update, trained before or random: what comes to them is judged."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_watch import LoraWatchCallback, Monitor, find_adapters
from lora_watch.measurement.signals.scaled_loss import ScaledLoss
from lora_watch.rules.size import HARM
from tests.monitor.test_monitor import built, loop
from tests.rules.runs import ids, said, the
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


def harmful(alpha: int = 16) -> Any:
    """Random adapters: the model is clearly worse with them, and no learning rate is to blame."""
    torch.manual_seed(0)
    return lora(tiny_model(), alpha=alpha, init_lora_weights=False)


def trained(lr: float, folder: Path, alpha: int = 16, steps: int = 16) -> Monitor:
    callback = LoraWatchCallback()
    build_trainer(harmful(alpha), stdlib_blocks(), steps, [callback], learning_rate=lr, output_dir=str(folder)).train()
    return callback.monitor


def loss_of(model: Any, batch: dict[str, Any]) -> float:
    model.eval()
    with torch.no_grad():
        return float(model(**batch).loss)


def test_harm_that_was_there_before_the_first_update_is_no_explosion(tmp_path: Path) -> None:
    monitor = trained(2e-3, tmp_path)
    assert not ids(monitor)
    assert monitor.run.nonzero_start
    assert any("LW104" in note for note in monitor.run.notes)


def test_a_model_that_guesses_with_such_adapters_is_not_called_random(tmp_path: Path) -> None:
    alert = the("LW205", trained(1e-4, tmp_path, alpha=128, steps=4))
    assert alert.causes[0].startswith("the adapter that training began with is another model's")


def test_a_start_in_the_frozen_weights_is_not_called_small(tmp_path: Path) -> None:
    """Batches differ by more than such adapters grow, so that LW104 would never fire: a note says it."""
    callback = LoraWatchCallback()
    model = lora(tiny_model(), init_lora_weights="pissa")
    build_trainer(model, stdlib_blocks(), steps=12, callbacks=[callback], output_dir=str(tmp_path)).train()
    assert any("PiSSA" in note and "LW104" in note for note in callback.monitor.run.notes)


def test_harm_that_comes_to_it_is_one(tmp_path: Path) -> None:
    alert = the("LW102", trained(0.1, tmp_path))
    assert "as they began" in said(alert)


def test_the_beginning_is_compared_with_exactly_and_nothing_of_that_stays() -> None:
    model = harmful().train()
    ids_of_batch = torch.tensor([example["input_ids"] for example in stdlib_blocks()[:4]])
    batch = {"input_ids": ids_of_batch, "labels": ids_of_batch}
    scaled = ScaledLoss(model, find_adapters(model))
    scaled.keep_beginning()
    before = loss_of(model, batch)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.mul_(0.5)
    kept = {name: (id(p), p.detach().clone()) for name, p in model.named_parameters()}
    scaled.arm(HARM)
    model.train()(**batch)
    found = scaled.begin().now()
    assert found["base_loss"] == pytest.approx(before, rel=1e-6)
    assert found["adapted_loss"] == pytest.approx(loss_of(model, batch), rel=1e-6)
    assert found["adapted_loss"] < found["base_loss"]
    for name, parameter in model.named_parameters():
        assert id(parameter) == kept[name][0]
        assert torch.equal(parameter, kept[name][1])


@pytest.mark.parametrize("late", [True, False], ids=["begun after the first update", "begun before it"])
def test_the_first_update_is_no_beginning(late: bool) -> None:
    model, optimizer = built(lr=2e-2)
    monitor = Monitor(model, optimizer, console=False)
    with nullcontext() if late else monitor:
        loop(monitor, model, optimizer, 3)
    assert not monitor.run.nonzero_start
