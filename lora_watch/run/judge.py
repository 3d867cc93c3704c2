"""From a record to alerts, and to the sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lora_watch.base.alerts import Alert, LoraWatchError, Severity, Verdict, in_order, last_recovery
from lora_watch.base.records import Recovered, RunInfo, StepRecord
from lora_watch.rules import Episodes
from lora_watch.rules.policy import MONITOR_FAILURE, Policy
from lora_watch.run.coverage import Coverage
from lora_watch.run.guard import Guard
from lora_watch.sinks import Sink


class Judge:
    """Asks the rules of ``policy`` about each record, and gives both to the sinks. Its guard tells it of failures."""

    def __init__(self, policy: Policy, sinks: Sequence[Sink]):
        self.policy = policy
        self.guard = Guard(self._report_failure)
        self.sinks = GuardedSinks(sinks, self.guard)
        self.episodes = Episodes(policy.rules, self.guard.caught)
        self.coverage = Coverage()
        self.last: StepRecord | None = None
        """The record of the latest step that has been judged."""
        self.steps = 0
        """Optimizer steps done."""
        self.story: list[str] = []
        """What the run has recovered from, and why it does not again, in words: the last ones of a run that ends."""
        self.treated: Alert | None = None
        """An open alert for which updates are being dropped, until ``settled``: it does not end the run."""
        self.ended_for: list[Alert] = []
        """What all ranks have agreed to end the run for, worst first. It is not decided again from this rank's own."""
        self._unwritten: list[Alert] = []
        self._first_step = 0

    def start(self, step: int) -> None:
        """``step``: steps done before the run."""
        self.steps = self._first_step = step

    def done(self, step: int) -> None:
        """One more optimizer step is done, and has this number."""
        self.steps = step
        self.coverage.done += 1

    def done_in_all(self, step: int) -> None:
        """The run has ended after ``step``, whatever of it has been seen."""
        self.coverage.done = max(self.coverage.done, step - self._first_step)

    @property
    def failures(self) -> list[Alert]:
        """The alerts for which the policy ends the run, worst first: those of all ranks, once they have agreed."""
        return self.ended_for or self.policy.failures(self.episodes.open)

    @property
    def acute(self) -> list[Alert]:
        """``failures``, and where the run is to recover although nothing may end it what it is to recover from."""
        policy = self.policy.recovering if self.policy.recover else self.policy
        found = policy.failures(self.episodes.open)
        return [alert for alert in found if alert is not self.treated]

    @property
    def urgent(self) -> list[Alert]:
        """Those of ``acute`` for which an update must not be."""
        return [alert for alert in self.acute if alert.rule in self.policy.urgent]

    def write_waiting(self, record: StepRecord | None) -> None:
        """Give the sinks what they have not been given, with ``record``: nothing where there is none."""
        if self._unwritten and record is not None:
            self._write(record, [])

    def before_update(self, record: StepRecord) -> None:
        """Ask the urgent rules."""
        self._unwritten += self.episodes.check(record, urgent=True)
        if self.urgent:  # else it is written when the step is done
            self._write(record, [])

    def explain(self, record: StepRecord) -> None:
        """Ask the rules whose fault can make the backward pass raise; ``finish`` writes what they have found."""
        self._unwritten += self.episodes.explain(record)

    def judge(self, record: StepRecord, dropped: bool = False) -> None:
        """Ask all rules, but none of a step whose update was taken back."""
        alerts: list[Alert] = []
        self.last = record
        with self.guard.light("asking the rules"):
            alerts = [] if dropped else self.episodes.check(record)
        with self.guard.light("finding a step's zone"):
            self.last = self.episodes.place(record)
        if record.step > self._first_step:
            self.coverage.judged(self.last, self.guard.failures)
        self._write(self.last, alerts)

    def recovered(
        self, recovered: Recovered, alert: Alert, own: Sequence[Alert], over: Sequence[Alert], on_trial: bool
    ) -> None:
        """The run has ``recovered`` from its ``own`` alerts, and ``alert`` reports it. ``over``: alerts that this has
        closed. ``on_trial``: updates are dropped until ``settled``."""
        self.episodes.forgive(own, recovered.back_to)
        self.story.append(f"At step {alert.step} {alert.message}. {alert.details}")
        self._unwritten += [*over, *self.episodes.say(alert)]
        if not on_trial:
            self.episodes.end(alert, self.steps)
        self.sinks.recovered(recovered)
        if recovered.back_to < recovered.step:  # else it is written with the step whose update is dropped
            self.write_waiting(self.last)

    def settled(self, alert: Alert, cause: Alert | None, now: bool) -> None:
        """Updates are applied again as they come: ``alert`` and its ``cause`` are over. ``now``: no step follows, with
        which that would be written."""
        self.treated = None
        self._unwritten += self.episodes.end(alert, self.steps)
        if cause is not None:
            self._unwritten += self.episodes.end(cause, self.steps)
        if now:
            self.write_waiting(self.last)

    def conclude(self, measured: Callable[[StepRecord], StepRecord | None]) -> bool:
        """Ask the rules for their last word, once. False for a run that the policy has ended or that has no step.
        ``measured``: makes the last record one of the weights as they stand; None where they cannot be read."""
        if self.coverage.concluded or self.failures or self.last is None or self.last.step == self._first_step:
            return False
        alerts: list[Alert] = []
        if (now := measured(self.last)) is not None:
            alerts = self.episodes.conclude(now, at_the_end=True)
        alerts += [alert for alert in self.episodes.conclude(self.last) if alert not in alerts]
        self.coverage.concluded = True
        if alerts:
            self._write(self.last, alerts)
        return True

    def verdict(self) -> tuple[Verdict, str | None]:
        """What a run is called that has ended by itself, and why it is not ``ok``, or what it has recovered from."""
        if errors := in_order(alert for alert in self.episodes.alerts if alert.severity >= Severity.ERROR):
            return "unhealthy", str(self.prescribed(errors[:1])[0])
        gap = self.coverage.gap(self.guard.failures, self.sinks.lost)
        return ("ok", last_recovery(self.episodes.alerts, self.steps)) if gap is None else ("unknown", gap)

    def finish(self, run: RunInfo, verdict: Verdict, message: str | None) -> None:
        """Write what is still waiting, and close every sink."""
        self.write_waiting(self.last or StepRecord(run, self.steps, {}))
        self.sinks.finish(verdict, message)

    def error(self) -> LoraWatchError:
        """The exception that says why the policy ends the run."""
        bad = self.failures
        lines = [str(alert) for alert in self.prescribed(bad[:1])] + [alert.title for alert in bad[1:]]
        if self._first_step and self.last is None:  # not a step has been judged: these came with the checkpoint
            open_then = " and ".join(f"{alert.rule} {alert.name}" for alert in bad)
            first = f"The run does not go on from step {self._first_step}: {open_then} was open when it was saved."
            lines.insert(0, first + " Resume from an earlier checkpoint, or begin anew.")
        return LoraWatchError("\n".join([*lines, *self.story]), bad)

    def prescribed(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Copies of ``alerts`` that carry the run's prescription, whichever alert has made it."""
        return [replace(alert, next_run=self.episodes.prescription) for alert in alerts]

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over the ``alerts`` on which all ranks have agreed."""
        new = [alert for theirs in alerts for alert in self.episodes.adopt(theirs)]
        if new and self.last is not None:
            self._write(self.last, new)

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict(), "coverage": self.coverage.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.episodes.load_state_dict(state.get("episodes", {}))
        self.coverage.load_state_dict(state.get("coverage", {}))
        self._unwritten = list(self.episodes.alerts)  # else the files of this session would not know of them

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "sinks": GuardedSinks((), self.guard)}

    def _report_failure(self, message: str, remedy: str) -> None:
        """A failure of the monitor itself becomes a finding."""
        alert = Alert(MONITOR_FAILURE, "monitor-failure", Severity.WARNING, self.steps, message, remedies=[remedy])
        self._unwritten += self.episodes.add(alert)

    def _write(self, record: StepRecord, alerts: list[Alert]) -> None:
        alerts, self._unwritten = [*self._unwritten, *alerts], []
        self.sinks.write(record, alerts)


class GuardedSinks:
    """All sinks as one, none of which can harm the run or another one. Whoever calls it is inside the guard already, so
    that no sink needs a door of its own. What fails in one costs no measurement."""

    def __init__(self, sinks: Sequence[Sink], guard: Guard):
        self._sinks, self._guard = list(sinks), guard
        self.lost = 0
        """Optimizer steps that recoveries have discarded."""
        self._behind: Sequence[Sink] = ()
        """Those that have failed with the latest record."""

    def start(self, run: RunInfo, step: int) -> None:
        self._each("starting", "start", run, step)

    def updated(self, step: int) -> None:
        self._each("showing the weights to", "updated", step)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self._behind = [s for s in self._sinks if not self._tell(s, "writing with", "write", record, list(alerts))]

    def flush(self) -> None:
        self._each("flushing", "flush")

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        self._each("giving an evaluation to", "evaluated", step, metrics)

    def recovered(self, recovery: Recovered) -> None:
        self.lost += recovery.lost
        self._each("giving a recovery to", "recovered", recovery)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        """A sink that has failed to its last record does not know that all is ``ok``."""
        for sink in self._sinks:
            ending: tuple[Verdict, str | None] = verdict, message
            if verdict == "ok" and any(sink is other for other in self._behind):
                ending = "unknown", f"lora_watch failed while writing with {type(sink).__name__} ({MONITOR_FAILURE})"
            self._tell(sink, "finishing", "finish", *ending)

    def _each(self, doing: str, event: str, *arguments: Any) -> None:
        for sink in self._sinks:
            self._tell(sink, doing, event, *arguments)

    def _tell(self, sink: Sink, doing: str, event: str, *arguments: Any) -> bool:
        """False where the sink has failed. One that does not inherit from ``Sink`` may lack an event."""
        try:
            if (told := getattr(sink, event, None)) is not None:
                told(*arguments)
        except Exception as error:
            self._guard.caught(f"{doing} {type(sink).__name__}", error, aside=True)
            return False
        return True
