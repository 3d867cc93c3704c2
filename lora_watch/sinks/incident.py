"""The incident record: when a run goes wrong, `last_good/` next to its report, and `incident.json` about it.

An incident begins when an error opens, or an alert for which the policy ends the run, and ends when none of them is
open any more. Both are written when an incident begins, when it gets worse, and when the run ends in one. What the
session before has left is kept as `incident.previous.json`, `last_good/` until there is another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.strict_json import strict_json
from lora_watch.format.files import now, replace_file
from lora_watch.rules.policy import Policy
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory
from lora_watch.sinks.report import LARGEST_SHARE_OF_TIME, ReportSink
from lora_watch.snapshots.last_good import LastGood, put_back

INCIDENT_VERSION = 1
FILE, PREVIOUS, FOLDER = "incident.json", "incident.previous.json", "last_good"


class IncidentRecorder(Sink):
    """Keeps the last good adapter, and writes it when the run goes wrong.

    Args:
        report: whose folder it writes to.
        model: whose trained parameters to keep.
        policy: what ends the run, besides errors.

    Its methods raise OSError when a file cannot be written, and what the model's ``save_pretrained`` raises.
    """

    def __init__(self, report: ReportSink, model: nn.Module, policy: Policy):
        self._report, self._policy = report, policy
        self._last_good = LastGood(model, policy.evidence())
        self._session: str | None = None
        self._history = AlertHistory()
        self._at = self._healthy_at = -1
        """Steps whose update has been applied; the latest of them that was judged healthy."""
        self._serious: list[Alert] = []
        """The open alerts of an incident."""
        self._incident: Alert | None = None
        self._known = 0  # alerts of the incident that have been written
        self._next_write = 0.0  # time.monotonic()

    def start(self, run: RunInfo, step: int) -> None:
        if self._session != self._report.run_id:
            self._session = self._report.run_id
            with suppress(FileNotFoundError):
                os.replace(self._report.directory / FILE, self._report.directory / PREVIOUS)
            put_back(self._report.directory / FOLDER)
        if run.adapters:
            self._last_good.begin(step)

    def updated(self, step: int) -> None:
        if step == self._at:  # told twice of one update
            return
        self._at = step
        if self._incident is None and step % self._last_good.every == 0:
            self._last_good.updated(step)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        if alerts:
            self._history.update(alerts)
            still = (alert for alert in self._history if alert.closed_step is None)
            self._serious = [a for a in still if a.severity >= Severity.ERROR or self._policy.counts(a)]
        serious = self._serious
        if not serious:
            self._incident = None
            norms = record.metrics.get("product_norm")  # absent where nothing was measured at this step
            finite = norms is None or bool(np.isfinite(norms.values[norms.known]).all())  # also where LW101 is muted
            if norms is not None and finite:
                self._healthy_at = record.step
            if finite and record.step % self._last_good.every == 0:
                self._last_good.judged(record.step)
            return
        if self._incident is None:
            self._incident, self._known = serious[0], 0
            if record.step - 1 == self._at == self._healthy_at:
                # Found before its update was applied: what is there now is what the step before has left.
                self._last_good.take_now(self._at)
            else:
                evidence = max(self._policy.evidence(alert.rule) for alert in serious)
                self._last_good.choose(record.step - evidence)
        if len(serious) > self._known and time.monotonic() >= self._next_write:
            self._known = len(serious)
            self._save(None, None)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        if self._incident is None:
            self._last_good.choose(self._at - self._policy.evidence())
        if self._incident is not None or verdict == "failed":
            self._save(verdict, message)
        # Whoever holds this sink after the run does not hold its weights.
        self._last_good = LastGood(nn.Module(), self._policy.evidence())

    def _save(self, verdict: Verdict | None, message: str | None) -> None:
        began = time.monotonic()
        folder = self._report.directory
        try:
            self._last_good.save(folder / FOLDER)
        finally:  # the record is worth having without the adapter
            replace_file(folder / FILE, strict_json(self._serialised(folder, verdict, message)))
            self._next_write = began + (time.monotonic() - began) / LARGEST_SHARE_OF_TIME

    def _serialised(self, folder: Path, verdict: Verdict | None, message: str | None) -> dict[str, Any]:
        good = self._last_good
        return {
            "version": INCIDENT_VERSION,
            "run_id": self._report.run_id,
            "time": now(),
            "step": self._incident.step if self._incident is not None else self._at,
            "verdict": verdict,
            "message": message,
            "alert": self._incident.to_dict() if self._incident is not None else None,
            "last_good": {"folder": FOLDER, "step": good.step} if good.is_saved(folder / FOLDER) else None,
            "last_good_unavailable": good.why_unavailable,
        }
