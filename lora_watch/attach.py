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
    """What has become of it."""

    def __init__(self, settings: Mapping[str, Any]):
        self.settings = settings
        self.trainers = 0
        """How often training began under the watch."""
        self.monitors: list[Any] = []
        """The Monitor of each of these trainings that is over, or has been replaced by another of its Trainer."""
        self._callbacks: list[Any] = []

    def begins(self, callback: Any) -> None:
        """Training is about to begin with this LoraWatchCallback."""
        self.trainers += 1
        self.expect(callback)
        self.collect()

    def expect(self, callback: Any) -> None:
        """``callback`` is going to watch."""
        if callback not in self._callbacks:
            self._callbacks.append(callback)

    def collect(self) -> None:
        """Bring ``monitors`` up to date."""
        latest = (callback.monitor for callback in self._callbacks)
        self.monitors += [monitor for monitor in latest if monitor is not None and monitor not in self.monitors]

    def detach(self) -> None:
        """Trainers that are built from now on are not watched."""
        sys.meta_path[:] = [f for f in sys.meta_path if not (isinstance(f, _AfterImport) and f.attached is self)]
        known = getattr(sys.modules.get(_TRAINER), "DEFAULT_CALLBACKS", [])
        known[:] = [callback for callback in known if getattr(callback, "attached", None) is not self]


def attach_to_every_trainer(settings: Mapping[str, Any]) -> Attached:
    """Watch every Trainer from now on. ``settings``: arguments of LoraWatchCallback."""
    attached = Attached(settings)
    if _TRAINER in sys.modules:
        _give(sys.modules[_TRAINER], attached)
    else:
        sys.meta_path.insert(0, _AfterImport(attached))
    return attached


class _AfterImport(MetaPathFinder):
    def __init__(self, attached: Attached):
        self.attached = attached

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
                _give(module, self.attached)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _give(module: ModuleType, to: Attached) -> None:
    from transformers.trainer_callback import TrainerCallback

    class WatchEveryTrainer(TrainerCallback):
        """Adds a LoraWatchCallback to the Trainer whose training begins, unless it has one."""

        attached = to

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            from lora_watch.callback import LoraWatchCallback, callbacks_of, trainer_that_holds, watch

            trainer = trainer_that_holds(self)
            ours = next((c for c in callbacks_of(trainer) if isinstance(c, LoraWatchCallback)), None)
            if ours is None and trainer is not None:
                ours = watch(trainer, **to.settings)  # the Trainer's loop over its callbacks comes to it next
            if ours is not None:
                to.begins(ours)

    module.DEFAULT_CALLBACKS.append(WatchEveryTrainer)
