"""The fingerprint of PEFT's usual adapters: what every step looks at, in as few look-ups as there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn


def unchanged(held: Iterable[tuple[Any, str, Any, Any]]) -> Callable[[], bool]:
    """What says whether all adapters are as they are now; nothing is, where one was deleted.

    ``held``: each adapter's layer and key, and what holds the layer's A and B. Raises KeyError where one is held in
    another way. One loop over tuples: with a call and the lookup of each field it would take half as long again.
    """
    known = [_facts(*one) for one in held]

    def same() -> bool:
        try:
            for key, layer, a_layers, b_layers, a, b, trained, addresses, scale, disabled, merged, active in known:
                if (
                    a_layers[key]._parameters["weight"] is not a
                    or b_layers[key]._parameters["weight"] is not b
                    or (a.requires_grad, b.requires_grad) != trained
                    or (addresses is not None and (a.data_ptr(), b.data_ptr()) != addresses)
                    or layer["scaling"][key] != scale
                    or layer["_disable_adapters"] is not disabled
                    or (key in layer["merged_adapters"]) is not merged
                    or (now if type(now := layer["_active_adapter"]) is str else key in now) != active
                ):
                    return False
        except KeyError:  # deleted
            return False
        return True

    return same


def _facts(adapted: Any, key: str, a_holder: Any, b_holder: Any) -> tuple[Any, ...]:
    """What ``unchanged`` compares, and where it looks for it, in its order."""
    layer, a_layers, b_layers = vars(adapted), a_holder._modules, b_holder._modules
    a, b = a_layers[key]._parameters["weight"], b_layers[key]._parameters["weight"]
    trained = a.requires_grad, b.requires_grad
    plain = type(a) is type(b) is nn.Parameter  # a subclass of tensors keeps its numbers elsewhere
    addresses = (a.data_ptr(), b.data_ptr()) if plain else None
    scale, disabled, merged = layer["scaling"][key], layer["_disable_adapters"], key in layer["merged_adapters"]
    active = layer["_active_adapter"]
    active = active if type(active) is str else key in active
    return key, layer, a_layers, b_layers, a, b, trained, addresses, scale, disabled, merged, active
