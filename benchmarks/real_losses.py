"""Train healthy runs of a thousand steps and more, and keep the loss of every step in real_losses.npz.

    python -m benchmarks.real_losses

The script takes an hour of one core for all runs and trains no stored run again. `loss_detection.py` measures false
alarms on these clean losses, at batch size 1 above all. Even seeds are for tuning, odd ones for reports.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

from benchmarks.corpus.models import minilm
from benchmarks.corpus.tasks import bbc_news, labelled
from lora_watch.demo import models, texts

FILE = Path(__file__).with_name("real_losses.npz")


@dataclass(frozen=True)
class Run:
    """One healthy run; every setting is an ordinary one."""

    name: str
    batch: int
    steps: int
    lr: float
    linear: bool = False
    """Whether the learning rate falls to 0 by the end; constant otherwise."""
    seeds: int = 2


RUNS = (
    Run("python", 1, 3000, 5e-4, seeds=4),
    Run("python", 4, 2000, 1e-3, linear=True),
    Run("python", 16, 1500, 2e-3, linear=True),
    Run("ragged", 1, 3000, 5e-4),
    Run("mixed", 1, 3000, 1e-3, linear=True),
    Run("news", 1, 1500, 5e-4, seeds=14),
    Run("news", 8, 600, 1e-3, linear=True),
    Run("heart", 1, 1500, 2e-3, seeds=6),
)
"""``python``: the tiny Llama on blocks of 64 tokens of the standard library. ``ragged``: the same, each block cut to 8
to 64 tokens. ``mixed``: half of them prose of the reference manual. ``news``: MiniLM sorts BBC articles, whose loss
falls close to 0. ``heart``: the tiny Llama learns 24 blocks by heart."""


def model_and_examples(name: str) -> tuple[Any, list[dict[str, Any]]]:
    """A pretrained model without an adapter, and what to train it on."""
    if name == "news":
        articles, classes = bbc_news()
        model, tokenizer = minilm(len(classes))
        return model, labelled(texts.split(articles)[0], tokenizer, 64)
    model, tokenizer = models.tiny_llama()
    sources = texts.blocks(texts.split(texts.stdlib_text())[0], tokenizer, 6000, 64)
    if name == "mixed":
        manual = texts.blocks(texts.python_manual(), tokenizer, 400, 64)
        sources = sources[:400] + manual
    if name == "heart":
        sources = sources[:24]
    if name == "ragged":
        lengths = random.Random(0)
        cut = [lengths.randint(8, 64) for _ in sources]
        sources = [{key: ids[:n] for key, ids in block.items()} for block, n in zip(sources, cut)]
    return model, sources


def losses(run: Run, seed: int) -> Iterator[float]:
    """The run's loss at every step. AdamW, gradients clipped at 1, r 8, α 16, every epoch in an order of its own."""
    torch.manual_seed(seed)
    base, examples = model_and_examples(run.name)
    task = "SEQ_CLS" if run.name == "news" else "CAUSAL_LM"
    model: Any = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type=task))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=run.lr, weight_decay=0.0)
    order, shuffle = [], random.Random(seed)
    for step in range(run.steps):
        for group in optimizer.param_groups:
            group["lr"] = run.lr * (1.0 - step / run.steps if run.linear else 1.0)
        if len(order) < run.batch:
            order = list(range(len(examples)))
            shuffle.shuffle(order)
        chosen, order = order[: run.batch], order[run.batch :]
        batch = {key: torch.tensor([examples[i][key] for i in chosen]) for key in examples[0]}
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()


def load() -> dict[str, np.ndarray]:
    """``{"python_b1_seed0": losses [n_steps], …}``"""
    if not FILE.exists():
        return {}
    with np.load(FILE) as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for run in RUNS:
        for seed in range(run.seeds):
            name = f"{run.name}_b{run.batch}_seed{seed}"
            done = load()
            if name in done:
                continue
            series = np.fromiter(losses(run, seed), dtype=np.float32, count=run.steps)
            np.savez_compressed(FILE, **{**done, name: series.astype(np.float32)})  # type: ignore[arg-type]
            print(f"{name}: {series[:20].mean():.3f} → {series[-100:].mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
