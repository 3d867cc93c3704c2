"""What remembers something between two batches goes on after a sweep as if there had been none, or is refused."""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer

from lora_watch import find_learning_rate
from tests.support import build_trainer, lora
from tests.tune.collators_and_models import tiny
from tests.tune.things_with_a_state import CASES, REFUSED, Rows


@pytest.fixture(autouse=True, scope="module")
def _collected_quickly() -> Iterator[None]:
    """A sweep collects garbage twice: not among all that the tests before have left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def built(name: str) -> Trainer:
    """The Trainer of a case, and every random generator at its beginning."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    arguments = CASES[name]()
    collator = arguments.pop("collator", None)
    model = arguments.pop("model", None) or lora(tiny(), r=2, targets=["q_proj", "v_proj"])
    settings: dict[str, Any] = {"dataset": Rows(), "per_device_train_batch_size": 2, **arguments}
    trainer = build_trainer(model, steps=3, lr=1e-3, **settings)
    if collator is not None:
        trainer.data_collator = collator
    return trainer


def goes_on(trainer: Trainer) -> str:
    """Digest of what it holds, and of what its next two batches and passes are."""
    model: Any = trainer.model
    digest = hashlib.sha256()

    def add(*values: Any) -> None:
        for value in values:
            plain = value.detach().numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value).encode()
            digest.update(plain)

    add(random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index]
    add(*model.parameters(), *model.buffers(), [name for name, _ in model.named_modules()])
    add([len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()])
    add([module.training for module in model.modules()], sorted(vars(trainer)), sorted(vars(model)))
    loader = iter(trainer.get_train_dataloader())
    model.train()
    for _ in range(2):
        batch = next(loader)
        add(*batch.values(), trainer.compute_loss(model, dict(batch)))
    return digest.hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_what_has_a_state_goes_on_as_if_there_had_been_no_sweep(name: str) -> None:
    alone = goes_on(built(name))
    trainer = built(name)
    if name in REFUSED:
        with pytest.raises(ValueError, match=r"put back .*train_dataset"):
            find_learning_rate(trainer, steps=2, span=(1e-4, 1e-2))
        assert trainer.state.global_step == 0
        if name == "queue_with_a_thread":  # which runs on by itself
            return
    else:
        found = find_learning_rate(trainer, steps=2, span=(1e-4, 1e-2))
        assert len(found.curve) == 2
        if name == "model_WritesWeights":  # frozen weights are not copied: it is said
            assert [path.rpartition(".layers.")[2] for path in found.left] == [
                f"{i}.mlp.down_proj.inner.weight" for i in range(2)
            ]
            assert any("inner.weight" in sentence for sentence in found.sentences())
            return
        assert found.left == ()
    assert goes_on(trainer) == alone
