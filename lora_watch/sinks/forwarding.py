"""Alerts for programs that have alerts of their own: what the sinks for W&B, Trackio, MLflow and webhooks share."""

from __future__ import annotations

from collections.abc import Sequence

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import clean
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory
from lora_watch.sinks.report import ReportSink


class ForwardingSink(Sink):
    """Hands on every alert of WARNING or worse, once, as it opens, with the path of ``report``, where INFO stays."""

    def __init__(self, report: ReportSink) -> None:
        self._report = report
        self._history = AlertHistory()

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        for event, alert in self._history.update(alerts):
            if event == "opened" and alert.severity >= Severity.WARNING:
                lines = [f"At step {alert.step}: {alert.message}", *(f"Try: {remedy}" for remedy in alert.remedies)]
                lines.append(f"Report: {self._report.directory / 'report.json'}")
                title = clean(f"{alert.severity.name} {alert.rule} {alert.name}")
                self.forward(alert, title, "\n".join(map(clean, lines)))

    def forward(self, alert: Alert, title: str, text: str) -> None:
        """Tell the other program, without waiting for a network. ``title``: ``ERROR LW102 norm-explosion``."""
        raise NotImplementedError
