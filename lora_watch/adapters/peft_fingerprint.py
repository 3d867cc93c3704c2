"""The fingerprint of PEFT's usual adapters: what every step looks at, in as few look-ups as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import nn


class Fingerprint(NamedTuple):
    """Where an adapter's fingerprint is found, and what it was."""

    key: str
    layer: dict[str, Any]
    """The layer's attributes."""
    a_layers: dict[str, nn.Module]
    b_layers: dict[str, nn.Module]
    a: nn.Parameter
    b: nn.Parameter
    trained: tuple[bool, bool]
    addresses: tuple[int, int] | None
    """Where their numbers lie; None where a subclass of tensors keeps them elsewhere."""
    scale: float
    disabled: bool
    merged: bool
    active: str | bool

    @classmethod
    def of(cls, layer: Any, key: str, a_layers: Any, b_layers: Any) -> Fingerprint:
        """Raises KeyError where an adapter is held in another way."""
        attributes = vars(layer)
        a, b = a_layers._modules[key]._parameters["weight"], b_layers._modules[key]._parameters["weight"]
        plain = type(a) is type(b) is nn.Parameter
        active = attributes["_active_adapter"]
        return cls(
            key=key,
            layer=attributes,
            a_layers=a_layers._modules,
            b_layers=b_layers._modules,
            a=a,
            b=b,
            trained=(a.requires_grad, b.requires_grad),
            addresses=(a.data_ptr(), b.data_ptr()) if plain else None,
            scale=attributes["scaling"][key],
            disabled=attributes["_disable_adapters"],
            merged=key in attributes["merged_adapters"],
            active=active if type(active) is str else key in active,
        )


def unchanged(known: Sequence[Fingerprint]) -> Callable[[], bool]:
    """What says whether everything is as it was at each of ``known``; nothing is, where one was deleted.

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
