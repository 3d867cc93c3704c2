"""Alerts for trackers that have alerts of their own: W&B and Trackio, where they are in use in this process."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import StepRecord
from lora_watch.base.text import clean
from lora_watch.rules.policy import Policy
from lora_watch.sinks import Sink
from lora_watch.sinks.history import Told
from lora_watch.sinks.report import ReportSink


class Forwarder(Sink):
    """Hands on every alert of WARNING or worse, once, as it opens, with the path of ``report``, where INFO stays.

    ``tracker``: finds the module of one, and what sends an alert to its run that is open in this process; None where
    there is none.
    """

    def __init__(self, report: ReportSink, policy: Policy, tracker: Callable[[], tuple[Any, Any] | None]) -> None:
        self._report, self._history, self._tracker = report, Told(policy), tracker

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        if alerts or self._history.untold:  # seldom
            self._tell(alerts)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        self._tell(())

    def _tell(self, alerts: Sequence[Alert]) -> None:
        for event, _, then in self._history.due(alerts):
            if event == "opened" and then.severity >= Severity.WARNING and (found := self._tracker()) is not None:
                (module, send), (title, *lines) = found, then.lines()
                lines.append(clean(f"Report: {self._report.directory / 'report.json'}"))
                level = module.AlertLevel.ERROR if then.severity >= Severity.ERROR else module.AlertLevel.WARN
                send(title=title, text="\n".join(lines), level=level)


def wandb() -> tuple[Any, Any] | None:
    """W&B sends an alert to Slack or by mail as its user has set, and leaves out a second one with the same title
    within a minute."""
    module: Any = sys.modules.get("wandb")
    return None if getattr(module, "run", None) is None else (module, module.run.alert)


def trackio() -> tuple[Any, Any] | None:
    module: Any = sys.modules.get("trackio")
    state = sys.modules.get("trackio.context_vars")
    is_open = hasattr(module, "alert") and state is not None and state.current_run.get() is not None
    return (module, module.alert) if is_open else None
