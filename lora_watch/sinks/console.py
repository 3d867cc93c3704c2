"""Alerts on standard error, as they open."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lora_watch.alerts import Alert, Severity
from lora_watch.records import RunInfo, StepRecord
from lora_watch.watch.policy import MONITOR_FAILURE

_COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


class ConsoleSink:
    """Prints one line when watching starts, every alert when it opens, and the verdict at the end."""

    def __init__(self) -> None:
        self._adapters = 0

    def start(self, run: RunInfo, step: int) -> None:
        if run.adapters and len(run.adapters) != self._adapters:
            self._adapters = len(run.adapters)
            self._print(f"lora_watch: {self._adapters} adapters{_settings(run)}")
        for note in run.notes:
            self._print(f"lora_watch: {note}")

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if alert.closed_step is None and alert.rule != MONITOR_FAILURE:  # the log has said that
                self._print(str(alert), _COLOURS[alert.severity])

    def finish(self, verdict: str, message: str | None) -> None:
        if verdict == "failed":
            self._print("lora_watch: the run was ended by its policy (fail_on)", "bold red")

    @staticmethod
    def _print(text: str, style: str = "") -> None:
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
        if sys.stderr.isatty():
            console.print()  # off the progress bar's line
        console.print(text, style=style, markup=False, soft_wrap=True)


def _settings(run: RunInfo) -> str:
    if run.other_methods:
        return f" of {', '.join(run.other_methods)}"
    scales = sorted({(a.scale, a.scale_formula) for a in run.adapters})
    shown = ", ".join(f"{scale:g} ({formula})" for scale, formula in scales[:3])
    ranks = sorted({a.r for a in run.adapters})
    return f", r {', '.join(map(str, ranks[:5]))}, scale {shown}" + (" …" if len(scales) > 3 else "")
