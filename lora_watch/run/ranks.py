"""What the processes of one training have to decide together."""

import itertools
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from lora_watch.base.alerts import Alert, in_order
from lora_watch.base.deferred import has_float64

log = logging.getLogger("lora_watch")

SECONDS_TO_MEET = 30.0
"""How long a plain loop's monitor waits for those of the other ranks, once."""


def world_size() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def is_first() -> bool:
    """This process is the first of its training, as far as ``torch.distributed`` knows."""
    return world_size() == 1 or torch.distributed.get_rank() == 0


def shared_store() -> Any:
    """What the process group was made with, where ranks may leave each other words. None for one process, or a backend
    that has none (MPI)."""
    store = torch.distributed.distributed_c10d._get_default_store() if world_size() > 1 else None
    # What was said in the attempt before an elastic restart is not taken for this one's.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return None if store is None else torch.distributed.distributed_c10d.PrefixStore(f"lora_watch/{attempt}", store)


class Ranks:
    """The ranks of one run, which end it together. Each method is a collective: every rank comes here at each step,
    whatever has failed on it, and says what it knows, or that it knows nothing.

    Args:
        device: where their collectives are made.
        together: all ranks monitor, so that they can agree; else this one decides for itself.
    """

    def __init__(self, device: torch.device | None = None, together: bool = False):
        self.device = torch.device("cpu") if device is None else device
        self.together = together and world_size() > 1

    @property
    def several(self) -> bool:
        """There are others that come here, too."""
        return self.together and world_size() > 1

    def agree(self, failures: Sequence[Alert]) -> list[Alert]:
        """The ``failures`` of all ranks, one of each rule: the gravest, then the earliest. Each sees its own tokens,
        and one that saw nothing learns why it has to stop: all decide alike, and the one that writes can say why."""
        if not self.several:
            return list(failures)
        if not self.any(bool(failures)):
            return []
        by_rank: list[Any] = [None] * world_size()
        torch.distributed.all_gather_object(by_rank, list(failures))
        all_of_them = [alert for theirs in by_rank for alert in theirs]
        with suppress(Exception):  # the other ranks end: so does this one
            all_of_them = in_order(all_of_them)
        first: dict[str, Alert] = {}
        for alert in all_of_them:
            first.setdefault(alert.rule, alert)
        return list(first.values())

    def most(self, *values: float) -> list[float]:
        """The greatest of each over all ranks. Waits for an accelerator."""
        if not self.several:
            return list(values)
        shared = torch.tensor(values, dtype=self._dtype, device=self.device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
        return shared.tolist()

    def any(self, flag: bool) -> bool:
        """Whether any rank of those that decide together says so."""
        return bool(self.most(flag)[0])

    @torch.no_grad()
    def mean(self, value: float | Tensor | None, veto: bool | Tensor = False) -> tuple[float | Tensor | None, Any]:
        """The mean of ``value`` over the ranks on which it is one number, None where it is none on this one; and on how
        many ranks ``veto`` holds."""
        if not self.several:
            return value, veto
        sums, counts = torch.zeros(3, dtype=self._dtype, device=self.device), False
        if value is not None:
            with suppress(Exception):  # more than one number, or none
                sums[0] = value
                sums[1] = 1.0
                counts = True
        sums[2] = veto
        torch.distributed.all_reduce(sums)
        return sums[0] / sums[1] if counts else None, sums[2]

    def wait(self) -> None:
        """Every rank has come here. Before all of them raise: a launcher ends the others as soon as one has ended, and
        the one that writes may still be at it."""
        self.any(False)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if has_float64(self.device) else torch.float32


_meetings = itertools.count()
"""Of a process: where the answer stands already, the meeting is over, and the next one is gone to."""


def all_have_met() -> bool:
    """Whether every rank of a plain loop has a monitor, so that they can agree and go on together.

    Nobody says so: a script may well have one on the first rank alone, which would wait for the others for ever. So
    each rank that has one says it in the store that the process group was made with, waits there for the others for
    ``SECONDS_TO_MEET`` at most, and takes the answer that was written first.
    """
    store = shared_store()
    if store is None:
        return False
    places = (f"meetings/{meeting}" for meeting in _meetings)
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
