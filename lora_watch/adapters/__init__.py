"""What an adapter is, and how adapters are found in a model.

Names are imported on first use: whoever wants one need not have torch for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_watch.base.lazy import lazily

if TYPE_CHECKING:
    from lora_watch.adapters.adapter import Adapter, Factors, NoAdaptersError
    from lora_watch.adapters.find import (
        are_meant,
        find_adapters,
        find_other_adapters,
        init_from_base,
        prompts,
        unmatched,
        walk,
    )
    from lora_watch.adapters.peft_deltas import DenseAdapter

__all__ = [
    "Adapter",
    "DenseAdapter",
    "Factors",
    "NoAdaptersError",
    "are_meant",
    "find_adapters",
    "find_other_adapters",
    "init_from_base",
    "prompts",
    "unmatched",
    "walk",
]

__getattr__ = lazily(
    __name__,
    {
        "adapter": ("Adapter", "Factors", "NoAdaptersError"),
        "find": ("are_meant", "find_adapters", "find_other_adapters", "init_from_base", "prompts", "unmatched", "walk"),
        "peft_deltas": ("DenseAdapter",),
    },
)
