"""The incident record: when a run goes wrong, `incident.json` and `last_good/` next to its report.

An incident begins when an error opens, or an alert for which the policy ends the run, and ends when none of them is
open any more. `incident.json` is strict JSON, as `report.json` is.

It is written when an incident begins, when it gets worse, when it ends, and when the run does; in between never twice
in a time of which writing would take more than 0.1 %. What the session before has left is kept as
`incident.previous.json`, `last_good/` until there is another.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.strict_json import adapter_fields, strict_json
from lora_watch.format.files import now, replace_file
from lora_watch.rules.policy import Policy
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory
from lora_watch.sinks.report import LARGEST_SHARE_OF_TIME, ReportSink
from lora_watch.snapshots.last_good import LastGood, put_back

INCIDENT_VERSION = 1
STEPS = 64
"""Steps that are remembered before an incident, and again after it began. LW202 looks back 48."""
FILE, PREVIOUS, FOLDER = "incident.json", "incident.previous.json", "last_good"


class IncidentRecorder(Sink):
    """Remembers the last steps and the last good adapter, and writes both when the run goes wrong.

    Args:
        report: whose folder it writes to.
        model: whose trained parameters to keep.
        policy: what ends the run, besides errors.

    Its methods raise OSError when a file cannot be written, and what the model's ``save_pretrained`` raises.
    """

    def __init__(self, report: ReportSink, model: nn.Module, policy: Policy):
        self._report, self._policy = report, policy
        self._last_good = LastGood(model, policy.evidence())
        self._run = RunInfo(())
        self._session: str | None = None
        self._kept: deque[StepRecord] = deque()
        self._history = AlertHistory()
        self._at = self._healthy_at = -1
        """Steps whose update has been applied; the latest of them that was judged healthy."""
        self._incident: Alert | None = None
        self._known = 0  # alerts of the incident that have been written
        self._next_write = 0.0  # time.monotonic()

    def start(self, run: RunInfo, step: int) -> None:
        if self._session != self._report.run_id:
            self._session = self._report.run_id
            with suppress(FileNotFoundError):
                os.replace(self._report.directory / FILE, self._report.directory / PREVIOUS)
            put_back(self._report.directory / FOLDER)
        self._run = run
        if run.adapters:
            self._last_good.begin(step)

    def updated(self, step: int) -> None:
        if step == self._at:  # told twice of one update
            return
        self._at = step
        if self._incident is None:
            self._last_good.updated(step)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self._history.update(alerts)
        self._remember(record)
        still = (alert for alert in self._history if alert.closed_step is None)
        serious = [alert for alert in still if alert.severity >= Severity.ERROR or self._policy.counts(alert)]
        if not serious:
            self._is_well(record)
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

    def _remember(self, record: StepRecord) -> None:
        if self._incident is None or len(self._kept) <= 2 * STEPS:
            self._kept.append(record)
        while self._incident is None and len(self._kept) > STEPS + 1:
            self._kept.popleft()

    def _is_well(self, record: StepRecord) -> None:
        if self._incident is not None:
            if time.monotonic() >= self._next_write:
                self._save(None, None)
            self._incident = None
        norms = record.metrics.get("product_norm")  # absent where nothing was measured at this step
        finite = norms is None or bool(np.isfinite(norms.values[norms.known]).all())  # also where LW101 is muted
        if norms is not None and finite:
            self._healthy_at = record.step
        if finite:
            self._last_good.judged(record.step)

    def _save(self, verdict: Verdict | None, message: str | None) -> None:
        began = time.monotonic()
        folder = self._report.directory
        try:
            self._last_good.save(folder / FOLDER)
        finally:  # the record is worth having without the adapter
            replace_file(folder / FILE, strict_json(self._serialised(folder, verdict, message)))
            self._next_write = began + (time.monotonic() - began) / LARGEST_SHARE_OF_TIME

    def _serialised(self, folder: Path, verdict: Verdict | None, message: str | None) -> dict[str, Any]:
        latest = self._kept[-1].run if self._kept else self._run
        kept = [record for record in self._kept if record.run.names == latest.names]  # a vector has one order
        began = self._incident.step if self._incident is not None else self._at
        return {
            "version": INCIDENT_VERSION,
            "run_id": self._report.run_id,
            "time": now(),
            "step": began,
            "verdict": verdict,
            "message": message,
            "alert": self._incident.to_dict() if self._incident is not None else None,
            "alerts": [a.to_dict() for a in self._history if a.closed_step is None or a.closed_step >= began],
            **self._good_adapter(folder),
            "adapters": [adapter_fields(adapter) for adapter in latest.adapters],
            **_series(kept),
            "config": self._run.config,
            "versions": self._run.versions,
        }

    def _good_adapter(self, folder: Path) -> dict[str, Any]:
        good = self._last_good
        saved = {"folder": FOLDER, "step": good.step} if good.is_saved(folder / FOLDER) else None
        return {"last_good": saved, "last_good_unavailable": good.why_unavailable}


def _series(records: Sequence[StepRecord]) -> dict[str, Any]:
    """What the file has of each step."""
    readings = [record.metrics for record in records]
    return {
        "steps": [record.step for record in records],
        "loss": [record.loss for record in records],
        "lr": [record.lr for record in records],
        "zones": [record.zone for record in records],
        "scalars": {name: [r.scalars.get(name) for r in records] for name in _names(r.scalars for r in records)},
        "metrics": {
            name: [known[name].known_values() if name in known else None for known in readings]
            for name in _names(readings)
        },
    }


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every key, in the order of their first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
