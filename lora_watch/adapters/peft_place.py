"""Where a fingerprint of PEFT's usual adapters is found: what every step looks at, in as few look-ups as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import nn


class Place(NamedTuple):
    """Where an adapter's fingerprint is found, and what it was."""

    key: str
    own: dict[str, Any]
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
    def of(cls, layer: Any, key: str, a: Any, b: Any) -> Place:
        """Raises KeyError where an adapter is held in another way."""
        own, p, q = vars(layer), a._modules[key]._parameters["weight"], b._modules[key]._parameters["weight"]
        plain = type(p) is type(q) is nn.Parameter
        active = own["_active_adapter"]
        return cls(
            key,
            own,
            a._modules,
            b._modules,
            p,
            q,
            (p.requires_grad, q.requires_grad),
            (p.data_ptr(), q.data_ptr()) if plain else None,
            own["scaling"][key],
            own["_disable_adapters"],
            key in own["merged_adapters"],
            active if type(active) is str else key in active,
        )


def unchanged(places: Sequence[Place]) -> Callable[[], bool]:
    """What says whether everything is as it was at each of ``places``."""

    def same() -> bool:
        try:
            for key, own, a_layers, b_layers, a, b, trained, addresses, scale, disabled, merged, active in places:
                if (
                    a_layers[key]._parameters["weight"] is not a
                    or b_layers[key]._parameters["weight"] is not b
                    or (a.requires_grad, b.requires_grad) != trained
                    or (addresses is not None and (a.data_ptr(), b.data_ptr()) != addresses)
                    or own["scaling"][key] != scale
                    or own["_disable_adapters"] is not disabled
                    or (key in own["merged_adapters"]) is not merged
                    or (now if type(now := own["_active_adapter"]) is str else key in now) != active
                ):
                    return False
        except KeyError:  # deleted
            return False
        return True

    return same
