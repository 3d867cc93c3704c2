"""The fingerprint of PEFT's usual adapters: what every step looks at, in as few look-ups as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn


def fingerprint(layer: Any, key: str, a_layers: Any, b_layers: Any) -> tuple[Any, ...]:
    """Where an adapter's fingerprint is found, and what it is. Raises KeyError where an adapter is held otherwise."""
    found = vars(layer)
    a, b = a_layers._modules[key]._parameters["weight"], b_layers._modules[key]._parameters["weight"]
    active = found["_active_adapter"]
    return (
        key,
        found,
        a_layers._modules,
        b_layers._modules,
        a,
        b,
        (a.requires_grad, b.requires_grad),
        # A subclass of tensors keeps its numbers elsewhere.
        (a.data_ptr(), b.data_ptr()) if type(a) is type(b) is nn.Parameter else None,
        found["scaling"][key],
        found["_disable_adapters"],
        key in found["merged_adapters"],
        active if type(active) is str else key in active,
    )


def unchanged(known: Sequence[tuple[Any, ...]]) -> Callable[[], bool]:
    """What says whether everything is as it was at each ``fingerprint``; nothing is, where an adapter was deleted.

    One loop over tuples: with a call and the lookup of each field it would take half as long again.
    """

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
