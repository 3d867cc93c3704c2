"""Alerts as those of Weights & Biases, which sends them to Slack or by mail as its user has set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert
from lora_watch.base.records import StepRecord
from lora_watch.sinks.forwarding import ForwardingSink
from lora_watch.sinks.heatmap import Heatmap
from lora_watch.sinks.report import ReportSink


class WandbSink(ForwardingSink):
    """``wandb.alert`` on the run that is open in this process; nothing where there is none, or wandb is not in use.

    W&B leaves out a second alert with the same title within a minute. At the end of the run one table,
    ``lora_watch/delta_norm``: ‖ΔW‖ of every adapter at up to 64 steps, the heatmap of the LoRA tab in numbers.
    """

    def __init__(self, report: ReportSink) -> None:
        super().__init__(report)
        self._heatmap = Heatmap()

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        super().write(record, alerts)
        if _wandb() is not None:
            self._heatmap.take(record)

    def finish(self, verdict: str, message: str | None) -> None:
        columns, rows = self._heatmap.table()
        if rows and (wandb := _wandb()) is not None:
            wandb.run.log({"lora_watch/delta_norm": wandb.Table(columns=columns, data=rows)})

    def publish(self, page: Path) -> None:
        """Show the run's page in W&B."""
        if (wandb := _wandb()) is not None:
            wandb.run.log({"lora_watch/report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})

    def forward(self, alert: Alert, title: str, text: str) -> None:
        if (wandb := _wandb()) is not None:
            level = {"WARNING": wandb.AlertLevel.WARN, "ERROR": wandb.AlertLevel.ERROR}[alert.severity.name]
            wandb.run.alert(title=title, text=text, level=level)


def _wandb() -> Any:
    """The module, while a run of this process is open."""
    wandb = sys.modules.get("wandb")
    return wandb if getattr(wandb, "run", None) is not None else None
