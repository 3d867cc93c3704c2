"""DeepSpeed's ZeRO, read by its attributes and never imported here.

Relied on, of deepspeed 0.19: ``bit16_groups`` (stages 1 and 2), ``bf16_groups`` and ``fp16_groups`` (its optimizers
without ZeRO), ``fp16_groups`` with ``sub_group_to_group_id`` (stage 3) of the optimizers that hold flat partitions;
``ds_id`` and ``ds_numel`` of stage 3's parameters, ``deepspeed.zero.GatheredParameters``.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from lora_watch.adapters.tensors import partitioned

_GROUPS = ("bit16_groups", "bf16_groups", "fp16_groups")


def gathered(parameters: Sequence[Tensor]) -> AbstractContextManager[Any]:
    """Inside, those of ``parameters`` that stage 3 has taken away are here. Every rank must come along."""
    away = [parameter for parameter in parameters if partitioned(parameter)]
    deepspeed: Any = sys.modules.get("deepspeed")
    return deepspeed.zero.GatheredParameters(away) if away and deepspeed is not None else nullcontext()


def chain(optimizer: Any) -> Iterator[Any]:
    """``optimizer`` and what it wraps, the innermost last: accelerate's, DeepSpeed's, torch's."""
    for _ in range(5):
        if optimizer is None:
            return
        yield optimizer
        optimizer = getattr(optimizer, "optimizer", None)


def is_deepspeeds(optimizer: Any) -> bool:
    """Under a Trainer its engine has made the update by the end of the backward pass."""
    return any(type(engine).__module__.partition(".")[0] == "deepspeed" for engine in chain(optimizer))


def held(optimizer: Any) -> list[list[Tensor]] | None:
    """The model's own parameters that ``optimizer`` trains, by parameter group; None where nobody can tell.

    DeepSpeed's inner optimizers hold flat partitions, which are no parameters of the model, and so do those that are
    built over FSDP1's (``use_orig_params=False``).
    """
    for engine in chain(optimizer):
        names = [name for name in _GROUPS if hasattr(engine, name)]
        if names:
            return _by_group(list(getattr(engine, names[0])), getattr(engine, "sub_group_to_group_id", None))
        if type(engine).__module__.partition(".")[0] == "deepspeed":
            return None  # of a kind that is not known here
    groups = [list(group["params"]) for group in getattr(optimizer, "param_groups", ())]
    flat = any(type(p).__name__ == "FlatParameter" or hasattr(p, "_is_flat_param") for group in groups for p in group)
    return None if flat or not groups else groups


def _by_group(parts: list[list[Tensor]], group_of: dict[int, int] | None) -> list[list[Tensor]]:
    """``parts`` of parameter groups put together; ``group_of`` says whose each is where they are not one each."""
    if group_of is None:
        return parts
    out: list[list[Tensor]] = [[] for _ in range(max(group_of.values(), default=-1) + 1)]
    for part, parameters in enumerate(parts):
        out[group_of[part]] += parameters
    return out
