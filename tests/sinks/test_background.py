"""The training thread hands over and goes on; nothing that it has handed over is lost."""

import errno
import gc
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from lora_watch import LoraWatchCallback, Monitor
from lora_watch.format import tags
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.backend import tensorboard
from tests.sinks.made_up import record_of, run_of
from tests.support import build_trainer, few, on


def test_training_does_not_wait_for_the_disk_but_closing_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = RecordWriter.write

    def slowly(writer: Any, data: bytes) -> None:
        time.sleep(0.02)
        put(writer, data)

    writer = SummaryWriter(str(tmp_path))
    sink = TensorBoardSink(lambda: writer)
    sink.start(run_of(), 0)
    sink.write(record_of(run_of(), 0), [])
    sink.flush()
    monkeypatch.setattr(RecordWriter, "write", slowly)
    began = time.monotonic()
    for step in range(1, 60):
        sink.write(record_of(run_of(), step), [])
    assert time.monotonic() - began < 59 * 0.02 / 2
    writer.add_scalar("theirs", 1.0, 60)
    writer.close()  # by its owner, who knows nothing of the sink
    assert "close" not in vars(writer)
    sink.finish("ok", None)
    monkeypatch.undo()
    with tensorboard(tmp_path, "python") as board:
        assert [step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm")] == list(range(60))
        assert board.scalars("theirs") == [(60, 1.0)]


def test_a_checkpoint_finds_the_events_of_its_step_on_disk(tmp_path: Path) -> None:
    with Monitor(torch.nn.Linear(2, 2), console=False, sinks=[TensorBoardSink(tmp_path)]) as monitor:
        for step in range(1, 4):
            monitor.step(loss=1.0 / step)
        monitor.state_dict()
        (path,) = tmp_path.glob("events.*")
        assert max(event.step for event in EventFileLoader(str(path)).Load()) == 3


def test_a_full_disk_is_said_by_the_next_write_and_costs_what_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SummaryWriter(str(tmp_path))  # somebody else's, who must not be hurt
    sink = TensorBoardSink(lambda: writer)
    sink.start(run_of(), 0)
    sink.flush()
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as disk:
        disk.setattr("lora_watch.sinks.event_file.shutil.disk_usage", lambda _: usage._replace(free=4096))
        sink.write(record_of(run_of(), 1), [])
        sink.flush()
        with pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}.*{tmp_path}"):
            sink.write(record_of(run_of(), 2), [])
        writer.add_scalar("theirs", 1.0, 2)
        sink.flush()
    with suppress(OSError):  # that of step 2, unless it came before the first was raised
        sink.write(record_of(run_of(), 3), [])
    sink.finish("ok", None)
    writer.close()
    with tensorboard(tmp_path, "python") as board:
        assert [step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm")] == [3]
        assert board.scalars("theirs") == [(2, 1.0)]


def ours() -> list[threading.Thread]:
    """Threads that write events: the sink's and TensorBoard's."""
    kinds = ("lora_watch.", "tensorboard.")
    return [thread for thread in threading.enumerate() if type(thread).__module__.startswith(kinds)]


def ended(before: list[threading.Thread]) -> bool:
    until = time.monotonic() + 60.0
    while (left := set(ours()) - set(before)) and time.monotonic() < until:
        time.sleep(0.05)
    return not left


def test_a_trainer_that_breaks_off_leaves_no_thread_and_all_its_steps(tmp_path: Path) -> None:
    def fails(state: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise ValueError("theirs")

    before = ours()
    watch = LoraWatchCallback(console=False)
    trainer = build_trainer(few(), callbacks=[watch, on("step_end", fails)], output_dir=str(tmp_path))
    with pytest.raises(ValueError, match="theirs"):
        trainer.train()
    del trainer, watch
    gc.collect()
    assert ended(before)
    (run,) = (tmp_path / "runs").iterdir()
    with tensorboard(run, "python") as board:
        assert [step for step, _ in board.scalars("lora/loss")] == [1, 2, 3]


ENDS = ("raise KeyboardInterrupt", "sink = writer = None; gc.collect()")


def test_nothing_is_lost_when_the_interpreter_ends_without_a_word(tmp_path: Path) -> None:
    """Of two interpreters, which import once."""
    code = """
import atexit, gc, os, sys
from torch.utils.tensorboard import SummaryWriter
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.made_up import record_of, run_of
child = os.fork()
if child:
    os.waitpid(child, 0)
folder, end = sys.argv[1:3] if child else sys.argv[3:]
writer = SummaryWriter(folder)  # the Trainer's writes to disk every two minutes
atexit.register(writer.close)
sink = TensorBoardSink(lambda: writer)
sink.start(run_of(), 0)
for step in range(1, 51):
    sink.write(record_of(run_of(), step), [])
exec(end)
"""
    each = [str(part) for pair in zip((tmp_path / "a", tmp_path / "b"), ENDS) for part in pair]
    subprocess.run([sys.executable, "-c", code, *each], timeout=120, stderr=subprocess.DEVNULL)
    with tensorboard(tmp_path, "python") as board:
        for run in ("a", "b"):
            steps = [step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm", run)]
            assert steps == list(range(1, 51))
            assert [reported["verdict"] for _, reported in board.json(tags.VERDICT, run)] == ["running"]
