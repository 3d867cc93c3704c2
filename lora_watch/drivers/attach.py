"""Gives every Trainer of this process a LoraWatchCallback, whoever builds it: what ``lora-watch run`` does.

Nothing of the Trainer is patched. Its module has a list of the callbacks that every Trainer gets, and one that adds
ours when training begins is put there. By then all of the script's own callbacks are in place: ours is the last, and a
script that has brought its own is left alone.

The list is reached right after the script's first import of the Trainer, and no sooner: importing transformers before
the script does would read the environment before the script has set it.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from lora_watch.run.process import in_words

_TRAINER = "transformers.trainer"


class Attached:
    def __init__(self, settings: Mapping[str, Any]):
        self.settings = settings
        self._callbacks: list[Any] = []
        self.waiting: list[Any] = []
        """Of each Trainer the LoraWatchCallback that marks an earlier report until training begins."""

    def watch(self, trainer: Any) -> Any:
        """The LoraWatchCallback of ``trainer``, a new one where it has none. Its monitors count from now on."""
        from lora_watch.drivers.callback import watch

        callback = _own(trainer) or watch(trainer, **self.settings)
        if callback.monitors is None:
            callback.monitors = []
        if callback not in self._callbacks:
            self._callbacks.append(callback)
        return callback

    @property
    def monitors(self) -> list[Any]:
        """The Monitor of each training, over or not."""
        return [monitor for callback in self._callbacks for monitor in callback.monitors]

    def close(self, error: BaseException | None) -> None:
        """No training goes on any more. One without a verdict was broken off, by ``error`` as far as anybody knows. A
        script that has trained in a folder and come to its end needs no mark there: a Trainer may only save."""
        if error is None:
            trained = {monitor.place for monitor in self.monitors}
            for callback in self.waiting:
                callback.waits_no_longer(trained)
        why = "an exception that the script caught, or its own exit"
        if error is not None and not isinstance(error, SystemExit):
            why = in_words(error)
        for monitor in self.monitors:
            monitor.finish("interrupted", why)

    def first_failure(self) -> Any:
        """The Monitor of the first training that an alert has ended, by a policy that is not the script's own."""
        own = (callback for callback in self._callbacks if callback.settings.fail_on is None)
        return next((monitor for callback in own for monitor in callback.monitors if monitor.failures), None)

    def detach(self) -> None:
        """Trainers that are built from now on are not monitored."""
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
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)  # the others find the real one
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _give(module, self.attached)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _own(trainer: Any) -> Any:
    """The LoraWatchCallback that ``trainer`` has, or None."""
    from lora_watch.drivers.callback import LoraWatchCallback
    from lora_watch.drivers.trainer_info import callbacks_of

    return next((known for known in callbacks_of(trainer) if isinstance(known, LoraWatchCallback)), None)


def _give(module: ModuleType, to: Attached) -> None:
    from transformers.trainer_callback import TrainerCallback

    class WatchEveryTrainer(TrainerCallback):
        """Adds a LoraWatchCallback to the Trainer whose training begins, unless it has one. Until then one that is not
        added marks an earlier report, as the script's own does."""

        attached = to

        def __init__(self) -> None:
            from lora_watch.drivers.callback import LoraWatchCallback

            self.waiting = LoraWatchCallback(**to.settings)
            to.waiting.append(self.waiting)

        def on_init_end(self, *event: Any, **_: Any) -> None:
            from lora_watch.drivers.trainer_info import trainer_that_holds

            if _own(trainer_that_holds(self)) is None:
                self.waiting.on_init_end(*event)

        def on_prediction_step(self, *_: Any, **__: Any) -> None:
            self.waiting.waits_no_longer()

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            from lora_watch.drivers.trainer_info import trainer_that_holds

            if (trainer := trainer_that_holds(self)) is not None:
                self.waiting.waits_no_longer()
                ours = to.watch(trainer)  # the Trainer's loop over its callbacks comes to a new one next
                ours.meant = True
                ours.find_lr = ours.find_lr or to.settings.get("find_lr", False)

    module.DEFAULT_CALLBACKS.append(WatchEveryTrainer)
