"""Alerts on standard error, as they open and close, and what became of the run in one line at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lora_watch.base.alerts import Alert, Severity, first_to_show
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import clean, count, say
from lora_watch.rules.policy import MONITOR_FAILURE, RECOVERED
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory

_COLOURS = {Severity.INFO: "36", Severity.WARNING: "33", Severity.ERROR: "1;31"}
"""What a terminal is told (SGR). Written here: importing a library for it would draw from Python's ``random``."""
_SAYS = {
    "ok": "ended well",
    "unhealthy": "ended with an ERROR",
    "unknown": "ended, and was not judged",
    "failed": "was ended by its policy (fail_on)",
}


class ConsoleSink(Sink):
    """Prints one line when monitoring starts, every alert when it opens and when it closes, and one line at the end.

    Args:
        left: what the run has left, by what it is called; asked for at the end.
    """

    def __init__(self, left: Callable[[], Mapping[str, object]] = dict) -> None:
        self._left = left
        self._adapters = 0
        self._noted: set[str] = set()
        self._history = AlertHistory()

    def start(self, run: RunInfo, step: int) -> None:
        if run.adapters and len(run.adapters) != self._adapters:
            self._adapters = len(run.adapters)
            _print(f"lora_watch: {count(self._adapters, 'adapter')}{_settings(run)}")
        for note in run.notes:
            if note not in self._noted:
                self._noted.add(note)
                _print(f"lora_watch: {note}")

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        for event, alert in self._history.update(alerts):
            if alert.rule == MONITOR_FAILURE:  # the log has said that
                continue
            if event == "opened":
                _print(*str(alert).split("\n"), colour=_COLOURS[alert.severity])
            elif alert.rule != RECOVERED:  # which is over as soon as it is said
                lasted = count(alert.lasted, "step")
                _print(f"lora_watch: {alert.rule} {alert.name} is over at step {record.step}, after {lasted}")

    def finish(self, verdict: str, message: str | None) -> None:
        numbers = sorted(self._history.counts.items(), reverse=True)
        alerts = ", ".join(count(number, f"{severity.name} alert") for severity, number in numbers) or "no alerts"
        said = _SAYS.get(verdict, f"was {verdict}") + (f" ({message})" if verdict == "unknown" else "")
        parts = [f"the run {said}", alerts]
        if verdict == "ok" and any(alert.rule == MONITOR_FAILURE for alert in self._history):
            parts.append(f"lora_watch failed while monitoring ({MONITOR_FAILURE}): lora-watch check does not pass")
        # What the run has recovered from comes before the word that it has.
        first = first_to_show(alert for alert in self._history if alert.rule != RECOVERED)
        if first is not None and len(list(self._history)) > 1:
            parts.append(f"first: {first.rule} {first.name} at step {first.step}")
        parts += [f"{name}: {place}" for name, place in self._left().items()]
        _print(f"lora_watch: {'; '.join(parts)}", colour="" if verdict == "ok" else _COLOURS[Severity.ERROR])
        if verdict == "ok" and message:  # the run has recovered
            _print(f"lora_watch: {message}")


def _print(*lines: str, colour: str = "") -> None:
    stream, text = sys.stderr, "\n".join(map(clean, lines))
    if colour and stream is not None and stream.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[{colour}m{text}\x1b[0m"
    say("\n" * _a_progress_bar_is_open() + text, stream)


def _a_progress_bar_is_open() -> bool:
    """The cursor is at the end of a line of tqdm's."""
    tqdm: Any = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return any(getattr(bar, "fp", None) is not None for bar in list(getattr(tqdm, "_instances", ())))


def _settings(run: RunInfo) -> str:
    scales = sorted({(a.scale, a.scale_formula) for a in run.adapters})
    shown = ", ".join(f"{scale:g} ({formula})" for scale, formula in scales[:3])
    ranks = sorted({a.r for a in run.adapters})
    return f", r {', '.join(map(str, ranks[:5]))}, scale {shown}" + (" …" if len(scales) > 3 else "")
