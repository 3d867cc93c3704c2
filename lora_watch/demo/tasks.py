"""The demo's task: a pretrained model, a text that it has not seen, and two ways to set LoRA up for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lora_watch.demo import models, texts

Examples = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Setup:
    """All that differs between the two runs of a task."""

    name: str
    alpha: int
    lr: float
    r: int = 8

    def __str__(self) -> str:
        return f"r {self.r}, alpha {self.alpha} (scale {self.alpha / self.r:g}), learning rate {self.lr:g}"


HEALTHY, FAILING = Setup("healthy", 16, 2e-3), Setup("too-strong", 64, 2e-2)


@dataclass(frozen=True)
class Task:
    """A pretrained model and a text, ready for the Trainer."""

    title: str
    load: Callable[[], Any]
    """A fresh pretrained model at each call."""
    train: Examples
    held_out: Examples
    steps: int
    batch: int


def batches(examples: Examples, size: int = 8) -> list[dict[str, torch.Tensor]]:
    """``examples`` as tensors ``[size, …]``, in order; the last one may be smaller."""
    return [
        {key: torch.tensor([example[key] for example in examples[i : i + size]]) for key in examples[0]}
        for i in range(0, len(examples), size)
    ]


@torch.no_grad()
def mean_loss(model: Any, examples: Examples) -> float:
    """Cross-entropy in nats a token, over blocks of equal length."""
    was_training = model.training
    model.eval()
    total = sum(float(model(**batch).loss) * len(batch["labels"]) for batch in batches(examples))
    model.train(was_training)
    return total / len(examples)


def tiny(quick: bool = False) -> Task:
    """The packaged Llama, which has read only Jane Austen, meets Python. 10 s of one quiet core; quick: 2 s."""
    _, tokenizer = models.tiny_llama()
    train, held_out = texts.split(texts.stdlib_text())
    steps, batch, length = (30, 8, 64) if quick else (60, 16, 128)
    return Task(
        title="a small Llama that has only read Jane Austen learns Python (the standard library's sources)",
        load=lambda: models.tiny_llama()[0],
        train=texts.blocks(train, tokenizer, steps * batch, length),
        held_out=texts.blocks(held_out, tokenizer, 32, length),
        steps=steps,
        batch=batch,
    )
