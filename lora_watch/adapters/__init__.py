"""What an adapter is, and how adapters are found in a model."""

from lora_watch.adapters.adapter import Adapter, Block, NoAdaptersError
from lora_watch.adapters.find import find_adapters, walk
from lora_watch.adapters.names import clean_name, layer_index

__all__ = ["Adapter", "Block", "NoAdaptersError", "clean_name", "find_adapters", "layer_index", "walk"]
