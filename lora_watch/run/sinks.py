"""All sinks of a run as one, none of which can harm the run or another one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.rules.policy import MONITOR_FAILURE
from lora_watch.run.guard import Guard
from lora_watch.sinks import Sink


class Sinks:
    """Whoever calls it is inside the guard already, so that no sink needs a door of its own. What fails in one costs no
    measurement."""

    def __init__(self, sinks: Sequence[Sink], guard: Guard):
        self._sinks, self._guard = list(sinks), guard
        self._behind: list[Sink] = []
        """Those that have failed with the latest record."""
        self._updated = [sink for sink in sinks if _has(sink, "updated")]
        self._written = [sink for sink in sinks if _has(sink, "write")]

    def session_before(self) -> Sequence[Alert]:
        """The alerts with which the session before this one ended, as far as its report is there."""
        from lora_watch.sinks.report import before_in  # the core needs no filelock

        return before_in(self._sinks).alerts

    @property
    def folder(self) -> Path | None:
        """Where the run's report lies; None where none is written here."""
        from lora_watch.sinks.report import report_in

        report = report_in(self._sinks)
        return None if report is None else report.directory

    def start(self, run: RunInfo, step: int) -> None:
        self._each("starting", "start", run, step)

    def updated(self, step: int) -> None:
        self._tell(self._updated, "showing the weights to", "updated", step)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self._behind = self._tell(self._written, "writing with", "write", record, list(alerts))

    def flush(self) -> None:
        self._each("flushing", "flush")

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        self._each("giving an evaluation to", "evaluated", step, metrics)

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        self._each("giving numbers of a policy or of probe= to", "logged", step, numbers)

    def amend(self, record: StepRecord, alerts: Sequence[Alert], verdict: Verdict, message: str | None) -> None:
        self._each("amending what was written by", "amend", record, list(alerts), verdict, message)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        """A sink that has failed to its last record does not know that all is ``ok``."""
        for sink in self._sinks:
            ending: tuple[Verdict, str | None] = verdict, message
            if verdict == "ok" and any(sink is other for other in self._behind):
                ending = "unknown", f"lora_watch failed while writing with {type(sink).__name__} ({MONITOR_FAILURE})"
            self._tell([sink] if _has(sink, "finish") else (), "finishing", "finish", *ending)

    def _each(self, doing: str, event: str, *arguments: Any) -> None:
        self._tell([sink for sink in self._sinks if _has(sink, event)], doing, event, *arguments)

    def _tell(self, sinks: Sequence[Sink], doing: str, event: str, *arguments: Any) -> list[Sink]:
        """Those that have failed."""
        failed = []
        for sink in sinks:
            try:
                getattr(sink, event)(*arguments)
            except Exception as error:
                failed.append(sink)
                self._guard.caught(f"{doing} {type(sink).__name__}", error, aside=True)
        return failed


def _has(sink: Any, event: str) -> bool:
    """It does something: one that does not inherit from ``Sink`` may lack an event, and others leave it as it is."""
    return getattr(type(sink), event, None) is not getattr(Sink, event) and hasattr(sink, event)
