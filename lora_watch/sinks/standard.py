"""The sinks of an ordinary run, which know of each other."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_watch.format.files import shown
from lora_watch.sinks import Sink
from lora_watch.sinks.console import ConsoleSink
from lora_watch.sinks.forwarding import Forwarder, trackio, wandb
from lora_watch.sinks.kept import LastGoodSink
from lora_watch.sinks.report import ReportSink

if TYPE_CHECKING:
    from lora_watch.rules.policy import Policy
    from lora_watch.sinks.tensorboard import TensorBoardSink


def standard_sinks(
    folder: Path,
    model: Any,
    policy: "Policy",
    events: "TensorBoardSink | None" = None,
    console: bool = True,
    page: Callable[..., Sink] | None = None,
) -> list[Sink]:
    """In an order in which each finds what it tells of: the console comes last. ``page``: what makes a PageSink."""
    report = ReportSink(folder)
    sinks: list[Sink] = [report, LastGoodSink(report, model, policy)]
    if events is not None:
        sinks.append(events)

    sinks += [Forwarder(report, policy, wandb), Forwarder(report, policy, trackio)]
    drawn = page(report, events) if page is not None else None
    if drawn is not None:
        sinks.append(drawn)

    def left() -> dict[str, object]:
        path = report.directory / "report.json"
        found: dict[str, object] = {"report": shown(path)} if report.run_id is not None and os.path.isfile(path) else {}
        if good := report.last_good:
            found["last good adapter"] = f"{shown(report.directory / good[0])} (step {good[1]})"
        if (written := getattr(drawn, "written", None)) is not None:
            found["page"] = shown(written)
        if events is not None and events.folder is not None:
            found["curves"] = f"tensorboard --logdir {shown(events.folder)}"
        return found

    return [*sinks, ConsoleSink(left, policy)] if console else sinks


def own_run(output_dir: Path) -> Path:
    """A new folder for events below ``output_dir``, where the Trainer's own would be."""
    return output_dir / "runs" / time.strftime(f"%b%d_%H-%M-%S_{os.getpid()}_lora_watch")  # two may start in one second
