"""Models that are not all in one place."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lora_watch import measure
from tests.device.loops import CPU, assert_same_bits, assert_same_numbers, llama, train
from tests.support import DEVICE


def _placed(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)):
        return type(value)(_placed(each, device) for each in value)
    return {key: _placed(each, device) for key, each in value.items()} if isinstance(value, dict) else value


def spread() -> Any:
    """Some blocks stay on the CPU; what goes into a block is brought to where it is, as accelerate does."""
    model = llama(torch.float64)

    def bring(module: nn.Module, args: Any, kwargs: Any) -> Any:
        device = next(module.parameters()).device
        return _placed(args, device), _placed(kwargs, device)

    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: Any) -> Any:
            return self.model(**inputs)

        def to(self, device: torch.device) -> Any:  # type: ignore[override]
            decoder = self.model.base_model.model.model
            self.model.to(device)
            for place, block in enumerate(decoder.layers):
                block.to(device if place % 2 else CPU)
                block.register_forward_pre_hook(bring, with_kwargs=True)
            decoder.norm.register_forward_pre_hook(bring, with_kwargs=True)
            return self

    return Spread()


def test_blocks_on_two_devices() -> None:
    ours, theirs = train(spread, DEVICE), train(spread, CPU)
    assert_same_numbers(ours, theirs)
    assert_same_bits(ours, train(spread, DEVICE, watch=False))
    assert ours.found == theirs.found


def grown(**config: Any) -> Any:
    torch.manual_seed(0)
    model = llama(**config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    return model


@pytest.mark.parametrize("half", [False, True])
def test_adapters_that_are_offloaded_to_the_cpu(half: bool) -> None:
    model = grown()
    there = copy.deepcopy(model).to(DEVICE)
    for name, module in there.named_modules():
        if name.endswith(("lora_A", "lora_B") if not half else "lora_A"):
            module.to(CPU)
    ours, theirs = measure(there), measure(model)
    np.testing.assert_allclose(ours.delta_norm, theirs.delta_norm, rtol=1e-6)
    np.testing.assert_allclose(ours.relative_norm, theirs.relative_norm, rtol=1e-6)


def test_a_base_that_is_not_loaded_yet() -> None:
    model = grown(targets=["q_proj"])
    there = copy.deepcopy(model).to(DEVICE)
    for module in there.modules():
        if hasattr(module, "base_layer"):
            module.base_layer.to("meta")
    ours, theirs = measure(there), measure(model)
    np.testing.assert_allclose(ours.delta_norm, theirs.delta_norm, rtol=1e-6)
    assert np.isnan(ours.relative_norm).all()


def test_a_model_that_moves_between_two_measurements() -> None:
    model = grown(targets=["q_proj"])
    before = measure(model).delta_norm
    np.testing.assert_allclose(measure(model.to(DEVICE)).delta_norm, before, rtol=1e-6)
    np.testing.assert_allclose(measure(model.to(CPU)).delta_norm, before, rtol=1e-6)
