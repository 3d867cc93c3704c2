"""How far a sweep has come, on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(steps: int, hidden: bool = False) -> Iterator[Callable[[float], object]]:
    """A bar for the steps of a sweep on standard error; nothing where that is no terminal, or ``hidden``.

    Gives what is to be called after each step, with its rate. It starts no thread and redirects no stream: a sweep
    leaves the process as it was.
    """
    if hidden or sys.stderr is None or not sys.stderr.isatty():
        yield lambda rate: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
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
    ) as bar:
        task = bar.add_task("", total=steps, rate="")
        yield lambda rate: bar.update(task, advance=1, rate=f"lr {rate:.2g}", refresh=True)
