"""Attribute by attribute: what a sweep changes of a Trainer, its accelerator and what all accelerators share."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState
from transformers import Trainer, TrainerCallback

from lora_watch import find_learning_rate
from tests.support import build_trainer, lora
from tests.tune.smaller import rows, tiny

Attributes = dict[str, Any]
CHANGED = (
    *("trainer.args", "trainer.callback_handler", "trainer.control", "trainer.current_flos", "trainer.is_in_train"),
    "trainer.create_scheduler",
    *("trainer.lr_scheduler", "trainer.optimizer", "trainer.state", "trainer.training_step"),
    *("accelerator._dataloaders", "accelerator._models", "accelerator._optimizers", "accelerator.clip_grad_norm_"),
    "GradientState.sync_gradients",
)
"""In every version of transformers and accelerate."""
PRIVATE = (
    *("_created_lr_scheduler", "_globalstep_last_logged", "_initial_global_step", "_initial_num_input_tokens_seen"),
    *("_signature_columns", "_total_loss_scalar", "_tr_loss", "_trial", "current_gradient_accumulation_steps"),
)
"""Of the Trainer, in some versions."""
OBJECTS = ("args", "state", "control", "callback_handler")
"""Of the Trainer: their own attributes are compared, too."""
MISSING = object()


def attributes(trainer: Any) -> Attributes:
    """By object and name. Of a container its items."""
    shared = {kind.__name__: kind() for kind in (GradientState, AcceleratorState, PartialState)}
    owners = {"trainer": trainer, "accelerator": trainer.accelerator, **shared}
    owners |= {name: getattr(trainer, name) for name in OBJECTS}
    containers = (list, dict, set)
    return {
        f"{owner}.{name}": copy.copy(value) if isinstance(value, containers) else value
        for owner, holder in owners.items()
        for name, value in vars(holder).items()
    }


def same(one: Any, other: Any) -> bool:
    """The same object, or a container of the same ones."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(value is other[key] for key, value in one.items())
    if isinstance(one, (list, set)) and isinstance(other, (list, set)):
        return [*map(id, one)] == [*map(id, other)]
    return one is other


def differing(before: Attributes, now: Attributes) -> set[str]:
    return {name for name in before.keys() | now.keys() if not same(before.get(name, MISSING), now.get(name, MISSING))}


class Notes(TrainerCallback):
    """What a sweep does not put back: it leaves callbacks alone."""

    def __init__(self, fails: bool):
        self.fails, self.during = fails, list[Attributes]()


class Noted(Trainer):
    notes: Notes

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        self.notes.during.append(attributes(self))
        if self.notes.fails and self.state.global_step == 1:
            raise RuntimeError("unlucky")
        return super().compute_loss(*args, **kwargs)


@pytest.fixture(scope="module", params=["ends", "fails"])
def swept(request: pytest.FixtureRequest) -> tuple[set[str], set[str]]:
    """Names of the attributes that differ from before: at some time during a sweep, and after it."""
    fails = request.param == "fails"
    model = lora(tiny(), r=2, targets=["q_proj", "v_proj"])
    arguments: dict[str, Any] = {"dataset": rows(), "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    trainer = build_trainer(model, steps=3, lr=1e-3, trainer_class=Noted, **arguments)
    trainer.notes = notes = Notes(fails)  # type: ignore[attr-defined]
    before = attributes(trainer)
    if fails:
        with pytest.raises(RuntimeError, match="unlucky"):
            find_learning_rate(trainer, steps=3, span=(1e-4, 1e-2))
    else:
        assert len(find_learning_rate(trainer, steps=3, span=(1e-4, 1e-2)).curve) == 3
    return set[str]().union(*(differing(before, now) for now in notes.during)), differing(before, attributes(trainer))


@pytest.mark.parametrize("name", [*CHANGED, *(f"trainer.{name}" for name in PRIVATE)])
def test_what_a_sweep_changes_is_as_before(swept: tuple[set[str], set[str]], name: str) -> None:
    during, after = swept
    assert name in during or name.removeprefix("trainer.") in PRIVATE
    assert name not in after


def test_no_other_attribute_is_left_changed(swept: tuple[set[str], set[str]]) -> None:
    during, after = swept
    assert {"state.global_step", "callback_handler.callbacks"} <= during
    assert after == set()
