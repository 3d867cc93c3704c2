"""A process that ends in the middle of a run leaves the step it has reached, and why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lora_watch import Monitor
from tests.processes import ROOT, Python
from tests.support import lora, tiny_model

SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background inherits that it is ignored
from transformers import TrainerCallback
from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

class Ends(TrainerCallback):
    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 3:
            open("here", "w").close()
            {end}

class Data(list):
    def __getitem__(self, i):
        {data}
        return super().__getitem__(i)

build_trainer(lora(tiny_model(), r=2), Data(stdlib_blocks(64, 16)), 100, output_dir="out",
              callbacks=[LoraWatchCallback(console=False, tensorboard=False), Ends()]).train()
"""


def script(folder: Path, end: str = "pass", data: str = "pass") -> Path:
    path = folder / "train.py"
    path.write_text(SCRIPT.format(end=end, data=data))
    return path


def report_in(folder: Path) -> Any:
    return json.loads((folder / "out" / "lora_watch" / "report.json").read_text())


def test_an_exception_in_the_data(python: Python, tmp_path: Path) -> None:
    raises = script(tmp_path, data="if os.path.exists('here'): raise KeyError('theirs')")
    assert python(raises, folder=tmp_path).returncode == 1
    report = report_in(tmp_path)
    assert (report["verdict"], report["message"]) == ("interrupted", "KeyError: 'theirs'")
    assert report["step"] >= 3


def test_an_exception_whose_own_text_fails(tmp_path: Path) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def train(model: Any) -> None:
        with Monitor(model, output_dir=tmp_path / "out", console=False) as monitor:
            monitor.step(loss=1.0)
            raise Mute

    model = lora(tiny_model(), targets=["q_proj"])
    with pytest.raises(Mute):
        train(model)
    report = report_in(tmp_path)
    assert (report["verdict"], report["message"]) == ("interrupted", "Mute")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.skipif(os.name == "nt", reason="signals of other systems")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.thorough), signal.SIGINT])
def test_a_signal(number: int, tmp_path: Path) -> None:
    command = [sys.executable, script(tmp_path, end="time.sleep(60)")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 200
        while not (tmp_path / "here").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(200) == -number
    finally:
        process.kill()
    report = report_in(tmp_path)
    assert (report["verdict"], report["step"]) == ("interrupted", 3)
    assert {signal.SIGTERM: "SIGTERM", signal.SIGINT: "KeyboardInterrupt"}[signal.Signals(number)] in report["message"]


def test_an_exit(python: Python, tmp_path: Path) -> None:
    assert python(script(tmp_path, end="sys.exit(0)"), folder=tmp_path).returncode == 0
    report = report_in(tmp_path)
    assert (report["verdict"], report["step"]) == ("interrupted", 3)
    assert "process ended" in report["message"]
    assert "script caught" in report["message"], "nobody can tell which"
