"""Finding the rank and the scale: a plan, run on an Optuna study until its curve is flat.

``plan`` says what to try, ``plateau`` when a curve counts as flat, ``deciding`` what to run next; ``driver`` runs it
and ``trainer`` is a Trainer's part in it. Names are imported on first use: a plan needs neither torch nor Optuna.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Attempt", "Configuration", "LoraSpace", "Outcome", "Plan", "SearchCallback", "SearchResult", "search"]

if TYPE_CHECKING:
    from lora_watch.search.deciding import Outcome
    from lora_watch.search.driver import Attempt, SearchResult, search
    from lora_watch.search.plan import Configuration, Plan
    from lora_watch.search.trainer import LoraSpace, SearchCallback

_HOMES = {
    "Outcome": "lora_watch.search.deciding",
    "Attempt": "lora_watch.search.driver",
    "SearchResult": "lora_watch.search.driver",
    "search": "lora_watch.search.driver",
    "Configuration": "lora_watch.search.plan",
    "Plan": "lora_watch.search.plan",
    "LoraSpace": "lora_watch.search.trainer",
    "SearchCallback": "lora_watch.search.trainer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
