"""Another alpha for PEFT's LoRA layers while they train: in what they compute, and in what is saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn

from lora_watch.adapters.find import walk


def active_alphas(model: nn.Module) -> dict[str, float]:
    """``lora_alpha`` of each configuration whose adapters are active, by the adapter's name; empty without PEFT's."""
    return {key: float(config.lora_alpha) for key, config in _configs(model).items()}


def change_alpha(model: nn.Module, ratio: float) -> None:
    """Multiply the alpha of the active adapters by ``ratio``, and with it the scale of each layer, by PEFT's own call.

    The configuration follows (``lora_alpha`` and ``alpha_pattern``), so that what is saved loads with the scale that it
    was trained with. What a scale has been set to by hand is kept in proportion.
    """
    for layer, keys in _layers(model):
        for key in keys:
            wanted = layer.scaling[key] * ratio
            layer.lora_alpha[key] = _typed(layer.lora_alpha[key] * ratio)
            layer.set_scale(key, 1.0)
            if not math.isclose(layer.scaling[key], wanted, rel_tol=1e-9):  # AdaLoRA's is alpha itself
                layer.set_scale(key, wanted / layer.scaling[key])
    for config in _configs(model).values():
        config.lora_alpha = _typed(config.lora_alpha * ratio)
        if pattern := getattr(config, "alpha_pattern", None):
            config.alpha_pattern = {name: _typed(alpha * ratio) for name, alpha in pattern.items()}


def _layers(model: nn.Module) -> Iterator[tuple[Any, list[str]]]:
    """The layers with the names of their active adapters: another one may be there to be compared with (DPO's)."""
    for _, module in walk(model):
        layer: Any = module
        if callable(getattr(layer, "set_scale", None)) and isinstance(getattr(layer, "lora_alpha", None), dict):
            yield layer, [key for key in layer.active_adapters if key in layer.lora_alpha and key in layer.scaling]


def _configs(model: nn.Module) -> dict[str, Any]:
    found = next((c for _, m in walk(model) if isinstance(c := getattr(m, "peft_config", None), dict)), {})
    active = {key for _, keys in _layers(model) for key in keys}
    return {key: config for key, config in found.items() if key in active and getattr(config, "lora_alpha", None)}


def _typed(alpha: float) -> float:
    """An integer where it is one: that is what PEFT's configuration declares."""
    return int(alpha) if float(alpha).is_integer() else float(alpha)
