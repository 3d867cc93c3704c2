"""What the processes of one training have to decide together."""

from __future__ import annotations

import gc
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lora_watch.adapters.sharding.store import default_store, prefix
from lora_watch.base.alerts import Alert

log = logging.getLogger("lora_watch")

SECONDS_TO_MEET = 30.0
"""How long a plain loop's monitor waits for those of the other ranks, once."""


def world_size() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def is_first() -> bool:
    """This process is the first of its training, as far as ``torch.distributed`` knows."""
    return world_size() == 1 or torch.distributed.get_rank() == 0


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether any rank says so. A stop that only some ranks see hangs the job, so all decide alike."""
    if world_size() == 1:
        return flag
    shared = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return bool(shared)


class Ranks:
    """The ranks of one run, which end it together.

    Args:
        device: where their collectives are made.
        together: all ranks monitor, so that they can agree; else this one decides for itself.
    """

    def __init__(self, device: torch.device | None = None, together: bool = False):
        self.device = torch.device("cpu") if device is None else device
        self.together = together

    def agree(self, failures: Sequence[Alert]) -> list[Alert]:
        """The ``failures`` of all ranks. Each sees its own tokens, and one that saw nothing learns why it has to stop:
        all decide alike, and the one that writes can say why."""
        if not self.together or world_size() == 1:
            return list(failures)
        if not self.any(bool(failures)):
            return []
        by_rank: list[Any] = [None] * world_size()
        torch.distributed.all_gather_object(by_rank, list(failures))
        return [alert for theirs in by_rank for alert in theirs]

    def any(self, flag: bool) -> bool:
        """Whether any rank of those that decide together says so."""
        return any_rank(flag, self.device) if self.together else flag

    def wait(self) -> None:
        """Every rank has come here. Before all of them raise: a launcher ends the others as soon as one has ended, and
        the one that writes may still be at it."""
        self.any(False)


_meetings = itertools.count()
"""Of a process: where the answer stands already, the meeting is over, and the next one is gone to."""


def all_have_met() -> bool:
    """Whether every rank of a plain loop has a monitor, so that they can agree and go on together.

    Nobody says so: a script may well have one on the first rank alone, which would wait for the others for ever. So
    each rank that has one says it in the store that the process group was made with, waits there for the others for
    ``SECONDS_TO_MEET`` at most, and takes the answer that was written first.
    """
    store = default_store() if world_size() > 1 else None
    if store is None:
        return False
    places = (f"{prefix()}/{meeting}" for meeting in _meetings)
    place = next(place for place in places if not store.check([f"{place}/answer"]))
    until = time.monotonic() + SECONDS_TO_MEET
    here = store.add(f"{place}/here", 1)
    while here < world_size() and time.monotonic() < until and not store.check([f"{place}/answer"]):
        time.sleep(0.05)
        here = store.add(f"{place}/here", 0)
    answer = store.compare_set(f"{place}/answer", "", "together" if here >= world_size() else "alone")
    if answer != b"together":
        log.warning(
            "lora_watch: not every rank has a Monitor, so this one stops its own rank alone, and the others then "
            "wait for it. Make one on each: of several ranks the first writes"
        )
    return answer == b"together"


def join_of(model: nn.Module) -> Callable[[], bool]:
    """What says whether torch's ``Join`` was begun with a wrapper of DDP's that is around ``model`` now. Inside it a
    rank whose data has ended answers DDP's collectives alone. The answer stays so, on all ranks alike."""
    # The model does not know its wrapper, and torch keeps no list of them.
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), nn.parallel.DistributedDataParallel)]
    wrappers = [weakref.ref(ddp) for ddp in found if any(module is model for module in ddp.modules())]
    # torch has no public way to ask
    return lambda: any(getattr(getattr(ddp(), "_join_config", None), "enable", False) for ddp in wrappers)
