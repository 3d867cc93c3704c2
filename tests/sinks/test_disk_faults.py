"""The disk under a real Trainer goes bad at its third step: training goes on bit for bit, and one line says so."""

import errno
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from lora_watch import LoraWatchCallback
from lora_watch.gate import judge
from tests.support import build_trainer, few, stdlib_blocks

STEPS = 12


class Fault(TrainerCallback):
    """Breaks the folder at step 3; mends it at step 8 if it can be mended."""

    def __init__(self, kind: str, folder: Path):
        self.kind, self.folder = kind, folder

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 3:
            getattr(self, self.kind)()
        elif state.global_step == 8:
            (self.folder / "filler").unlink(missing_ok=True)

    def full(self) -> None:
        with open(self.folder / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def gone(self) -> None:
        shutil.rmtree(self.folder)

    def nothing(self) -> None:
        pass


def mount(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small or read-only disk takes the right to mount one: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that a disk may be mounted on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    while os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def events_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for five steps is met: gathered for a second, their events would come when it is mended."""
    monkeypatch.setattr("lora_watch.sinks.background.PAUSE", 0.0)


def trained(folder: Path, callbacks: list[Any], tensorboard: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    trainer = build_trainer(
        few(r=2, alpha=32),
        stdlib_blocks(32, 32),
        STEPS,
        callbacks=callbacks,
        lr=5e-2,
        output_dir=str(folder),
        report_to="tensorboard" if tensorboard else "none",
        logging_steps=5,
    )
    trainer.train()
    assert trainer.state.global_step == STEPS
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if "lora_" in name}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return trained(tmp_path_factory.mktemp("plain"), [], False)


@pytest.mark.parametrize(
    ("kind", "tensorboard", "says"),
    [
        ("nothing", False, None),
        ("gone", False, os.strerror(errno.ENOENT)),
        ("full", False, os.strerror(errno.ENOSPC)),
        ("full", True, os.strerror(errno.ENOSPC)),
    ],
)
def test_training_goes_on(
    kind: str,
    tensorboard: bool,
    says: str | None,
    disk: Path,
    undisturbed: dict[str, torch.Tensor],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if kind == "full":
        mount(disk, "size=4m")
    out = disk / "out"
    watch = LoraWatchCallback()
    weights = trained(out, [Fault(kind, out), watch], tensorboard)
    assert weights.keys() == undisturbed.keys() != set()
    assert all(torch.equal(weights[name], tensor) for name, tensor in undisturbed.items())

    warnings = [
        record for record in caplog.records if record.levelno >= logging.WARNING and record.name == "lora_watch"
    ]
    found = [alert for alert in watch.monitor.alerts if alert.rule == "LW901"]
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert "LW901" not in printed  # the log has it
    if says is None:
        assert (warnings, found) == ([], [])
        return
    (warning,), (alert,) = warnings, found
    assert says in warning.message
    assert str(out) in warning.message
    assert warning.exc_info is None
    assert alert.message in warning.message
    (judged,) = judge([out]).runs  # there is room again, or the folder has been made again
    assert judged.run.verdict == "unhealthy", "at this rate it explodes, and nothing ends it"
    assert "LW901" in {alert.rule for alert in judged.findings}
    if kind == "full":
        steps = judged.run.data.steps
        assert steps[-1] == STEPS
        assert 5 not in steps
