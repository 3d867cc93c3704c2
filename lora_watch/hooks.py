"""Hooks of ours on a model: when they look, what becomes of them in a copy, and where they must not be."""

from __future__ import annotations

import torch
from torch import nn

from lora_watch.adapters import walk


def looks() -> bool:
    """A hook of ours has something to see: a pass that keeps gradients. Nothing of ours gets into a graph in making."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


class Gone:
    """What a copy of a model has in a hook's place: does nothing and takes itself out."""

    def __call__(self, module: nn.Module, *args: object) -> None:
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for place in [place for place, hook in hooks.items() if hook is self]:
                del hooks[place]


def has_compiled(model: nn.Module) -> bool:
    """Some part of it is compiled: a hook would spoil its graph."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for _, module in walk(model)
    )
