"""Copies in host memory, which of them to go back to, and the way back: of tensors, numbers, and dicts of them.

What a training learns is every trained weight, and the optimizer's state as its ``state_dict`` has it: that goes back.
The place in the training goes on: steps, schedule, loss scaler, data and random states. Were these to go back, the
schedule would not come to its end, and the next epoch might have the order of this one.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.peft import has_rank_scores
from lora_watch.adapters.tensors import local, partitioned
from lora_watch.base.deferred import copies_done_on, is_far
from lora_watch.measurement.signals.optimizer import RATES, unwrapped

COPIES = 3
"""In memory at once."""
COPY_EVERY = 10
"""Optimizer steps between two of them, at least."""


@dataclass(eq=False)
class Copy:
    """What was there after ``step`` steps, on the host."""

    step: int
    content: dict[Any, Any]
    waits: list[Callable[[], None]]
    """What to call before reading: copies from accelerators are asynchronous."""
    monitor: Any = None
    """What the monitor knew after the same step; None until that step has been judged."""

    def read(self) -> dict[Any, Any]:
        for wait in self.waits:
            wait()
        return self.content


def take(content: dict[Any, Any], step: int) -> Copy:
    """A copy of ``content``, which has ``step`` steps behind it. Each rank copies what it holds: of a DTensor its own
    shard. Nothing waits for an accelerator but ``Copy.read``."""
    devices = {tensor.device for tensor in tensors_in(content)}
    return Copy(step, copied(content), [copies_done_on(device) for device in devices])


class GoodCopies:
    """The latest copies of what ``content`` gives, made at fixed steps, alike on every rank.

    Rules gather evidence for some steps, in which an adapter is damaged already: a copy is good for an alert when it
    is older than that. ``reach``: the steps of evidence of any alert, at most.
    """

    def __init__(self, content: Callable[[], dict[Any, Any]], reach: int):
        self._content = content
        self.every = max(COPY_EVERY, math.ceil(reach / (COPIES - 1)))
        """Optimizer steps from one copy to the next."""
        self._kept: list[Copy] = []
        """The oldest first."""
        self._beginning = -1
        """The step of what a run began with: good for want of a better one. It goes when newer copies have come."""

    def start(self, step: int) -> Copy:
        """A run begins with what is there now."""
        self._beginning, self._kept = step, [take(self._content(), step)]
        return self._kept[0]

    def updated(self, step: int) -> None:
        if step % self.every == 0 and all(kept.step != step for kept in self._kept):  # else told twice of one update
            self._kept = [*self._kept[1 - COPIES :], take(self._content(), step)]

    def judged(self, step: int, monitor: Callable[[], Any]) -> None:
        """``step`` has been judged: ``monitor`` makes what goes with the copy of that step."""
        for kept in self._kept:
            if kept.monitor is None and kept.step == step:
                kept.monitor = monitor()

    def before(self, step: int, best: float = math.inf, sound: Callable[[Copy], bool] = lambda _: True) -> Copy | None:
        """The latest that was good at ``step``, of those that are ``sound``: up to ``best``, the step of the best
        evaluation (``Episodes.best_step``), and where all are later the oldest."""
        good = [kept for kept in self._kept if kept.step <= max(step, self._beginning)]
        good = [kept for kept in good if kept.step <= best] or good[:1]
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
    return {key: copied(value) for key, value in thing.items()} if type(thing) is dict else copy.deepcopy(thing)


def restored(now: Any, kept: Any, device: torch.device | None = None) -> Any:
    """What ``kept`` was a copy of: the tensors of ``now`` where they fit, else others on ``device`` or its own."""
    if isinstance(kept, Tensor):
        if not isinstance(now, Tensor) or (local(now).shape, now.dtype) != (kept.shape, kept.dtype):
            return kept.detach().to(device or kept.device, copy=True)
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


class Learned:
    """An optimizer's parameters and its state for them."""

    def __init__(self, optimizer: Any):
        self._optimizer: Any = unwrapped(optimizer)

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    @property
    def finite(self) -> bool:
        """Whether all that is trained on this rank is. Waits for an accelerator."""
        return all(bool(torch.isfinite(local(parameter)).all()) for parameter in self.parameters)

    def content(self) -> dict[str, Any]:
        """Of the optimizer's state also what has a name in place of a parameter (PEFT's LoRA-FA); no learning rate."""
        groups = self._optimizer.param_groups
        return {
            "parameters": {parameter: parameter for parameter in self.parameters},
            "states": dict(self._optimizer.state),
            "groups": {i: {k: group[k] for k in group.keys() - {"params", *RATES}} for i, group in enumerate(groups)},
        }

    @torch.no_grad()
    def put_back(self, kept: Copy) -> None:
        """Undo all that has been learned since."""
        content, states = kept.read(), self._optimizer.state
        for parameter, values in content["parameters"].items():
            local(parameter).copy_(values)
        for key in states.keys() - content["states"].keys():
            del states[key]
        for key, then in content["states"].items():
            of = key if isinstance(key, Tensor) else self.parameters[0]
            states[key] = restored(states.get(key), then, local(of).device)
        for group, settings in zip(self._optimizer.param_groups, content["groups"].values()):
            group.update(restored(group, settings))


def why_not_copied(model: nn.Module, trained: Iterable[Tensor]) -> str | None:
    """Why this process cannot copy ``trained`` parameters of ``model``, in words; None where it can."""
    if any("FullyShardedDataParallel" in type(module).__name__ for module in model.modules()):
        return "FSDP1 keeps the weights in flat pieces; FSDP2 does not"
    if any(parameter.is_meta for parameter in trained):
        return "the trained parameters are not on this process"
    return None


def why_not(model: nn.Module, optimizer: Any, most: float) -> str | None:
    """Why nothing can be put back, in words; None where it can. ``most``: bytes of all copies."""
    inner = unwrapped(optimizer)
    if not getattr(optimizer, "param_groups", None):
        return "the optimizer is not known"
    names = [f"{c.__module__}.{c.__name__}" for o in (optimizer, inner, model) for c in type(o).__mro__]
    if any("deepspeed" in name.lower() for name in names) or any(map(partitioned, model.parameters())):
        return "DeepSpeed keeps the weights that are trained in partitions of its own"
    if has_rank_scores(model):
        return "AdaLoRA keeps scores of its ranks, which do not go back"
    if any(getattr(module, "running_mean", None) is not None and module.training for module in model.modules()):
        return "the model keeps running statistics (BatchNorm), which do not go back"
    if any("dummy" in name.lower() for name in names):
        return f"{type(inner).__name__} updates weights during the backward pass"
    if type(inner).state_dict is not torch.optim.Optimizer.state_dict and (
        more := inner.state_dict().keys() - {"state", "param_groups"}
    ):
        return f"{type(inner).__name__} keeps more than the state of its parameters ({', '.join(sorted(more))})"
    here = Learned(optimizer).content()
    if (why := why_not_copied(model, here["parameters"].values())) is not None:
        return why
    sizes = {part: sum(t.numel() * t.element_size() for t in tensors_in(here[part])) for part in here}
    size = COPIES * (sizes["parameters"] + (sizes["states"] or 2 * sizes["parameters"]))  # Adam's two are to come
    if size > most:
        return (
            f"{COPIES} copies of what training changes, with the optimizer's state, take {size / 2**30:.1f} GiB on the "
            f"host, and recover_memory is {most / 2**30:g}"
        )
    return None
