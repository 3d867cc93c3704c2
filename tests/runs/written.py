"""Runs to judge: real ones of the real Trainer, shared by all tests of the gate, and made-up ones that cost nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import RunInfo
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.made_up import record_of, run_of
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

STEPS = 24
MEASURED_AT_START = 3
LR = 2e-3


def train_into(folder: Path, lr: float = LR, seed: int = 0, fail_on: str = "never", **config: Any) -> Path:
    """A real fine-tune of the packaged model whose ``output_dir`` is ``folder``; a policy's stop is swallowed."""
    import torch

    torch.manual_seed(seed)
    trainer = build_trainer(
        lora(tiny_model(), **config),
        stdlib_blocks(256, 64),
        STEPS,
        callbacks=[LoraWatchCallback(fail_on=fail_on, console=False)],
        lr=lr,
        seed=seed,
        output_dir=str(folder),
        report_to="tensorboard",
    )
    try:
        trainer.train()
    except LoraWatchError:
        assert fail_on != "never"
    return folder


def write_run(
    folder: Path,
    steps: int = 20,
    verdict: Verdict | None = "ok",
    message: str | None = None,
    alerts: Sequence[Alert] = (),
    run: RunInfo | None = None,
    report: bool = True,
    first_step: int = 0,
    factors: Mapping[int, float] | None = None,
    **fields: Any,
) -> Path:
    """A made-up run through the real sinks: ``record_of`` at every step, each alert at its step.

    As in a run of short steps, the norms are measured at the first steps, at every fourth, and at the last.
    ``verdict`` None leaves it as a kill would. ``factors`` multiply the ``delta_norm`` of the adapters with these
    places. ``fields`` replace what ``record_of`` has.
    """
    run = run or run_of(max_steps=steps)
    sinks: list[Any] = [TensorBoardSink(folder / "runs" / f"from{first_step}")]
    if report:
        sinks.append(ReportSink(folder / "lora_watch"))
    for sink in sinks:
        sink.start(run, first_step)
    for step in range(first_step, steps + 1):
        record = record_of(run, step, **fields)
        for place, factor in (factors or {}).items():
            record.metrics["delta_norm"].values[place] *= factor
        if step - first_step > MEASURED_AT_START and step % 4 and step != steps:
            record = replace(record, metrics={})
        opened = [alert for alert in alerts if alert.step == step]
        for sink in sinks:
            sink.write(record, opened)
    for sink in sinks:
        if verdict is not None:
            sink.finish(verdict, message)
        elif isinstance(sink, TensorBoardSink):
            sink.flush()  # all but the end
    return folder


def edit_json(path: Path, **fields: Any) -> None:
    """Change top-level fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
