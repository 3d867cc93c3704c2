"""``lora-watch demo``: a healthy run, a failed one, and the fixed one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lora_watch.cli.common import misuse, refusing

EXAMPLES = {
    "lora-watch demo --quick": "a healthy, a failed and a fixed run",
    "lora-watch demo": "the same with more and larger steps, under two minutes",
}


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller steps.")] = False,
    output_dir: Annotated[Path, typer.Option(file_okay=False, help="Folder for the runs, one folder each.")] = Path(
        "lora-watch-demo"
    ),
) -> None:
    """Train a real model three times: with healthy settings, with a scale and a learning rate that are too high, and
    with the settings that the alert then advises.

    It needs no network and no GPU. The healthy run ends without an alert. The second has a high alpha/r and an
    aggressive learning rate: an ERROR stops it within its first steps. The third uses the settings of that alert, and
    is healthy. Exit code 0 if all of this holds, else 1.
    """
    from lora_watch.demo.show import demo as run_demo

    with refusing(FileExistsError, FileNotFoundError):
        try:
            raise typer.Exit(run_demo(quick, output_dir, Console(highlight=False)))
        except ModuleNotFoundError as error:
            raise misuse(f"the demo needs {error.name}, which is not installed: pip install {error.name}") from None
