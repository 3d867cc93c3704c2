"""PEFT's other tuners: every one that PEFT has is either measured, against merge, or listed with a reason."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from lora_watch.adapters import DenseAdapter, find_adapters, find_other_adapters
from tests.adapters.zoo import Net, adapted, linear
from tests.support import needs_peft

VERA = {"r": 4, "projection_prng_key": 0}
MEASURED: dict[str, list[dict[str, Any]]] = {
    "Adamss": [{"r": 8, "num_subspaces": 2, "subspace_rank": 2}],
    "C3A": [{"block_size": 8}],
    "Deft": [{"r": 2}],
    "Delora": [{"r": 2}],
    "FourierFT": [{"n_frequency": 20}],
    "Frod": [{}],
    "Gralora": [{"r": 4, "gralora_k": 2}, {"r": 4, "gralora_k": 2, "hybrid_r": 2}],
    "LoHa": [{"r": 2}],
    "LoKr": [{"r": 2}, {"r": 1, "decompose_both": True}],
    "OSF": [{"effective_rank": 4}],
    "Peanut": [{"r": 2}],
    "Psoft": [{"r": 4}],
    "Pvera": [VERA],
    "RandLora": [{"r": 2}],
    "Shira": [{"r": 2}],
    "Supertuning": [{}, {"r": 2}],
    "TinyLora": [{}],
    "UniLora": [{}],
    "VBLoRA": [{"r": 2, "num_vectors": 8, "vector_length": 4, "topk": 2}],
    "Vera": [VERA],
    "WaveFT": [{"n_frequency": 20}],
}
LISTED: dict[str, dict[str, Any]] = {
    "BOFT": {"boft_block_size": 4},
    "Beft": {},
    "Bone": {"r": 4},
    "Glora": {"r": 2},
    "HRA": {"r": 2},
    "Hira": {"r": 2},
    "IA3": {"feedforward_modules": []},
    "LNTuning": {"target_modules": ["norm"]},
    "Lily": {"r": 2},
    "Miss": {"r": 4},
    "OFT": {"r": 2, "oft_block_size": 0},
    "Poly": {"r": 2, "n_tasks": 1, "n_skills": 1},
    "Road": {"group_size": 16},
    "Shadow": {},
    "TrainableTokens": {"target_modules": ["embed_tokens"], "token_indices": [1]},
}


def tuned(name: str, model: nn.Module, **options: Any) -> Any:
    """``model`` with the tuner ``name`` and everything that trains moved from where it starts, in float64."""
    config_class = getattr(peft, f"{name}Config", None)
    if config_class is None:
        pytest.skip(f"this PEFT has no {name}Config")
    if name == "Adamss":
        pytest.importorskip("sklearn")
    torch.manual_seed(0)
    out = peft.get_peft_model(model.float(), config_class(**options))
    out.double()  # PSOFT starts in single precision only
    for parameter in out.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return out


def frozen(adapter: DenseAdapter) -> Tensor:
    layer: Any = adapter.module
    return layer.get_base_layer().weight.detach().clone()


@pytest.mark.parametrize(("name", "options"), [(name, o) for name, many in MEASURED.items() for o in many])
def test_what_is_measured_is_what_merging_adds(name: str, options: dict[str, Any]) -> None:
    model = tuned(name, Net(nn.Linear(16, 32)), target_modules=["layer"], **options)
    (adapter,) = find_other_adapters(model)
    assert (adapter.name, adapter.method, adapter.kind, adapter.why_not) == ("layer", name, "Linear", None)
    assert (adapter.active, adapter.merged) == (True, False)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    (block,) = adapter.delta_matrices()
    assert not block.requires_grad
    assert torch.equal(random, torch.get_rng_state())
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    model.eval()
    assert torch.equal(adapter.delta_matrices()[0], block)
    before = frozen(adapter)
    torch.testing.assert_close(list(adapter.base_matrices()), [before])
    model.merge_adapter()
    change = frozen(adapter) - before
    assert change.norm() > 1e-3
    torch.testing.assert_close(block.double(), change, rtol=1e-6, atol=1e-6 * float(change.norm()))
    assert "merged" in str(adapter.why_not)
    assert adapter.delta_matrices() == ()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_peft("0.14") if name == "OFT" else ()) for name in LISTED]
)
def test_what_is_not_a_delta_is_listed(name: str) -> None:
    config = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    options = {"target_modules": ["up_proj"], "task_type": "CAUSAL_LM"} | LISTED[name]
    if name == "Shadow":
        del options["target_modules"]
    adapters = find_other_adapters(tuned(name, LlamaForCausalLM(LlamaConfig(**config)), **options))
    assert adapters
    for adapter in adapters:
        assert adapter.method == name
        assert adapter.why_not is not None
        assert "not known" not in adapter.why_not
        assert adapter.delta_matrices() == ()


def test_no_tuner_of_this_peft_is_forgotten() -> None:
    def below(cls: type) -> set[type]:
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    layers = {c.__name__.removesuffix("Layer") for c in below(BaseTunerLayer) if c.__name__.endswith("Layer")}
    layers -= {"BaseTuner", "Lycoris", "Lora", "AdaLora"}
    new = sorted(layers - {*MEASURED, *LISTED})
    assert not new, (
        f"this PEFT brings {', '.join(new)}: where get_delta_weight is what merging adds, a line in MEASURED here "
        "and in peft_deltas._MEASURED; else one in LISTED here and the reason in peft_deltas._WHY_NOT"
    )


def test_an_unknown_tuner_is_listed() -> None:
    class FutureLayer(nn.Module):
        adapter_layer_names = ("future_A",)

        def __init__(self) -> None:
            super().__init__()
            self.base_layer = nn.Linear(4, 4)
            self.future_A = nn.ParameterDict({"default": nn.Parameter(torch.ones(4))})

    (adapter,) = find_other_adapters(Net(FutureLayer()))
    assert "unknown here" in str(adapter.why_not)


@pytest.mark.parametrize("name", ["Vera", "Pvera", "FourierFT", "WaveFT", "RandLora", "UniLora", "Deft", "Gralora"])
def test_weights_that_are_stored_transposed(name: str) -> None:
    """Against the forward pass: FourierFT and WaveFT cannot merge into these."""
    options = {"fan_in_fan_out": True} | MEASURED[name][0]
    model = tuned(name, Net(Conv1D(32, 16)), target_modules=["layer"], **options).eval()
    (adapter,) = find_other_adapters(model)
    x = torch.eye(16, dtype=torch.float64)
    with torch.no_grad(), model.disable_adapter():
        own = model(x)
    with torch.no_grad():
        change = (model(x) - own).T
    (block,) = adapter.delta_matrices()
    assert block.shape == adapter.base_matrices()[0].shape
    torch.testing.assert_close(block.double(), change, rtol=1e-6, atol=1e-6 * float(change.norm()))


@pytest.mark.parametrize("name", ["LoHa", "LoKr"])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(name: str, groups: int) -> None:
    model = tuned(name, Net(nn.Conv2d(6, 8, 3, groups=groups)), target_modules=["layer"], r=2)
    try:
        model(torch.randn(1, 6, 5, 5, dtype=torch.float64))
    except RuntimeError:
        pytest.skip("this PEFT makes layers for grouped convolutions that do not run")
    (adapter,) = find_other_adapters(model)
    before = frozen(adapter)
    blocks = adapter.delta_matrices()
    model.merge_adapter()
    change = (frozen(adapter) - before).flatten(1).chunk(groups)
    torch.testing.assert_close(list(blocks), list(change))


def test_several_adapters_and_no_lora_among_them() -> None:
    model = tuned("LoHa", Net(nn.Linear(16, 32)), target_modules=["layer"], r=2)
    model.add_adapter("second", peft.LoHaConfig(target_modules=["layer"], r=3))
    first, second = find_other_adapters(model)
    assert [a.name for a in (first, second)] == ["layer", "layer.second"]
    assert [a.active for a in (first, second)] == [True, False]
    assert find_other_adapters(adapted(Net(linear()))) == []
    assert len(find_adapters(adapted(Net(linear())))) == 1


def test_parameters_that_are_not_here() -> None:
    model = tuned("LoHa", Net(nn.Linear(16, 32)), target_modules=["layer"], r=2)
    (adapter,) = find_other_adapters(model)
    model.base_model.model.layer.hada_w1_a["default"].data = torch.empty(0)
    assert adapter.why_not is not None
    assert adapter.delta_matrices() == ()
