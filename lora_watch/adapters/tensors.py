"""Reading a parameter that may be spread over processes, or not be here at all."""

from __future__ import annotations

from torch import Tensor, nn


def sharded(weight: Tensor) -> bool:
    """A DTensor: reading it whole takes every rank that holds a part."""
    return type(weight) is not nn.Parameter and hasattr(weight, "full_tensor")


def gathered(weight: Tensor) -> Tensor:
    """Detached; whole if it was a DTensor."""
    if sharded(weight):
        weight = weight.full_tensor()  # pyright: ignore[reportAttributeAccessIssue]
    return weight.detach()


def whole(weight: Tensor) -> bool:
    """False for what ZeRO-3 and FSDP1 leave in a parameter's place, and for tensors without data."""
    return weight.ndim >= 2 and weight.numel() > 0 and not weight.is_meta


def readable(weight: Tensor) -> Tensor | None:
    """``gathered`` where that gives a matrix or more; None otherwise."""
    weight = gathered(weight)
    return weight if whole(weight) else None
