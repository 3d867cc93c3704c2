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
from lora_watch.measurement.signals.labels import NUMBERS, Labels, OwnLoss

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
        self._dtype = torch.float64 if has_float64(self.device) else torch.float32
        self.together = together and world_size() > 1
        """There are others that come here, too, as long as their process group stands."""

    def agree(self, failures: Sequence[Alert]) -> list[Alert]:
        """The ``failures`` of all ranks, one of each rule: the gravest, then the earliest. Each sees its own tokens,
        and one that saw nothing learns why it has to stop: all decide alike, and the one that writes can say why."""
        if not self.together or world_size() == 1:
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
        if not self.together or world_size() == 1:
            return list(values)
        shared = torch.tensor(values, dtype=self._dtype, device=self.device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
        return shared.tolist()

    def any(self, flag: bool) -> bool:
        """Whether any rank of those that decide together says so."""
        return bool(self.most(flag)[0])

    @torch.no_grad()
    def mean(self, loss: float | Tensor | None, labels: Labels | None, own: OwnLoss | None = None) -> Any:
        """The mean of ``loss`` over the ranks on which it is one number, None where it is none on this one. What a rank
        knows of its batch all know from now on: that it has no target and what of it is not finite (``labels``), and
        the numbers that a loss which is judged as the mean predicts (``own``)."""
        if not self.together or world_size() == 1:
            return loss
        labels, counts = labels or Labels(), loss is not None and torch.as_tensor(loss).numel() == 1
        masked = None if labels.targets is None else labels.targets == 0
        squares = () if own is None or own.squares is None else own.squares
        seen = [*((loss, 1.0) if counts else (None, None)), masked, *map(labels.bad.get, NUMBERS), *squares]
        sums = torch.zeros(7 + len(NUMBERS), dtype=self._dtype, device=self.device)
        for place, number in enumerate(seen):
            if number is not None:
                sums[place] = number  # which makes no accelerator wait
        torch.distributed.all_reduce(sums)
        labels.bad = dict(zip(NUMBERS, sums[3:]))
        labels.targets = None if labels.targets is None else labels.targets * (sums[2] == 0)
        if own is not None and own.squares is not None:
            own.squares = sums[-4:]
        return sums[0] / sums[1] if counts else None


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
