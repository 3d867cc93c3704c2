"""The demo as a person sees it: three verdicts, and where to look next."""

import os
import shlex
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.text import Text

from lora_watch.gate.formats.screen import screen
from lora_watch.tensorboard_plugin.page.writing import write_page

if TYPE_CHECKING:
    from lora_watch.demo.runs import Outcome
    from lora_watch.demo.tasks import Setup


def demo(quick: bool, output_dir: Path, console: Console) -> int:
    """Train a healthy, a failing and a fixed run; say what became of each.

    The fixed run is the failing one with the settings that its own alert advises.

    Runs are written to ``<output_dir>/tiny-<run>/``; those of an earlier demo are replaced. Returns the exit
    code: 0 when all runs went as promised, else 1. Raises ModuleNotFoundError without PEFT, and FileExistsError when a
    folder of that name holds something else.
    """
    began = time.monotonic()
    with console.status("loading torch, transformers and the pretrained model …"):
        _prepare_libraries()
        import peft  # noqa: F401  # where it is missing, that is said before anything is trained
        import torch

        from lora_watch.demo.runs import fixed, run
        from lora_watch.demo.tasks import FAILING, HEALTHY, tiny

        torch.set_num_threads(1)  # on busy cores several threads mostly wait for each other
        task = tiny(quick)
    console.print(f"[bold]lora-watch demo[/]: {task.title}\n")

    folders: list[Path] = []

    def go(setup: "Setup") -> "Outcome":
        folders.append(_fresh(output_dir / f"tiny-{setup.name}"))
        with console.status(f"{setup.name}: {task.steps} steps …"):
            outcome = run(task, setup, folders[-1])
        console.print(verdict(outcome, console.width))
        return outcome

    healthy, failing = go(HEALTHY), go(FAILING)
    as_promised = False
    if (advised := fixed(failing)) is not None:
        console.print("\nThe same run again, with the settings that the alert advises:")
        as_promised = healthy.is_good and failing.stopped and go(advised).is_good
    console.print(_where_next(output_dir, folders))
    console.print(f"[dim]{time.monotonic() - began:.0f} s in all.[/]")
    return int(not as_promised)


def _prepare_libraries() -> None:
    """No network, and no chatter from the libraries between the progress bars."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _fresh(folder: Path) -> Path:
    """``folder``, emptied of an earlier demo. Two runs in one folder would be one tangled curve in TensorBoard."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "lora_watch" / "report.json").exists():
            raise FileExistsError(f"{folder} exists and no demo made it; choose another --output-dir")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def verdict(outcome: "Outcome", width: int) -> Text:
    """One run as ``lora-watch show`` draws it, and whether the task was learned."""
    learned = "learned" if outcome.learned else "not learned"
    said = screen(outcome.run, width, f"{outcome.setup.name}: {outcome.setup}")
    said.append(f"  held-out loss (nats a token) {outcome.before:.3g} → {outcome.after:.3g}: {learned}\n", "bold")
    if outcome.stopped:
        said.append('  With fail_on="error" trainer.train() raises here, and a CI job fails.\n', "dim")
    return said


def _where_next(output_dir: Path, runs: list[Path]) -> Group:
    command, neighbour = "tensorboard", Path(sys.executable).with_name("tensorboard")
    if not shutil.which(command) and neighbour.exists():  # the environment that it is installed in is not active
        command = os.path.relpath(neighbour)
    page = output_dir / "tiny.html"
    write_page(runs, page)
    reports = ", ".join(str(run / "lora_watch" / "report.json") for run in runs)
    return Group(
        Text.assemble("See every layer at every step: open ", (str(page), "bold cyan"), " in a browser"),
        Text.assemble("or, while a run goes on: ", (f"{command} --logdir {shlex.quote(str(output_dir))}", "bold cyan")),
        Text(f"Reports: {reports}", style="dim", overflow="fold"),
    )
