"""Finding and reading what a run has left, for the gate, the comparison and the tab. Imports no torch."""

from lora_watch.runs.events import EventLog
from lora_watch.runs.places import RunFiles, UnreadableError, find_runs
from lora_watch.runs.run import (
    AdapterState,
    FinishedRun,
    from_header,
    last_tenth,
    latest_run,
    read_run,
    read_runs,
    spread,
)

__all__ = [
    "AdapterState",
    "EventLog",
    "FinishedRun",
    "RunFiles",
    "UnreadableError",
    "find_runs",
    "from_header",
    "last_tenth",
    "latest_run",
    "read_run",
    "read_runs",
    "spread",
]
