"""The incident record: which steps it holds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_watch.rules.policy import Policy
from lora_watch.sinks.incident import STEPS, IncidentRecorder
from lora_watch.sinks.report import ReportSink
from tests.sinks.made_up import alert_of, parse, record_of, run_of


def incident_in(folder: Path) -> dict[str, Any]:
    return parse((folder / "incident.json").read_bytes())


@pytest.mark.parametrize(
    ("opens", "closes", "ends", "first", "last"),
    [
        (200, None, 400, 200 - STEPS, 200 + STEPS),  # goes on and on
        (200, 230, 400, 200 - STEPS, 230),  # is over before as many steps have followed
        (200, None, 210, 200 - STEPS, 210),  # ends with the run
        (10, None, 20, 1, 20),  # begins before there are as many
    ],
)
def test_the_steps_around_an_incident(
    opens: int, closes: int | None, ends: int, first: int, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_watch.sinks.incident.LARGEST_SHARE_OF_TIME", math.inf)  # as if writing cost nothing
    report, run, alert = ReportSink(tmp_path), run_of(2), alert_of(opens)
    recorder = IncidentRecorder(report, torch.nn.Linear(2, 2), Policy())
    for sink in (report, recorder):
        sink.start(run, 0)
    for step in range(1, ends + 1):
        recorder.updated(step)
        alert.closed_step = closes if closes is not None and step >= closes else None
        news = [alert] if step in (opens, closes) else []
        recorder.write(record_of(run, step), news)
    recorder.finish("ok", None)
    incident = incident_in(tmp_path)
    assert incident["step"] == opens
    assert incident["steps"] == list(range(first, last + 1))
    assert incident["metrics"]["delta_norm"] == [[step, step + 1] for step in incident["steps"]]
    assert incident["loss"] == [1 / step for step in incident["steps"]]
