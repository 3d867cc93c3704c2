"""What an adapter is, and how adapters are found in a model.

Names are imported on first use: rules read ``lora_watch.adapters.names``, and whoever reads rules need not have torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lora_watch.adapters.adapter import Adapter, Block, NoAdaptersError
    from lora_watch.adapters.find import find_adapters, find_other_adapters, unmatched, walk
    from lora_watch.adapters.names import clean_name, layer_index
    from lora_watch.adapters.peft_deltas import DenseAdapter

__all__ = [
    "Adapter",
    "Block",
    "DenseAdapter",
    "NoAdaptersError",
    "clean_name",
    "find_adapters",
    "find_other_adapters",
    "layer_index",
    "unmatched",
    "walk",
]

_HOMES = {
    "Adapter": "adapter",
    "Block": "adapter",
    "DenseAdapter": "peft_deltas",
    "NoAdaptersError": "adapter",
    "clean_name": "names",
    "find_adapters": "find",
    "find_other_adapters": "find",
    "layer_index": "names",
    "unmatched": "find",
    "walk": "find",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
