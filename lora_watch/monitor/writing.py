"""The sinks of a run, none of which can harm it or another one. What fails in one costs no measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import Recovered, RunInfo, StepRecord
from lora_watch.monitor.guard import Guard
from lora_watch.sinks import EvaluationSink, RecoverySink, Sink, ThreadSink, UpdateSink


def _thread_seconds(sink: ThreadSink) -> float:
    return sink.thread_seconds


class GuardedSinks:
    """All sinks as one."""

    def __init__(self, sinks: Sequence[Sink], guard: Guard):
        self._sinks, self._guard = list(sinks), guard
        self.lost = 0
        """Optimizer steps that recoveries have discarded."""
        self._update_sinks = [sink for sink in sinks if isinstance(sink, UpdateSink)]
        self._thread_sinks = [sink for sink in sinks if isinstance(sink, ThreadSink)]
        guard.threads += [partial(_thread_seconds, sink) for sink in self._thread_sinks]

    def start(self, run: RunInfo, step: int) -> None:
        for sink in self._sinks:
            with self._guard(f"starting {type(sink).__name__}", aside=True):
                sink.start(run, step)

    def updated(self, step: int) -> None:
        for sink in self._update_sinks:
            with self._guard(f"showing the weights to {type(sink).__name__}", aside=True):
                sink.updated(step)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        for sink in self._sinks:
            with self._guard(f"writing with {type(sink).__name__}", aside=True):
                sink.write(record, list(alerts))

    def flush(self) -> None:
        for sink in self._thread_sinks:
            with self._guard(f"flushing {type(sink).__name__}", aside=True):
                sink.flush()

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        for sink in self._sinks:
            if isinstance(sink, EvaluationSink):
                with self._guard(f"telling {type(sink).__name__} of an evaluation", aside=True):
                    sink.evaluated(step, metrics)

    def recovered(self, recovery: Recovered) -> None:
        self.lost += recovery.lost
        for sink in self._sinks:
            if isinstance(sink, RecoverySink):
                with self._guard(f"telling {type(sink).__name__} of a recovery", aside=True):
                    sink.recovered(recovery)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        for sink in self._sinks:
            with self._guard(f"finishing {type(sink).__name__}", aside=True):
                sink.finish(verdict, message)
