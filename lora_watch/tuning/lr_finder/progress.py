"""How far a sweep has come, on the terminal."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """A bar for the steps of a sweep on standard error; nothing where that is no terminal, or ``hidden``.

    It starts no thread and redirects no stream: a sweep leaves the process as it was.
    """

    def __init__(self, steps: int, hidden: bool = False):
        self._bar: Any = None
        if hidden or sys.stderr is None or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("finding the learning rate"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=steps, rate="")
        self._bar.start()

    def advance(self, rate: float) -> None:
        """A step at ``rate`` has been made."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, rate=f"lr {rate:.2g}", refresh=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
