"""A process that ends in the middle of a run leaves the step it has reached, and why."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from lora_watch import Monitor
from tests.processes import Python
from tests.support import lora, report_of, tiny_model

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

build_trainer(lora(tiny_model(), r=2), stdlib_blocks(64, 16), 100, output_dir="out",
              callbacks=[LoraWatchCallback(console=False, tensorboard=False), Ends()]).train()
"""


def script(folder: Path, end: str) -> Path:
    path = folder / "train.py"
    path.write_text(SCRIPT.format(end=end))
    return path


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
    report = report_of(tmp_path / "out")
    assert (report["verdict"], report["message"]) == ("interrupted", "Mute")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def killed_by(number: signal.Signals) -> str:
    """From another process, while the script waits."""
    kill = f"os.posix_spawn('/bin/kill', ['kill', '-{int(number)}', str(os.getpid())], os.environ)"
    return f"{kill}\n            while True: time.sleep(0.01)"  # short: another thread may be the one that is told


SIGNALS = pytest.mark.skipif(os.name == "nt", reason="signals of other systems")


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        pytest.param(killed_by(signal.SIGTERM), -signal.SIGTERM, "SIGTERM", marks=SIGNALS),
        # How Python itself ends by a KeyboardInterrupt is not the fork's.
        pytest.param(killed_by(signal.SIGINT), 1, "KeyboardInterrupt", marks=SIGNALS),
        pytest.param("sys.exit(0)", 0, "process ended .* script caught", id="nobody-can-tell-which"),
    ],
)
def test_a_process_that_ends(end: str, code: int, said: str, python: Python, tmp_path: Path) -> None:
    assert python(script(tmp_path, end), folder=tmp_path).returncode == code
    report = report_of(tmp_path / "out")
    assert (report["verdict"], report["step"]) == ("interrupted", 3)
    assert re.search(said, report["message"])
