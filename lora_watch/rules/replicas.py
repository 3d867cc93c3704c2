"""LW312: ranks that should train one model train several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules.base import Finding, Rule, worst_first


@dataclass
class ReplicasDiffer(Rule):
    """The ranks of a data-parallel run have different adapters: gradients or first weights are not shared.

    Fires when ‖ΔW‖ of an adapter on another rank differs from that on the first rank by more than ``tolerance``. Each
    of the first 20 steps and every 16th one after them is compared, with the other ranks in turn. Nothing is compared
    where adapters are spread over ranks (FSDP, ZeRO-3, tensor parallelism), or differ in their names or shapes.
    """

    id = "LW312"
    name = "replicas-differ"
    severity = Severity.ERROR
    lasting = True

    tolerance: float = 1e-4
    """Share of ‖ΔW‖. Replicas are equal to the last bit; other kinds of accelerators may round in another way."""

    def check(self, record: StepRecord) -> Finding | None:
        replica = record.replica
        if replica is None:
            return None
        larger = np.fmax(replica.here, replica.there)
        with np.errstate(invalid="ignore"):  # what is unknown, or not finite, differs in nothing
            share = np.abs(replica.here - replica.there) / np.where(larger > 0, larger, 1.0)
            apart = share > self.tolerance
        if not apart.any():
            return None
        worst = int(np.nanargmax(np.where(apart, share, -1.0)))
        return Finding(
            f"After step {replica.step} rank {replica.rank} has other adapters than rank 0: ‖ΔW‖ of {apart.sum()} of "
            f"{len(apart)} differs. In {record.run.names[worst]} it is {replica.there[worst]:.3g}, and on rank 0 "
            f"{replica.here[worst]:.3g}.",
            adapters=worst_first(record, share, apart),
            threshold=self.tolerance,
            causes=[
                "the gradients of these adapters are not averaged over ranks: they came after DistributedDataParallel "
                "had been made, it ignores them, or the loop averages others only",
                "the ranks began with different adapters: a seed of each rank's own, without DistributedDataParallel",
            ],
            remedies=[
                "add the adapters first, then wrap the model in DistributedDataParallel, or prepare() it",
                "mute LW312 if the ranks train different adapters on purpose",
            ],
        )
