"""Whether ranks that each train a copy of one model still have the same adapters. Nobody waits for that."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lora_watch.base.records import FIRST_STEPS, Replica, StepRecord
from lora_watch.run.ranks import shared_store, world_size

EVERY = 16
"""Optimizer steps from one comparison to the next after ``FIRST_STEPS``, which are compared one by one."""


def are_replicas(tensors: Iterable[Any]) -> bool:
    """None of ``tensors`` is another one on each rank by design, as far as it says so: DTensors, ZeRO-3's partitions,
    what Megatron cuts into parts, experts of Megatron's and DeepSpeed's."""
    return not any(
        hasattr(tensor, "full_tensor")
        or hasattr(tensor, "ds_id")
        or getattr(tensor, "tensor_model_parallel", False)
        or getattr(tensor, "allreduce", True) is False
        for tensor in tensors
    )


class Replicas:
    """Compares ‖ΔW‖ of each adapter on the first rank with that on another one, on each in turn.

    The other rank leaves its numbers in the store that the process group was made with, and the first one looks for
    them at its next step: by then both have met in the gradients' all-reduce. No collective is made, so that ranks that
    go their own ways wait for nothing. Where the adapters' names or shapes differ nothing is compared.
    """

    _runs = itertools.count()

    def __init__(self) -> None:
        self._place = ""
        self._pending: tuple[int, StepRecord, str] | None = None
        """The other rank, the first rank's record of the step that is compared, and where the other's numbers are."""

    def compared(self, record: StepRecord) -> StepRecord:
        """``record``, with what has come of the latest comparison. Each rank calls it with every record of its own."""
        store = shared_store() if record.step else None
        if store is None:
            return record
        pending, self._pending = self._pending, None
        if pending is not None and store.check([pending[2]]):
            record = replace(record, replica=_replica(record, *pending[:2], json.loads(store.get(pending[2]))))
        norms = record.metrics.get("delta_norm")
        if norms is not None and (record.step <= FIRST_STEPS or record.step % EVERY == 0):
            self._place = self._place or f"replicas/{next(Replicas._runs)}"
            turn = record.step if record.step <= FIRST_STEPS else record.step // EVERY
            rank, other = torch.distributed.get_rank(), 1 + turn % (world_size() - 1)
            place = f"{self._place}/{turn % 4}"
            if rank == 0:
                self._pending = other, record, place
            elif rank == other:
                said = {"step": record.step, "of": _identity(record), "norms": norms.measured.tolist()}
                store.set(place, json.dumps(said))
        return record


def _identity(record: StepRecord) -> str:
    """Alike on ranks that train copies of one model."""
    run = record.run
    return repr([run.max_steps, run.peak_lr, *((a.name, a.d_out, a.d_in, a.r) for a in run.adapters)])


def _replica(now: StepRecord, rank: int, own: StepRecord, said: dict[str, Any]) -> Replica | None:
    if (said["step"], said["of"], said["of"]) != (own.step, _identity(own), _identity(now)):
        return None
    return Replica(own.step, rank, own.metrics["delta_norm"].measured, np.array(said["norms"], dtype=np.float64))
