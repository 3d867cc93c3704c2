"""Copies in host memory, which of them to go back to, and the way back: of tensors, numbers, and dicts of them."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.tensors import local
from lora_watch.base.deferred import copies_done_on, is_far

COPIES = 3
"""In memory at once."""
COPY_EVERY = 10
"""Optimizer steps between two of them, at least."""


@dataclass(eq=False)
class Copy:
    """What was there after ``step`` steps."""

    step: int
    content: dict[str, Any]
    """On the host."""
    waits: list[Callable[[], None]] = field(default_factory=list)
    """What to call before reading: copies from accelerators are asynchronous."""
    monitor: Any = None
    """What the monitor knew after the same step; None until that step has been judged."""

    def read(self) -> dict[str, Any]:
        for wait in self.waits:
            wait()
        return self.content


def take(content: dict[str, Any], step: int) -> Copy:
    """A copy of ``content``, which has ``step`` steps behind it. Each rank copies what it holds: of a DTensor its own
    shard. Nothing waits for an accelerator but ``Copy.read``."""
    devices = {tensor.device for tensor in tensors_in(content)}
    return Copy(step, copied(content), [copies_done_on(device) for device in devices])


class GoodCopies:
    """The latest copies of what ``content`` gives, made at fixed steps, alike on every rank.

    Rules gather evidence for some steps, in which an adapter is damaged already: a copy is good for an alert when it
    is older than that. ``reach``: the steps of evidence of any alert, at most.
    """

    def __init__(self, content: Callable[[], dict[str, Any]], reach: int):
        self._content = content
        self.every = max(COPY_EVERY, math.ceil(reach / (COPIES - 1)))
        """Optimizer steps from one copy to the next."""
        self._kept: list[Copy] = []
        """The oldest first."""
        self._beginning: int | None = None
        """The step of what a run began with: good for want of a better one. It goes when newer copies have come."""

    def start(self, step: int) -> Copy:
        """A run begins with what is there now."""
        self._beginning, self._kept = step, [take(self._content(), step)]
        return self._kept[0]

    def updated(self, step: int) -> None:
        if step % self.every == 0:
            self._kept = [*self._kept[1 - COPIES :], take(self._content(), step)]

    def judged(self, step: int, monitor: Callable[[], Any]) -> None:
        """``step`` has been judged: ``monitor`` makes what goes with the copy of that step."""
        for kept in self._kept:
            if kept.monitor is None and kept.step == step:
                kept.monitor = monitor()

    def before(self, step: int, sound: Callable[[Copy], bool] = lambda _: True) -> Copy | None:
        """The latest that was good at ``step``, of those that are ``sound``."""
        good = [kept for kept in self._kept if kept.step <= step or kept.step == self._beginning]
        return next((kept for kept in reversed(good) if kept.monitor is not None and sound(kept)), None)

    def forget_after(self, step: int) -> None:
        """What has been copied since is not good. The oldest stays."""
        self._kept = [kept for i, kept in enumerate(self._kept) if i == 0 or kept.step <= step]

    def clear(self) -> None:
        self._kept = []


def copied(thing: Any) -> Any:
    """``thing`` with its tensors on the host. From an accelerator they arrive later."""
    if isinstance(thing, Tensor):
        tensor = local(thing)
        pinned = is_far(tensor.device) and tensor.device.type != "cpu"
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned).copy_(tensor, non_blocking=True)
    if type(thing) is dict:
        return {key: copied(value) for key, value in thing.items()}
    return copy.deepcopy(thing)


def restored(now: Any, kept: Any, device: torch.device | None = None) -> Any:
    """What ``kept`` was a copy of: the tensors of ``now`` where they fit, else others on ``device`` or its own."""
    if isinstance(kept, Tensor):
        if not isinstance(now, Tensor) or (local(now).shape, now.dtype) != (kept.shape, kept.dtype):
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


def is_finite(kept: Copy) -> bool:
    """No NaN was copied from a step whose norms were not measured."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors_in(kept.read()))


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
