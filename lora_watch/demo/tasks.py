"""What the demo trains: a pretrained model, a text it has not seen, and two ways to set LoRA up for it."""

from __future__ import annotations

import math
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


def _both(alpha: int, lr: float, strong_alpha: int, strong_lr: float) -> tuple[Setup, Setup]:
    return Setup("healthy", alpha, lr), Setup("too-strong", strong_alpha, strong_lr)


@dataclass(frozen=True)
class Score:
    """How well a model does the task on what it never trained on."""

    name: str
    measure: Callable[[Any, Examples], float]
    higher_is_better: bool = False

    def improved(self, before: float, after: float) -> bool:
        """False also when either is NaN."""
        return after > before if self.higher_is_better else after < before


@dataclass(frozen=True)
class Task:
    """A pretrained model and a text, ready for the Trainer."""

    title: str
    load: Callable[[], Any]
    """A fresh pretrained model at each call."""
    train: Examples
    held_out: Examples
    score: Score
    healthy: Setup
    failing: Setup
    steps: int
    batch: int
    task_type: str = "CAUSAL_LM"


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


def perplexity(model: Any, examples: Examples) -> float:
    """exp of ``mean_loss``; infinite where that overflows."""
    loss = mean_loss(model, examples)
    return math.exp(loss) if loss < 700 else math.inf


@torch.no_grad()
def accuracy(model: Any, examples: Examples) -> float:
    """Share of the examples whose most likely class is theirs."""
    was_training = model.training
    model.eval()
    right = sum(int((model(**batch).logits.argmax(-1) == batch["labels"]).sum()) for batch in batches(examples))
    model.train(was_training)
    return right / len(examples)


# -- the three tasks ---------------------------------------------------------------------------------------------------
def tiny(quick: bool = False) -> Task:
    """The packaged Llama, which has read only Jane Austen, meets Python. 10 s of one quiet core; quick: 2 s."""
    _, tokenizer = models.tiny_llama()
    train, held_out = texts.split(texts.stdlib_text())
    steps, batch, length = (30, 8, 64) if quick else (60, 16, 128)
    healthy, failing = _both(16, 2e-3, 64, 2e-2)
    return Task(
        title="a small Llama that has only read Jane Austen learns Python (the standard library's sources)",
        load=lambda: models.tiny_llama()[0],
        train=texts.blocks(train, tokenizer, steps * batch, length),
        held_out=texts.blocks(held_out, tokenizer, 32, length),
        score=Score("held-out loss (nats a token)", mean_loss),
        healthy=healthy,
        failing=failing,
        steps=steps,
        batch=batch,
    )


def minilm(quick: bool = False) -> Task:
    """all-MiniLM-L6-v2 learns to sort BBC news. About a minute. Raises MissingPackageError."""
    articles, classes = texts.bbc_news()
    _, tokenizer = models.minilm(len(classes))
    train, held_out = texts.split(articles)
    steps, batch, length = (50, 8, 64) if quick else (100, 8, 128)
    healthy, failing = _both(16, 1e-3, 128, 3e-3)
    return Task(
        title=f"all-MiniLM-L6-v2 learns to sort BBC news into {len(classes)} classes ({', '.join(classes)})",
        load=lambda: models.minilm(len(classes))[0],
        train=texts.labelled(train[: steps * batch], tokenizer, length),
        held_out=texts.labelled(held_out[:200], tokenizer, length),
        score=Score("held-out accuracy", accuracy, higher_is_better=True),
        healthy=healthy,
        failing=failing,
        steps=steps,
        batch=batch,
        task_type="SEQ_CLS",
    )


def smollm2(quick: bool = False) -> Task:
    """SmolLM2-135M reads Python's reference manual. A minute or two. Raises MissingPackageError."""
    _, tokenizer = models.smollm2()
    train, held_out = texts.split(texts.python_manual())
    steps, batch, length = (20, 4, 32) if quick else (40, 4, 64)
    healthy, failing = _both(16, 5e-4, 128, 1e-2)
    return Task(
        title="SmolLM2-135M-Instruct reads Python's language reference",
        load=lambda: models.smollm2()[0],
        train=texts.blocks(train, tokenizer, steps * batch, length),
        held_out=texts.blocks(held_out, tokenizer, 24, length),
        score=Score("held-out perplexity", perplexity),
        healthy=healthy,
        failing=failing,
        steps=steps,
        batch=batch,
    )


TASKS: dict[str, Callable[[bool], Task]] = {"tiny": tiny, "minilm": minilm, "smollm2": smollm2}
