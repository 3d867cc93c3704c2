"""Hooks of ours on a model: when they look, what becomes of them in a copy, and where they must not be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from torch import nn

from lora_watch.adapters import walk


def looking(doing: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For the call of a ``Hook``: it happens in passes that keep gradients, and no exception leaves it.

    While a graph is being made nothing of ours gets into it. ``doing``: what the hook does, in words.
    """

    def decorate(call: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(call)
        def inside(self: Any, *args: Any) -> None:
            if torch.compiler.is_compiling() or not torch.is_grad_enabled():
                return
            with suppress(Exception), self.guard(doing):  # the door itself may fail
                call(self, *args)
            torch.set_grad_enabled(True)  # which a door that fails on the way out leaves off

        return inside

    return decorate


class Gone:
    """What a copy of a model has in a hook's place: does nothing and takes itself out."""

    def __call__(self, module: nn.Module, *args: object) -> None:
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for place in [place for place, hook in hooks.items() if hook is self]:
                del hooks[place]


class Hook:
    """A hook of ours, for ``looking``: no copy of the model has it."""

    guard: Callable[[str], AbstractContextManager[Any]]

    def __reduce__(self) -> tuple[Any, ...]:
        return Gone, ()


def has_compiled(model: nn.Module) -> bool:
    """Some part of it is compiled: a hook would spoil its graph."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for _, module in walk(model)
    )
