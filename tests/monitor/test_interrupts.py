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

SCRIPT = """
import os, sys, time
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


def report_after(folder: Path, end: str = "pass", data: str = "pass", send: int | None = None) -> tuple[int, Any]:
    script = folder / "train.py"
    script.write_text(SCRIPT.format(end=end, data=data))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, script], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 200
        while send is not None and not (folder / "here").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if send is not None:
            process.send_signal(send)
        code = process.wait(200)
    finally:
        process.kill()
    return code, json.loads((folder / "out" / "lora_watch" / "report.json").read_text())


def test_an_exception_in_the_data(tmp_path: Path) -> None:
    code, report = report_after(tmp_path, data="if os.path.exists('here'): raise KeyError('theirs')", end="pass")
    assert code == 1
    assert (report["verdict"], report["message"]) == ("interrupted", "KeyError: 'theirs'")
    assert report["step"] >= 3


@pytest.mark.skipif(os.name == "nt", reason="signals of other systems")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal(number: int, tmp_path: Path) -> None:
    code, report = report_after(tmp_path, end="time.sleep(60)", send=number)
    assert code == -number
    assert (report["verdict"], report["step"]) == ("interrupted", 3)
    assert {signal.SIGTERM: "SIGTERM", signal.SIGINT: "KeyboardInterrupt"}[signal.Signals(number)] in report["message"]


def test_an_exit(tmp_path: Path) -> None:
    code, report = report_after(tmp_path, end="sys.exit(0)")
    assert code == 0
    assert (report["verdict"], report["step"]) == ("interrupted", 3)
    assert "ended before the run did" in report["message"]
