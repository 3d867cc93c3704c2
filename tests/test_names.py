"""Names of adapters without what wrappers put before them, and the layer that a name belongs to."""

from typing import Any

import pytest
import torch
from torch import nn

from lora_watch.adapters import find_adapters
from lora_watch.base.names import clean_name, layer_index
from tests.adapters.zoo import adapted


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", ""),
        ("lm_head", "lm_head"),
        ("base_model.model.model.layers.3.self_attn.q_proj", "model.layers.3.self_attn.q_proj"),
        ("module.base_model.model.fc", "fc"),
        ("_orig_mod.module.base_model.model.fc", "fc"),
        ("base_model.model.base_model.model.model.layers.0.fc", "model.layers.0.fc"),
        ("_fsdp_wrapped_module.base_model.model.layers.0._fsdp_wrapped_module.fc", "layers.0.fc"),
        ("layers.0._checkpoint_wrapped_module.fc._fsdp_wrapped_module", "layers.0.fc"),
        ("layers.0._orig_mod.fc", "layers.0.fc"),
        ("attn.base_layer.out_proj", "attn.out_proj"),
        ("encoder.module.fc", "encoder.module.fc"),  # only the wrapper at the front is one
        ("model.base_model.model.model.layers.0.fc", "model.model.layers.0.fc"),  # a LightningModule's
        ("0.model.base_model.model.fc", "0.model.fc"),  # a SentenceTransformer's
    ],
)
def test_clean_name(path: str, name: str) -> None:
    assert clean_name(path) == name
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("model.layers.31.mlp.down_proj", 31),
        ("transformer.h.0.attn.c_attn", 0),
        ("encoder.block.5.layer.1.DenseReluDense.wi", 5),
        ("0.auto_model.encoder.layer.4.output.dense", 4),  # 0 is the first part of a sentence-transformers model
        ("towers.1.layers.6.fc", 6),
        ("down_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q", 2),
        ("lm_head", None),
        ("conv2.q8_proj", None),
        ("", None),
    ],
)
def test_layer_index(name: str, index: int | None) -> None:
    assert layer_index(name) == index


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({"fc": nn.Linear(4, 4), "out": nn.Linear(4, 4)}) for _ in range(2))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer["out"](layer["fc"](x))
        return x


class Wrapped(nn.Module):
    """Like DistributedDataParallel: the model is its child ``module``."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module


def checkpointed(model: Any) -> Any:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing

    apply_activation_checkpointing(model, check_fn=lambda module: "lora_A" in module._modules)
    return model


def compiled_inside(model: Any) -> Any:
    layers = model.base_model.model.layers
    layers[0]["fc"] = torch.compile(layers[0]["fc"])
    return model


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: model.base_model.model,
        Wrapped,
        torch.compile,
        lambda model: Wrapped(torch.compile(model)),
        lambda model: torch.compile(Wrapped(model)),
        checkpointed,
        compiled_inside,
    ],
)
def test_names_are_the_same_however_the_model_is_wrapped(wrap: Any) -> None:
    model = wrap(adapted(Stack(), target_modules=["fc", "out"]))
    adapters = find_adapters(model)
    names = [adapter.name for adapter in adapters]
    assert names == ["layers.0.fc", "layers.0.out", "layers.1.fc", "layers.1.out"]
    assert all("lora_A" in adapter.module._modules for adapter in adapters), "the layer, not what wraps it"
