"""Alerts on a run of MLflow: a tag to search by, and a note to read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert
from lora_watch.sinks.background import Background
from lora_watch.sinks.forwarding import ForwardingSink
from lora_watch.sinks.report import ReportSink

TAG = "lora_watch.alerts"
NOTE = "mlflow.note.content"
"""MLflow shows this tag as the run's description."""


class MlflowSink(ForwardingSink):
    """Tags the run that is active in this process; nothing where there is none, or MLflow is not in use.

    ``lora_watch.alerts`` names the rules; the run's description gets each alert below what stands there. A server is
    asked in a thread of its own, and waited for at the end of the run for 10 s at most.
    """

    def __init__(self, report: ReportSink) -> None:
        super().__init__(report)
        self._background = Background("lora_watch mlflow")

    def forward(self, alert: Alert, title: str, text: str) -> None:
        self._do(lambda client, run: _tag(client, run, title, text))

    def publish(self, page: Path) -> None:
        """Keep the run's page among its artifacts."""
        self._do(lambda client, run: client.log_artifact(run, str(page), "lora_watch"))
        self._settle()

    def finish(self, verdict: str, message: str | None) -> None:
        try:
            self._settle()
        finally:
            self._background.end()

    def _do(self, act: Callable[[Any, str], object]) -> None:
        """``act``, given a client and the id of the active run; nothing where there is none."""
        mlflow = sys.modules.get("mlflow")
        if mlflow is not None and (run := mlflow.active_run()) is not None:
            self._background.do(partial(act, mlflow.MlflowClient(), run.info.run_id))

    def _settle(self) -> None:
        self._background.settle(timeout=10.0)
        self._background.check()


def _tag(client: Any, run_id: str, title: str, text: str) -> None:
    tags = client.get_run(run_id).data.tags
    for key, addition, between in ((TAG, title, ", "), (NOTE, f"**{title}**  \n{text}", "\n\n")):
        before = tags.get(key)
        client.set_tag(run_id, key, f"{before}{between}{addition}" if before else addition)
