"""Copies of what a training changes, in host memory, to go back to: parameters, the optimizer's state, buffers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.peft_scores import Scores
from lora_watch.adapters.tensors import local
from lora_watch.base.deferred import copies_done_on
from lora_watch.measurement.signals.optimizer import RATES, unwrapped
from lora_watch.snapshots.buffers import Buffers
from lora_watch.snapshots.host import to_host, why_not_here

COPIES = 3
"""In memory at once."""


@dataclass
class Copy:
    """What is trained, after ``step`` steps."""

    step: int
    monitor: Any = None
    """The monitor's own state after the same step; None until that step has been judged."""
    parameters: list[Tensor] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    """The optimizer's, of each parameter; empty where it had none yet."""
    groups: list[dict[str, Any]] = field(default_factory=list)
    """Settings of the parameter groups but for their learning rates."""
    buffers: list[Tensor] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    """AdaLoRA's."""
    waits: list[Callable[[], None]] = field(default_factory=list)
    """What to call before reading: copies from accelerators are asynchronous."""


class Copies:
    """Makes copies of an optimizer's parameters, its state for them and the model's buffers, and puts them back.

    Buffers are copied as the last finished step has left them: ``see`` says that one is. Each rank copies what it
    holds: of a DTensor its own shard, so that nothing is gathered. Room on the host is used again. Nothing waits for
    an accelerator but ``put_back``.

    Args:
        optimizer: a torch optimizer, or what wraps one (accelerate's).
        model: whose buffers go back, too; None: no buffers.
    """

    def __init__(self, optimizer: Any, model: nn.Module | None = None):
        self._optimizer: Any = unwrapped(optimizer)
        self._buffers = Buffers(model)
        self._spare: list[Copy] = []

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    @property
    def size(self) -> int:
        """Bytes of one copy; of an optimizer that has no state yet as many as Adam's two numbers an element take."""
        parameters = sum(map(_bytes, self.parameters))
        states = [tensor for p in self.parameters for tensor in _tensors(self._optimizer.state.get(p, {}))]
        return parameters + (sum(map(_bytes, states)) if states else 2 * parameters) + self._buffers.size

    @property
    def device(self) -> torch.device:
        return local(self.parameters[0]).device

    @property
    def finite(self) -> bool:
        """Whether all that is trained on this rank is. Waits for an accelerator."""
        return all(bool(torch.isfinite(local(parameter)).all()) for parameter in self.parameters)

    def see(self) -> None:
        """A step is finished: its buffers are what the next copy has."""
        self._buffers.see()

    def take(self, step: int) -> Copy:
        """What is there now, which has ``step`` steps behind it."""
        room = self._spare.pop() if self._spare else Copy(step)
        parameters, old, rooms = self.parameters, dict(enumerate(room.parameters)), dict(enumerate(room.buffers))
        states = [self._optimizer.state.get(p, {}) for p in parameters]
        made = Copy(
            step,
            parameters=[to_host(local(p), old.get(i)) for i, p in enumerate(parameters)],
            states=[
                {key: _kept(value, before.get(key)) for key, value in state.items()}
                for state, before in zip(states, [*room.states, *({} for _ in parameters)])
            ],
            groups=[
                {key: copy.deepcopy(value) for key, value in group.items() if key not in ("params", *RATES)}
                for group in self._optimizer.param_groups
            ],
            buffers=[to_host(buffer, rooms.get(i)) for i, buffer in enumerate(self._buffers.seen)],
            scores=self._buffers.scores,
        )
        devices = {tensor.device for tensor in map(local, parameters)}
        made.waits = [copies_done_on(device) for device in devices]
        return made

    def put_back(self, kept: Copy) -> bool:
        """Undo all that has been trained since. False where the optimizer's state is cleared: there was none."""
        for wait in kept.waits:
            wait()
        with torch.no_grad():
            for parameter, values in zip(self.parameters, kept.parameters):
                local(parameter).copy_(values)
            for parameter, saved in zip(self.parameters, kept.states):
                self._put_back_state(parameter, saved)
        for group, saved in zip(self._optimizer.param_groups, kept.groups):
            group.update(copy.deepcopy(saved))
        self._buffers.put_back(kept.buffers, kept.scores)
        return any(kept.states)

    def _put_back_state(self, parameter: Tensor, saved: Mapping[str, Any]) -> None:
        state = self._optimizer.state
        if not saved:
            state.pop(parameter, None)
            return
        for key, value in saved.items():
            now = state[parameter].get(key)
            if isinstance(value, Tensor) and isinstance(now, Tensor) and local(now).shape == value.shape:
                local(now).copy_(value)
            elif isinstance(value, Tensor) and value.ndim:
                state[parameter][key] = value.to(local(parameter).device, copy=True)
            else:  # numbers, and counts of steps, which stay on the host
                state[parameter][key] = copy.deepcopy(value)

    def drop(self, kept: Copy | None) -> None:
        """Its room may be used again."""
        if kept is not None:
            self._spare.append(kept)


def why_not(model: nn.Module, optimizer: Any, most: float) -> str | None:
    """Why nothing can be put back, in words; None where it can. ``most``: bytes of all copies."""
    if not getattr(optimizer, "param_groups", None):
        return "the optimizer is not known"
    names = [f"{c.__module__}.{c.__name__}" for o in (optimizer, unwrapped(optimizer), model) for c in type(o).__mro__]
    if any("deepspeed" in name.lower() for name in names) or any(hasattr(p, "ds_id") for p in model.parameters()):
        return "DeepSpeed keeps the weights that are trained in partitions of its own"
    if any("dummy" in name.lower() for name in names):
        return f"{type(unwrapped(optimizer)).__name__} updates weights during the backward pass"
    copies = Copies(optimizer, model)
    if (why := why_not_here(model, copies.parameters)) is not None:
        return why
    size = COPIES * copies.size
    if size > most:
        return (
            f"{COPIES} copies of what training changes, with the optimizer's state, take {size / 2**30:.1f} GiB on the "
            f"host, and recover_memory is {most / 2**30:g}"
        )
    return None


def _kept(value: Any, room: Any) -> Any:
    if isinstance(value, Tensor):
        return to_host(local(value), room)
    return copy.deepcopy(value)


def _tensors(state: Mapping[str, Any]) -> Iterator[Tensor]:
    return (value for value in state.values() if isinstance(value, Tensor))


def _bytes(tensor: Tensor) -> int:
    return local(tensor).numel() * tensor.element_size()
