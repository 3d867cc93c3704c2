"""Which run a path names at present, and whether it goes on."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from lora_watch.runs import FinishedRun, UnreadableError, read_runs

SILENT = 900.0
"""Seconds without a word after which a run of another machine is taken for dead."""


def latest_run(path: Path) -> FinishedRun:
    """The run at ``path`` that was written to last. Raises UnreadableError."""
    unreadable: list[str] = []
    runs = [run for _, run in read_runs([path], unreadable)]
    if not runs:
        raise UnreadableError("\n".join(unreadable))
    return max(runs, key=lambda run: run.updated or "")


def goes_on(run: FinishedRun) -> bool:
    """Its process lives on this machine, or writes from another one."""
    if run.going:
        return True
    if run.verdict != "interrupted" or run.message is not None or run.updated is None:
        return False
    silent = datetime.now(timezone.utc) - datetime.fromisoformat(run.updated.replace("Z", "+00:00"))
    return silent.total_seconds() < SILENT
