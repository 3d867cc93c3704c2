"""What a merge keeps of an adapter: as PEFT's own merge has it."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_watch import find_adapters
from lora_watch.measurement.norms.base import dequantised
from lora_watch.measurement.norms.merging import kept_by_a_merge
from tests.rules.runs import run
from tests.stored.saving import random_lora
from tests.support import in_4_bits, lora, tiny_model


def sized(model: Any, relative: float) -> Any:
    """``model`` whose every ‖ΔW‖/‖W₀‖ is ``relative``."""
    for module in model.modules():
        if hasattr(module, "lora_B") and "default" in module.lora_B:
            now = module.get_delta_weight("default").norm() / module.base_layer.weight.float().norm()
            with torch.no_grad():
                module.lora_B["default"].weight *= relative / now
    return model


def kept_by_peft(model: Any) -> float:
    """The same of all layers that PEFT itself merges, in the precision that the base weights have."""
    layers: dict[str, Any] = {adapter.name: adapter.module for adapter in find_adapters(model)}
    merged: dict[str, Any] = dict(copy.deepcopy(model).merge_and_unload().named_modules())
    along = squares = 0.0
    for name, layer in layers.items():
        before, delta = weight_of(layer.base_layer), layer.get_delta_weight("default").float()
        along += float(((weight_of(merged[name]) - before) * delta).sum())
        squares += float(delta.square().sum())
    return along / squares


def weight_of(layer: Any) -> torch.Tensor:
    weight = dequantised(layer)
    return (layer.weight if weight is None else weight).float().clone()


@pytest.mark.parametrize(("relative", "share"), [(1e-2, 1.0), (1e-3, 0.55), (1e-4, 0.06)])
def test_bfloat16_keeps_what_its_eight_bits_can_hold(relative: float, share: float) -> None:
    """Shares of random weights and updates, computed apart from this program."""
    found = kept_by_a_merge(find_adapters(sized(random_lora(tiny_model().bfloat16()), relative)))
    assert found == pytest.approx(share, abs=0.08)


def test_a_weight_that_is_kept_transposed_is_merged_as_it_is() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Conv1D(64, 64)).bfloat16()
    with torch.no_grad():  # inputs of unlike size
        net[0].weight.mul_(torch.logspace(-3, 1, 64)[:, None])
    model = lora(net, targets=["0"], task_type=None, fan_in_fan_out=True, init_lora_weights=False)
    (adapter,) = find_adapters(model)
    (factors,) = adapter.factors()
    with torch.no_grad():  # and most of the update at the small ones
        factors.a.mul_(1e-2 * torch.logspace(0, -4, 64)[None])
        delta = (factors.b.float() * adapter.scale) @ factors.a.float()
        (weight,) = (matrix.float() for matrix in adapter.base_matrices())
        kept = (weight + delta).bfloat16().float() - weight
    assert kept_by_a_merge([adapter]) == pytest.approx(float((kept * delta).sum() / delta.square().sum()))


@pytest.mark.parametrize(("relative", "found"), [(1e-3, ["INFO"]), (1.0, [])], ids=["small", "as large as the weights"])
def test_a_run_on_4_bits_ends_with_what_a_merge_into_them_would_lose(relative: float, found: list[str]) -> None:
    torch.manual_seed(0)
    model = lora(in_4_bits(tiny_model()), targets=["q_proj", "v_proj"], init_lora_weights=False)
    adapters = find_adapters(model)
    with torch.no_grad():
        for adapter in adapters:
            (factors,) = adapter.factors()
            delta = (factors.b.float() * adapter.scale) @ factors.a.float()
            weight = dequantised(adapter.base_layer)
            assert weight is not None
            factors.b.mul_(relative * weight.norm() / delta.norm())
    assert kept_by_a_merge(adapters) == pytest.approx(kept_by_peft(model), abs=0.05)
    monitor = run(model, steps=6, lr=1e-9)
    assert [alert.severity.name for alert in monitor.alerts if alert.rule == "LW316"] == found


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32"])
def test_a_run_ends_with_what_a_merge_would_lose(kind: str) -> None:
    model = lora(tiny_model().to(getattr(torch, kind)))
    monitor = run(model, steps=6, lr=2e-5)
    assert [alert.severity.name for alert in monitor.alerts if alert.rule == "LW316"] == ["INFO"] * (kind != "float32")
    share = kept_by_a_merge(find_adapters(model))
    if kind == "float32":
        assert math.isnan(share)
    else:
        assert share == pytest.approx(kept_by_peft(model), abs=0.05)
    assert kept_by_a_merge(find_adapters(sized(random_lora(tiny_model().bfloat16()), 2e-2))) > 0.95
