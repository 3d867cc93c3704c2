"""Alerts for trackers that have alerts of their own: W&B and Trackio, where they are in use in this process."""

import sys
from collections.abc import Sequence
from typing import Any

from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import StepRecord
from lora_watch.base.text import clean
from lora_watch.rules.policy import Policy
from lora_watch.sinks import Sink
from lora_watch.sinks.history import Told
from lora_watch.sinks.report import ReportSink


class Forwarder(Sink):
    """Hands on every alert of WARNING or worse, once, as it opens, with the path of ``report``, where INFO stays."""

    def __init__(self, report: ReportSink, policy: Policy) -> None:
        self._report, self._history = report, Told(policy)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        if alerts or self._history.untold:  # seldom
            self._tell(alerts)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        self._tell(())

    def _tell(self, alerts: Sequence[Alert]) -> None:
        for event, _, then in self._history.due(alerts):
            if event == "opened" and then.severity >= Severity.WARNING:
                title, *lines = then.lines()
                lines.append(clean(f"Report: {self._report.directory / 'report.json'}"))
                self.forward(then, title, "\n".join(lines))

    def forward(self, alert: Alert, title: str, text: str) -> None:
        """``title``: what is wrong, the first line of the alert."""
        raise NotImplementedError


class WandbSink(Forwarder):
    """``alert`` of the run that is open in this process. W&B sends it to Slack or by mail as its user has set, and
    leaves out a second one with the same title within a minute."""

    def forward(self, alert: Alert, title: str, text: str) -> None:
        wandb: Any = sys.modules.get("wandb")
        if getattr(wandb, "run", None) is not None:
            wandb.run.alert(title=title, text=text, level=_level(wandb, alert))


class TrackioSink(Forwarder):
    """``trackio.alert`` on the run that is open in this process."""

    def forward(self, alert: Alert, title: str, text: str) -> None:
        trackio: Any = sys.modules.get("trackio")
        state = sys.modules.get("trackio.context_vars")
        if hasattr(trackio, "alert") and state is not None and state.current_run.get() is not None:
            trackio.alert(title=title, text=text, level=_level(trackio, alert))


def _level(module: Any, alert: Alert) -> Any:
    return module.AlertLevel.ERROR if alert.severity >= Severity.ERROR else module.AlertLevel.WARN
