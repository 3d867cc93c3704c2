"""Collators, models and Trainers that keep something, for the test that a sweep leaves no trace."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DataCollatorForLanguageModeling, LlamaConfig, LlamaForCausalLM, Trainer

from tests.support import lora, tiny_tokenizer
from tests.tune.things_with_a_state import (
    CASES,
    ROWS,
    VOCABULARY,
    Slots,
    case,
    generator_of_numpy,
)


# -- collators ---------------------------------------------------------------------------------------------------------
def stacked(rows: Any, first: float) -> dict[str, Tensor]:
    ids = torch.stack([each["input_ids"] for each in rows])
    ids[0, 1] = int(first) % VOCABULARY
    return {"input_ids": ids, "labels": ids.clone()}


class Collator:
    """Draws from what is made at the first batch."""

    rng: random.Random | None = None

    def __call__(self, rows: Any) -> dict[str, Tensor]:
        self.rng = self.rng or random.Random(3)
        return stacked(rows, self.rng.randrange(VOCABULARY))


@case
def collator_that_masks():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = tokenizer.eos_token
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=True, mlm_probability=0.3, seed=7)
    return {"collator": collator, "dataset": [{"input_ids": [5, 6, 7, 8, i]} for i in range(ROWS)]}


@case
def collator_whose_generator_comes_late():
    return {"collator": Collator()}


@case
def collator_with_a_closure():
    rng = np.random.RandomState(5)
    return {"collator": lambda rows: stacked(rows, rng.randint(VOCABULARY))}


def _collate(rows: Any, rng: random.Random) -> dict[str, Tensor]:
    return stacked(rows, rng.randrange(VOCABULARY))


@case
def collator_with_arguments():
    return {"collator": functools.partial(_collate, rng=random.Random(6))}


# -- models ------------------------------------------------------------------------------------------------------------
def tiny() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, num_hidden_layers=2, **sizes))


def with_layer(make: Callable[[nn.Module], nn.Module]) -> dict[str, Any]:
    model = lora(tiny(), r=2, targets=["q_proj", "v_proj"])
    for block in model.base_model.model.model.layers:
        block.mlp.down_proj = make(block.mlp.down_proj)
    return {"model": model}


class Layer(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.n, self.seen = inner, 0, []
        self.register_buffer("ema", torch.zeros(()))
        self.rng = torch.Generator().manual_seed(2)
        self.norm = nn.BatchNorm1d(16)


class BufferAssigned(Layer):
    def forward(self, x: Tensor) -> Tensor:
        self.ema = 0.9 * self.ema + x.detach().abs().mean()
        return self.inner(x) * (1 + self.ema)


class BufferWritten(Layer):
    def forward(self, x: Tensor) -> Tensor:
        self.ema.add_(1)
        return self.inner(x) * (1 + self.ema)


class CountsPasses(Layer):
    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        self.seen.append(self.n)
        return self.inner(x) * len(self.seen)


class DropsByItself(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * torch.rand((), generator=self.rng)


class Normed(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.inner(x).transpose(1, 2)).transpose(1, 2)


class Grows(Layer):
    def forward(self, x: Tensor) -> Tensor:
        self.add_module(f"more{len(self._modules)}", nn.Identity())
        return self.inner(x) * len(self._modules)


class WritesWeights(Layer):
    """What nobody expects: the frozen weight is another one at each pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.inner.weight.mul_(0.99)  # type: ignore[operator,union-attr]
        return self.inner(x)


for layer in (BufferAssigned, BufferWritten, CountsPasses, DropsByItself, Normed, Grows, WritesWeights):
    CASES[f"model_{layer.__name__}"] = functools.partial(with_layer, layer)


@case
def model_with_dropout():
    return {"model": lora(tiny(), r=2, lora_dropout=0.5)}


@case
def model_that_checkpoints():
    return {"gradient_checkpointing": True}


# -- Trainers ----------------------------------------------------------------------------------------------------------
class Remembers(Trainer):
    """In an attribute, in an object of its own, and in the class."""

    factor = 1.0

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.passes, self.memory = 0, Slots()

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        self.passes += 1
        self.memory.n += 1
        Remembers.factor *= 1.5
        return super().compute_loss(*args, **kwargs) * self.passes * self.memory.n * Remembers.factor


@case
def trainer_that_remembers():
    Remembers.factor = 1.0
    return {"trainer_class": Remembers}


@case
def workers():
    return {"dataset": generator_of_numpy(), "dataloader_num_workers": 1}
