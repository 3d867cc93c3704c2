"""s·B·A as it is read, against what merging does to the weight."""

import dataclasses
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from lora_watch.adapters import Adapter, find_adapters
from tests.adapters.zoo import ALPHA, Experts, Net, R, adapted, attention, conv1d, linear, nonzero, products, spectrum


def stored(model: Any, attribute: str = "weight") -> Tensor:
    """A copy of the weight inside the layer called ``layer``, as the frozen layer stores it."""
    return getattr(model.base_model.model.layer.get_base_layer(), attribute).detach().clone()


def merged_change(model: Any, attribute: str = "weight") -> Tensor:
    before = stored(model, attribute)
    model.merge_adapter()
    return stored(model, attribute) - before


def check(adapter: Adapter, change: list[Tensor]) -> None:
    """The blocks are ``change``, placed as it is placed, with its norm and its singular values."""
    read = products(adapter)
    assert [block.shape for block in read] == [block.shape for block in change]
    torch.testing.assert_close(read, change)
    norm = sum(block.square().sum() for block in read) ** 0.5
    torch.testing.assert_close(norm, torch.cat([block.flatten() for block in change]).norm())
    torch.testing.assert_close(nonzero(spectrum(read)), nonzero(spectrum(change)))
    assert norm > 0.1


LINEARS: list[tuple[str, Callable[[], nn.Module], dict[str, Any]]] = [
    ("Linear", linear, {}),
    ("Linear, rank above both sides", linear, {"r": 12}),
    ("Linear, rank one", linear, {"r": 1}),
    ("Linear, rsLoRA", linear, {"use_rslora": True}),
    ("Conv1D", conv1d, {"fan_in_fan_out": True}),
    ("Embedding", lambda: nn.Embedding(9, 5), {}),
    ("Conv1d", lambda: nn.Conv1d(6, 8, 3), {}),
    ("Conv2d", lambda: nn.Conv2d(6, 8, (3, 2)), {}),
    ("Conv2d of one pixel", lambda: nn.Conv2d(6, 8, 1), {}),
    ("Conv3d", lambda: nn.Conv3d(2, 4, (3, 2, 1)), {}),
]


@pytest.mark.parametrize(("label", "make", "options"), LINEARS, ids=[case[0] for case in LINEARS])
def test_one_block(label: str, make: Callable[[], nn.Module], options: dict[str, Any]) -> None:
    model = adapted(Net(make()), **options)
    kind = label.split()[0].rstrip(",")
    as_matrix = (lambda w: w.T) if kind in ("Embedding", "Conv1D") else (lambda w: w.flatten(1))
    (adapter,) = find_adapters(model)
    torch.testing.assert_close(list(adapter.base_matrices()), [as_matrix(stored(model))])
    assert adapter.base_weight is model.base_model.model.layer.get_base_layer().weight
    assert (adapter.name, adapter.kind, adapter.variant) == ("layer", kind, "lora")
    assert (adapter.r, adapter.alpha) == (options.get("r", R), ALPHA)
    assert adapter.scale_formula == ("alpha/sqrt(r)" if "use_rslora" in options else "alpha/r")
    assert adapter.shape == as_matrix(stored(model)).shape
    assert adapter.base_layer is model.base_model.model.layer.get_base_layer()
    check(adapter, [as_matrix(merged_change(model))])


def test_a_grouped_convolution_is_unknown() -> None:
    (adapter,) = find_adapters(adapted(Net(nn.Conv2d(4, 4, (3, 2), groups=4))))
    assert adapter.kind == "Conv2d"
    assert len(adapter.factors()) == 0


def test_multihead_attention() -> None:
    model = adapted(Net(attention()))
    fused, out = find_adapters(model)
    assert [(a.name, a.kind, a.shape) for a in (fused, out)] == [
        ("layer", "MultiheadAttention", (24, 8)),
        ("layer.out_proj", "Linear", (8, 8)),
    ]
    assert fused.base_layer is None
    assert out.base_layer is None, "attention reads the weight of out_proj and never calls it"
    torch.testing.assert_close(fused.base_matrices()[0], stored(model, "in_proj_weight"))
    before = out.base_matrices()[0].clone()
    check(fused, [merged_change(model, "in_proj_weight")])
    assert fused.merged
    assert out.merged
    # PEFT up to 0.21 adds the product to out_proj twice, once from each of its two wrappers.
    change = out.base_matrices()[0] - before
    times = (change.norm() / products(out)[0].norm()).round()
    assert times in (1, 2)
    check(out, [change / times])


@pytest.mark.parametrize("is_transposed", [False, True])
def test_experts(is_transposed: bool) -> None:
    model = adapted(Net(Experts(is_transposed)), target_parameters=["layer.up", "layer.down"])
    adapters = {adapter.name: adapter for adapter in find_adapters(model)}
    assert sorted(adapters) == ["layer.down", "layer.up"]
    # PEFT 0.17 took every expert parameter for [expert, d_in, d_out], also where it is not.
    knows = hasattr(model.base_model.model.layer, "_did_swap_in_out_features")
    as_blocks = (lambda w: list(w.mT)) if is_transposed or not knows else list
    before = {name: stored(model, name) for name in ("up", "down")}
    for name, shape in {"up": (36, 5), "down": (15, 6)}.items():
        adapter = adapters[f"layer.{name}"]
        assert adapter.kind == "Experts"
        assert adapter.base_layer is None
        assert adapter.shape == shape or not knows
        assert len(adapter.factors()) == 3
        torch.testing.assert_close(list(adapter.base_matrices()), as_blocks(before[name]))
    model.merge_adapter()
    for name, weight in before.items():
        check(adapters[f"layer.{name}"], as_blocks(stored(model, name) - weight))


