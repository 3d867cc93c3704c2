"""Scale and state, read live."""

import copy

import pytest
import torch

from lora_watch.adapters import find_adapters
from tests.adapters.zoo import ALPHA, Net, R, adapted, linear, products


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


def test_disabled() -> None:
    model = adapted(Net(linear()))
    (adapter,) = find_adapters(model)
    with model.disable_adapter():
        assert not adapter.active
        assert not adapter.merged
        assert len(adapter.factors()) == 1, "it can still be read"
    assert adapter.active
