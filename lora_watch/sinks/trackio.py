"""Alerts as those of Trackio."""

from __future__ import annotations

import sys

from lora_watch.base.alerts import Alert
from lora_watch.sinks.forwarding import ForwardingSink


class TrackioSink(ForwardingSink):
    """``trackio.alert`` on the run that is open in this process; nothing where there is none, or an older Trackio."""

    def forward(self, alert: Alert, title: str, text: str) -> None:
        trackio = sys.modules.get("trackio")
        state = sys.modules.get("trackio.context_vars")
        if trackio is None or not hasattr(trackio, "alert") or state is None or state.current_run.get() is None:
            return
        level = {"WARNING": trackio.AlertLevel.WARN, "ERROR": trackio.AlertLevel.ERROR}[alert.severity.name]
        trackio.alert(title=title, text=text, level=level)
