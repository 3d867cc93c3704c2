"""Copies in host memory, in room that is used again, and the way back: of tensors, numbers, and dicts of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.tensors import local
from lora_watch.base.deferred import copies_done_on, is_far

COPIES = 3
"""In memory at once."""


@dataclass(eq=False)
class Copy:
    """What is trained, after ``step`` steps."""

    step: int
    content: dict[str, Any]
    """On the host."""
    waits: list[Callable[[], None]] = field(default_factory=list)
    """What to call before reading: copies from accelerators are asynchronous."""
    monitor: Any = None
    """The monitor's own state after the same step; None until that step has been judged."""

    def read(self) -> dict[str, Any]:
        for wait in self.waits:
            wait()
        return self.content


class Copies:
    """Makes copies of what ``content`` gives. Each rank copies what it holds: of a DTensor its own shard, so that
    nothing is gathered. Nothing waits for an accelerator but ``Copy.read``."""

    def __init__(self, content: Callable[[], dict[str, Any]]):
        self._content = content
        self._spare: list[dict[str, Any]] = []

    def reserve(self) -> None:
        """Make all the room that copies of what is there now will take."""
        self._spare = [copied(self._content()) for _ in range(COPIES)]

    def take(self, step: int) -> Copy:
        """What is there now, which has ``step`` steps behind it."""
        here = self._content()
        made = Copy(step, copied(here, self._spare.pop() if self._spare else {}))
        made.waits = [copies_done_on(device) for device in {tensor.device for tensor in tensors_in(here)}]
        return made

    def drop(self, *unwanted: Copy | None) -> None:
        """Their room may be used again."""
        self._spare += [each.content for each in unwanted if each is not None]


def copied(thing: Any, room: Any = None) -> Any:
    """``thing`` with its tensors on the host, in those of ``room`` that fit. From an accelerator they arrive later."""
    if isinstance(thing, Tensor):
        tensor = local(thing)
        if not (isinstance(room, Tensor) and _alike(room, tensor)):
            pinned = is_far(tensor.device) and tensor.device.type != "cpu"
            room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
        return room.copy_(tensor, non_blocking=True)
    if type(thing) is dict:
        rooms = room if type(room) is dict else {}
        return {key: copied(value, rooms.get(key)) for key, value in thing.items()}
    return copy.deepcopy(thing)


def restored(now: Any, kept: Any, device: torch.device | None = None) -> Any:
    """What ``kept`` was a copy of: the tensors of ``now`` where they fit, else others on ``device`` or its own."""
    if isinstance(kept, Tensor):
        if not (isinstance(now, Tensor) and _alike(local(now), kept)):
            return kept.detach().to(device or kept.device, copy=True)
        with torch.no_grad():
            local(now).copy_(kept)
        return now
    if type(kept) is dict:
        there = now if isinstance(now, dict) else {}
        return {key: restored(there.get(key), value, device) for key, value in kept.items()}
    return copy.deepcopy(kept)


def tensors_in(thing: Any) -> Iterator[Tensor]:
    """What of tensors is on this rank."""
    if isinstance(thing, Tensor):
        yield local(thing)
    elif type(thing) is dict:
        for value in thing.values():
            yield from tensors_in(value)


def size_of(thing: Any) -> int:
    """Bytes of the tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(thing))


def why_not_copied(model: nn.Module, trained: Iterable[Tensor]) -> str | None:
    """Why this process cannot copy ``trained`` parameters of ``model``, in words; None where it can."""
    if any("FullyShardedDataParallel" in type(module).__name__ for module in model.modules()):
        return "FSDP1 keeps the weights in flat pieces; FSDP2 does not"
    if any(parameter.is_meta for parameter in trained):
        return "the trained parameters are not on this process"
    return None


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype) == (other.shape, other.dtype)
