"""What others have put into a Trainer stays theirs, nothing of ours stays, and no model is kept alive."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import Trainer
from transformers.integrations.integration_utils import CometCallback

from lora_watch import LoraWatchCallback, Monitor
from tests.monitor.test_monitor import built as of_a_loop
from tests.monitor.test_monitor import loop
from tests.support import build_trainer, lora, on, stdlib_blocks, tiny_model


class Tracker(CometCallback):
    """One of the trackers that get our summary, without its package."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def setup(self, *_: Any, **__: Any) -> None: ...

    def on_train_begin(self, *_: Any, **__: Any) -> None: ...

    def on_train_end(self, *_: Any, **__: Any) -> None: ...

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.rows.append(dict(logs))


def raises(state: Any, **_: Any) -> None:
    """In one event of the second step."""
    if state.global_step >= 1:
        raise RuntimeError("unlucky")


def built(*callbacks: Any, **arguments: Any) -> tuple[Trainer, Tracker]:
    tracker = Tracker()
    watch = LoraWatchCallback(console=False, tensorboard=False)
    trainer = build_trainer(
        lora(tiny_model(), r=2, targets=["q_proj"]),
        stdlib_blocks(16, 16),
        steps=3,
        callbacks=[tracker, watch, *callbacks],
        logging_steps=1,
        **arguments,
    )
    return trainer, tracker


def hooks(model: Any) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def places(trainer: Trainer, tracker: Tracker) -> list[Any]:
    """What the instances themselves hold in the places where we work."""
    wanted = ((trainer, "training_step"), (trainer.accelerator, "clip_grad_norm_"), (tracker, "on_log"))
    return [vars(owner).get(name) for owner, name in wanted]


def test_wrappers_that_were_there_before_are_there_afterwards() -> None:
    trainer, tracker = built()
    calls: list[str] = []

    def wrapped(owner: Any, name: str) -> None:
        inner = getattr(owner, name)
        setattr(owner, name, lambda *args, **kwargs: (calls.append(name), inner(*args, **kwargs))[1])

    wrapped(trainer, "training_step")
    wrapped(trainer.accelerator, "clip_grad_norm_")
    wrapped(tracker, "on_log")
    before = places(trainer, tracker)
    trainer.train()
    assert places(trainer, tracker) == before
    assert [calls.count(name) for name in ("training_step", "clip_grad_norm_")] == [3, 3]
    assert sum("lora/delta_norm/max" in row for row in tracker.rows) == 3 == sum("loss" in row for row in tracker.rows)


def test_a_wrapper_that_came_in_the_middle_stays_and_no_loss_counts_twice() -> None:
    def wrap(**_: Any) -> None:
        inner = trainer.training_step
        trainer.training_step = lambda *args, **kwargs: inner(*args, **kwargs)  # type: ignore[method-assign]

    trainer, _ = built(on("step_begin", wrap))
    trainer.train()
    assert "training_step" in vars(trainer)
    watch = next(c for c in trainer.callback_handler.callbacks if isinstance(c, LoraWatchCallback))
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert watch.monitor.last.loss == pytest.approx(losses[-1], rel=1e-3)


@pytest.mark.parametrize(
    ("event", "first"),
    [
        *(("step_begin", True), ("substep_end", False), ("pre_optimizer_step", True)),
        *(("optimizer_step", False), ("step_end", True), ("step_end", False), ("log", False)),
        *(("save", False), ("evaluate", True), ("evaluate", False)),
    ],
)
def test_an_exception_outside_of_training_step_leaves_all_as_it_was(event: str, first: bool) -> None:
    """``first``: the callback that raises comes before ours."""
    steps = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    broken = on(event, raises)
    trainer, tracker = built(broken, eval_dataset=stdlib_blocks(2, 16), gradient_accumulation_steps=2, **steps)
    watch = next(c for c in trainer.callback_handler.callbacks if isinstance(c, LoraWatchCallback))
    if first:
        trainer.callback_handler.callbacks.remove(watch)
        trainer.add_callback(watch)
    model, seen = trainer.model, list[int]()
    forward = model.forward

    def counting(*args: Any, **kwargs: Any) -> Any:
        seen.append(hooks(model))
        return forward(*args, **kwargs)

    model.forward = counting
    with pytest.raises(RuntimeError, match="unlucky"):
        trainer.train()
    assert max(seen) > hooks(model) == 0, "they were there, and are not left"
    assert places(trainer, tracker)[:2] == [None, None] or event == "substep_end", "between two passes of a step"
    trainer.remove_callback(broken)
    trainer.train()
    assert watch.monitor.last.loss is not None
    assert places(trainer, tracker) == [None, None, None], "the next training leaves nothing"


# -- models ------------------------------------------------------------------------------------------------------------
def test_a_monitor_that_has_finished_keeps_no_model() -> None:
    model, optimizer = of_a_loop()
    with Monitor(model, optimizer, console=False, recover=2) as monitor:
        loop(monitor, model, optimizer, 1)
    model = weakref.ref(model)
    del optimizer
    gc.collect()
    assert model() is None
    assert len(monitor.run.adapters) == 28
    assert monitor.last is not None
    assert monitor.state_dict()["recovery"]
    assert monitor.step(loss=1.0) is monitor.last, "it is over"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_a_copy_of_a_model_in_mid_run_computes_the_same_and_is_not_monitored(copied: Callable[[Any], Any]) -> None:
    model, optimizer = of_a_loop()
    ids = torch.arange(32)[None]
    with Monitor(model, optimizer) as monitor:
        loop(monitor, model, optimizer, 2)
        assert hooks(model), "the coming step is measured in full"
        other = copied(model)
        assert torch.equal(other(input_ids=ids, labels=ids).loss, model(input_ids=ids, labels=ids).loss)
        assert hooks(other) == 0, "what is left of ours goes at the first call"
        last = loop(monitor, model, optimizer, 1)[-1]
    assert last.metrics["output_ratio"].known.all()
    assert monitor.alerts == []
