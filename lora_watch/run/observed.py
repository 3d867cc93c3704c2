"""A run as seen from outside: where it stands, its alerts, and what it costs."""

from __future__ import annotations

from typing import ClassVar

from lora_watch.base import markup
from lora_watch.base.alerts import Alert, LoraWatchError, Verdict, in_order
from lora_watch.base.prescription import Prescription
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import count
from lora_watch.run.guard import Guard
from lora_watch.run.judge import Judge
from lora_watch.run.recording import Recorder


class Observed:
    """What may be asked of a run at any time, also after its end."""

    started: ClassVar[int] = 0
    """How many runs have begun to be monitored in this process."""
    unjudged: ClassVar[int] = 0
    """How many of them have no verdict so far, or ``unknown``, or broke off with no later run in their place."""
    latest: ClassVar[dict[object, object]] = {}
    """By place the mark of its latest run, where that goes on or broke off."""
    place: object
    """Shared with the runs that repeat this one: the folder, where it has one."""
    may_break_off = False
    """That is planned, as for a sweep or a trial that is pruned."""
    _mark: object
    _recorder: Recorder
    _judge: Judge
    guard: Guard

    def _repr_html_(self) -> str:
        """For notebooks: where the run stands, and its alerts, the one to read first first."""
        last, steps = self.last, count(self.steps, "step")
        planned = f"{self.steps} of {self.run.max_steps} steps" if self.run.max_steps else steps
        parts = [planned, count(len(self.run.adapters), "adapter"), *([f"zone {last.zone}"] if last else [])]
        if last is not None and last.loss is not None:
            parts.append(f"loss {last.loss:.4g}")
        parts.append(count(len(self.alerts), "alert") if self.alerts else "no alerts")
        head = f"<p><b>lora_watch</b> {markup.text(' · '.join(parts))}</p>"
        return head + "".join(markup.lines(str(alert)) for alert in in_order(self.alerts))

    @property
    def run(self) -> RunInfo:
        """What is known of the run and its adapters."""
        return self._recorder.monitored.run

    def note(self, text: str) -> None:
        """Add to the report's notes, once."""
        self._recorder.monitored.note(text)

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self._judge.steps

    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, in order of opening."""
        return self._judge.episodes.alerts

    @property
    def next_run(self) -> Prescription | None:
        """What to change for the next run, relative to the settings that this one was started with."""
        return self._judge.episodes.prescription

    @property
    def last(self) -> StepRecord | None:
        """The record of the latest step that has been judged."""
        return self._judge.last

    @property
    def is_blind(self) -> bool:
        """Steps have been done, and no adapter's size was known at any."""
        return self._judge.coverage.is_blind

    @property
    def failures(self) -> list[Alert]:
        """The open alerts for which the policy ends the run, worst first."""
        return self._judge.failures

    @property
    def overhead(self) -> float:
        """Share of the wall time that was spent in here, forward hooks counted: since ``start`` returned, and after the
        first 20 steps, which are all measured in full, since then."""
        return self.guard.overhead

    def _count(self) -> None:
        """The run begins, and replaces the one before in its place if that has no verdict yet or broke off."""
        Observed.started, Observed.unjudged = self.started + 1, self.unjudged + (self.place not in self.latest)
        self.latest[self.place] = self._mark

    def _count_as(self, verdict: Verdict) -> None:
        if self.latest.get(self.place) is self._mark and (verdict != "interrupted" or self.may_break_off):
            del self.latest[self.place]
            Observed.unjudged -= verdict != "unknown"

    def error(self) -> LoraWatchError:
        """The exception that says why the policy ends the run."""
        return self._judge.error()
