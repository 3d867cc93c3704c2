"""Alerts to a webhook, as Slack, Mattermost and Discord's ``/slack`` address take them."""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from functools import partial
from typing import Any

from lora_watch.base.alerts import Alert
from lora_watch.sinks.background import Background
from lora_watch.sinks.forwarding import ForwardingSink
from lora_watch.sinks.report import ReportSink

log = logging.getLogger("lora_watch")

VARIABLE = "LORA_WATCH_WEBHOOK"
SECONDS = 5.0
"""What the end of a run waits at most for messages that are on their way; training never waits."""
MOST = 50
"""Messages of one run."""


class WebhookSink(ForwardingSink):
    """Posts ``{"text": …}``, one message an alert, in a thread of its own.

    Where the other side is slow, or silent, the end of the run waits for 5 s in all; what is not sent by then is lost.

    The address, http or https, is that of the environment variable ``LORA_WATCH_WEBHOOK``; without it nothing is sent.
    It is a secret, and stands in no message and no log. Redirects are not followed.
    """

    def __init__(self, report: ReportSink) -> None:
        super().__init__(report)
        self._url, self._sent = os.environ.get(VARIABLE, ""), 0
        self._background = Background("lora_watch webhook")
        if self._url and not self._url.startswith(("http://", "https://")):
            self._url = ""
            log.warning("%s does not begin with http:// or https://: nothing is sent to it", VARIABLE)

    def forward(self, alert: Alert, title: str, text: str) -> None:
        if self._url and self._sent < MOST:
            self._sent += 1
            self._background.do(partial(_post, self._url, f"*{title}*\n{text}"))

    def finish(self, verdict: str, message: str | None) -> None:
        self._background.settle(timeout=SECONDS)  # the alert that ends a run is the one that matters most
        self._background.end()


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
