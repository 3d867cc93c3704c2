"""Uneven data under DDP: inside torch's ``Join`` a rank whose data has ended answers DDP's collectives alone."""

from __future__ import annotations

import gc
import weakref

from torch import nn


class Wrappers:
    """DDP's wrappers around a model: those that are there when this is made."""

    def __init__(self, model: nn.Module):
        # The model does not know its wrapper, and torch keeps no list of them.
        found = [thing for thing in gc.get_objects() if issubclass(type(thing), nn.parallel.DistributedDataParallel)]
        self._found = [weakref.ref(ddp) for ddp in found if any(module is model for module in ddp.modules())]

    @property
    def joined(self) -> bool:
        """A ``Join`` was begun with one of them. It stays so after its end. On all ranks alike."""
        configs = (getattr(ddp(), "_join_config", None) for ddp in self._found)  # torch has no public way to ask
        return any(getattr(config, "enable", False) for config in configs)
