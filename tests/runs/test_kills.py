"""Whatever moment a run is killed at, the gate reads what is there and never lets it pass."""

import os
import random
from pathlib import Path

import pytest

from lora_watch.gate import judge
from tests.processes import Python

KILLS = 12
# One process pays for the model and forks a training for each kill: a real Monitor with the real sinks on the real
# model, whose adapters grow until rules fire.
TRAININGS = """
import os, signal, sys, time
import torch
import torch.utils.tensorboard
from lora_watch import Monitor
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.support import lora, tiny_model

torch.set_num_threads(1)
model = lora(tiny_model(), r=4)
grows = [p for name, p in model.named_parameters() if "lora_B" in name]

def train(folder):
    sinks = [TensorBoardSink(folder + "/runs/x"), ReportSink(folder + "/lora_watch")]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(model, optimizer, sinks=sinks, max_steps=1_000_000) as monitor:
        for step in range(1_000_000):
            with torch.no_grad():
                for b in grows:
                    b.add_(0.02)
            monitor.step(loss=2.0 + 0.01 * (step % 7))

for folder, moment in zip(sys.argv[1::2], map(float, sys.argv[2::2])):
    child = os.fork()
    if child == 0:
        train(folder)
    while moment >= 0 and not os.path.exists(folder + "/lora_watch/report.json"):
        time.sleep(0.001)
    time.sleep(abs(moment))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no SIGKILL")
def test_a_killed_run_never_passes(python: Python, tmp_path: Path) -> None:
    """Seconds after the report is there; a sixth, the negative ones, after the fork: that may be before anything is."""
    moments = {tmp_path / str(n): random.uniform(0.0, 0.4) * (-1 if n % 6 == 0 else 1) for n in range(KILLS)}
    (tmp_path / "trainings.py").write_text(TRAININGS)
    done = python(tmp_path / "trainings.py", *(argument for pair in moments.items() for argument in pair))
    assert done.returncode == 0, done.stderr

    for folder, moment in moments.items():
        judgement = judge([folder])
        if not (folder / "lora_watch" / "report.json").exists():
            assert moment < 0
            assert judgement.exit_code == (2 if judgement.unreadable or not judgement.runs else 1), moment
            continue
        assert judgement.unreadable == [], moment
        (judged,) = judgement.runs
        assert judgement.exit_code == 1, moment
        assert judged.run.verdict == "interrupted", moment
        assert "LW801" in {alert.rule for alert in judged.findings}, moment
        assert len(judged.run.adapters) == 28, moment
        assert all("incomplete" in note for note in judged.run.notes if "events" in note), moment
        steps = judged.run.data.steps
        assert steps == list(range(len(steps))), moment
    assert judge([tmp_path]).exit_code in (1, 2)  # 2: one was killed before its report was there
