"""What the processes of one training have to decide together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lora_watch.alerts import Alert


def world_size() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def any_rank(flag: bool, may_stop: bool, device: torch.device) -> bool:
    """Whether any rank says so. A stop that only some ranks see hangs the job, so all decide alike."""
    if not may_stop or world_size() == 1:
        return flag
    shared = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return bool(shared)


def agree(failures: Sequence[Alert], may_stop: bool, device: torch.device) -> list[Alert]:
    """The ``failures`` of all ranks, where ``may_stop``. Each rank sees its own tokens, and one that saw nothing learns
    why it has to stop: all decide alike, and the one that writes can say why."""
    if not any_rank(bool(failures), may_stop, device):
        return []
    if world_size() == 1:
        return list(failures)
    by_rank: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(by_rank, list(failures))
    return [alert for theirs in by_rank for alert in theirs]
