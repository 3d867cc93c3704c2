"""From a record to alerts, and to the sinks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lora_watch.alerts import Alert, LoraWatchError, Severity
from lora_watch.monitor.guard import Guard
from lora_watch.monitor.writing import GuardedSinks
from lora_watch.policy import MONITOR_FAILURE, Policy
from lora_watch.records import StepRecord
from lora_watch.rules import Episodes
from lora_watch.sinks import Sink


class Judge:
    """Asks the rules of ``policy`` about each record, and gives both to the sinks. Its guard tells it of failures."""

    def __init__(self, policy: Policy, every: int, sinks: Sequence[Sink]):
        self.policy = policy
        self.guard = Guard(self._report_failure)
        self.sinks = GuardedSinks(sinks, self.guard)
        self.episodes = Episodes(policy.rules, every)
        self.last: StepRecord | None = None
        """The record of the latest step that has been judged."""
        self.steps = 0
        """Optimizer steps done."""
        self.measured = False
        """At a step of this run some adapter's size was known: its ‖ΔW‖, or its part of an output."""
        self.story: list[str] = []
        """What the run has recovered from, and why it does not again, in words: the last ones of a run that ends."""
        self.treated: Alert | None = None
        """An open alert for which updates are being dropped."""
        self._unwritten: list[Alert] = []
        self._first_step = 0
        self._concluded = False

    def start(self, step: int) -> None:
        """``step``: steps done before the run."""
        self.steps = self._first_step = step
        self._concluded = self.measured = False

    @property
    def failures(self) -> list[Alert]:
        """The open alerts for which the policy ends the run, worst first."""
        return self.policy.failures(self.episodes.open)

    @property
    def acute(self) -> list[Alert]:
        """``failures``, and where the run is to recover although nothing may end it what it is to recover from."""
        found = self.policy.recovering.failures(self.episodes.open) if self.policy.recover else self.failures
        return [alert for alert in found if alert is not self.treated]

    @property
    def urgent(self) -> list[Alert]:
        """Those of ``acute`` for which an update must not be."""
        return [alert for alert in self.acute if alert.rule in self.policy.urgent]

    def resume(self, record: StepRecord) -> None:
        """Give the sinks the alerts of the session before, as of ``record``, its last step: this one is their story,
        too."""
        if self._unwritten:
            self._write(record, [])

    def before_update(self, record: StepRecord) -> None:
        """Ask the urgent rules."""
        self._unwritten += self.episodes.check(record, urgent=True)
        if self.urgent:  # else it is written when the step is done
            self._write(record, [])

    def judge(self, record: StepRecord, dropped: bool = False) -> None:
        """Ask all rules, but none of a step whose update was taken back."""
        alerts = [] if dropped else self.episodes.check(record)
        self.measured |= record.step > self._first_step and any(
            record.metrics[name].known.any() for name in ("delta_norm", "output_ratio") if name in record.metrics
        )
        self.last = self.episodes.place(record)
        self._write(self.last, alerts)

    @property
    def is_blind(self) -> bool:
        """There are adapters, steps have been done, and nothing was measured at any."""
        run = self.last.run if self.last is not None else None
        return run is not None and bool(run.adapters) and self.steps > self._first_step and not self.measured

    def tell(self, alerts: Iterable[Alert], now: bool) -> None:
        """Write down ``alerts`` that no rule has opened or closed; with the coming step unless ``now``."""
        self._unwritten += alerts
        if now and self._unwritten and self.last is not None:
            self._write(self.last, [])

    def conclude(self) -> bool:
        """Ask the rules for their last word, once. False for a run that the policy has ended or that has no step."""
        if self._concluded or self.failures or self.last is None or self.last.step == self._first_step:
            return False
        self._concluded = True
        if alerts := self.episodes.conclude(self.last):
            self._write(self.last, alerts)
        return True

    def error(self) -> LoraWatchError:
        """The exception that says why the policy ends the run."""
        bad = self.failures
        lines = [str(alert) for alert in bad]
        if self._first_step and self.last is None:  # not a step has been judged: these came with the checkpoint
            open_then = " and ".join(f"{alert.rule} {alert.name}" for alert in bad)
            first = f"The run does not go on from step {self._first_step}: {open_then} was open when it was saved."
            lines.insert(0, first + " Resume from an earlier checkpoint, or begin anew.")
        return LoraWatchError("\n".join([*lines, *self.story]), bad)

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alerts that another rank has opened and this one has not."""
        new = [alert for theirs in alerts for alert in self.episodes.say(theirs)]
        if new and self.last is not None:
            self._write(self.last, new)

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.episodes.load_state_dict(state.get("episodes", {}))
        self._unwritten = list(self.episodes.alerts)  # else the files of this session would not know of them

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "sinks": GuardedSinks((), self.guard)}

    def _report_failure(self, message: str, remedy: str) -> None:
        """A failure of the monitor itself becomes a finding."""
        alert = Alert(MONITOR_FAILURE, "monitor-failure", Severity.WARNING, self.steps, message, remedies=[remedy])
        self._unwritten += self.episodes.say(alert)

    def _write(self, record: StepRecord, alerts: list[Alert]) -> None:
        alerts, self._unwritten = [*self._unwritten, *alerts], []
        self.sinks.write(record, alerts)
