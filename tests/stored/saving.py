"""Saved adapters, and the command that looks into them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback

from tests.support import lora, lora_watch, tiny_model

Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
UP = "base_model.model.model.layers.1.mlp.up_proj.lora_"


command = functools.partial(lora_watch, "inspect")


def random_lora(model: nn.Module | None = None, seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return lora(model if model is not None else tiny_model(), init_lora_weights=False, **config)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """``change`` the tensors of the adapter in ``folder``."""
    content = load_file(folder / "adapter_model.safetensors")
    change(content)
    save_file({name: tensor.contiguous() for name, tensor in content.items()}, folder / "adapter_model.safetensors")


def lose_a_layer(content: dict[str, Any]) -> None:
    for part in "AB":
        del content[f"{UP}{part}.weight"]


class Damages(TrainerCallback):
    """What is wrong with a save has happened before anybody can look at it."""

    def __init__(self, change: Callable[[dict[str, Any]], Any], step: int = 4):
        self.change, self.step = change, step

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step and state.is_world_process_zero:
            rewrite(Path(args.output_dir) / f"checkpoint-{self.step}", self.change)
