"""lora_watch: watches every LoRA adapter while it trains.

Public names are imported on first use (PEP 562), so that ``import lora_watch`` costs nothing and pulls in
neither torch, transformers nor tensorboard: TensorBoard imports this package at each of its own starts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "lora_watch.adapters",
    "find_adapters": "lora_watch.adapters",
    "NoAdaptersError": "lora_watch.adapters",
    "Measurement": "lora_watch.norms",
    "measure": "lora_watch.norms",
    "Rule": "lora_watch.rules",
    "Finding": "lora_watch.rules",
    "StepRecord": "lora_watch.records",
    "Alert": "lora_watch.alerts",
    "Severity": "lora_watch.alerts",
    "LoraWatchError": "lora_watch.alerts",
    "Monitor": "lora_watch.monitor",
    "LoraWatchCallback": "lora_watch.callback",
    "watch": "lora_watch.callback",
    "advise": "lora_watch.advice",
}

__all__ = [
    "Adapter",
    "Alert",
    "Finding",
    "LoraWatchCallback",
    "LoraWatchError",
    "Measurement",
    "Monitor",
    "NoAdaptersError",
    "Rule",
    "Severity",
    "StepRecord",
    "__version__",
    "advise",
    "find_adapters",
    "measure",
    "watch",
]

if TYPE_CHECKING:
    from lora_watch.adapters import Adapter, NoAdaptersError, find_adapters
    from lora_watch.advice import advise
    from lora_watch.alerts import Alert, LoraWatchError, Severity
    from lora_watch.callback import LoraWatchCallback, watch
    from lora_watch.monitor import Monitor
    from lora_watch.norms import Measurement, measure
    from lora_watch.records import StepRecord
    from lora_watch.rules import Finding, Rule


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lora_watch' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
