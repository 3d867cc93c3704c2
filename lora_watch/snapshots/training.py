"""What a training changes, copied while it runs and put back, and which of the copies is the one to go back to.

What goes back is what was learned: every trained weight, the optimizer's state as its ``state_dict`` has it, buffers
and AdaLoRA's scores. The place in the training goes on: steps, schedule, loss scaler, data and random states. Were
these to go back, the schedule would not come to its end, and the next epoch might have the order of this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.peft import RankScores
from lora_watch.adapters.tensors import local, partitioned
from lora_watch.measurement.signals.optimizer import RATES, unwrapped
from lora_watch.rules.policy import Policy
from lora_watch.rules.treatments import TREATED
from lora_watch.snapshots.copies import COPIES, Copies, Copy, restored, size_of, tensors_in, why_not_copied

SMALL = 64 << 10
"""Bytes up to which a buffer of integers may be changed by training. Larger ones are masks and quantised weights."""
COPY_EVERY = 10
"""Optimizer steps between two copies, at least."""


class TrainingCopies(Copies):
    """Copies of an optimizer's parameters, its state for them and the model's buffers.

    A forward pass changes running statistics long before the update that may have to be taken back. So buffers are
    copied as the last finished step has left them: ``see`` says that one is. AdaLoRA's scores of ranks go back, too.
    """

    def __init__(self, optimizer: Any, model: nn.Module | None = None):
        super().__init__(self._here)
        self._optimizer: Any = unwrapped(optimizer)
        model = nn.Module() if model is None else model
        modules = model.modules()
        found = [(module, name, buffer) for module in modules for name, buffer in module.named_buffers(recurse=False)]
        self._buffers = [(module, name) for module, name, buffer in found if may_change(buffer)]
        self._scores = RankScores(model)
        self._seen: dict[str, Any] = {}
        self.see()

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    @property
    def size(self) -> int:
        """Bytes of one copy. Before the first step Adam's two numbers an element are counted, and AdaLoRA's three."""
        here = self._here()
        stateless = next(tensors_in(here["states"]), None) is None
        to_come = 2 * stateless + sum(not scores for scores in here["scores"].values())
        return size_of(here) + to_come * size_of(here["parameters"])

    @property
    def finite(self) -> bool:
        """Whether all that is trained on this rank is. Waits for an accelerator."""
        return all(bool(torch.isfinite(local(parameter)).all()) for parameter in self.parameters)

    def see(self) -> None:
        """A step is finished: its buffers and scores are what the next copy has."""
        buffers = {i: local(getattr(*place)) for i, place in enumerate(self._buffers)}
        self._seen = {"buffers": restored(self._seen.get("buffers"), buffers), "scores": self._scores.now}

    def put_back(self, kept: Copy) -> None:
        """Undo all that has been trained since."""
        content, parameters = kept.read(), self.parameters
        with torch.no_grad():
            for parameter, values in zip(parameters, content["parameters"].values()):  # later groups stay as they are
                local(parameter).copy_(values)
        states, then = self._optimizer.state, content["states"]
        for key, of in self._keys():
            if then.get(key):
                states[of] = restored(states.get(of), then[key], _device(of, parameters))
            else:
                states.pop(of, None)
        for group, settings in zip(self._optimizer.param_groups, content["groups"].values()):
            group.update(restored(group, settings))
        for i, (module, name) in enumerate(self._buffers):
            buffer = getattr(module, name)
            setattr(module, name, restored(buffer, content["buffers"][i], buffer.device))
        self._scores.put_back(restored(self._scores.now, content["scores"], _device(None, parameters)))
        self.see()

    def _here(self) -> dict[str, Any]:
        state, groups = self._optimizer.state, self._optimizer.param_groups
        return {
            "parameters": dict(enumerate(self.parameters)),
            "states": {key: found for key, of in self._keys() if (found := state.get(of))},
            "groups": {i: {k: group[k] for k in group.keys() - {"params", *RATES}} for i, group in enumerate(groups)},
            **self._seen,
        }

    def _keys(self) -> Iterator[tuple[Any, Any]]:
        """Of the optimizer's state: of parameters their place and they themselves, and names (PEFT's LoRA-FA)."""
        yield from enumerate(self.parameters)
        yield from ((key, key) for key in list(self._optimizer.state) if not isinstance(key, Tensor))


def _device(of: Any, parameters: list[Tensor]) -> torch.device:
    return local(of if isinstance(of, Tensor) else parameters[0]).device


class GoodStates:
    """Which copy to go back to: the latest that is older than the evidence of an alert.

    Copies are made at fixed steps, alike on every rank. ``COPIES`` of them are in memory.

    Rules gather evidence for some steps, in which the adapter is damaged already: a copy is good for an alert when it
    is older than that. ``policy`` knows how long it takes, with the patience that the alert is given.
    """

    def __init__(self, copies: TrainingCopies, policy: Policy):
        self._copies, self._policy = copies, policy
        self._every = COPY_EVERY
        self._kept: list[Copy] = []
        """The oldest first."""

    def begin(self, step: int, monitor: Any) -> None:
        """The state that a run begins with is good, for want of a better one."""
        reach = math.ceil(max(map(self._policy.reach, TREATED)) / (COPIES - 1))
        self._every = max(COPY_EVERY, reach)
        self._copies.drop(*self._kept)
        self._kept = [self._copies.take(step)]
        self._kept[0].monitor = monitor

    def good(self, rule: str, step: int) -> Copy | None:
        """To go back to for an alert of ``rule`` after ``step`` steps; None before ``begin``."""
        before = step - self._policy.reach(rule)
        old = [kept for kept in self._kept if kept.step <= before and kept.monitor is not None]
        return (old or self._kept[:1] or [None])[-1]

    def updated(self, step: int, suspects: Iterable[str] = ()) -> None:
        """``step`` updates have been applied. ``suspects``: rules by which what has been trained lately may not be
        good."""
        if reaches := [self._policy.reach(rule) for rule in suspects]:
            self.forget_after(step - max(reaches))
        elif step % self._every == 0:
            if len(self._kept) == COPIES:
                self._copies.drop(self._kept.pop(0))
            self._kept.append(self._copies.take(step))

    def judged(self, step: int, monitor: Callable[[], Any]) -> None:
        """``step`` has been judged: ``monitor`` makes what goes with the copy of that step."""
        for kept in self._kept:
            if kept.monitor is None and kept.step == step:
                kept.monitor = monitor()

    def forget_after(self, step: int) -> None:
        """What has been copied since is not good. The oldest stays."""
        spoiled = [kept for kept in self._kept[1:] if kept.step > step]
        self._copies.drop(*spoiled)
        self._kept = [kept for kept in self._kept if kept not in spoiled]


def may_change(buffer: Tensor) -> bool:
    """Training may change ``buffer``: a running statistic or a counter, no mask and no quantised weight."""
    numbers = buffer.is_floating_point() and buffer.element_size() > 1  # one byte: a quantised weight
    return not buffer.is_meta and (numbers or buffer.numel() * buffer.element_size() <= SMALL)


def why_not(model: nn.Module, optimizer: Any, most: float) -> str | None:
    """Why nothing can be put back, in words; None where it can. ``most``: bytes of all copies."""
    inner = unwrapped(optimizer)
    if not getattr(optimizer, "param_groups", None):
        return "the optimizer is not known"
    names = [f"{c.__module__}.{c.__name__}" for o in (optimizer, inner, model) for c in type(o).__mro__]
    if any("deepspeed" in name.lower() for name in names) or any(map(partitioned, model.parameters())):
        return "DeepSpeed keeps the weights that are trained in partitions of its own"
    if any("dummy" in name.lower() for name in names):
        return f"{type(inner).__name__} updates weights during the backward pass"
    if type(inner).state_dict is not torch.optim.Optimizer.state_dict and (
        more := inner.state_dict().keys() - {"state", "param_groups"}
    ):
        return f"{type(inner).__name__} keeps more than the state of its parameters ({', '.join(sorted(more))})"
    copies = TrainingCopies(optimizer, model)
    if (why := why_not_copied(model, copies.parameters)) is not None:
        return why
    if (size := COPIES * copies.size) > most:
        return (
            f"{COPIES} copies of what training changes, with the optimizer's state, take {size / 2**30:.1f} GiB on the "
            f"host, and recover_memory is {most / 2**30:g}"
        )
    return None
