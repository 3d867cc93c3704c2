"""Runs of known numbers, with what goes wrong in real ones at known places."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lora_watch.base.alerts import Verdict
from lora_watch.base.records import Reading, RunInfo, StepRecord
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink
from lora_watch.tune.suggestion import suggestion
from lora_watch.tune.sweep import Sweep
from tests.sinks import made_up
from tests.sinks.made_up import alert_of

TYPES = ("q_proj", "v_proj", "up_proj", "down_proj")
HOSTILE = "<img src=x onerror=window.pwned=1>"


def run_of(n: int, names: dict[int, str] | None = None) -> RunInfo:
    own = names or {}
    adapters = tuple(
        replace(each, name=own.get(i, f"model.layers.{i // 4}.self_attn.{TYPES[i % 4]}"), layer=i // 4, base_norm=4.0)
        for i, each in enumerate(made_up.run_of(n).adapters)
    )
    return RunInfo(adapters, max_steps=200, config={"model": HOSTILE}, peak_lr=(1e-3,))


def record_of(run: RunInfo, step: int, **fields: Any) -> StepRecord:
    """Adapter i has ``output_ratio`` (1 + i/n)·step/100 and ``delta_norm`` twice that."""
    n = len(run.adapters)
    size = (1 + np.arange(n) / n) * step / 100
    fields = {
        "metrics": {"output_ratio": size, "delta_norm": 2 * size},
        "loss": 4.0 - step / 100,
        "scalars": {"loss_start": 4.0, "loss_recent": 4.0 - step / 100},
    } | fields
    return made_up.record_of(run, step, **fields)


def write(
    folder: Path,
    run: RunInfo,
    records: list[StepRecord],
    alerts: dict[int, list[Any]] | None = None,
    verdict: Verdict = "ok",
) -> None:
    sinks = (TensorBoardSink(folder), ReportSink(folder / "lora_watch"))
    for sink in sinks:
        sink.start(run, records[0].step - 1)
        for record in records:
            sink.write(record, (alerts or {}).get(record.step, []))
        sink.finish(verdict, None)


def swept() -> dict[str, Any]:
    """What a sweep of 50 steps says that ends with a loss of NaN; the first output ratio was not measured."""
    sweep = Sweep(1e-5, 1e-1, 60)
    for step in range(49):
        sweep.add(4.0 - np.exp(-(((step - 38) / 12) ** 2)) + 0.01 * (-1) ** step, step * sweep.next_rate * 10, None)
    sweep.add(float("nan"), None, alert_of(50, "LW201"))
    return suggestion(sweep, scale=2.0).to_dict()


LONG = {
    499: ("4", "6.04", "Barely moves"),
    500: ("NaN", "3.02", "No alerts"),
    501: ("4", "6.04", "Barely moves"),
    700: ("2", "3.02", "No alerts"),
}
"""Of some steps of the long run: loss, output ratio and zone."""


def write_long_run(folder: Path) -> None:
    """700 steps of 4 adapters: at odd steps output ratio and loss are twice as large, and the zone is another one. The
    loss of step 500 is NaN."""
    run, records = run_of(4), []
    for step in range(1, 701):
        size = (1 + step % 2) * np.array([1.0, 2.0, 3.0, 4.0])
        loss = float("nan") if step == 500 else 2.0 * (1 + step % 2)
        metrics, zone = {"output_ratio": size, "delta_norm": size}, ("healthy", "barely-moves")[step % 2]
        records.append(record_of(run, step, metrics=metrics, loss=loss, zone=zone))
    write(folder, run, records)


def write_broken_run(folder: Path) -> None:
    """160 steps of 40 adapters: adapter 3 NaN at step 80 alone, 7 infinite from 120 on, 11 never measured.

    Adapter 5 has a hostile name and is the worst of a hostile alert at step 80. It was swept before.
    """
    run = run_of(40, names={5: f"model.layers.1.{HOSTILE}"})
    run = replace(run, config={**run.config, "find_lr": swept()})
    records = []
    for step in range(1, 161):
        record = record_of(run, step)
        values = record.metrics["output_ratio"].values
        values[3] = np.nan if step == 80 else values[3]
        values[7] = np.inf if step >= 120 else values[7]
        reading = Reading(values, np.arange(40) != 11)
        records.append(replace(record, metrics={**record.metrics, "output_ratio": reading}))
    alert = alert_of(
        80,
        adapters=[(run.adapters[5].name, float("nan")), (run.adapters[3].name, 1.0)],
        metric="output_ratio",
        threshold=1.0,
        message=HOSTILE,
        causes=[HOSTILE],
        remedies=[HOSTILE],
    )
    write(folder, run, records, {80: [alert]})
