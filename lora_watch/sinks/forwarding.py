"""Alerts for programs that have alerts of their own: what the sinks for W&B, Trackio, MLflow and webhooks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import clean
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory


class ForwardingSink(Sink):
    """Hands on every alert of WARNING or worse, once, as it opens. What is INFO stays in the report.

    Args:
        report: the folder of the report, asked for at each alert, which ends with the path; None if there is none.
    """

    def __init__(self, report: Callable[[], Path | None] = lambda: None) -> None:
        self._report = report
        self._history = AlertHistory()

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        for event, alert in self._history.update(alerts):
            if event == "opened" and alert.severity >= Severity.WARNING:
                self.forward(alert, title_of(alert), self._text(alert))

    def forward(self, alert: Alert, title: str, text: str) -> None:
        """Tell the other program, without waiting for a network."""
        raise NotImplementedError

    def _text(self, alert: Alert) -> str:
        lines = [f"At step {alert.step}: {alert.message}", *(f"Try: {remedy}" for remedy in alert.remedies)]
        if (folder := self._report()) is not None:
            lines.append(f"Report: {folder.absolute() / 'report.json'}")
        return "\n".join(map(clean, lines))


def title_of(alert: Alert) -> str:
    """``ERROR LW102 norm-explosion``."""
    return clean(f"{alert.severity.name} {alert.rule} {alert.name}")
