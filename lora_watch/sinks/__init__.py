"""The places that a run is written to. A sink is told of each step after the rules have seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import Recovered, RunInfo, StepRecord


class Sink(Protocol):
    """Called on rank 0 only, in the training thread, so it is cheap. It may raise; the monitor logs that once. A class
    that inherits from this one leaves out the methods in which it does nothing."""

    def start(self, run: RunInfo, step: int) -> None:
        """Monitoring begins after ``step`` optimizer steps, or the set of adapters has changed there."""

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        """One step, with the alerts that opened, changed or closed at it."""

    def finish(self, verdict: Verdict, message: str | None) -> None:
        """The run is over; ``message`` says why when it is not ``ok``. Not called for a killed run."""


@runtime_checkable
class EvaluationSink(Protocol):
    """An optional method of a sink, for evaluations of the model."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """An evaluation after ``step`` optimizer steps; it may come after ``finish``."""


@runtime_checkable
class RecoverySink(Protocol):
    """An optional method of a sink, for recoveries of the run (``recover``)."""

    def recovered(self, recovery: Recovered) -> None:
        """Just before its alert LW910. ``recovery.dropped`` may grow later."""


@runtime_checkable
class UpdateSink(Protocol):
    """An optional method of a sink, to read the weights: ``write`` may be too late for that."""

    def updated(self, step: int) -> None:
        """The weights now have ``step`` optimizer steps behind them, the last of which is not checked yet."""


@runtime_checkable
class ThreadSink(Protocol):
    """What a sink has, optionally, that writes in threads of its own."""

    @property
    def thread_seconds(self) -> float:
        """CPU time of its threads so far: part of what monitoring costs."""
        ...

    def flush(self) -> None:
        """A checkpoint is about to be saved, and what has been written is to be on disk: waits for that."""
