"""A real Trainer on the device: the bits of unwatched training, resumed or not, and a sweep that leaves no trace."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from lora_watch import LoraWatchCallback, find_learning_rate
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
