"""What an adapter is, and how adapters are found in a model."""

from lora_watch.adapters.adapter import Adapter, Factors, NoAdaptersError
from lora_watch.adapters.find import are_meant, find_adapters, find_other_adapters
from lora_watch.adapters.peft_config import init_from_base, prompts, unmatched
from lora_watch.adapters.peft_deltas import DenseAdapter
from lora_watch.adapters.tree import walk

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
