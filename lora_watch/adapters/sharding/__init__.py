"""What sharding engines leave of a model's parameters, and how it is read whole: one file an engine."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lora_watch.adapters.sharding import dtensor, zero
from lora_watch.adapters.tensors import at_hand, partitioned, sharded

__all__ = ["gathered_together", "none_alone", "takes_every_rank"]


def takes_every_rank(parameters: Iterable[Tensor]) -> bool:
    """To read some of ``parameters`` whole is a collective."""
    return any(sharded(parameter) or partitioned(parameter) for parameter in parameters)


@contextmanager
def gathered_together(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Inside, all of ``parameters`` are read whole: one collective a dtype of FSDP2's, one for all of ZeRO-3's.

    Where some are sharded every rank that holds a part must come here at the same time. What is left of FSDP1's
    parameters stays unreadable: they are whole only together with the weights around them.
    """
    parameters = list(parameters)
    with zero.gathered(parameters), at_hand(dtensor.wholes(parameters)):
        yield


@contextmanager
def none_alone(parameters: Iterable[Tensor]) -> Iterator[None]:
    """What fails inside on one of the ranks that hold parts of ``parameters`` fails on all of them: none goes on to a
    collective to which another one does not come. A collective itself, and it waits for an accelerator."""
    spread = [parameter for parameter in parameters if takes_every_rank([parameter])]
    groups = dict.fromkeys(group for parameter in spread for group in _groups(parameter))
    failed = torch.ones((), device=spread[0].device if spread else None)
    try:
        yield
        failed.zero_()
    finally:
        here = bool(failed)
        for group in groups:
            torch.distributed.all_reduce(failed, torch.distributed.ReduceOp.MAX, group)
    if failed and not here:
        raise RuntimeError("it has failed on another rank")


def _groups(parameter: Any) -> list[Any]:
    """Of the ranks that hold parts of ``parameter``; None is the group of all."""
    mesh = getattr(parameter, "device_mesh", None)
    return [None] if mesh is None else [mesh.get_group(dim) for dim in range(mesh.ndim)]
