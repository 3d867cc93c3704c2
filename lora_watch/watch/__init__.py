"""The loop: which adapters are monitored, what is measured of them and when, and what ends a run. Framework-free."""

import sys
from types import ModuleType
from typing import Any

import lora_watch


class _Room(ModuleType):
    """The public function ``lora_watch.watch`` has the name of this package, which takes its place in ``lora_watch``
    as soon as anything in here is imported: so it can be called like the function."""

    def __call__(self, trainer: Any, **settings: Any) -> Any:
        return lora_watch.__getattr__("watch")(trainer, **settings)


sys.modules[__name__].__class__ = _Room
