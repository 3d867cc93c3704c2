"""Room on the host for copies of tensors, and the reasons why what is trained cannot be copied there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.base.deferred import is_far


def to_host(tensor: Tensor, room: Any = None) -> Tensor:
    """A copy of ``tensor`` on the host, in ``room`` where it fits. From an accelerator it arrives later."""
    if not isinstance(room, Tensor) or room.shape != tensor.shape or room.dtype != tensor.dtype:
        pinned = is_far(tensor.device) and tensor.device.type != "cpu"
        room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
    return room.copy_(tensor, non_blocking=True)


def why_not_here(model: nn.Module, trained: Iterable[Tensor]) -> str | None:
    """Why this process cannot copy ``trained`` parameters of ``model``, in words; None where it can."""
    if any("FullyShardedDataParallel" in type(module).__name__ for module in model.modules()):
        return "FSDP1 keeps the weights in flat pieces; FSDP2 does not"
    if any(parameter.is_meta for parameter in trained):
        return "the trained parameters are not on this process"
    return None
