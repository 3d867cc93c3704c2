"""``lora-watch show``: one screen of a run, for a terminal over ssh."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lora_watch.cli.common import refusing

EXAMPLES = {
    "lora-watch show out": "how a run stands, in the terminal",
    "lora-watch show out --follow": "the same while it goes on; the folder may still be empty",
}


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
    from lora_watch.gate.formats.screen import screen
    from lora_watch.runs.places import UnreadableError
    from lora_watch.runs.run import latest_run

    console = Console(highlight=False)
    if not follow:
        with refusing(UnreadableError):
            found = latest_run(run)
        found.note_runs_below()
        console.print(screen(found, console.width))
        return

    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                found = latest_run(run)
            except UnreadableError:
                live.update(Text(f"waiting for a run in {run} …"), refresh=True)
            else:
                if over := not found.goes_on:
                    found.note_runs_below()
                live.update(screen(found, console.width), refresh=True)
                if over:
                    return
            time.sleep(interval)
