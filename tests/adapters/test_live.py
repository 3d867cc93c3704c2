"""What was looked up once is looked up again when it has changed: for each change, what was kept would be wrong."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from lora_watch.adapters import find_adapters
from lora_watch.adapters.live import Live
from lora_watch.adapters.tree import Tree
from lora_watch.base.records import Due, FloatArray
from lora_watch.measurement.norms import AdapterBank
from lora_watch.measurement.signals.gradients import Gradients
from tests.adapters.zoo import ALPHA, R, adapted, linear


def model_of_two(**options: Any) -> Any:
    """Two layers with an adapter ``default`` that trains, and another one that waits."""
    torch.manual_seed(0)
    model = adapted(nn.Sequential(linear(), nn.Linear(10, 7)), target_modules=["0", "1"], **options)
    model.add_adapter("second", copy.deepcopy(model.peft_config["default"]))
    return model


def layers(model: Any) -> list[Any]:
    return [module for module in model.modules() if hasattr(module, "lora_A")]


def truth(live: Live) -> tuple[dict[str, FloatArray], list[list[bool]]]:
    """What the adapters are now, asked of each."""
    state = [[a.active, a.active and a.merged, a.active and a.trainable] for a in live.adapters]
    return AdapterBank(live.adapters).measure(), state


def kept(live: Live, bank: AdapterBank) -> tuple[dict[str, FloatArray], list[list[bool]]]:
    return bank.measure(), live.now.state.tolist()


def same(one: tuple[dict[str, FloatArray], Any], other: tuple[dict[str, FloatArray], Any]) -> bool:
    close = all(np.allclose(one[0][k], v, rtol=1e-12, atol=0, equal_nan=True) for k, v in other[0].items())
    return close and one[1] == other[1]


def hotswap(model: Any) -> None:
    hotswap_adapter_from_state_dict = pytest.importorskip("peft.utils.hotswap").hotswap_adapter_from_state_dict
    config = copy.deepcopy(model.peft_config["default"])
    config.r, config.lora_alpha = 2 * R, ALPHA
    other = get_peft_model(nn.Sequential(linear(), nn.Linear(10, 7)), config)
    new = {k: torch.randn_like(v) for k, v in other.state_dict().items() if "lora_" in k}
    hotswap_adapter_from_state_dict(model, new, "default", config, parameter_prefix="lora_")


def move_data(change: Callable[[nn.Parameter], torch.Tensor]) -> Callable[[Any], None]:
    """As ``model.to(…)`` and FSDP do it: the object stays, its numbers lie elsewhere."""

    def move(model: Any) -> None:
        for layer in layers(model):
            weight = layer.lora_B["default"].weight
            weight.data = change(weight)

    return move


def replace_parameters(model: Any) -> None:
    for layer in layers(model):
        layer.lora_B["default"].weight = nn.Parameter(3 * layer.lora_B["default"].weight.detach())


def replace_modules(model: Any) -> None:
    for layer in layers(model):
        layer.lora_B["default"] = copy.deepcopy(layer.lora_B["default"])
        layer.lora_B["default"].weight.data *= 2


CHANGES: dict[str, Callable[[Any], Any]] = {
    "set_adapter": lambda model: model.set_adapter("second"),
    "disabled": lambda model: model.base_model.disable_adapter_layers(),
    "merged": lambda model: model.merge_adapter(),
    "deleted": lambda model: model.delete_adapter("default"),
    "frozen": lambda model: [p.requires_grad_(False) for p in model.parameters()],
    "hotswap": hotswap,
    "dtype": lambda model: model.to(torch.bfloat16),
    "device": move_data(lambda weight: 2 * weight.detach()),
    "no device": lambda model: model.to("meta"),
    "FSDP1's placeholder": move_data(lambda weight: weight.new_empty(0)),
    "FSDP2's swap": replace_parameters,
    "another layer": replace_modules,
    "set_scale": lambda model: [layer.set_scale("default", 5) for layer in layers(model)],
    "scale_layer": lambda model: [layer.scale_layer(0.5) for layer in layers(model)],
    "the scaling dict": lambda model: [vars(layer).update(scaling={"default": 9.0}) for layer in layers(model)],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_and_what_was_kept_would_have_been_wrong(change: str) -> None:
    model = model_of_two()
    live = Live([adapter for adapter in find_adapters(model) if adapter.active])
    bank = AdapterBank(live.adapters, live)
    for _ in range(3):
        assert same(kept(live, bank), truth(live))
    before = live.now
    assert live.refresh() is live.follow() is before, "nothing has changed: nothing is looked up"
    CHANGES[change](model)
    look = live.follow if change in ("dtype", "device", "set_scale") else live.refresh  # as an update may do
    if change == "deleted":  # nothing more can be asked of it
        assert live.refresh().state.tolist() == [[False] * 3] * 2
        return
    assert not same(kept(live, bank), truth(live)), "or this test says nothing"
    assert look() is not before
    assert same(kept(live, bank), truth(live))
    now = live.now
    assert live.refresh() is now


def test_the_gradient_is_that_of_the_present_parameter() -> None:
    model = model_of_two()
    live = Live([adapter for adapter in find_adapters(model) if adapter.active])
    gradients = Gradients(live)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    first = gradients.begin(Due(1)).now()["b_grad_norm"].values
    replace_parameters(model)
    live.refresh()
    assert not gradients.begin(Due(2)).now()["b_grad_norm"].known.any()
    for layer in layers(model):
        layer.lora_B["default"].weight.grad = torch.full_like(layer.lora_B["default"].weight, 2.0)
    np.testing.assert_allclose(gradients.begin(Due(3)).now()["b_grad_norm"].values, 2 * first, rtol=1e-12)


def test_an_adapter_that_comes_to_a_layer_whose_last_one_has_gone_is_seen() -> None:
    model = adapted(nn.Sequential(linear(), nn.Linear(10, 7)), target_modules=["0"])
    model.add_adapter("second", LoraConfig(r=R, target_modules=["1"]))
    model.delete_adapter("second")
    tree = Tree(model)
    assert tree.is_same
    model.add_adapter("third", LoraConfig(r=R, target_modules=["1"]))
    assert not tree.is_same
