"""Reading a parameter that may be spread over processes, or not be here at all."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

_at_hand: ContextVar[Mapping[int, Tensor]] = ContextVar("_at_hand", default=MappingProxyType({}))


@contextmanager
def at_hand(wholes: Mapping[int, Tensor]) -> Iterator[None]:
    """Inside, ``gathered`` takes these for the parameters with these identities, and asks no other rank for them."""
    token = _at_hand.set({**_at_hand.get(), **wholes})
    try:
        yield
    finally:
        _at_hand.reset(token)


def sharded(weight: Tensor) -> bool:
    """A DTensor: reading it whole takes every rank that holds a part."""
    return type(weight) is not nn.Parameter and hasattr(weight, "full_tensor")


def partitioned(weight: Tensor) -> bool:
    """A parameter of ZeRO-3's, which is here only while all ranks gather it."""
    return hasattr(weight, "ds_id")


def gathered(weight: Tensor) -> Tensor:
    """Detached; whole if it was a DTensor: a collective, unless it is ``at_hand``."""
    if sharded(weight):
        there = _at_hand.get().get(id(weight))
        weight = weight.full_tensor() if there is None else there  # pyright: ignore[reportAttributeAccessIssue]
    return weight.detach()


def local(tensor: Tensor) -> Tensor:
    """What of ``tensor`` is on this rank, without gradient history: writing to it writes to ``tensor``."""
    part: Any = getattr(tensor, "_local_tensor", None)  # a DTensor's
    return (tensor if part is None else part).detach()


def part_of(parameter: Any) -> Tensor:
    """What this rank has of ``parameter``, perhaps nothing, without gradient history."""
    if not partitioned(parameter):
        return local(parameter)
    # All numbers in a row are cut into pieces of one length, the last of them padded.
    ranks = getattr(parameter, "ds_process_group", None)  # older ones know of one group only
    start = torch.distributed.get_rank(ranks) * parameter.ds_tensor.numel()
    return parameter.ds_tensor.detach().flatten()[: max(int(parameter.ds_numel) - start, 0)]


def here(tensor: Tensor) -> bool:
    """Its numbers are in this process, all of them or a part.

    False on no device, for the empty tensor that ZeRO-3 leaves in a parameter's place, and for FSDP1's, which keeps
    its shape over a storage of no bytes (``use_orig_params=False``).
    """
    if tensor.numel() == 0 or tensor.is_meta:
        return False
    keeps_elsewhere = type(tensor) not in (nn.Parameter, Tensor)  # a subclass that has other tensors (torchao)
    return sharded(tensor) or keeps_elsewhere or tensor.untyped_storage().nbytes() > 0


def whole(weight: Tensor) -> bool:
    """A matrix or more that is ``here``. The part that FSDP1 leaves of one (``use_orig_params=True``) is none."""
    return weight.ndim >= 2 and here(weight)


def elements(weight: Tensor) -> int:
    """Of the whole parameter, also under ZeRO-3."""
    parameter: Any = weight
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def marks(parameters: Iterable[Tensor]) -> list[tuple[int, int, bool]]:
    """Which object each is, where its numbers lie, whether it is trained. Whoever keeps a view keeps its memory, so
    that no others can come to lie there unseen."""
    return [(id(p), p.data_ptr() if type(p) is nn.Parameter else 0, p.requires_grad) for p in parameters]
