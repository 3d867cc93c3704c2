"""Whatever ends a training finds no forward hook of ours in the model."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import TrainerCallback

from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


class Broken(TrainerCallback):
    """Raises at an event of the second step."""

    def __init__(self, event: str):
        setattr(self, event, self.fail)

    def fail(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= 1:
            raise ValueError("broken")


EVENTS = ("on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_step_end", "on_evaluate")


@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
@pytest.mark.parametrize("event", EVENTS)
def test_an_exception_outside_of_a_pass_leaves_no_hook(event: str, first: bool) -> None:
    model = lora(tiny_model(), targets=["q_proj", "v_proj"])
    seen: list[int] = []
    forward = model.forward

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    def counting(*args: Any, **kwargs: Any) -> Any:
        seen.append(hooks())
        return forward(*args, **kwargs)

    model.forward = counting
    broken, watcher = Broken(event), LoraWatchCallback(console=False, tensorboard=False, full_every=1)
    trainer = build_trainer(
        model,
        steps=4,
        callbacks=[broken, watcher] if first else [watcher, broken],
        eval_dataset=stdlib_blocks()[:4],
        eval_strategy="steps",
        eval_steps=1,
        gradient_accumulation_steps=2,
    )
    with pytest.raises(ValueError, match="broken"):
        trainer.train()
    assert hooks() == 0
    assert max(seen) > 0, "they were there"
