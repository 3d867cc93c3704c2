"""The Trainer's trackers: W&B, MLflow, Trackio, Comet, SwanLab … Our summary is in the rows that they write.

Each tracker's callback is handed the Trainer's own row of the training loss with ours in it, so that it stays one row.
What the Trainer keeps (``log_history``), prints and shows in a notebook is the row without ours, and TensorBoard has
the same numbers from us already. Changing the row in ``on_log`` would come too late (the trackers stand before us), and
a ``trainer.log`` of our own would swallow the Trainer's next row.
"""

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


class Trackers(Tap):
    """Adds a monitor's summary to the rows of the training loss, and has something done before the first tracker
    handles ``on_train_end``, where it closes what we write to. Nothing in the Trainer's log tells the end: any row may
    hold any key."""

    def attach(self, trainer: Trainer, engine: Engine, before_end: Callable[[Any], object]) -> None:
        """From now on. ``before_end`` gets the Trainer's state; what it raises goes no further."""

        def on_log(inner: Callable[..., Any], *event: Any, logs: Any = None, **kwargs: Any) -> Any:
            if logs is not None and "loss" in logs:
                with suppress(Exception), engine.guard("giving the trackers a summary", aside=True):
                    logs = {**summary_of(engine), **logs}
            return inner(*event, logs=logs, **kwargs)

        def on_train_end(inner: Callable[..., Any], args: Any, state: Any, *event: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                before_end(state)
            return inner(args, state, *event, **kwargs)

        self.detach()
        self.followed, known = trainer, callbacks_of(trainer)
        closing = [one for one in known if isinstance(one, _TRACKERS) or hasattr(one, "tb_writer")]
        rows = [one for one in known if isinstance(one, _OF_ROWS)]
        self._wrap(
            [*((one, "on_train_end", on_train_end) for one in closing), *((one, "on_log", on_log) for one in rows)]
        )


def summary_of(engine: Engine) -> dict[str, float]:
    """The plain scalars of the latest step that was judged, by the names that TensorBoard has them under: ``lora/…``.
    Empty before the first one."""
    return {} if engine.last is None else plain_scalars(engine.last)
