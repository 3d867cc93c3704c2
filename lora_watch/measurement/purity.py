"""Whether a model may be run once more without a trace: that depends on whose code a pass goes through."""

import sys
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

from lora_watch.adapters import walk
from lora_watch.base.names import clean_name

_CLASSES = ("torch.nn", "transformers", "peft", "bitsandbytes")
"""Where classes of modules come from that keep nothing of a pass in evaluation mode. Code that a checkpoint brought
along is in ``transformers_modules``, which is nobody's library."""
_FUNCTIONS = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "trl", "kernels", "lora_watch")
"""Where functions come from that may stand around a module's ``forward``, or be hooks of it."""
_COUNTING = "transformers.debug_utils"
"""Its hooks count passes."""


def unknown_code(model: nn.Module) -> str:
    """What in ``model`` might notice a further pass (a counter, a generator of its own), in words; empty for nothing.

    Known are modules, their own ``forward``, hooks and functions put on a module, of libraries whose modules have no
    state in evaluation mode. What a module's attributes hold is not looked at: there is no end to where a state may be
    kept.
    """
    for hooks in ("_global_forward_pre_hooks", "_global_forward_hooks"):
        for hook in getattr(torch_module, hooks, {}).values():
            if not _is_known(hook):
                return f"a forward hook of all modules ({_called(hook)})"
    classes: set[type] = set()
    for path, module in walk(model):
        kind, name = type(module), clean_name(path) or "the model"
        if kind not in classes and not (_is_from(kind.__module__, _CLASSES) and _is_known(kind.forward)):
            return f"{name} ({kind.__module__}.{kind.__qualname__})"
        classes.add(kind)
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            if not _is_known(hook):
                return f"a forward hook of {name} ({_called(hook)})"
        for attribute, value in vars(module).items():
            calls = isinstance(value, (FunctionType, MethodType, partial)) or attribute in ("forward", "_hf_hook")
            if calls and not _is_known(value):
                return f"{attribute} of {name}, which was replaced ({_called(value)})"
    return ""


def _is_known(function: Any) -> bool:
    """It comes from one of ``_FUNCTIONS``, and so does all that it says it wraps. Where code is from its globals say,
    which no decorator copies."""
    if isinstance(function, BuiltinFunctionType):
        return True
    inner = getattr(function, "__wrapped__", None)
    if isinstance(function, partial):
        return _is_known(function.func) and (inner is None or _is_known(inner))
    function = getattr(function, "__func__", function)
    home = getattr(function, "__globals__", {}).get("__name__") or type(function).__module__
    known = (_is_from(home, _FUNCTIONS) and home != _COUNTING) or _is_from(home, _kernels())
    return known and (inner is None or _is_known(inner))


def _kernels() -> tuple[str, ...]:
    """The modules of the kernels loaded from a hub, by which transformers replaces the ``forward`` of its layers."""
    loaded = getattr(sys.modules.get("kernels"), "get_loaded_kernels", tuple)  # an older one, or none, lists nothing
    return tuple(kernel.module.__name__ for kernel in loaded())


def _is_from(home: str, libraries: tuple[str, ...]) -> bool:
    return any(home == library or home.startswith(f"{library}.") for library in libraries)


def _called(function: Any) -> str:
    function = getattr(function, "func", function)
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
