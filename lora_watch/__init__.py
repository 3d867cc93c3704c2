"""lora_watch: watches every LoRA adapter while it trains.

Public names are imported on first use (PEP 562), so that ``import lora_watch`` costs nothing and pulls in
neither torch, transformers nor tensorboard: TensorBoard imports this package at each of its own starts.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

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
    "Sink",
    "StepRecord",
    "Suggestion",
    "__version__",
    "advise",
    "find_adapters",
    "find_learning_rate",
    "measure",
    "watch",
]

if TYPE_CHECKING:
    from lora_watch.adapters import Adapter, NoAdaptersError, find_adapters
    from lora_watch.base.alerts import Alert, LoraWatchError, Severity
    from lora_watch.base.records import StepRecord
    from lora_watch.drivers.callback import LoraWatchCallback, watch
    from lora_watch.drivers.loop import Monitor
    from lora_watch.measurement.norms import Measurement, measure
    from lora_watch.rules import Finding, Rule
    from lora_watch.sinks import Sink
    from lora_watch.tune.advise import advise
    from lora_watch.tune.find_lr import find_learning_rate
    from lora_watch.tune.suggestion import Suggestion


_HOMES = {
    "adapters": ("Adapter", "NoAdaptersError", "find_adapters"),
    "tune.advise": ("advise",),
    "base.alerts": ("Alert", "LoraWatchError", "Severity"),
    "drivers.callback": ("LoraWatchCallback", "watch"),
    "tune.find_lr": ("find_learning_rate",),
    "tune.suggestion": ("Suggestion",),
    "drivers.loop": ("Monitor",),
    "measurement.norms": ("Measurement", "measure"),
    "base.records": ("StepRecord",),
    "rules": ("Finding", "Rule"),
    "sinks": ("Sink",),
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
