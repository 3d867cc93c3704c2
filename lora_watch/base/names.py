"""The names adapters go by: module paths without the parts that wrappers add."""

from collections import Counter
from collections.abc import Iterable

# Parts that FSDP, activation checkpointing, torch.compile and nested adapter layers put anywhere into a path.
WRAPPERS = frozenset({"_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod"})
# Containers of transformer blocks. The number after one of them is the block, whatever other numbers there are.
_STACKS = frozenset({"layers", "layer", "blocks", "block", "h"})


def clean_name(path: str) -> str:
    """``path`` without wrapper parts: the same for the bare model and under DDP, FSDP, torch.compile or PEFT.

    Dropped are ``module`` at the front, as often as it is there, and ``base_model.model``, ``_fsdp_wrapped_module``,
    ``_checkpoint_wrapped_module``, ``_orig_mod`` and ``base_layer`` anywhere.
    """
    parts = [part for part in path.split(".") if part not in WRAPPERS and part != "base_layer"]
    kept: list[str] = []
    for part in parts:
        kept.append(part)
        if kept[-2:] == ["base_model", "model"]:
            del kept[-2:]
        elif kept == ["module"]:
            kept.clear()
    return ".".join(kept)


def numbered(names: Iterable[str]) -> list[str]:
    """``names`` made unique: the second ``a`` is ``a#2``."""
    times: Counter[str] = Counter()
    out = []
    for name in names:
        times[name] += 1
        out.append(name if times[name] == 1 else f"{name}#{times[name]}")
    return out


def layer_index(name: str) -> int | None:
    """Index of the transformer block in a clean name; None where the name holds no number. It is the number after the
    first ``layers``, ``layer``, ``blocks``, ``block`` or ``h``, or else the first number."""
    parts = name.split(".")
    place = _place_of_index(parts)
    return None if place is None else int(parts[place][:18])  # a name can be a number of 5,000 digits


def module_family(name: str) -> str:
    """The clean name with ``*`` for the block's index: the same for one module in every block."""
    parts = name.split(".")
    place = _place_of_index(parts)
    if place is not None:
        parts[place] = "*"
    return ".".join(parts)


def _place_of_index(parts: list[str]) -> int | None:
    numbers = [i for i, part in enumerate(parts) if part.isdecimal()]
    in_stack = [i for i in numbers if i and parts[i - 1] in _STACKS]
    return next(iter(in_stack or numbers), None)
