"""Scale and state, read live."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from lora_watch.adapters import find_adapters
from tests.adapters.zoo import ALPHA, Net, R, adapted, linear, products


@pytest.mark.parametrize(
    ("options", "scale", "formula"),
    [
        ({}, ALPHA / R, "alpha/r"),
        ({"use_rslora": True}, ALPHA / math.sqrt(R), "alpha/sqrt(r)"),
        ({"r": 1}, ALPHA, "alpha/r"),
    ],
)
def test_formula(options: dict[str, Any], scale: float, formula: str) -> None:
    (adapter,) = find_adapters(adapted(Net(linear()), **options))
    assert adapter.scale == scale
    assert adapter.scale_formula == formula


def test_rank_and_alpha_patterns() -> None:
    two = nn.Sequential(linear(), nn.Linear(10, 7))
    adapters = find_adapters(adapted(two, target_modules=["0", "1"], rank_pattern={"0": 2}, alpha_pattern={"1": 8}))
    assert [(a.name, a.r, a.alpha, a.scale) for a in adapters] == [("0", 2, ALPHA, ALPHA / 2), ("1", R, 8, 8 / R)]
    assert [a.factors()[0].a.shape[0] for a in adapters] == [2, R]


@pytest.mark.parametrize("rslora", [False, True])
def test_set_scale(rslora: bool) -> None:
    model = adapted(Net(linear()), use_rslora=rslora)
    (adapter,) = find_adapters(model)
    layer = model.base_model.model.layer
    normal = adapter.scale
    if hasattr(layer, "use_rslora") or not rslora:  # before that, set_scale knew α/r alone
        layer.set_scale("default", 3)
        assert adapter.scale == 3 * normal
        assert adapter.scale_formula == "set by hand"
        layer.set_scale("default", 1)
        assert (adapter.scale, adapter.scale_formula) == (normal, "alpha/sqrt(r)" if rslora else "alpha/r")
    layer.scale_layer(0.5)
    assert adapter.scale == normal / 2
    layer.unscale_layer(0.5)
    assert adapter.scale == normal


def test_two_adapters_of_different_rank() -> None:
    torch.manual_seed(0)
    model = adapted(Net(linear()))
    other = copy.deepcopy(model.peft_config["default"])
    other.r, other.lora_alpha = 2, 16
    model.add_adapter("big", other)
    first, second = find_adapters(model)
    assert (first.name, second.name) == ("layer", "layer.big")
    assert (first.r, second.r) == (R, 2)
    assert (first.scale, second.scale) == (ALPHA / R, 8)
    assert (first.active, second.active) == (True, False)
    assert (first.trainable, second.trainable) == (True, False)

    base = model.base_model.model.layer.get_base_layer()
    before = base.weight.detach().clone()
    model.set_adapter("big")
    assert (first.active, second.active) == (False, True)
    assert (first.trainable, second.trainable) == (False, True)
    model.merge_adapter()
    assert (first.merged, second.merged) == (False, True)
    torch.testing.assert_close(base.weight - before, products(second)[0])

    model.base_model.set_adapter(["default", "big"])
    assert first.active
    assert second.active


def test_frozen_reference_adapter() -> None:
    """As DPO makes it: a copy of the adapter that is never trained, switched to for the reference log-probabilities."""
    model = adapted(Net(linear()))
    model.add_adapter("ref", copy.deepcopy(model.peft_config["default"]))
    policy, ref = find_adapters(model)
    assert (policy.trainable, ref.trainable) == (True, False)
    model.set_adapter("ref")
    for parameter in ref.parameters:
        parameter.requires_grad_(False)
    assert (policy.active, ref.active, ref.trainable) == (False, True, False)


def test_disabled() -> None:
    model = adapted(Net(linear()))
    (adapter,) = find_adapters(model)
    with model.disable_adapter():
        assert not adapter.active
        assert not adapter.merged
        assert len(adapter.factors()) == 1, "it can still be read"
    assert adapter.active


def test_deleted() -> None:
    model = adapted(Net(linear()))
    model.add_adapter("ref", copy.deepcopy(model.peft_config["default"]))
    policy, ref = find_adapters(model)
    model.set_adapter("ref")
    model.delete_adapter("ref")
    assert not ref.active
    model.set_adapter("default")
    assert policy.active


def test_half_frozen_is_trainable() -> None:
    model = adapted(Net(linear()))
    (adapter,) = find_adapters(model)
    a, b = adapter.parameters
    a.requires_grad_(False)
    assert adapter.trainable
    b.requires_grad_(False)
    assert not adapter.trainable
