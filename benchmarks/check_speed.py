"""Claim: ``lora-watch check`` judges a run of 10,000 steps and 224 adapters within 2 s and 300 MB.

The script writes such a run and times whole processes, the start of Python counted. It times ``check`` on the folder,
with a baseline and without. TensorBoard's ``EventAccumulator`` on the same file is the
comparison; it keeps nothing but the loss. The script prints CPU and wall seconds, the highest resident memory, and the
ratio of CPU times.

    python benchmarks/check_speed.py [--adapters 224] [--metrics 14] [--steps 10000]
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard_cost import made_up_records

from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink

ACCUMULATOR = """
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
EventAccumulator(sys.argv[1], size_guidance={"tensors": 1, "scalars": 0}).Reload().Scalars("lora/loss")
"""
TIMED = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss)
"""
BATCH = 500
"""Events that are framed together."""


class Cost(NamedTuple):
    cpu: float
    wall: float
    megabytes: float


def cost(*command: str) -> Cost:
    """One process from its start to its end. A process between us and it keeps its memory apart from that of others."""
    done = subprocess.run([sys.executable, "-c", TIMED, *command], capture_output=True, text=True, check=True)
    code, cpu, wall, memory = done.stdout.split()
    if code != "0":
        raise SystemExit(f"{' '.join(command)} ended with {code}\n{done.stderr}")
    return Cost(float(cpu), float(wall), int(memory) * (1 if sys.platform == "darwin" else 1024) / 1e6)


def write_run(folder: Path, adapters: int, metrics: int, steps: int) -> int:
    """A finished run as the callback leaves it; returns the bytes of its event file."""
    records = made_up_records(adapters, metrics, 16)
    run = replace(records[0].run, max_steps=steps)
    report = ReportSink(folder / "lora_watch")
    report.start(run, 0)
    # The sink's own events, repeated: its writer's checksums in Python would take minutes.
    events: list[Any] = []
    writer = SimpleNamespace(
        add_event=lambda event, step: events.append(event), flush=lambda: None, get_logdir=lambda: str(folder)
    )
    sink = TensorBoardSink(lambda: SimpleNamespace(file_writer=writer, flush=writer.flush, log_dir=str(folder)))  # type: ignore[arg-type,return-value]
    sink.start(run, 0)
    for record in records:
        sink.write(record, [])
        report.write(replace(record, step=steps), [])
    for each in (sink, report):
        each.finish("ok", None)
    header, _, *pattern, end = events  # the second one also has the layout of the charts

    def serialised() -> Iterator[bytes]:
        began = time.time()
        for step in range(steps + 2):
            event = end if step > steps else pattern[step % len(pattern)] if step else header
            event.step, event.wall_time = step, began + step
            yield event.SerializeToString()

    path = folder / "runs" / "x" / "events.out.tfevents.1.benchmark"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        batch: list[bytes] = []
        for content in serialised():
            if batch and (len(content) != len(batch[0]) or len(batch) == BATCH):
                file.write(framed(batch))
                batch = []
            batch.append(content)
        file.write(framed(batch))
    return path.stat().st_size


def framed(contents: list[bytes]) -> bytes:
    """Events of one length as records of a TensorBoard file."""
    length = struct.pack("<Q", len(contents[0]))
    head = length + checksums(np.frombuffer(length, np.uint8)[None])[0].tobytes()
    data = np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)
    return b"".join(head + content + end.tobytes() for content, end in zip(contents, checksums(data)))


def checksums(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """TFRecord's masked CRC-32C of each of ``rows`` ``[n, bytes]``, all at once, byte by byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc ^= np.uint32(0xFFFFFFFF)
    return ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=int, default=224)
    parser.add_argument("--metrics", type=int, default=14)
    parser.add_argument("--steps", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "run")
        size = write_run(folder, args.adapters, args.metrics, args.steps)
        check = (sys.executable, "-c", "from lora_watch.cli.app import main; main()", "check")
        rows = {
            "nothing: check --help": cost(*check, "--help"),
            "check FOLDER": cost(*check, str(folder)),
            "check FOLDER --baseline": cost(*check, str(folder), "--baseline", str(folder)),
            "EventAccumulator": cost(sys.executable, "-c", ACCUMULATOR, str(folder / "runs" / "x")),
        }
    print(f"{args.adapters} adapters × {args.metrics} metrics × {args.steps:,} steps, {size / 1e6:,.0f} MB of events:")
    print(f"{'':34}{'CPU s':>8}{'wall s':>9}{'MB':>7}{'EventAccumulator ÷ it':>24}")
    for name, row in rows.items():
        ratio = rows["EventAccumulator"].cpu / row.cpu
        print(f"{name:34}{row.cpu:8.2f}{row.wall:9.2f}{row.megabytes:7.0f}{ratio:24.1f}")


if __name__ == "__main__":
    main()
