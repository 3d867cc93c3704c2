"""Our summary in the rows that the Trainer's trackers write: W&B, MLflow, Trackio, Comet, SwanLab …

Each tracker's callback is handed the Trainer's own row of the training loss with ours in it, so that it stays one row.
What the Trainer keeps (``log_history``), prints and shows in a notebook is the row without ours, and TensorBoard has
the same numbers from us already. Changing the row in ``on_log`` would come too late (the trackers stand before us), and
a ``trainer.log`` of our own would swallow the Trainer's next row.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

from transformers import Trainer
from transformers.integrations import integration_utils

from lora_watch.monitor.monitor import Monitor
from lora_watch.sinks.numbers import plain_counts, plain_scalars
from lora_watch.trainer.facts import callbacks_of

_TRACKERS = tuple(
    callback for name, callback in integration_utils.INTEGRATION_TO_CALLBACK.items() if name != "tensorboard"
)


class LogRows:
    """Adds a monitor's summary to its Trainer's trackers' rows of the training loss; put back at the end."""

    def __init__(self) -> None:
        self._wrapped: list[Any] = []

    def attach(self, trainer: Trainer | None, monitor: Monitor) -> None:
        self.detach()
        for tracker in callbacks_of(trainer):
            if isinstance(tracker, _TRACKERS):
                tracker.on_log = _with(tracker.on_log, monitor)
                self._wrapped.append(tracker)

    def detach(self) -> None:
        for tracker in self._wrapped:
            vars(tracker).pop("on_log", None)
        self._wrapped = []


def _with(inner: Callable[..., Any], monitor: Monitor) -> Callable[..., Any]:
    @functools.wraps(inner)
    def on_log(args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> Any:
        if logs is not None and "loss" in logs:
            with monitor.guard("giving the trackers a summary"):
                logs = {**summary_of(monitor), **logs}
        return inner(args, state, control, logs=logs, **kwargs)

    return on_log


def summary_of(monitor: Monitor) -> dict[str, float]:
    """The plain scalars of the latest step that was judged, by the names that TensorBoard has them under: ``lora/…``.

    Empty before the first one.
    """
    if monitor.last is None:
        return {}
    counts = plain_counts(Counter(alert.severity for alert in monitor.alerts))
    return {**plain_scalars(monitor.last), **counts}
