"""Gives every Trainer of this process a LoraWatchCallback, whoever builds it: what ``lora-watch run`` does.

Nothing of the Trainer is patched. Its module has a list of the callbacks that every Trainer gets, and one that adds
ours when training begins is put there. By then all of the script's own callbacks are in place: ours is the last, and a
script that has brought its own is left alone.

The list is reached right after the script's first import of the Trainer, and no sooner: importing transformers before
the script does would read the environment before the script has set it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TRAINER = "transformers.trainer"


class Attached:
    """What has become of it: ``trainers`` is the number of times that training began under the watch."""

    trainers = 0


def attach_to_every_trainer(settings: Mapping[str, Any]) -> Attached:
    """Watch every Trainer from now on. ``settings``: arguments of LoraWatchCallback."""
    attached = Attached()
    if _TRAINER in sys.modules:
        _give(sys.modules[_TRAINER], settings, attached)
    else:
        sys.meta_path.insert(0, _AfterImport(settings, attached))
    return attached


class _AfterImport(MetaPathFinder):
    def __init__(self, settings: Mapping[str, Any], attached: Attached):
        self._settings, self._attached = settings, attached

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _TRAINER:
            return None
        sys.meta_path.remove(self)  # the others now find the real one
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _give(module, self._settings, self._attached)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _give(module: ModuleType, settings: Mapping[str, Any], attached: Attached) -> None:
    from transformers.trainer_callback import TrainerCallback

    class WatchEveryTrainer(TrainerCallback):
        """Adds a LoraWatchCallback to the Trainer whose training begins, unless it has one."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            from lora_watch.callback import LoraWatchCallback, callbacks_of, trainer_that_holds, watch

            attached.trainers += 1
            trainer = trainer_that_holds(self)
            if trainer is not None and not any(isinstance(c, LoraWatchCallback) for c in callbacks_of(trainer)):
                watch(trainer, **settings)  # the Trainer's loop over its callbacks comes to it next

    module.DEFAULT_CALLBACKS.append(WatchEveryTrainer)
