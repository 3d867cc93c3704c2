"""The training thread hands over and goes on; nothing that it has handed over is lost."""

from __future__ import annotations

import errno
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

from lora_watch import Monitor
from lora_watch.format import tags
from lora_watch.sinks.background import MOST_WAITING, Background
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.backend import tensorboard
from tests.sinks.made_up import record_of, run_of


def test_jobs_are_done_in_order_and_elsewhere() -> None:
    background, done = Background("test"), []
    for number in range(2 * MOST_WAITING):
        background.do(lambda number=number: done.append((number, threading.get_ident())))
    background.settle()
    assert [number for number, _ in done] == list(range(2 * MOST_WAITING))
    assert threading.get_ident() not in {thread for _, thread in done}


def test_the_thread_wakes_for_many_jobs_at_a_time_and_at_once_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_watch.sinks.background.PAUSE", 60.0)
    background, done = Background("test"), []
    background.do(lambda: done.append(0))
    until = time.monotonic() + 60.0
    while not done and time.monotonic() < until:
        time.sleep(0.01)
    for number in (1, 2):
        background.do(lambda number=number: done.append(number))
        time.sleep(0.05)
    assert done == [0]
    background.settle()
    assert done == [0, 1, 2]


def test_an_error_is_raised_once_and_stops_nothing_behind_it() -> None:
    background, done = Background("test"), []

    def fail() -> None:
        raise OSError("disk full")

    for job in (fail, lambda: done.append(1), fail):
        background.do(job)
    background.settle()
    with pytest.raises(OSError, match="disk full"):
        background.check()
    background.check()
    assert done == [1]


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
    assert 0.0 < sink.thread_seconds < 60.0
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
@pytest.mark.parametrize("shared", [False, True])
def test_a_writer_that_has_failed_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lora_watch.sinks.tensorboard.RETRY_SECONDS", 0.0)
    writer = SummaryWriter(str(tmp_path)) if shared else None
    sink = TensorBoardSink((lambda: writer) if shared else tmp_path)
    sink.start(run_of(), 0)
    sink.write(record_of(run_of(), 1), [])
    sink.flush()
    with monkeypatch.context() as disk:
        disk.setattr(RecordWriter, "write", full)
        sink.write(record_of(run_of(), 2), [])
        sink.flush()
        with pytest.raises(OSError, match="TensorBoard's events"):
            sink.write(record_of(run_of(), 3), [])
    if writer is not None:
        writer.add_scalar("theirs", 1.0, 3)
    sink.write(record_of(run_of(), 4), [])
    sink.finish("ok", None)
    if writer is not None:
        writer.close()
    with tensorboard(tmp_path, "python") as board:  # which reads files of one second by the names of their counters
        assert sorted(step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm")) == [1, 4]
        assert "ok" in [reported["verdict"] for _, reported in board.json(tags.VERDICT)]


def test_nothing_is_lost_when_the_interpreter_ends_without_a_word(tmp_path: Path) -> None:
    code = """
import sys
from torch.utils.tensorboard import SummaryWriter
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.made_up import record_of, run_of
writer = SummaryWriter(sys.argv[1])  # the Trainer's writes to disk every two minutes
sink = TensorBoardSink(lambda: writer)
sink.start(run_of(), 0)
for step in range(1, 51):
    sink.write(record_of(run_of(), step), [])
for step in range(30_001, 30_004):  # of which some are held back
    sink.write(record_of(run_of(), step), [])
raise KeyboardInterrupt
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=120, stderr=subprocess.DEVNULL)
    with tensorboard(tmp_path, "python") as board:
        steps = [step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm")]
        assert steps == [*range(1, 51), 30_001, 30_003]
        assert [reported["verdict"] for _, reported in board.json(tags.VERDICT)] == ["running"]
