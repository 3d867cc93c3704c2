"""A process that is killed at any moment leaves files that can be read, up to what it had flushed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lora_watch.format import tags
from tests.processes import Python
from tests.sinks.backend import tensorboard
from tests.sinks.made_up import parse

# Forks a writer for each moment and kills it so many seconds after its first alert.
WRITERS = """
import os, signal, sys, time
from pathlib import Path
import torch.utils.tensorboard
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.made_up import alert_of, record_of, run_of

def write(folder):
    flushed = open(folder / "flushed", "wb", buffering=0)
    run = run_of(64)
    sinks = [TensorBoardSink(folder / "runs"), ReportSink(folder / "report")]
    for sink in sinks:
        sink.start(run, 0)
    for step in range(1_000_000):
        alerts = [alert_of(step, closed_step=step)] if step % 5 == 0 else []
        for sink in sinks:
            sink.write(record_of(run, step), alerts)
        if alerts:
            flushed.write(b"%d\\n" % step)  # everything up to this step has been flushed

for folder, moment in zip(map(Path, sys.argv[1::2]), map(float, sys.argv[2::2])):
    folder.mkdir()
    child = os.fork()
    if child == 0:
        write(folder)
    while not (folder / "flushed").exists() or not (folder / "flushed").stat().st_size:
        time.sleep(0.001)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no SIGKILL")
def test_a_killed_run_can_be_read(python: Python, tmp_path: Path) -> None:
    """Eight kills at random moments."""
    moments = {tmp_path / str(number): random.uniform(0, 0.4) for number in range(8)}
    (tmp_path / "writers.py").write_text(WRITERS)
    done = python(tmp_path / "writers.py", *(argument for pair in moments.items() for argument in pair))
    assert done.returncode == 0, done.stderr

    for folder, moment in moments.items():
        flushed = [int(line) for line in (folder / "flushed").read_text().split("\n")[:-1]]
        content = parse((folder / "report" / "report.json").read_bytes())
        assert content["verdict"] == "interrupted", moment
        assert content["step"] >= flushed[-1], moment
        assert [alert["step"] for alert in content["alerts"]][: len(flushed)] == flushed, moment
        lines = (folder / "report" / "alerts.jsonl").read_bytes().split(b"\n")[:-1]  # the last may be half a line
        assert [parse(line)["step"] for line in lines][: 2 * len(flushed) : 2] == flushed, moment
        with tensorboard(folder / "runs", "python") as board:
            steps = [step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm")]
            assert steps[: flushed[-1] + 1] == list(range(flushed[-1] + 1)), moment
            assert len(board.json(tags.SCHEMA)) == 1, moment
            assert [step for step, _ in board.json(tags.ALERTS)][: len(flushed)] == flushed, moment
