"""One event file: all values of a step in one event."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.alerts import Verdict
from lora_watch.base.prescription import Prescription
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
    """What the training thread hands over: nothing in it changes any more."""

    record: StepRecord
    alerts: bytes | None
    """JSON of the step's alerts."""
    news: str
    """What opened or closed, in Markdown."""


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
        values = [self._value(tags.SCHEMA, strict_json(numbers.schema(run))), self._verdict("running", None, None)]
        self._add([*values, *events.hparams_start(numbers.hyperparameters(run), HPARAM_METRICS)], step)
        self.flush()

    def write(self, step: HandedOver) -> None:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, as it should
            self._add(self._values(step), step.record.step)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def write_series(self, numbers: Mapping[str, float], step: int) -> None:
        """Small vectors of one number each, by name."""
        self._add([self._value(tags.SERIES_PREFIX + name, np.array([n])) for name, n in numbers.items()], step)

    def _values(self, step: HandedOver) -> list[bytes]:
        record = step.record
        values = [
            *(
                self._value(tags.METRIC_PREFIX + name, numbers.unknown_marked(reading))
                for name, reading in record.metrics.items()
            ),
            *(self._value(tags.SERIES_PREFIX + name, array) for name, array in numbers.series(record).items()),
            *events.scalars(numbers.plain_scalars(record)),
        ]
        if new := [name for name in record.metrics if name not in self._charted]:
            self._charted += new
            values += events.custom_scalars(numbers.layout(self._charted))
        if step.alerts is not None:
            values.append(self._value(tags.ALERTS, step.alerts))
        if step.news:
            values += events.text(tags.SCALAR_PREFIX + "alerts", step.news)
        return values

    def end(self, verdict: Verdict, message: str | None, told: Prescription | None, step: int) -> None:
        self._add([*events.hparams_end(verdict == "ok"), self._verdict(verdict, message, told)], step)
        self.flush()

    def flush(self) -> None:
        self.handle.flush()
        self._flushed = time.monotonic()

    def _verdict(self, verdict: str, message: str | None, told: Prescription | None) -> bytes:
        next_run = None if told is None else told.to_dict()
        return self._value(tags.VERDICT, strict_json({"verdict": verdict, "message": message, "next_run": next_run}))

    def _value(self, tag: str, content: FloatArray | NDArray[np.float32] | bytes) -> bytes:
        """A value of the format. What it is stands with a tag's first value only: readers keep the first."""
        explanation = b"" if tag in self._tags else strict_json({"version": tags.FORMAT_VERSION})
        self._tags.add(tag)
        return events.tensor(tag, content, explanation)

    def _add(self, values: Sequence[bytes], step: int) -> None:
        """Raises OSError where there is no room. A writer of TensorBoard's that has met a full disk raises that for
        ever, to all who share it: so the disk is asked first."""
        ask_the_disk(self.handle.get_logdir())
        self.handle.add_event(events.event(values), step)


def ask_the_disk(directory: str | os.PathLike[str]) -> None:
    """Raises OSError where nothing can be written, without trying to."""
    if "://" in str(directory):  # TensorBoard writes to object stores, too
        return
    if shutil.disk_usage(directory).free < SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not os.access(directory, os.W_OK):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
