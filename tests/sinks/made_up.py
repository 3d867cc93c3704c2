"""Records and alerts made of known numbers, and strict JSON reading."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.records import AdapterInfo, BoolArray, FloatArray, Reading, RunInfo, StepRecord
from lora_watch.runs.data import UNKNOWN, RunData


def run_of(n: int = 3, **fields: Any) -> RunInfo:
    adapters = tuple(
        AdapterInfo(
            name=f"layers.{i}.q_proj",
            kind="Linear",
            layer=i,
            d_out=16,
            d_in=16,
            r=8,
            alpha=16.0,
            scale=2.0,
            scale_formula="alpha/r",
            group=0,
            trainable=256,
        )
        for i in range(n)
    )
    fields = {"max_steps": 100, "config": {"model": "made-up"}, "peak_lr": (1e-3,), **fields}
    return RunInfo(adapters=adapters, **fields)


def readings(metrics: Mapping[str, FloatArray], known: Mapping[str, BoolArray] | None = None) -> dict[str, Reading]:
    """``metrics``, known everywhere but where ``known`` says otherwise."""
    everywhere = {name: np.ones(len(values), dtype=bool) for name, values in metrics.items()}
    return {name: Reading(values, (known or {}).get(name, everywhere[name])) for name, values in metrics.items()}


def record_of(run: RunInfo, step: int, **fields: Any) -> StepRecord:
    """Adapter i has ``delta_norm`` step + i and ``relative_norm`` a tenth of it; loss is 1 / step.

    ``fields`` replace these; ``metrics`` and ``known`` are what ``readings`` takes.
    """
    norms = step + np.arange(len(run.adapters), dtype=float)
    fields = {
        "metrics": {"delta_norm": norms, "relative_norm": norms / 10, "scale": np.full(len(norms), 2.0)},
        "loss": 1.0 / max(step, 1),
        "lr": (1e-3,),
        "overhead": 0.01,
        "scalars": {"loss_spike_score": 0.5},
    } | fields
    metrics = readings(fields.pop("metrics"), fields.pop("known", None))
    return StepRecord(run, step, metrics, **fields)


def alert_of(step: int = 2, rule: str = "LW102", severity: Severity = Severity.ERROR, **fields: Any) -> Alert:
    fields = {
        "name": "norm-explosion",
        "message": "too large",
        "adapters": [("layers.1.q_proj", 7.5)],
        "remedies": ["drop that batch"],
    } | fields
    if settings := fields.pop("settings", None):
        fields["next_run"] = Prescription({name: Setting(None, value) for name, value in settings.items()})
    return Alert(rule=rule, severity=severity, step=step, **fields)


def report_in(folder: Path, name: str = "report.json") -> dict[str, Any]:
    return parse((folder / name).read_bytes())


def parse(text: str | bytes) -> Any:
    """Strict JSON: a bare NaN or Infinity is an error."""

    def refuse(token: str) -> None:
        raise ValueError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def metric_at(data: RunData, name: str) -> dict[int, dict[str, float]]:
    """``{step: {adapter: value}}`` of what was measured."""
    found, _ = data.metric(name)
    return {
        step: {name: value for name, value, flag in zip(data.names, values, flags) if flag != UNKNOWN}
        for step, values, flags in zip(found.steps.tolist(), found.values.tolist(), found.flags.tolist())
    }
