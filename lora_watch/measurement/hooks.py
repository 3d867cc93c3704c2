"""Hooks of ours on a model: when they look, what becomes of them in a copy, and where they must not be."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from torch import nn

from lora_watch.adapters import walk


class Gone:
    """What a copy of a model has in a hook's place: does nothing and takes itself out."""

    def __call__(self, module: nn.Module, *args: object) -> None:
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for place in [place for place, hook in hooks.items() if hook is self]:
                del hooks[place]


class Hook:
    """Calls ``see`` with what a hook is called with, in passes that keep gradients. No exception leaves it.

    While a graph is being made nothing of ours gets into it. Copies of a model, pickled ones too, have ``Gone``.

    Args:
        guard: what to do everything in, given what it does in words.
        doing: these words.
        see: what looks.
    """

    def __init__(self, guard: Callable[[str], AbstractContextManager[Any]], doing: str, see: Callable[..., None]):
        self._guard, self._doing, self._see = guard, doing, see

    def __call__(self, *args: Any) -> None:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        with suppress(Exception), self._guard(self._doing):  # the door itself may fail
            self._see(*args)
        torch.set_grad_enabled(True)  # which a door that fails on the way out leaves off

    def __reduce__(self) -> tuple[Any, ...]:
        return Gone, ()


def has_compiled(model: nn.Module) -> bool:
    """Some part of it is compiled: a hook would spoil its graph."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for _, module in walk(model)
    )
