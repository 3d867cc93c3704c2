"""The sinks of a run, none of which can harm it or another one. What fails in one costs no measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import Recovered, RunInfo, StepRecord
from lora_watch.monitor.guard import Guard
from lora_watch.sinks import EvaluationSink, RecoverySink, Sink, ThreadSink, UpdateSink

AnySink = TypeVar("AnySink")


class GuardedSinks:
    """All sinks as one. Whoever calls it is inside the guard already, so that no sink needs a door of its own."""

    def __init__(self, sinks: Sequence[Sink], guard: Guard):
        self._sinks, self._guard = list(sinks), guard
        self.lost = 0
        """Optimizer steps that recoveries have discarded."""
        self._update_sinks = [sink for sink in sinks if isinstance(sink, UpdateSink)]
        self._thread_sinks = [sink for sink in sinks if isinstance(sink, ThreadSink)]
        guard.threads += [partial(getattr, sink, "thread_seconds") for sink in self._thread_sinks]

    def start(self, run: RunInfo, step: int) -> None:
        self._each("starting", self._sinks, lambda sink: sink.start(run, step))

    def updated(self, step: int) -> None:
        self._each("showing the weights to", self._update_sinks, lambda sink: sink.updated(step))

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self._each("writing with", self._sinks, lambda sink: sink.write(record, list(alerts)))

    def flush(self) -> None:
        self._each("flushing", self._thread_sinks, lambda sink: sink.flush())

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        sinks = (sink for sink in self._sinks if isinstance(sink, EvaluationSink))
        self._each("giving an evaluation to", sinks, lambda sink: sink.evaluated(step, metrics))

    def recovered(self, recovery: Recovered) -> None:
        self.lost += recovery.lost
        sinks = (sink for sink in self._sinks if isinstance(sink, RecoverySink))
        self._each("giving a recovery to", sinks, lambda sink: sink.recovered(recovery))

    def finish(self, verdict: Verdict, message: str | None) -> None:
        self._each("finishing", self._sinks, lambda sink: sink.finish(verdict, message))

    def _each(self, doing: str, sinks: Iterable[AnySink], act: Callable[[AnySink], None]) -> None:
        for sink in sinks:
            try:
                act(sink)
            except Exception as error:
                self._guard.caught(f"{doing} {type(sink).__name__}", error, aside=True)
