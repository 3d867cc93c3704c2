"""The heatmap of a run, adapters × steps, small enough to be kept."""

from __future__ import annotations

from lora_watch.base.records import FloatArray, StepRecord

MOST_STEPS = 64
"""Columns, at most: evenly spaced steps, and the last one."""


class Heatmap:
    """Keeps ``metric`` of every adapter at some steps. A set of other adapters begins it anew."""

    def __init__(self, metric: str = "delta_norm") -> None:
        self._metric = metric
        self.names: tuple[str, ...] = ()
        self._columns: dict[int, FloatArray] = {}
        self._last: dict[int, FloatArray] = {}
        self._every = 1

    def take(self, record: StepRecord) -> None:
        reading = record.metrics.get(self._metric)
        if reading is None or not reading.known.any():
            return
        if record.run.names != self.names:
            self.names, self._columns, self._every = record.run.names, {}, 1
        if any(step >= record.step for step in self._last):  # trained again
            self._columns = {step: column for step, column in self._columns.items() if step < record.step}
        self._last = {record.step: reading.measured}
        if record.step % self._every == 0:
            self._columns |= self._last
        if len(self._columns) >= MOST_STEPS:  # one is left for the last step
            self._every *= 2
            self._columns = {step: column for step, column in self._columns.items() if step % self._every == 0}

    @property
    def columns(self) -> dict[int, FloatArray]:
        """``[n_adapters]`` by step, in the order of ``names``; empty where nothing was taken."""
        return self._columns | self._last
