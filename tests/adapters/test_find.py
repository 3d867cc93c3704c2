"""Which adapters are found in a model, and what is said where there are none."""

import re
from typing import Any

import peft
import pytest
import torch
from torch import nn

from lora_watch.adapters import NoAdaptersError, find_adapters
from tests.adapters.zoo import Net, adapted, linear, needs
from tests.tune.smaller import tiny


def test_adapters_put_into_a_model_without_a_peft_model() -> None:
    """As ``add_adapter`` of transformers and diffusers does."""
    model = peft.inject_adapter_in_model(peft.LoraConfig(target_modules=["q_proj"]), tiny())
    assert [a.name for a in find_adapters(model)] == [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]


def test_a_module_in_two_places_is_listed_once() -> None:
    shared = linear()
    model = adapted(Net(linear()))
    holder = nn.ModuleDict({"first": model, "again": model.base_model.model.layer, "plain": shared})
    assert [a.name for a in find_adapters(holder)] == ["first.layer"]


def test_tied_base_weights_have_two_adapters() -> None:
    model = tiny(tie_word_embeddings=True)
    model = adapted(model, target_modules=["embed_tokens", "lm_head"])
    assert [a.name for a in find_adapters(model)] == ["model.embed_tokens", "lm_head"]


def test_tied_adapters_are_listed_once() -> None:
    needs("ensure_weight_tying")
    model = tiny(tie_word_embeddings=True)
    model = adapted(model, target_modules=["embed_tokens", "lm_head"], ensure_weight_tying=True)
    head, embedding = model.base_model.model.lm_head, model.base_model.model.model.embed_tokens
    if head.lora_A["default"].weight.data_ptr() != embedding.lora_embedding_B["default"].data_ptr():
        pytest.skip("this PEFT does not tie adapters")
    assert [a.name for a in find_adapters(model)] == ["model.embed_tokens"]


def test_sharded_placeholders_are_not_taken_for_one_another() -> None:
    model = adapted(tiny(), target_modules=["q_proj", "v_proj"])
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.empty(0)
    adapters = find_adapters(model)
    assert len(adapters) == 4
    assert all(len(adapter.factors()) == 0 for adapter in adapters)


def test_two_adapter_layers_around_one_layer_have_two_names() -> None:
    inner = adapted(Net(linear()))
    outer = peft.get_peft_model(
        inner.base_model.model, peft.AdaLoraConfig(target_modules=["layer"], total_step=10, init_lora_weights=False)
    )
    adapters = find_adapters(outer)
    assert [(a.name, a.variant) for a in adapters] == [("layer", "adalora"), ("layer#2", "lora")]
    weight = inner.base_model.model.layer.get_base_layer().weight
    assert all(adapter.base_weight is weight for adapter in adapters)


def test_a_nested_peft_model() -> None:
    model = adapted(Net(linear()))
    nested = peft.PeftModel(model, peft.LoraConfig(target_modules=["layer"]), adapter_name="second")
    assert [a.name for a in find_adapters(nested)] == ["layer", "layer.second"]


class TestNoAdapters:
    def message(self, model: nn.Module) -> str:
        with pytest.raises(NoAdaptersError) as error:
            find_adapters(model)
        text = str(error.value)
        assert text.startswith("No LoRA ")
        assert [name for name in ("PEFT", "AdaLoRA", "loralib", "litgpt", "torchtune") if name not in text] == []
        assert "\n" not in text
        return text

    def test_plain_model(self) -> None:
        model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4), nn.Linear(4, 2), nn.Conv1d(2, 2, 1))
        text = self.message(model)
        assert "Sequential has 76 parameters" in text
        assert re.search(r"plain model\. .*\bpeft\.get_peft_model\(", text)

    @pytest.mark.parametrize(
        ("config", "listed"),
        [
            (peft.IA3Config(target_modules=["layer"], feedforward_modules=[]), "IA3"),
            (peft.LoHaConfig(target_modules=["layer"]), "LOHA"),
        ],
    )
    def test_other_methods(self, config: Any, listed: str) -> None:
        text = self.message(peft.get_peft_model(Net(nn.Linear(8, 8)).float(), config))
        assert re.search(rf"\({listed}\) .*another method, which is not measured.*\bpeft\.LoraConfig", text)
