"""The loss of every optimizer step is the true one, whatever the Trainer does with it and however it logs it.

The oracle is independent: each run sees its whole dataset in every optimizer step, so a callback of the test's own
can compute, by hand and before the step, what its loss must be.
"""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForQuestionAnswering, Trainer, TrainerCallback

from lora_watch import LoraWatchCallback
from tests.support import build_trainer, few, lora, stdlib_blocks, tiny_model
from tests.trainer.test_trainers import STEPS, with_trl


class ByHand(TrainerCallback):
    """Computes ``loss(model)`` before each optimizer step, and keeps what the monitor says after it."""

    def __init__(self, loss: Callable[[Any], torch.Tensor], watcher: LoraWatchCallback):
        self.loss, self.watcher = loss, watcher
        self.expected: list[float] = []
        self.measured: list[float | None] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        with torch.no_grad():
            self.expected.append(float(self.loss(model)))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.measured.append(self.watcher.monitor.last.loss)


def ragged(n: int = 8) -> list[dict[str, list[int]]]:
    """Examples of one length whose prompts, which are no target, differ widely in length."""
    out = []
    for i, example in enumerate(stdlib_blocks(n, 32)):
        ids = list(example["input_ids"])
        hidden = (i * 7) % 28
        out.append({"input_ids": ids, "labels": [-100] * hidden + ids[hidden:]})
    return out


def token_losses(model: Any, data: list[dict[str, list[int]]], smoothing: float = 0.0) -> torch.Tensor:
    """The cross-entropy of every target token, one row an example; 0 where there is no target."""
    ids = torch.tensor([example["input_ids"] for example in data])
    labels = torch.tensor([example["labels"] for example in data])[:, 1:]
    logits = model(input_ids=ids).logits[:, :-1].float()
    return F.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=-100, reduction="none", label_smoothing=smoothing
    )


def targets(data: list[dict[str, list[int]]], first: int = 1) -> int:
    return sum(label != -100 for example in data for label in example["labels"][first:])


FIRST_COUNTED = int('["labels"][..., 1:]' in inspect.getsource(Trainer))
"""Older Trainers divide the sum of the losses by one label an example more than is predicted, and train on that."""


def monitored(
    loss: Callable[[Any], torch.Tensor],
    data: Any,
    trainer_class: type[Trainer] = Trainer,
    model: Any = None,
    **arguments: Any,
) -> ByHand:
    watcher = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)
    by_hand = ByHand(loss, watcher)
    model = few() if model is None else model
    trainer = build_trainer(model, data, STEPS, callbacks=[watcher, by_hand], trainer_class=trainer_class, **arguments)
    trainer.train()
    return by_hand


def check(by_hand: ByHand) -> None:
    assert len(by_hand.measured) == STEPS
    assert by_hand.measured == pytest.approx(by_hand.expected, rel=2e-5)
    assert len({round(value, 6) for value in by_hand.expected}) == STEPS, "the run must move, or the test says nothing"


def test_gradient_accumulation_weighs_tokens_not_micro_batches() -> None:
    data = ragged()
    mean_over_tokens = lambda model: token_losses(model, data).sum() / targets(data, FIRST_COUNTED)  # noqa: E731
    by_hand = monitored(mean_over_tokens, data, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    check(by_hand)
    parts = [data[i : i + 2] for i in range(0, 8, 2)]
    with torch.no_grad():
        model = tiny_model()
        weighed = float(token_losses(model, data).sum()) / targets(data)
        naive = sum(float(token_losses(model, part).sum()) / targets(part) for part in parts) / 4
    assert weighed != pytest.approx(naive, rel=1e-3), "the parts must differ, or the test says nothing"


def test_label_smoothing() -> None:
    data = ragged()

    def smoothed(model: Any) -> torch.Tensor:
        # The Trainer averages over the targets of one batch; with one batch a step that is all of them.
        return token_losses(model, data, smoothing=0.1).sum() / targets(data)

    check(monitored(smoothed, data, per_device_train_batch_size=8, label_smoothing_factor=0.1))


def test_losses_by_which_no_labels_are_counted_are_means() -> None:
    model = lora(LlamaForQuestionAnswering(tiny_model().config).float(), targets=["q_proj"], task_type="QUESTION_ANS")
    rows = [{"input_ids": row["input_ids"], "start_positions": n, "end_positions": n} for n, row in enumerate(ragged())]
    batch = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
    check(monitored(lambda model: model(**batch).loss, rows, model=model, gradient_accumulation_steps=2))


def test_compute_loss_func() -> None:
    data = ragged()

    def squared(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs.logits[:, :-1].float()
        losses = F.cross_entropy(logits.transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none")
        return (losses**2).sum() / targets(data)

    class WithFunction(Trainer):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, compute_loss_func=squared, **kwargs)

    by_hand = monitored(
        lambda model: (token_losses(model, data) ** 2).sum() / targets(data),
        data,
        WithFunction,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
    )
    check(by_hand)


def test_sft_trainer(tmp_path: Path) -> None:
    data = ragged()
    watcher = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)

    def expected(model: Any) -> torch.Tensor:
        full = [{"input_ids": e["input_ids"], "labels": e["input_ids"]} for e in data]
        return token_losses(model, full).sum() / targets(full)

    rows, by_hand = [{"input_ids": e["input_ids"]} for e in data], ByHand(expected, watcher)
    trainer = with_trl("SFT", rows, few, gradient_accumulation_steps=2, gradient_checkpointing=False)(tmp_path, watcher)
    trainer.add_callback(by_hand)
    trainer.train()
    check(by_hand)


def test_dpo_trainer(tmp_path: Path) -> None:
    rows = [
        {"prompt": "It is a truth", "chosen": " universally acknowledged", "rejected": " nobody ever heard"},
        {"prompt": "She was", "chosen": " then but fifteen", "rejected": " def import class return"},
        {"prompt": "Mr. Darcy", "chosen": " walked off", "rejected": " lambda: None"},
        {"prompt": "The", "chosen": " party sat down to dinner", "rejected": " = = = ="},
    ]
    beta = 0.5
    watcher = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)

    def answer(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        ids, mask = batch["input_ids"], batch["completion_mask"][:, 1:].bool()
        logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits[:, :-1].float()
        picked = torch.gather(logits.log_softmax(-1), 2, ids[:, 1:, None]).squeeze(-1)
        return (picked * mask).sum(1)

    def expected(model: Any) -> torch.Tensor:
        batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))]))
        policy = answer(model, batch)
        with model.disable_adapter():
            reference = answer(model, batch)
        n = len(rows)
        margin = (policy - reference)[:n] - (policy - reference)[n:]
        return -F.logsigmoid(beta * margin).mean()

    by_hand = ByHand(expected, watcher)
    trainer = with_trl("DPO", rows, few, beta=beta, gradient_checkpointing=False)(tmp_path, watcher)
    trainer.add_callback(by_hand)
    trainer.train()
    check(by_hand)
    assert by_hand.expected[0] == pytest.approx(math.log(2), rel=1e-5)