@pytest.mark.parametrize("make", [linear, lambda: nn.Embedding(9, 5), lambda: nn.Conv2d(6, 8, 3)])
def test_dora_has_a_magnitude(make: Callable[[], nn.Module]) -> None:
    """Its merged change is not s·B·A: m·(W₀ + s·B·A)/‖W₀ + s·B·A‖ − W₀, which the reading must be enough to form."""
    model = adapted(Net(make()), use_dora=True)
    (adapter,) = find_adapters(model)
    assert adapter.variant == "dora"
    magnitude = adapter.magnitude
    with torch.no_grad():
        magnitude.mul_(1.5)  # a view of the live one
    (base,), (product,) = adapter.base_matrices(), products(adapter)
    total = base + product
    expected = magnitude.reshape(-1, 1) * total / total.norm(dim=1, keepdim=True)
    if adapter.kind == "Embedding":  # PEFT 0.13 merges an embedding as if it were plain LoRA
        torch.testing.assert_close(model(torch.arange(9)).T, expected)
    else:
        model.merge_adapter()
        torch.testing.assert_close(adapter.base_matrices()[0], expected)


class TestAdaLora:
    def model(self, layer: nn.Module, **options: Any) -> Any:
        torch.manual_seed(0)
        config = {"init_r": 6, "target_r": 2, "tinit": 1, "tfinal": 2, "deltaT": 1, "total_step": 8, "lora_alpha": 5}
        fields = {field.name for field in dataclasses.fields(peft.AdaLoraConfig)}
        options = {key: value for key, value in (config | options).items() if key in fields}
        model = peft.get_peft_model(Net(layer), peft.AdaLoraConfig(target_modules=["layer"], **options))
        return model

    @pytest.mark.parametrize("make", [linear, conv1d, lambda: nn.Conv2d(6, 8, (3, 2))])
    def test_change(self, make: Callable[[], nn.Module]) -> None:
        layer = make()
        try:
            model = self.model(layer, init_lora_weights=False, fan_in_fan_out=hasattr(layer, "nf"))
        except ValueError:
            pytest.skip("this PEFT's AdaLoRA does not adapt such a layer")
        (adapter,) = find_adapters(model)
        assert (adapter.variant, adapter.scale_formula, adapter.r) == ("adalora", "alpha/ranknum", 6)
        assert adapter.scale == pytest.approx(5 / 6, rel=1e-5)
        assert adapter.diagonal.shape == (6,)
        as_matrix = (lambda w: w.T) if hasattr(layer, "nf") else (lambda w: w.flatten(1))
        check(adapter, [as_matrix(merged_change(model))])

    def test_training_masks_and_cuts_the_ranks(self) -> None:
        model = self.model(linear())
        (adapter,) = find_adapters(model)
        assert not adapter.diagonal.any(), "E starts at zero"
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        x, y = torch.randn(8, 7, dtype=torch.float64), torch.randn(8, 10, dtype=torch.float64)
        for step in range(1, 8):
            (model(x) - y).square().mean().backward()
            optimizer.step()
            model.base_model.update_and_allocate(step)
            optimizer.zero_grad()
        assert 0 < adapter.diagonal.count_nonzero() < 6
        trained = products(adapter)
        scale = adapter.scale

        kept = model.peft_config["default"].rank_pattern
        old = adapter.parameters
        model.base_model.resize_modules_by_rank_pattern(kept, "default")
        assert adapter.r == sum(*kept.values()) < 6
        assert all(new is not before for new, before in zip(adapter.parameters, old)), "PEFT makes new parameters"
        assert adapter.scale == scale, "ranknum is kept, though r has changed"
        torch.testing.assert_close(products(adapter), trained)
        check(adapter, [merged_change(model)])

    def test_scale_set_by_hand(self) -> None:
        model = self.model(linear(), init_lora_weights=False)
        (adapter,) = find_adapters(model)
        model.base_model.model.layer.scaling["default"] = 3.0
        assert adapter.scale_formula == "set by hand"
        check(adapter, [merged_change(model)])


@pytest.mark.parametrize("stub", [torch.empty(0), torch.empty(40), torch.empty(4, 7, device="meta")])
def test_factors_that_are_not_here_are_unknown(stub: Tensor) -> None:
    """What ZeRO-3 and FSDP1 leave behind, and parameters without data."""
    model = adapted(Net(linear()))
    (adapter,) = find_adapters(model)
    layer = model.base_model.model.layer
    layer.lora_A["default"].weight = nn.Parameter(stub)
    layer.get_base_layer().weight = nn.Parameter(stub)
    assert len(adapter.factors()) == 0
    assert adapter.base_weight is None
    assert len(adapter.base_matrices()) == 0
    assert adapter.shape == (10, 7), "known from the layer, not from the weight"
