"""What an adapter is, and how adapters are found in a model."""

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
