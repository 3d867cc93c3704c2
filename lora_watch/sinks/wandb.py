"""Alerts as those of Weights & Biases, which sends them to Slack or by mail as its user has set."""

from __future__ import annotations

import sys

from lora_watch.alerts import Alert
from lora_watch.sinks.forwarding import ForwardingSink


class WandbSink(ForwardingSink):
    """``wandb.alert`` on the run that is open in this process; nothing where there is none, or wandb is not in use.

    W&B leaves out a second alert with the same title within a minute.
    """

    def forward(self, alert: Alert, title: str, text: str) -> None:
        wandb = sys.modules.get("wandb")
        if wandb is not None and getattr(wandb, "run", None) is not None:
            level = {"WARNING": wandb.AlertLevel.WARN, "ERROR": wandb.AlertLevel.ERROR}[alert.severity.name]
            wandb.run.alert(title=title, text=text, level=level)
