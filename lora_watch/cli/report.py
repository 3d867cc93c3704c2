"""``lora-watch report``: runs as one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lora_watch.base.text import clean
from lora_watch.cli.misuse import misuse

EXAMPLES = """Examples:

  [cyan]lora-watch report out[/]
    report.html of one run

  [cyan]lora-watch report runs -o sweep.html[/]
    every run below a folder, to compare them"""


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="The Trainer's output_dir, its lora_watch folder, a TensorBoard folder, or a folder of runs.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", metavar="FILE", dir_okay=False)
    ] = Path("report.html"),
) -> None:
    """Write the LoRA tab as one HTML file: overview, heatmap, layers, alerts, and runs side by side.

    The file opens without a server and without a network. One run takes at most 1.5 MB. In a long run a column stands
    for several steps: it keeps their lowest and highest number, and every NaN.

    Exits with 0, or with 2 when there is nothing to draw; a run that cannot be read is named and left out.
    """
    written = write_report(runs, output)
    typer.echo(f"lora-watch: {clean(output)} written ({written / 1e6:.2f} MB)", err=True)


def write_report(runs: list[Path], output: Path) -> int:
    """Write the page and name what was left out. Returns its bytes; raises typer.Exit with 2 where there is none."""
    from lora_watch.runs import UnreadableError
    from lora_watch.tensorboard_plugin.page.writing import write_page

    try:
        for line in write_page(runs, output):
            typer.echo(f"lora-watch: left out: {line}", err=True)
        return output.stat().st_size
    except UnreadableError as error:
        raise misuse(str(error)) from None
    except OSError as error:
        raise misuse(f"{output} cannot be written: {error.strerror}") from None
