"""``lora-watch show``: one screen of a run, for a terminal over ssh."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lora_watch.base.alerts import in_order
from lora_watch.base.text import short, sparkline, wrapped
from lora_watch.cli.common import refusing, take_any_character

if TYPE_CHECKING:
    from lora_watch.runs.run import FinishedRun

EXAMPLES = {
    "lora-watch show out": "how the run in the Trainer's output_dir stands",
    "lora-watch show out --follow": "the same while it goes on; the folder may still be empty",
}

_STYLES = {"  ERROR": "bold red", "  WARNING": "yellow", "  INFO": "cyan", "  Next run:": "bold"}


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
    """Draw a run in the terminal: how far it came, loss and size as lines, the settings for the next run, alerts.

    It reads files alone, so it also shows the run of another process.

    Exits with 0, or with 2 when there is no run or one that cannot be read.
    """
    from lora_watch.runs.places import UnreadableError
    from lora_watch.runs.run import latest_run

    take_any_character()
    console = Console(highlight=False)
    if not follow:
        with refusing(UnreadableError):
            console.print(screen(latest_run(run), console.width))
        return

    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                found = latest_run(run)
            except UnreadableError:
                live.update(Text(f"waiting for a run in {run} …"), refresh=True)
            else:
                live.update(screen(found, console.width), refresh=True)
                if not found.goes_on:
                    return
            time.sleep(interval)


def screen(run: FinishedRun, width: int) -> Text:
    """The paragraph of ``check`` in rows of ``width`` columns, with the size over time below. What a recovery has
    discarded is in neither curve."""
    from lora_watch.gate.formats.text import described

    lines = list(described(run, in_order(run.alerts)))
    if size := list(run.data.series_at("size", run.trained(run.data.steps)).values()):
        lines.append(f"  size {short(size[0])} → {short(size[-1])} {sparkline(size)}")
    out = Text(f"{run.name}\n", style="bold")
    for line in lines:
        style = next((style for head, style in _STYLES.items() if line.startswith(head + " ")), "not bold")
        said = line.lstrip()
        for row in wrapped(said, width, line.removesuffix(said)):
            out.append(f"{row}\n", style=style)
    return out
