"""The sinks of an ordinary run, which know of each other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_watch.sinks import (
    ConsoleSink,
    FlightRecorder,
    MlflowSink,
    ReportSink,
    Sink,
    TrackioSink,
    WandbSink,
    WebhookSink,
)

if TYPE_CHECKING:
    from lora_watch.policy import Policy
    from lora_watch.sinks import TensorBoardSink


def standard_sinks(
    folder: Path,
    model: Any,
    policy: Policy,
    events: TensorBoardSink | None = None,
    console: bool = True,
    inputs: Callable[[], str | None] | None = None,
) -> list[Sink]:
    """Report, incident record and last good adapter in ``folder``, ``events``, the trackers' own alerts, the webhook,
    and the console after them all: what it says at the end is there by then. ``inputs``: as FlightRecorder takes it."""
    report = ReportSink(folder)
    sinks: list[Sink] = [report, FlightRecorder(report, model, policy, inputs)]
    if events is not None:
        sinks.append(events)

    def reported() -> Path:
        return report.directory

    sinks += [WandbSink(reported), TrackioSink(reported), MlflowSink(reported), WebhookSink(report=reported)]
    if console:
        sinks.append(ConsoleSink(reported, lambda: events.folder if events is not None else None))
    return sinks


def own_run(output_dir: Path) -> Path:
    """A new folder for events below ``output_dir``, where the Trainer's own would be."""
    return output_dir / "runs" / time.strftime(f"%b%d_%H-%M-%S_{os.getpid()}_lora_watch")  # two may start in one second
