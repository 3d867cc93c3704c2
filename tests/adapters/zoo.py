"""One small float64 network for each kind of layer that PEFT adapts, and the truth to compare readings with."""

import dataclasses
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_watch.adapters import Adapter

R, ALPHA = 4, 6


class Net(nn.Module):
    """A network that is one layer, called ``layer``."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.double()

    def forward(self, *args: Any) -> Any:
        return self.layer(*args)


class Experts(nn.Module):
    """Three experts with two weights each, stored ``[expert, d_out, d_in]``, or the other way round."""

    def __init__(self, is_transposed: bool = False):
        super().__init__()
        self.is_transposed = is_transposed
        up, down = ((3, 5, 12), (3, 6, 5)) if is_transposed else ((3, 12, 5), (3, 5, 6))
        self.up = nn.Parameter(torch.randn(up))
        self.down = nn.Parameter(torch.randn(down))

    def forward(self, x: Tensor) -> Tensor:  # [expert, token, d]
        up, down = (self.up, self.down) if self.is_transposed else (self.up.mT, self.down.mT)
        gate, value = (x @ up).chunk(2, dim=-1)
        return (gate.sigmoid() * value) @ down


def attention() -> nn.Module:
    return nn.MultiheadAttention(8, 2)


def linear() -> nn.Module:
    return nn.Linear(7, 10)


def conv1d() -> nn.Module:
    return Conv1D(10, 7)


def needs(*options: str) -> None:
    """Skips the test where this PEFT's LoraConfig has no such option."""
    missing = set(options) - {field.name for field in dataclasses.fields(LoraConfig)}
    if missing:
        pytest.skip(f"this PEFT has no {', '.join(sorted(missing))}")


def adapted(model: nn.Module, **options: Any) -> Any:
    """``model`` with LoRA on what is called ``layer``, B not zero. Skips where this PEFT cannot do it."""
    if "target_parameters" not in options:
        options.setdefault("target_modules", ["layer"])
    needs(*options)
    config = LoraConfig(**{"r": R, "lora_alpha": ALPHA, "init_lora_weights": False} | options)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        if "is not supported. Currently, only" in str(error):
            pytest.skip("this PEFT does not adapt such a layer")
        raise


def products(adapter: Adapter) -> list[Tensor]:
    """s·B·diag(diagonal)·A of each block, formed whole."""
    diagonal = adapter.diagonal
    return [adapter.scale * (b if diagonal is None else b * diagonal) @ a for a, b in adapter.factors()]


def spectrum(blocks: list[Tensor]) -> Tensor:
    """Singular values of a block-diagonal matrix, largest first."""
    return torch.cat([torch.linalg.svdvals(block) for block in blocks]).sort(descending=True).values


def nonzero(values: Tensor) -> Tensor:
    return values[values > 1e-12]
