"""What sharding engines leave of a model's parameters, and how it is read whole: one file an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from lora_watch.adapters.sharding import dtensor, zero
from lora_watch.adapters.tensors import at_hand, partitioned, sharded

__all__ = ["gathered_together", "one_by_one", "takes_every_rank"]


def takes_every_rank(parameters: Iterable[Tensor]) -> bool:
    """To read some of ``parameters`` whole is a collective."""
    return any(sharded(parameter) or partitioned(parameter) for parameter in parameters)


def one_by_one(parameters: Iterable[Tensor]) -> bool:
    """Some of ``parameters`` take a collective each to be read whole: ZeRO-3's, and DTensors that are not cut along
    their rows."""
    return any(partitioned(p) or (sharded(p) and dtensor.row_split(p) is None) for p in parameters)


@contextmanager
def gathered_together(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Inside, all of ``parameters`` are read whole: one collective a dtype of FSDP2's, one for all of ZeRO-3's.

    Where some are sharded every rank that holds a part must come here at the same time. What is left of FSDP1's
    parameters stays unreadable: they are whole only together with the weights around them.
    """
    parameters = list(parameters)
    with zero.gathered(parameters), at_hand(dtensor.wholes(parameters)):
        yield
