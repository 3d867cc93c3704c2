"""``lora-watch report``: runs as one HTML file that opens offline."""

from pathlib import Path
from typing import Annotated

import typer

from lora_watch.base.text import clean
from lora_watch.cli.common import Runs, note, refusing

EXAMPLES = {
    "lora-watch report out": "the LoRA tab as one file, report.html",
    "lora-watch report runs -o sweep.html": "every run below a folder, to compare them",
}


def report(
    runs: Runs,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write. Default: report.html in RUN; of several RUNs, in this folder.",
            metavar="FILE",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Write the LoRA tab as one HTML file: overview, heatmap, layers, alerts, and runs side by side.

    The file opens without a server and without a network. One run takes at most 1.5 MB. In a long run a column stands
    for several steps: it keeps their lowest and highest number, and every NaN.

    Exits with 0, or with 2 when there is nothing to draw; a run that cannot be read is named and left out.
    """
    from lora_watch.runs.places import UnreadableError
    from lora_watch.tensorboard_plugin.page.writing import write_page

    own = runs[0] if runs[0].is_dir() else runs[0].parent
    target = output or (own if len(runs) == 1 else Path()) / "report.html"
    with refusing(UnreadableError, OSError):
        for line in write_page(runs, target):
            note(f"left out: {line}")
        note(f"{clean(target)} written ({target.stat().st_size / 1e6:.2f} MB): open it in a browser")
