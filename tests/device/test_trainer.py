"""A real Trainer on the device: the bits of unwatched training, resumed or not, and a sweep that leaves no trace."""

from __future__ import annotations

import base64
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError, find_learning_rate
from lora_watch.base.generators import put_back
from lora_watch.trainer import find_lr
from tests.device import strict
from tests.support import DEVICE, build_trainer, lora, tiny_model


def built(folder: Path, *callbacks: Any, dropout: float = 0.0, **arguments: Any) -> Trainer:
    torch.manual_seed(0)
    model = lora(tiny_model(), targets=["q_proj", "down_proj"], lora_dropout=dropout)
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "output_dir": str(folder)}
    return build_trainer(model, steps=4, callbacks=callbacks, **settings | arguments)


def weights(trainer: Trainer) -> list[Tensor]:
    assert trainer.model is not None
    return [p.detach().cpu() for p in trainer.model.parameters() if p.requires_grad]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_run_and_a_resumed_one_are_bit_for_bit_the_unmonitored_run(tmp_path: Path) -> None:
    plain = built(tmp_path / "plain")
    assert plain.args.device.type == DEVICE.type
    plain.train()

    saving = {"save_strategy": "steps", "save_steps": 2}
    callback = LoraWatchCallback(tensorboard=False, console=False, fail_on="never")
    monitored = built(tmp_path / "watched", callback, **saving)
    with strict.waits() as waits:
        monitored.train()
    assert same(weights(plain), weights(monitored))
    ours = Counter(wait.what for wait in waits if any("deferred.py" in frame for frame in wait.stack))
    assert ours == {"event": 5}, "one for the start and one a step, checkpoints or not"

    again = built(tmp_path / "watched", LoraWatchCallback(tensorboard=False, console=False), **saving)
    again.train(resume_from_checkpoint=str(tmp_path / "watched" / "checkpoint-2"))
    assert same(weights(plain), weights(again))
    report = json.loads((tmp_path / "watched" / "lora_watch" / "report.json").read_text())
    assert (report["verdict"], report["step"]) == ("ok", 4)


def test_a_sweep_leaves_no_trace(tmp_path: Path) -> None:
    trainer = built(tmp_path, dropout=0.1)
    before, state = weights(trainer), torch.strict.get_rng_state()  # type: ignore[attr-defined]
    found = find_learning_rate(trainer, steps=20)
    assert len(found.curve) >= 10
    assert same(before, weights(trainer))
    assert torch.equal(state, torch.strict.get_rng_state())  # type: ignore[attr-defined]
    trainer.train()
    plain = built(tmp_path, dropout=0.1)
    plain.train()
    assert same(weights(plain), weights(trainer))


def test_the_callback_finds_the_rate_and_trains_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_lr, "sweep_of", partial(find_lr.sweep_of, steps=20))
    callback = LoraWatchCallback(find_lr=True, tensorboard=False, console=False)
    trainer = built(tmp_path, callback, dropout=0.1)
    trainer.train()
    assert callback.found is not None
    assert len(callback.found.curve) >= 10
    plain = built(tmp_path, dropout=0.1, lr=trainer.args.learning_rate)
    plain.train()
    assert same(weights(plain), weights(trainer))


class Spoiled(Trainer):
    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 2 else loss


def test_the_random_state_of_the_device_is_in_the_incident_record(tmp_path: Path) -> None:
    after: dict[int, Tensor] = {}

    class States(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            after[state.global_step] = torch.strict.get_rng_state()  # type: ignore[attr-defined]

    callback = LoraWatchCallback(tensorboard=False, console=False, fail_on="error")
    trainer = built(tmp_path, callback, States(), dropout=0.3, trainer_class=Spoiled)
    with pytest.raises(LoraWatchError):
        trainer.train()
    incident = json.loads((tmp_path / "lora_watch" / "incident.json").read_text())
    assert (incident["step"], incident["rng"]["step"]) == (3, 2)
    assert not torch.equal(after[1], after[2])
    ((kind, states),) = incident["rng"]["devices"].items()
    assert (kind, [base64.b64decode(state) for state in states]) == (strict.NAME, [after[2].numpy().tobytes()])


def test_a_pass_of_ours_may_draw_on_the_device() -> None:
    before = torch.strict.get_rng_state()  # type: ignore[attr-defined]
    with put_back(tiny_model()):
        torch.rand(8, device=DEVICE)
        assert not torch.equal(before, torch.strict.get_rng_state())  # type: ignore[attr-defined]
    assert torch.equal(before, torch.strict.get_rng_state())  # type: ignore[attr-defined]
