"""What an adapter is, and how adapters are found in a model."""

from lora_watch.adapters.adapter import Adapter, Factors, NoAdaptersError
from lora_watch.adapters.find import find_adapters
from lora_watch.adapters.tree import walk

__all__ = ["Adapter", "Factors", "NoAdaptersError", "find_adapters", "walk"]
