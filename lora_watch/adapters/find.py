"""Finds the adapters of a model and describes them, or says why there are none."""

import math

from torch import Tensor, nn

from lora_watch.adapters import layouts, peft, peft_config
from lora_watch.adapters.adapter import Adapter, NoAdaptersError
from lora_watch.adapters.tensors import elements, here, sharded
from lora_watch.adapters.tree import walk
from lora_watch.base.names import layer_index, numbered
from lora_watch.base.records import AdapterInfo


def find_adapters(model: nn.Module) -> list[Adapter]:
    """Every LoRA adapter of ``model`` in module order: active or not, frozen or not, each one once, under the first of
    its paths. Names are unique. Raises NoAdaptersError, which says what was looked for and what is there."""
    found: dict[frozenset[int], Adapter] = {}
    for path, module in walk(model):
        for adapter in (*peft.read_layer(path, module), *layouts.read_layer(path, module)):
            # Where the numbers are; itself where none are here (sharded, on no device) or there are none (address 0).
            places = ((type(p) is nn.Parameter and p.data_ptr()) or id(p) for p in adapter.parameters)
            found.setdefault(frozenset(places), adapter)
    if not found:
        raise NoAdaptersError(_why_none(model))
    adapters = list(found.values())
    # Two adapter layers around one frozen layer have one clean name: the inner one is given a number.
    for adapter, name in zip(adapters, numbered(adapter.name for adapter in adapters)):
        adapter.name = name
    return adapters


def is_untrained(model: nn.Module) -> bool:
    """Each of its frozen norms has one number as all of its weights, as initialised: training would have moved them.
    False where a norm is not whole here."""
    norms = (module for module in model.modules() if "norm" in type(module).__name__.lower())
    weights = [w for norm in norms if isinstance(w := getattr(norm, "weight", None), Tensor) and not w.requires_grad]
    whole = bool(weights) and all(here(w) and not sharded(w) and w.numel() > 1 for w in weights)
    return whole and all(bool((w == w.flatten()[0]).all()) for w in weights)


def are_meant(model: nn.Module) -> bool:
    """``model`` has a configuration of PEFT's or a parameter that is called after LoRA: adapters were to be trained."""
    names = [name.rpartition(".")[2] for name, _ in model.named_parameters()]
    return any(getattr(module, "peft_config", None) for _, module in walk(model)) or any("lora_" in n for n in names)


def describe(adapter: Adapter, group: int | None, norm: float = math.nan, top: float = math.nan) -> AdapterInfo:
    """``adapter`` as rules and sinks know it; ``norm`` and ``top`` are ‖W₀‖_F and σ₁(W₀), NaN where unknown."""
    d_out, d_in = adapter.shape
    return AdapterInfo(
        name=adapter.name,
        kind=adapter.kind,
        layer=layer_index(adapter.name),
        d_out=d_out,
        d_in=d_in,
        r=adapter.r,
        alpha=adapter.alpha,
        scale=adapter.scale,
        scale_formula=adapter.scale_formula,
        group=group,
        trainable=sum(elements(p) for p in adapter.parameters if p.requires_grad),
        base_norm=float(norm),
        base_spectral_norm=float(top),
    )


def _why_none(model: nn.Module) -> str:
    has = f"{type(model).__name__} has {sum(map(elements, model.parameters())):,} parameters"
    foreign = [name for name, _ in model.named_parameters() if "lora" in name.lower()]
    if methods := peft_config.methods(model):
        what = (
            f"and a PEFT configuration ({', '.join(methods)}) but no LoRA layer: another method, which is not "
            "measured, or merge_and_unload() took them out. Use peft.LoraConfig, and watch before merging."
        )
    elif foreign:
        what = (
            f"and {len(foreign)} parameters that look like the LoRA of another library (such as {foreign[0]}), "
            "which cannot be read. Use peft.get_peft_model, loralib, litgpt or torchtune."
        )
    else:
        what = (
            "and no adapter of any kind: a plain model. Wrap it with peft.get_peft_model(model, peft.LoraConfig(…)) "
            "before training, and do not call merge_and_unload() before watching."
        )
    looked = "Looked for LoRA layers of PEFT (AdaLoRA's too), loralib, litgpt and torchtune"
    return f"No LoRA adapter found. {looked}. {has} {what}"
