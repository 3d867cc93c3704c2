"""Numbers on their way from devices to the host: one copy a device, for which nobody waits until it is read."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from lora_watch.base.records import FloatArray

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_NEAR = frozenset({"cpu"})


def is_far(device: torch.device) -> bool:
    """Whether numbers on ``device`` take their time to arrive: accelerators. Where there is no float64 to compute in,
    they are fetched at once."""
    return device.type not in _NEAR and has_float64(device)


@functools.cache
def has_float64(device: torch.device) -> bool:
    """MPS has none, nor have some devices of Intel's and Huawei's: each is asked once."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def with_float64(tensor: Tensor) -> Tensor:
    """The same numbers, on the host if their device has no float64."""
    return tensor if has_float64(tensor.device) else tensor.cpu()


@dataclass(frozen=True)
class Deferred(Generic[T_co]):
    """What can be said once the numbers of some tensors are on the host."""

    tensors: Sequence[Tensor]
    """Floating-point, of any shape. They may be written to again after ``HostCopy.send``."""
    finish: Callable[[Sequence[FloatArray]], T_co]
    """Takes their numbers as float64 arrays of one dimension, in the same order."""

    def now(self) -> T_co:
        """Waits for the devices."""
        return self.finish(_numbers(self.tensors))


def ready(value: T) -> Deferred[T]:
    return Deferred((), lambda _: value)


class PendingCopy(NamedTuple):
    """Results by name, some of which may still be under way."""

    late: bool
    """``read`` may have to wait for an accelerator."""
    read: Callable[[], dict[str, Any]]


class HostCopy:
    """Copies what a step measured to the host: one asynchronous copy from each accelerator, and none from a CPU.

    There are two pinned buffers for each accelerator, used in turn: a ``PendingCopy`` is to be read before the second
    ``send`` after its own.
    """

    def __init__(self) -> None:
        self._buffers: dict[torch.device, list[Tensor]] = {}

    def send(self, wanted: Mapping[str, Any]) -> PendingCopy:
        """Start the copies: of what is ``Deferred``, and of tensors, which become arrays of one dimension. All else is
        there already. Nothing waits; without an accelerator all results are there at once."""
        known = {name: value for name, value in wanted.items() if not isinstance(value, (Deferred, Tensor))}
        wanted = {
            name: Deferred((value,), operator.itemgetter(0)) if isinstance(value, Tensor) else value
            for name, value in wanted.items()
            if name not in known
        }
        tensors = [tensor for deferred in wanted.values() for tensor in deferred.tensors]
        distant = {device for device in {tensor.device for tensor in tensors} if is_far(device)}
        if not distant:
            known |= {name: deferred.now() for name, deferred in wanted.items()}
            return PendingCopy(False, lambda: known)
        far = {device: [tensor for tensor in tensors if tensor.device == device] for device in distant}
        waits = {device: self._copy(device, own) for device, own in far.items()}
        close = [tensor for tensor in tensors if tensor.device not in distant]
        near = {id(tensor): numbers.copy() for tensor, numbers in zip(close, _numbers(close))}
        sizes = {device: [tensor.numel() for tensor in own] for device, own in far.items()}

        def read() -> dict[str, Any]:
            arrays = {device: iter(wait().split(sizes[device])) for device, wait in waits.items()}
            return known | {
                name: deferred.finish(
                    [near[id(t)] if id(t) in near else next(arrays[t.device]).numpy() for t in deferred.tensors]
                )
                for name, deferred in wanted.items()
            }

        return PendingCopy(True, read)

    def _copy(self, device: torch.device, tensors: Sequence[Tensor]) -> Callable[[], Tensor]:
        """One copy to the host; what it returns waits for that copy, and for nothing that came after it."""
        flat = [tensor.detach().flatten() for tensor in tensors]
        source = (flat[0] if len(flat) == 1 else torch.cat(flat)).double()  # cat has widened what is not of one dtype
        buffers = self._buffers.setdefault(device, [])
        buffer = buffers.pop(0) if len(buffers) == 2 else None  # the older of the two
        if buffer is None or buffer.numel() < source.numel():
            buffer = torch.empty(source.numel(), dtype=torch.float64, pin_memory=device.type != "cpu")
        buffers.append(buffer)
        target = buffer[: source.numel()]
        target.copy_(source, non_blocking=True)
        copies_done = copies_done_on(device)

        def wait() -> Tensor:
            copies_done()
            return target

        return wait


def copies_done_on(device: torch.device) -> Callable[[], None]:
    """A function that waits for all that has been asked of ``device`` so far. Every torch backend names these alike.
    MPS has one stream, and no name for it."""
    if device.type == "cpu":
        return lambda: None
    backend = getattr(torch, device.type)
    if not hasattr(backend, "current_stream"):
        return backend.synchronize
    event = backend.Event()
    event.record(backend.current_stream(device))
    return event.synchronize


def _numbers(tensors: Sequence[Tensor]) -> list[FloatArray]:
    return [tensor.detach().cpu().double().numpy().reshape(-1) for tensor in tensors]
