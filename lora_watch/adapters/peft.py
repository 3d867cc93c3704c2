"""What a module of a model is in Hugging Face PEFT's terms: the LoRA adapters in it, and those of other methods.

Relied on: the attribute names that ``adapter.py`` lists, and ``rankallocator``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

from lora_watch.adapters.adapter import AdaLoraAdapter, Adapter, ParameterAdapter, is_active, name_of
from lora_watch.adapters.tree import walk

_DICTS = (nn.ModuleDict, nn.ParameterDict)
_PAIRS = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"))
_PLAIN = frozenset({"lora", "dora"})
"""Variants of which the product is made of A and B alone."""


def read_layer(path: str, module: nn.Module) -> list[Adapter]:
    """The adapters ``module`` holds itself; ``path`` is the module's from the root of the model, wrapper parts
    included."""
    kind = ParameterAdapter if hasattr(module, "parameter_name") else Adapter
    kind = AdaLoraAdapter if hasattr(module, "lora_E") else kind
    return [kind(path, module, key, a, b) for a, b in _pairs_of(module) for key in a if key in b]


class OtherAdapter(NamedTuple):
    """An adapter of a PEFT tuner that is not LoRA: it is listed, and not measured."""

    name: str
    method: str
    """``LoHa``, ``Vera``, ``OFT`` …: PEFT's name of the tuner's layer, less ``Layer``."""
    trains: bool
    """It is active, not merged, and requires a gradient."""


def read_other(path: str, module: nn.Module) -> list[OtherAdapter]:
    """The adapters that ``module`` holds itself; empty when it is no PEFT layer, or one of LoRA's."""
    cls = type(module)
    names: Sequence[str] = getattr(cls, "adapter_layer_names", ())
    # The class's own name is Linear or Conv2d, and FSDP2 changes it.
    layer = next((c.__name__ for c in cls.__mro__ if c.__name__.endswith("Layer")), "")
    if not names or layer in ("", "LoraLayer", "AdaLoraLayer"):
        return []
    trains: dict[str, bool] = {}
    for holder in (child for name, child in module.named_children() if name in names and isinstance(child, _DICTS)):
        for key, part in holder.items():
            own = [part] if isinstance(part, nn.Parameter) else part.parameters()
            trains[key] = trains.get(key, False) or any(p.requires_grad for p in own)
    return [
        OtherAdapter(
            name_of(path, key),
            layer.removesuffix("Layer"),
            learns and is_active(module, key) and key not in module.merged_adapters,  # pyright: ignore
        )
        for key, learns in trains.items()
    ]


def keys_of(module: nn.Module) -> set[str]:
    """Names of the LoRA adapters that ``module`` itself holds."""
    return {key for a, b in _pairs_of(module) for key in a if key in b}


def _pairs_of(module: nn.Module) -> list[tuple[Any, Any]]:
    # Its own children only: FSDP, torch.compile and checkpoint wrappers pass attribute look-ups on to what they wrap.
    children = dict(module.named_children())
    pairs = [(children.get(a), children.get(b)) for a, b in _PAIRS]
    return [(a, b) for a, b in pairs if isinstance(a, _DICTS) and isinstance(b, _DICTS)]


def fingerprints(adapters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """``Adapter.fingerprint`` of each. What plain LoRA is made of is looked up right here: every step asks, and a call
    for each adapter takes longer than reading them does."""
    out = []
    for adapter in adapters:
        # Of other variants the product is made of more, and AdaLoRA's scale is computed.
        if adapter.variant not in _PLAIN:
            out.append(adapter.fingerprint)
            continue
        layer, key = adapter.module, adapter.key
        if (scale := layer.scaling.get(key)) is None:  # deleted
            out.append(())
            continue
        chosen = layer.active_adapter
        active = not layer.disable_adapters and (key == chosen if isinstance(chosen, str) else key in chosen)
        seen = [active, key in layer.merged_adapters, scale]
        for holder in (adapter.a_holder, adapter.b_holder):
            part = holder._modules.get(key) or holder[key]
            own = vars(part).get("_parameters", {}).get("weight")
            own = getattr(part, "weight", part) if own is None else own
            seen += id(own), own.data_ptr() if type(own) is nn.Parameter else 0, own.requires_grad
        out.append(tuple(seen))
    return out


def has_rank_scores(model: nn.Module) -> bool:
    """AdaLoRA scores its ranks in ``model``, to cut them: in neither parameters nor buffers."""
    return any(getattr(module, "rankallocator", None) is not None for _, module in walk(model))
