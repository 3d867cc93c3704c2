"""What a training changes, copied while it runs and put back, and which of the copies is the one to go back to."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
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
LIGHT = 256 << 20
"""Bytes of a copy from which on they are made less often."""


class TrainingCopies(Copies):
    """Copies of an optimizer's parameters, its state for them and the model's buffers.

    A forward pass changes running statistics long before the update that may have to be taken back. So buffers are
    copied as the last finished step has left them: ``see`` says that one is. AdaLoRA's scores of ranks go back, too.

    Of the optimizer all goes back that its ``state_dict`` has. What it keeps elsewhere does not: ``left`` names it.
    """

    def __init__(self, optimizer: Any, model: nn.Module | None = None):
        super().__init__(self._here)
        self._optimizer: Any = unwrapped(optimizer)
        model = nn.Module() if model is None else model
        modules = model.modules()
        found = [(module, name, buffer) for module in modules for name, buffer in module.named_buffers(recurse=False)]
        self._buffers = [(module, name) for module, name, buffer in found if may_change(buffer)]
        self._scores = RankScores(model)
        self.left: list[str] = []
        """Attributes of the optimizer that have changed since what was put back last, and did not go back."""
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
    def device(self) -> torch.device:
        return local(self.parameters[0]).device

    @property
    def finite(self) -> bool:
        """Whether all that is trained on this rank is. Waits for an accelerator."""
        return all(bool(torch.isfinite(local(parameter)).all()) for parameter in self.parameters)

    def see(self) -> None:
        """A step is finished: its buffers and scores are what the next copy has."""
        buffers = {i: local(getattr(*place)) for i, place in enumerate(self._buffers)}
        self._seen = {"buffers": restored(self._seen.get("buffers"), buffers), "scores": self._scores.now}

    def put_back(self, kept: Copy) -> str:
        """Undo all that has been trained since. What became of the optimizer's state: see ``Recovered.optimizer``."""
        content, now = kept.read(), outside(self._optimizer)
        changed = [name for name, then in content["outside"].items() if name in now and now[name] != then]
        self.left = [name for name in changed if name not in content["more"]]
        cleared = any(self._optimizer.state.values())
        if content["more"]:
            more = copy.deepcopy(content["more"])
            self._optimizer.load_state_dict({**self._optimizer.state_dict(), **more})
        parts = (content[part].values() for part in ("parameters", "states"))
        with torch.no_grad():
            for parameter, values, saved in zip(self.parameters, *parts):  # groups that came later stay as they are
                local(parameter).copy_(values)
                self._put_back_state(parameter, saved)
            for key in {*_own_keys(self._optimizer.state), *content["own_states"]}:
                self._put_back_state(key, content["own_states"].get(key))
        for group, settings in zip(self._optimizer.param_groups, content["groups"].values()):
            group.update(restored(group, settings))
        for i, (module, name) in enumerate(self._buffers):
            buffer = getattr(module, name)
            setattr(module, name, restored(buffer, content["buffers"][i], buffer.device))
        self._scores.put_back(restored(self._scores.now, content["scores"], self.device))
        self.see()
        went_back = any(content["states"].values()) or bool(content["own_states"])
        return "went back" if went_back or content["more"] else "was cleared" if cleared else "has none"

    def _here(self) -> dict[str, Any]:
        groups = self._optimizer.param_groups
        return {
            "parameters": dict(enumerate(self.parameters)),
            "states": {i: dict(self._optimizer.state.get(p, {})) for i, p in enumerate(self.parameters)},
            "own_states": {key: self._optimizer.state[key] for key in _own_keys(self._optimizer.state)},
            "more": self._more(),
            "outside": outside(self._optimizer),
            "groups": {i: {k: group[k] for k in group.keys() - {"params", *RATES}} for i, group in enumerate(groups)},
            **self._seen,
        }

    def _more(self) -> dict[str, Any]:
        """What the ``state_dict`` of an optimizer that has its own holds next to torch's two entries."""
        if getattr(type(self._optimizer), "state_dict", None) is torch.optim.Optimizer.state_dict:
            return {}
        return {k: v for k, v in self._optimizer.state_dict().items() if k not in ("state", "param_groups")}

    def _put_back_state(self, of: Any, saved: Any) -> None:
        """``of``: a parameter, or a key of the optimizer's own."""
        state, device = self._optimizer.state, local(of).device if isinstance(of, Tensor) else self.device
        if not saved:
            state.pop(of, None)
        elif not isinstance(saved, dict):
            state[of] = restored(state.get(of), saved, device)
        else:
            for key, value in saved.items():
                on_host = isinstance(value, Tensor) and not value.ndim  # a count of steps
                state[of][key] = restored(state[of].get(key), value, None if on_host else device)


def _own_keys(state: Mapping[Any, Any]) -> list[Any]:
    """Keys of an optimizer's state that are no parameters: PEFT's LoRA-FA has names."""
    return [key for key in state if not isinstance(key, Tensor)]


def outside(optimizer: Any) -> dict[str, Any]:
    """What an optimizer keeps outside its ``state_dict``, by attribute, to see whether that changes: numbers, and which
    tensors there are in lists and dicts, at which version."""
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}

    def mark(thing: Any, depth: int = 3) -> Any:
        if isinstance(thing, Tensor):
            return () if id(thing) in trained else (id(thing), thing._version)
        if isinstance(thing, torch.optim.Optimizer):
            thing = thing.state
        if isinstance(thing, (list, tuple, Mapping)) and depth:
            inside = thing.values() if isinstance(thing, Mapping) else thing
            return tuple(found for each in inside if (found := mark(each, depth - 1)))
        return ()

    in_state_dict = {"state", "param_groups", "defaults", "_step_count"}  # the last is a scheduler's
    out = {}
    for name, value in vars(optimizer).items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name not in in_state_dict and (number or mark(value)):
            out[name] = value if number else mark(value)
    return out


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
        self._every = max(COPY_EVERY * max(math.ceil(self._copies.size / LIGHT), 1), reach)
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

    def renew(self, kept: Copy) -> None:
        """What is there now takes the place of ``kept``, after as many steps."""
        place = self._kept.index(kept)
        self._kept[place] = self._copies.take(kept.step)
        self._kept[place].monitor = kept.monitor
        self._copies.drop(kept)

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
    if not getattr(optimizer, "param_groups", None):
        return "the optimizer is not known"
    names = [f"{c.__module__}.{c.__name__}" for o in (optimizer, unwrapped(optimizer), model) for c in type(o).__mro__]
    if any("deepspeed" in name.lower() for name in names) or any(map(partitioned, model.parameters())):
        return "DeepSpeed keeps the weights that are trained in partitions of its own"
    if any("dummy" in name.lower() for name in names):
        return f"{type(unwrapped(optimizer)).__name__} updates weights during the backward pass"
    copies = TrainingCopies(optimizer, model)
    if (why := why_not_copied(model, copies.parameters)) is not None:
        return why
    size = COPIES * copies.size
    if size > most:
        return (
            f"{COPIES} copies of what training changes, with the optimizer's state, take {size / 2**30:.1f} GiB on the "
            f"host, and recover_memory is {most / 2**30:g}"
        )
    return None
