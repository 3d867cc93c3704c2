"""Alerts for programs that have alerts of their own: W&B, Trackio, MLflow, and whatever takes a webhook.

Each is a ``Forwarder`` that says how one alert gets there. None of them does anything where its program is not in use
in this process, and none waits for a network during training.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import urllib.request
from collections.abc import Sequence
from functools import partial
from typing import Any

from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import StepRecord
from lora_watch.base.text import clean
from lora_watch.sinks import Sink
from lora_watch.sinks.background import Background
from lora_watch.sinks.history import AlertHistory
from lora_watch.sinks.report import ReportSink

log = logging.getLogger("lora_watch")

WEBHOOK = "LORA_WATCH_WEBHOOK"
MOST_MESSAGES = 50
SECONDS = 10.0
"""What the end of a run waits at most for what is on its way to a server."""


class Forwarder(Sink):
    """Hands on every alert of WARNING or worse, once, as it opens, with the path of ``report``, where INFO stays."""

    of_alerts = True

    def __init__(self, report: ReportSink) -> None:
        self._report = report
        self._history = AlertHistory()
        self._background = Background(f"lora_watch {type(self).__name__}")

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        for event, alert in self._history.update(alerts):
            if event == "opened" and alert.severity >= Severity.WARNING:
                title, *lines = alert.lines()
                lines.append(clean(f"Report: {self._report.directory / 'report.json'}"))
                self.forward(alert, title, "\n".join(lines))

    def forward(self, alert: Alert, title: str, text: str) -> None:
        """``title``: what is wrong, the first line of the alert."""
        raise NotImplementedError

    def finish(self, verdict: Verdict, message: str | None) -> None:
        try:
            self._background.settle(SECONDS)  # the alert that ends a run is the one that matters most
            self._background.check()
        finally:
            self._background.end()


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


class MlflowSink(Forwarder):
    """A tag of the active run that names the rules, ``lora_watch.alerts``, and each alert in the run's description."""

    def forward(self, alert: Alert, title: str, text: str) -> None:
        mlflow: Any = sys.modules.get("mlflow")
        if mlflow is not None and (run := mlflow.active_run()) is not None:
            self._background.do(partial(_tag, mlflow.MlflowClient(), run.info.run_id, title, text))


class WebhookSink(Forwarder):
    """Posts ``{"text": …}`` to the address in ``LORA_WATCH_WEBHOOK``, http or https, as Slack, Mattermost and Discord's
    ``/slack`` address take it. The address is a secret, and stands in no message and no log."""

    def __init__(self, report: ReportSink) -> None:
        super().__init__(report)
        self._url, self._sent = os.environ.get(WEBHOOK, ""), 0
        if self._url and not self._url.startswith(("http://", "https://")):
            self._url = ""
            log.warning("%s does not begin with http:// or https://: nothing is sent to it", WEBHOOK)

    def forward(self, alert: Alert, title: str, text: str) -> None:
        if self._url and self._sent < MOST_MESSAGES:
            self._sent += 1
            self._background.do(partial(_post, self._url, f"*{title}*\n{text}"))


def _level(module: Any, alert: Alert) -> Any:
    return module.AlertLevel.ERROR if alert.severity >= Severity.ERROR else module.AlertLevel.WARN


def _tag(client: Any, run_id: str, title: str, text: str) -> None:
    tags = client.get_run(run_id).data.tags
    description = f"**{title}**  \n{text}"
    for key, addition, between in (("lora_watch.alerts", title, ", "), ("mlflow.note.content", description, "\n\n")):
        before = tags.get(key)
        client.set_tag(run_id, key, f"{before}{between}{addition}" if before else addition)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected message would reach a host that nobody has named, and without its text."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def _post(url: str, text: str) -> None:
    try:
        content = json.dumps({"text": text}).encode()
        request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=SECONDS):
            pass
    except Exception as error:  # its text may hold the address
        log.warning("the webhook could not be reached: %s", type(error).__name__)
