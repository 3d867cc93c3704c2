"""The places that a run is written to. A sink gets each step after the rules have seen it."""

from lora_watch.base.sink import Sink

__all__ = ["Sink"]
