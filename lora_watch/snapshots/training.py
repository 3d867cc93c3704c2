"""What a training changes, and how it goes back.

What goes back is what was learned: every trained weight, the optimizer's state as its ``state_dict`` has it, and
buffers. The place in the training goes on: steps, schedule, loss scaler, data and random states. Were
these to go back, the schedule would not come to its end, and the next epoch might have the order of this one.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.peft import has_rank_scores
from lora_watch.adapters.tensors import local, partitioned
from lora_watch.measurement.signals.optimizer import RATES, unwrapped
from lora_watch.snapshots.copies import COPIES, Copy, restored, size_of, tensors_in, why_not_copied

SMALL = 64 << 10
"""Bytes up to which a buffer of integers may be changed by training. Larger ones are masks and quantised weights."""


class Learned:
    """An optimizer's parameters, its state for them and the model's buffers.

    A forward pass changes running statistics long before the update that may have to be taken back. So buffers are
    those that the last finished step has left: ``see`` says that one is.
    """

    def __init__(self, optimizer: Any, model: nn.Module | None = None):
        self._optimizer: Any = unwrapped(optimizer)
        model = nn.Module() if model is None else model
        modules = model.modules()
        found = [(module, name, buffer) for module in modules for name, buffer in module.named_buffers(recurse=False)]
        self._buffers = [(module, name) for module, name, buffer in found if may_change(buffer)]
        self._seen: dict[int, Any] = {}
        self.see()

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    @property
    def finite(self) -> bool:
        """Whether all that is trained on this rank is. Waits for an accelerator."""
        return all(bool(torch.isfinite(local(parameter)).all()) for parameter in self.parameters)

    def see(self) -> None:
        """A step is finished: its buffers are those of the next copy."""
        self._seen = restored(self._seen, {i: local(getattr(*place)) for i, place in enumerate(self._buffers)})

    def content(self) -> dict[str, Any]:
        state, groups = self._optimizer.state, self._optimizer.param_groups
        return {
            "parameters": dict(enumerate(self.parameters)),
            "states": {key: found for key, of in self._keys() if (found := state.get(of))},
            "groups": {i: {k: group[k] for k in group.keys() - {"params", *RATES}} for i, group in enumerate(groups)},
            "buffers": self._seen,
        }

    def put_back(self, kept: Copy) -> None:
        """Undo all that has been learned since."""
        content, parameters = kept.read(), self.parameters
        with torch.no_grad():
            for parameter, values in zip(parameters, content["parameters"].values()):  # later groups stay as they are
                local(parameter).copy_(values)
        states, then = self._optimizer.state, content["states"]
        for key, of in self._keys():
            if then.get(key):
                device = local(of if isinstance(of, Tensor) else parameters[0]).device
                states[of] = restored(states.get(of), then[key], device)
            else:
                states.pop(of, None)
        for group, settings in zip(self._optimizer.param_groups, content["groups"].values()):
            group.update(restored(group, settings))
        for i, (module, name) in enumerate(self._buffers):
            buffer = getattr(module, name)
            setattr(module, name, restored(buffer, content["buffers"][i], buffer.device))
        self.see()

    def _keys(self) -> Iterator[tuple[Any, Any]]:
        """Of the optimizer's state: of parameters their place and they themselves, and names (PEFT's LoRA-FA)."""
        yield from enumerate(self.parameters)
        yield from ((key, key) for key in list(self._optimizer.state) if not isinstance(key, Tensor))


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
    if has_rank_scores(model):
        return "AdaLoRA keeps scores of its ranks, which do not go back"
    if any("dummy" in name.lower() for name in names):
        return f"{type(inner).__name__} updates weights during the backward pass"
    if type(inner).state_dict is not torch.optim.Optimizer.state_dict and (
        more := inner.state_dict().keys() - {"state", "param_groups"}
    ):
        return f"{type(inner).__name__} keeps more than the state of its parameters ({', '.join(sorted(more))})"
    here = Learned(optimizer, model).content()
    if (why := why_not_copied(model, here["parameters"].values())) is not None:
        return why
    stateless = next(tensors_in(here["states"]), None) is None  # before the first step: Adam's two numbers are to come
    size = COPIES * (size_of(here) + 2 * stateless * size_of(here["parameters"]))
    if size > most:
        return (
            f"{COPIES} copies of what training changes, with the optimizer's state, take {size / 2**30:.1f} GiB on the "
            f"host, and recover_memory is {most / 2**30:g}"
        )
    return None
