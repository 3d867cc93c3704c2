"""``lora-watch show``: one screen of a run, for a terminal over ssh."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lora_watch.base.alerts import Severity, in_order
from lora_watch.base.text import count, short, sparkline
from lora_watch.cli.common import refusing

if TYPE_CHECKING:
    from lora_watch.runs.run import FinishedRun

EXAMPLES = {
    "lora-watch show out": "how the run in the Trainer's output_dir stands",
    "lora-watch show out --follow": "the same while it goes on; the folder may still be empty",
}

_COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}
MOST_ALERTS = 5
_ROOM = 20
"""Columns beside a curve."""


def show(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The Trainer's output_dir, its lora_watch folder, or a folder of runs: then the "
            "one that was written to last.",
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Draw it anew until the run is over.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two drawings.", min=0.1)] = 2.0,
) -> None:
    """Draw a run in the terminal: verdict, loss and size as lines, open alerts.

    It reads files alone, so it also shows the run of another process.

    Exits with 0, or with 2 when there is no run or one that cannot be read.
    """
    from lora_watch.runs.places import UnreadableError
    from lora_watch.runs.run import latest_run

    console = Console(highlight=False)
    if not follow:
        with refusing(UnreadableError):
            console.print(screen(latest_run(run), console))
        return

    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                found = latest_run(run)
            except UnreadableError:
                live.update(Text(f"waiting for a run in {run} …"), refresh=True)
            else:
                live.update(screen(found, console), refresh=True)
                if not found.goes_on:
                    return
            time.sleep(interval)


def screen(run: FinishedRun, console: Console) -> RenderableType:
    """One screen, as wide as ``console``."""
    parts: list[RenderableType] = [_head(run)]
    if run.next_run is not None:
        parts.append(Text(f"Next run: {run.next_run}", style="bold"))
    table = Table.grid(padding=(0, 1))
    for name in ("loss", "size"):
        if values := list(curve(run, name).values()):
            table.add_row(name, sparkline(values, max(min(console.width, 110) - _ROOM, 20)), short(values[-1]))
    return Group(*parts, table, Text(), *_alerts(run, console.width))


def curve(run: FinishedRun, name: str) -> dict[int, float]:
    """``loss`` or ``size`` at each step that has it and that no recovery has discarded."""
    values = run.data.series_at(name)
    return {step: values[step] for step in run.trained(sorted(values))}


def _head(run: FinishedRun) -> Text:
    from lora_watch.gate.formats.text import ending, steps_of

    worst = max((alert.severity for alert in run.alerts if alert.closed_step is None), default=None)
    said = ending(run) + ("" if run.message is None or worst is not None else f": {run.message}")
    colour = "green" if run.verdict == "ok" else _COLOURS[worst] if worst is not None else "bold"
    adapters = count(len(run.adapters), "adapter")
    return Text.assemble((run.name, "bold"), " · ", (said, colour), f" · step {steps_of(run)} · {adapters}")


def _alerts(run: FinishedRun, width: int) -> Iterator[RenderableType]:
    if not run.alerts:
        yield Text("no alerts", style="green")
        return
    still = in_order(alert for alert in run.alerts if alert.closed_step is None)
    for alert in still[:MOST_ALERTS]:
        title, *rest = alert.text(width).splitlines()
        yield Text(title, style=_COLOURS[alert.severity])
        yield from map(Text, rest)
    over = len(run.alerts) - len(still)
    rest = [f"{len(still) - MOST_ALERTS} more open"] * (len(still) > MOST_ALERTS) + [f"{over} over"] * (over > 0)
    if rest:
        yield Text(", ".join(rest), style="dim")
