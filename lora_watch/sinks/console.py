"""Alerts on standard error as they open and close, and at the end what became of the run."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lora_watch.base.alerts import ENDINGS, Alert, Severity, Verdict, ending, first_to_show, in_sum, withdrawn
from lora_watch.base.prescription import Prescription
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import adapters, clean, columns, count, full_stop, say, sentence, wrapped
from lora_watch.rules.base import ANOTHER_RUN
from lora_watch.rules.policy import MONITOR_FAILURE, RECOVERED, Policy, muted, passes, too_few
from lora_watch.sinks import Sink
from lora_watch.sinks.history import Told

_COLOURS = {Severity.INFO: "36", Severity.WARNING: "33", Severity.ERROR: "1;31"}
"""What a terminal is told (SGR). Written here: importing a library for it would draw from Python's ``random``."""


class ConsoleSink(Sink):
    """Prints one line when monitoring starts, every alert when it opens and when it closes, and the outcome at the end.

    Args:
        left: what the run has left, by what it is called; asked for at the end.
        policy: of what the run recovers from it tells when that has been done, or not.
    """

    def __init__(self, left: Callable[[], Mapping[str, object]] = dict, policy: Policy | None = None) -> None:
        self._left, self._history = left, Told(policy or Policy())
        self._adapters = adapters(0, 0)
        self._latest: StepRecord | None = None
        self._resumed_at = 0
        self._noted: set[str] = set()
        self._prescribed: tuple[str, Prescription] | None = None
        """The latest prescription, after the rule under whose alert it stands."""

    def start(self, run: RunInfo, step: int) -> None:
        if self._latest is None:
            self._resumed_at = step
        now = adapters(len(run.adapters), run.resting)
        if run.adapters and now != self._adapters:
            self._adapters = now
            resumed = f"resumed at step {step}. " if step else ""
            _print("\n".join(wrapped(f"lora_watch: {resumed}{run.placement}", columns())))
        for note in run.notes:
            if note not in self._noted:
                self._noted.add(note)
                if self._latest is not None:  # what it may be about comes first
                    self.write(self._latest, ())
                _print(f"lora_watch: {note}")

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        of_before = self._latest is None and record.step == self._resumed_at > 0
        self._latest = record
        if not alerts and not self._history.untold:  # as at nearly every step
            return
        news = self._history.due(alerts, waits=not of_before)
        recovers = ("opened", RECOVERED) in ((event, alert.rule) for event, alert, _ in news)  # what it is from is over
        for event, alert, then in news:
            if alert.rule == MONITOR_FAILURE:  # the log has said that
                continue
            if of_before:
                if event == "opened" and not alert.recovered_from:
                    _print(f"lora_watch: from the session before: {alert.title}")
                self._prescribed = (alert.rule, alert.next_run) if alert.next_run else self._prescribed
            elif event == "opened":
                before, now = self._prescribed, then.next_run
                replaced = before[0] if before and now and now.values != before[1].values else ""
                _print(then.text(columns(), instead_of=replaced), colour=_COLOURS[then.severity])
                self._prescribed = before if now is None else (alert.rule, now)
            elif alert.rule != RECOVERED and (not recovers or any(alert.rule in a.explains for a in self._history)):
                _print(f"lora_watch: {alert.rule} {ending(alert, self._history)}")

    def amend(self, record: StepRecord, alerts: Sequence[Alert], verdict: Verdict, message: str | None) -> None:
        self.write(record, alerts)
        self.write(record, ())

    def finish(self, verdict: Verdict, message: str | None) -> None:
        if self._latest is not None:
            self.write(self._latest, ())
        lines = [self._outcome(verdict, message)]
        told, first = self._history.next_run, first_to_show(self._history)
        recovered = [alert for alert in self._history if alert.rule == RECOVERED]
        said = verdict == "failed" or (verdict == "ok" and any(alert.next_run for alert in recovered))  # in lines[0]
        if told is not None and not said:
            lines.append(f"Next run: {told}")
        elif told is None and self._prescribed is not None and not said:
            faults = [a.rule for a in self._history if f"{a.rule}:{a.kind}" in ANOTHER_RUN and a.closed_step is None]
            over = next(filter(None, map(withdrawn, self._history)), "")
            if faults or over:
                why = f"mend {faults[0]} first" if faults else f"no change. {over}"
                lines.append(f"Next run: {why}: {self._prescribed[0]}'s advice is withdrawn.")
        if first is not None and first.severity > Severity.INFO and verdict != "failed":
            lines += [f"Fix: {full_stop(remedy)}" for remedy in first.fixes[:1]]
        policy, command = self._history.policy, os.environ.get("LORA_WATCH_COMMAND", "")
        if verdict == "ok" or (verdict == "unhealthy" and (command or policy.can_end_a_run)):
            lines += filter(None, [passes((a for a in self._history if not policy.counts(a)), command)])
        if verdict == "ok" and recovered and self._history.policy.default is Severity.WARNING:
            lines.append(f"It has recovered ({RECOVERED}): lora-watch check --fail-on warning does not pass")
        if verdict == "ok" and any(alert.rule == MONITOR_FAILURE for alert in self._history):
            lines.append(f"lora_watch failed while monitoring ({MONITOR_FAILURE}): lora-watch check does not pass")
        lines += filter(None, [muted(() if self._latest is None else self._latest.run.muted)])
        rows = wrapped(f"lora_watch: {lines[0]}", columns())
        rows += [row for line in lines[1:] for row in wrapped(line, columns(), "  ")]
        rows += [f"  {name.capitalize()}: {place}" for name, place in self._left().items()]
        _print("\n".join(rows), colour="" if verdict == "ok" else _COLOURS[Severity.ERROR])

    def _outcome(self, verdict: Verdict, message: str | None) -> str:
        steps, planned = (0, None) if self._latest is None else (self._latest.step, self._latest.run.max_steps)
        done = (
            f"{steps} of {count(planned, 'step')}" if planned is not None and steps < planned else count(steps, "step")
        )
        first = first_to_show(alert for alert in self._history if alert.rule != RECOVERED)
        if verdict == "failed" and first is not None:
            ended = [alert for alert in self._history if alert.title in (message or "")]
            first = min(ended, key=lambda alert: str(message).index(alert.title), default=first)
            when = f"after all its {done}" if steps == planned else f"at step {done.removesuffix(' steps')}"
            return f"failed by fail_on {when} ({first.rule})."
        if verdict == "unknown":
            return f"{done}, {self._adapters}, but no verdict: {sentence(message or 'it was not judged to its end')}"
        if verdict == "ok" and message:  # the run has recovered
            return message
        if verdict not in ("ok", "unhealthy"):
            done = f"{ENDINGS[verdict]}{f' ({message})' if message else ''}, {done} recorded"
        return f"{done}, {self._adapters}, {in_sum(self._history)} {too_few(steps) if verdict == 'ok' else ''}".rstrip()


def _print(text: str, colour: str = "") -> None:
    stream, text = sys.stderr, "\n".join(map(clean, text.split("\n")))
    if colour and stream is not None and stream.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[{colour}m{text}\x1b[0m"
    say("\n" * _a_progress_bar_is_open() + text, stream)


def _a_progress_bar_is_open() -> bool:
    """The cursor is at the end of a line of tqdm's."""
    tqdm: Any = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return any(getattr(bar, "fp", None) is not None for bar in list(getattr(tqdm, "_instances", ())))
