"""A finding of the gate's own: an alert of a run that is over."""

from __future__ import annotations

from typing import Any

from lora_watch.base.alerts import Alert, Severity
from lora_watch.rules.policy import OF_FINISHED_RUNS


def finding(
    rule: str, step: int, message: str, severity: Severity = Severity.ERROR, name: str | None = None, **fields: Any
) -> Alert:
    """``name``: where it is not the usual one of ``rule``; ``fields`` of Alert."""
    return Alert(rule, name or OF_FINISHED_RUNS[rule], severity, step, message, **fields)
