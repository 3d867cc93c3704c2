"""The Trainer's trackers: W&B, MLflow, Trackio, Comet, SwanLab … Our summary is in the rows that they write.

Each tracker's callback is handed the Trainer's own row of the training loss with ours in it, so that it stays one row.
What the Trainer keeps (``log_history``), prints and shows in a notebook is the row without ours, and TensorBoard has
the same numbers from us already. Changing the row in ``on_log`` would come too late (the trackers stand before us), and
a ``trainer.log`` of our own would swallow the Trainer's next row.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from transformers import Trainer
from transformers.integrations import integration_utils

from lora_watch.drivers.step_tap import Tap
from lora_watch.drivers.trainer_info import callbacks_of
from lora_watch.run.engine import Engine
from lora_watch.sinks.numbers import plain_scalars

_TRACKERS = tuple(integration_utils.INTEGRATION_TO_CALLBACK.values())
_OF_ROWS = tuple(set(_TRACKERS) - {integration_utils.INTEGRATION_TO_CALLBACK["tensorboard"]})


class LogRows(Tap):
    """Adds a monitor's summary to its Trainer's trackers' rows of the training loss. Their ``on_log`` is wrapped while
    the Trainer is about to log."""

    _engine: Engine | None = None

    def attach(self, trainer: Trainer | None, engine: Engine) -> None:
        self._follow(trainer if any(isinstance(one, _OF_ROWS) for one in callbacks_of(trainer)) else None)
        self._engine = engine

    def open(self) -> None:
        """The Trainer is about to log. When it has, ``close`` is to be called."""

        def on_log(
            inner: Callable[..., Any], args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> Any:
            engine = self._engine
            if engine is not None and logs is not None and "loss" in logs:
                with suppress(Exception), engine.guard("giving the trackers a summary", aside=True):
                    logs = {**summary_of(engine), **logs}
            try:
                return inner(args, state, control, logs=logs, **kwargs)
            except BaseException:
                with suppress(Exception):
                    self.close()
                raise

        known = callbacks_of(self.followed)
        self._wrap((one, "on_log", on_log) for one in known if isinstance(one, _OF_ROWS))


def summary_of(engine: Engine) -> dict[str, float]:
    """The plain scalars of the latest step that was judged, by the names that TensorBoard has them under: ``lora/…``.
    Empty before the first one."""
    return {} if engine.last is None else plain_scalars(engine.last)


class LastWord(Tap):
    """Has something done before the first of a Trainer's trackers handles ``on_train_end``, where it closes what we
    write to. Nothing in the Trainer's log tells the end: any row may hold any key."""

    def attach(self, trainer: Trainer | None, before: Callable[[Any], object]) -> None:
        """From now on call ``before`` with the Trainer's state; what it raises goes no further."""

        def on_train_end(inner: Callable[..., Any], args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                before(state)
            return inner(args, state, control, **kwargs)

        known = callbacks_of(trainer)
        trackers = [one for one in known if isinstance(one, _TRACKERS) or hasattr(one, "tb_writer")]
        self._wrap((one, "on_train_end", on_train_end) for one in trackers)
