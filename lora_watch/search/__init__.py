"""Finding the rank and the scale."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Configuration", "Plan"]

if TYPE_CHECKING:
    from lora_watch.search.plan import Configuration, Plan

_HOMES = {
    "Configuration": "lora_watch.search.plan",
    "Plan": "lora_watch.search.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
