"""What Hugging Face PEFT's configurations say, without importing it: methods, names that match nothing, beginnings.

Relied on besides what ``peft.py`` names: ``peft_config`` of a model, and of a configuration ``peft_type``,
``target_modules``, ``target_parameters``, ``rank_pattern``, ``alpha_pattern`` and ``init_lora_weights``.
"""

import re
from typing import Any

from torch import nn

from lora_watch.adapters.peft import keys_of
from lora_watch.adapters.tree import walk
from lora_watch.base.names import clean_name
from lora_watch.base.strict_json import strict
from lora_watch.base.text import meant
from lora_watch.base.untrusted import matches_end


def methods(model: nn.Module) -> list[str]:
    """The PEFT methods a model is configured for, such as ``PREFIX_TUNING``; empty for a plain model."""
    return sorted({_method(config) for config in _configs(model).values()})


def others(model: nn.Module) -> dict[str, bool]:
    """The methods besides LoRA and AdaLoRA (LoHa, VeRA, OFT, prompts …), which nothing measures: does what they have
    added to ``model`` train?"""
    learning = {part for name, p in model.named_parameters() if p.requires_grad for part in name.split(".")}
    found: dict[str, bool] = {}
    for key, config in _configs(model).items():
        if (method := _method(config)) not in ("LORA", "ADALORA"):
            found[method] = found.get(method, False) or key in learning
    return found


def settings_of(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The configuration of each adapter by its name, as strict JSON without what is None."""
    known = {name: config.to_dict() for name, config in _configs(model).items() if hasattr(config, "to_dict")}
    return {name: {k: strict(v) for k, v in sorted(own.items()) if v is not None} for name, own in known.items()}


def unmatched(model: nn.Module) -> list[str]:
    """Names in a model's LoRA configurations that the model does not have, in words.

    ``target_modules`` and ``target_parameters`` where they are lists, and the keys of ``rank_pattern`` and
    ``alpha_pattern``, compared with paths as PEFT does. A name that the model has is no mistake, adapted or not.
    """
    named = [(clean_name(path), module) for path, module in walk(model)]
    modules = {_WHOLE.sub("", name) for name, _ in named if ".lora_" not in f".{name}"}
    parameters = {f"{name}.{own}" for name, module in named for own in module._parameters}
    there = {name.rpartition(".")[2] for name in modules}
    layers = {name.removesuffix(".base_layer").rpartition(".")[2] for name, module in named if _is_layer(name, module)}
    missing: list[str] = []
    for key, config in _configs(model).items():
        own = [(name, module) for name, module in named if key in keys_of(module)]
        if not own:
            continue  # not of LoRA's family
        adapted = {name for name, _ in own}
        adapted |= {f"{name}.{module.parameter_name}" for name, module in own if hasattr(module, "parameter_name")}
        places = {"target_modules": modules, "target_parameters": parameters}
        for setting, matches in _MATCHES.items():
            wanted = getattr(config, setting, None)
            for word in () if isinstance(wanted, str) else sorted(wanted or ()):
                target = word.partition(".lora_")[0]  # AdaLoRA names the parameters of which it has chosen the ranks
                if any(matches(target, name) for name in adapted | places.get(setting, modules | parameters)):
                    continue
                leaf = word.rpartition(".")[2]
                missing.append(f"{setting} {word!r}" + ("" if leaf in there else meant(leaf, sorted(layers))))
    return missing


def _is_layer(name: str, module: nn.Module) -> bool:
    """It has a matrix, as what adapters are meant for, and is no embedding and none of an adapter's own parts."""
    held = [*module._parameters.values(), *module._buffers.values()]
    has_matrix = any(tensor is not None and tensor.ndim > 1 for tensor in held)
    return has_matrix and not isinstance(module, nn.Embedding) and ".lora_" not in f".{name}"


def init_from_base(model: nn.Module) -> str:
    """Names of the initialisations that put a part of W₀ into the adapters and take it out of W₀; empty for others."""
    begun = [str(getattr(config, "init_lora_weights", "")).lower() for config in _configs(model).values()]
    return ", ".join(name for name in _FROM_BASE if any(word.startswith(name.lower()) for word in begun))


_FROM_BASE = ("PiSSA", "OLoRA", "CorDA", "LoftQ")


def _configs(model: nn.Module) -> dict[str, Any]:
    """The configuration of each adapter by its name, from the outermost module that holds any."""
    held = (getattr(module, "peft_config", None) for _, module in walk(model))
    return next((configs for configs in held if isinstance(configs, dict)), {})


def _method(config: Any) -> str:
    kind = getattr(config, "peft_type", None)
    return str(getattr(kind, "value", kind))


def is_named(word: str, name: str) -> bool:
    return name == word or name.endswith(f".{word}")


_WHOLE = re.compile(r"\.(original_module|modules_to_save\.[^.]+)(?=\.|$)")
"""Where PEFT keeps a part that is trained whole, inside that part's path."""

_MATCHES = {
    "target_modules": is_named,
    "target_parameters": is_named,
    "rank_pattern": matches_end,
    "alpha_pattern": matches_end,
}
"""Settings of a LoraConfig that name modules, and when such a name and a layer's path go together."""
