"""What an adapter is, and how adapters are found in a model.

Names are imported on first use: rules read ``lora_watch.adapters.names``, and whoever reads rules need not have torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_watch.lazy import lazily

if TYPE_CHECKING:
    from lora_watch.adapters.adapter import Adapter, Block, NoAdaptersError
    from lora_watch.adapters.find import find_adapters, find_other_adapters, moved, prompts, unmatched, walk
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
    "moved",
    "prompts",
    "unmatched",
    "walk",
]

__getattr__ = lazily(
    __name__,
    {
        "adapter": ("Adapter", "Block", "NoAdaptersError"),
        "find": ("find_adapters", "find_other_adapters", "moved", "prompts", "unmatched", "walk"),
        "names": ("clean_name", "layer_index"),
        "peft_deltas": ("DenseAdapter",),
    },
)
