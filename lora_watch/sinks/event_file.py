"""One event file: all values of a step in one event."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.alerts import Verdict
from lora_watch.base.records import FloatArray, RunInfo, StepRecord
from lora_watch.base.strict_json import strict_json
from lora_watch.format import tags
from lora_watch.sinks import events, numbers

HPARAM_METRICS = (
    "lora/loss",
    "lora/delta_norm/max",
    "lora/output_ratio/max",
)
"""Scalars shown with the hyperparameters, by the tags under which they are written anyway."""
SPARE_BYTES = 1 << 20
"""What is left of a disk's room belongs to the checkpoints."""
FLUSH_SECONDS = 1.0
"""A killed run may lose as much, and what is gathered. A writer's own pace, with the Trainer two minutes, is too slow
to be followed."""


class HandedOver(NamedTuple):
    """Nothing in it changes any more."""

    record: StepRecord
    alerts: bytes | None
    """JSON of the step's alerts."""
    news: str


class EventFile:
    """One event file and what it has been told. Used by one thread at a time."""

    def __init__(self, handle: Any):
        self.handle = handle
        """Torch's FileWriter."""
        self._tags: set[str] = set()  # tags that it has explained
        self._charted: list[str] = []  # metrics that its Custom Scalars layout shows
        self._flushed = time.monotonic()

    def begin(self, run: RunInfo, step: int) -> None:
        """What a reader needs first, at the start and whenever the set of adapters has changed."""
        event = events.event()
        self._put(event, tags.SCHEMA, strict_json(numbers.schema(run)))
        self._put_verdict(event, "running", None)
        events.hparams_start(event.summary.value, numbers.hyperparameters(run), HPARAM_METRICS)
        self._add(event, step)
        self.flush()

    def write(self, step: HandedOver) -> None:
        event, record = events.event(), step.record
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, as it should
            for name, reading in record.metrics.items():
                self._put(event, tags.METRIC_PREFIX + name, numbers.unknown_marked(reading))
            self._put_series(event, numbers.series(record))
            events.scalars(event.summary.value, numbers.plain_scalars(record))
        if new := [name for name in record.metrics if name not in self._charted]:
            self._charted += new
            events.custom_scalars(event.summary.value, numbers.layout(self._charted))
        if step.alerts is not None:
            self._put(event, tags.ALERTS, step.alerts)
        if step.news:
            events.text(event.summary.value, tags.SCALAR_PREFIX + "alerts", step.news)
        self._add(event, record.step)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def write_series(self, numbers: Mapping[str, float], step: int) -> None:
        event = events.event()
        self._put_series(event, {name: np.array([number]) for name, number in numbers.items()})
        self._add(event, step)

    def end(self, verdict: Verdict, message: str | None, step: int) -> None:
        event = events.event()
        events.hparams_end(event.summary.value, verdict == "ok")
        self._put_verdict(event, verdict, message)
        self._add(event, step)
        self.flush()

    def flush(self) -> None:
        self.handle.flush()
        self._flushed = time.monotonic()

    def _put_series(self, event: Any, series: Mapping[str, FloatArray]) -> None:
        for name, numbers_of_one in series.items():
            self._put(event, tags.SERIES_PREFIX + name, numbers_of_one)

    def _put_verdict(self, event: Any, verdict: str, message: str | None) -> None:
        self._put(event, tags.VERDICT, strict_json({"verdict": verdict, "message": message}))

    def _put(self, event: Any, tag: str, content: FloatArray | NDArray[np.float32] | bytes) -> None:
        """A value of the format. What it is stands with a tag's first value only: readers keep the first."""
        explanation = b"" if tag in self._tags else strict_json({"version": tags.FORMAT_VERSION})
        self._tags.add(tag)
        events.tensor(event.summary.value, tag, content, explanation)

    def _add(self, event: Any, step: int) -> None:
        """Raises OSError where there is no room. A writer of TensorBoard's that has met a full disk raises that for
        ever, to all who share it: so the disk is asked first."""
        ask_the_disk(self.handle.get_logdir())
        self.handle.add_event(event, step)


def ask_the_disk(directory: str | os.PathLike[str]) -> None:
    """Raises OSError where nothing can be written, without trying to."""
    if "://" in str(directory):  # TensorBoard writes to object stores, too
        return
    if shutil.disk_usage(directory).free < SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not os.access(directory, os.W_OK):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
