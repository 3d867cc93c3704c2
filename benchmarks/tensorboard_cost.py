"""Claim: a step's numbers of 224 adapters × 5 metrics cost at most 6 kB and 60 µs of the training thread.

The script writes the same made-up numbers as one event a step and as one ``add_scalar`` a number, in one process. It
prints bytes and microseconds per step, the plain scalars and the alerts' counts included. "training thread" is the CPU
time of the thread that trains, and "waited" its time on the clock. "all" is the CPU time of the whole process, the
background threads counted. Under the interpreter's lock that is partly the training thread's loss as well.

    python benchmarks/tensorboard_cost.py [--adapters 224] [--metrics 5 14] [--steps 100]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from lora_watch.base.records import AdapterInfo, Reading, RunInfo, StepRecord
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink

# fmt: off
METRICS = [
    "delta_norm", "product_norm", "spectral_norm", "relative_norm", "relative_spectral_norm", "output_ratio",
    "stable_rank", "effective_rank", "a_norm", "b_norm", "a_grad_norm", "b_grad_norm",
    "predicted_norm", "scale", "effective_lr",
]
# fmt: on
STEP_SECONDS = 0.02
"""Pause between steps, in which the background thread catches up as it would while a real step computes."""


class Cost(NamedTuple):
    bytes: float
    thread_us: float
    waited_us: float
    all_us: float


def made_up_records(adapters: int, metrics: int, steps: int) -> list[StepRecord]:
    infos = tuple(
        AdapterInfo(
            f"model.layers.{i // 7}.self_attn.q_proj_{i % 7}",
            "Linear",
            i // 7,
            4096,
            4096,
            16,
            32.0,
            2.0,
            "alpha/r",
            0,
            1,
        )
        for i in range(adapters)
    )
    run = RunInfo(infos, max_steps=steps, peak_lr=(2e-4,))
    random = np.random.default_rng(0)
    return [
        StepRecord(
            run,
            step,
            {
                name: Reading(random.lognormal(size=adapters), np.ones(adapters, dtype=bool))
                for name in METRICS[:metrics]
            },
            loss=2.0,
            lr=(2e-4,),
            lr_fraction=step / steps,
            overhead=0.01,
            scalars={"loss_spike_score": 0.5},
        )
        for step in range(1, steps + 1)
    ]


def cost(write: Callable[[StepRecord], Any], flush: Callable[[], Any], records: list[StepRecord], folder: Path) -> Cost:
    flush()
    size, cpu, thread, waited = _size(folder), time.process_time(), 0.0, []
    for record in records:
        busy, began = time.thread_time(), time.perf_counter()
        write(record)
        waited.append(time.perf_counter() - began)
        thread += time.thread_time() - busy
        time.sleep(STEP_SECONDS)
    flush()
    n = len(records)
    return Cost(
        (_size(folder) - size) / n,
        thread / n * 1e6,
        sorted(waited)[n // 2] * 1e6,
        (time.process_time() - cpu) / n * 1e6,
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=int, default=224)
    parser.add_argument("--metrics", type=int, nargs="+", default=[5, 14])
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    for metrics in args.metrics:
        compare(made_up_records(args.adapters, metrics, args.steps))


def compare(records: list[StepRecord]) -> None:
    run = records[0].run
    with tempfile.TemporaryDirectory() as root:
        shared = SummaryWriter(f"{root}/vectors")
        sink = TensorBoardSink(lambda: shared)
        sink.start(run, 0)
        sink.write(records[0], [])  # the layout of the charts is written once
        ours = cost(lambda record: sink.write(record, []), sink._settle, records, Path(root, "vectors"))
        sink.finish("ok", None)
        shared.close()

        plain = SummaryWriter(f"{root}/scalars")

        def one_by_one(record: StepRecord) -> None:
            for metric, reading in record.metrics.items():
                for name, value in zip(run.names, reading.values):
                    plain.add_scalar(f"{metric}/{name}", value, record.step)

        theirs = cost(one_by_one, plain.flush, records, Path(root, "scalars"))
        plain.close()

        report = ReportSink(f"{root}/report")
        report.start(run, 0)
        kept = cost(lambda record: report.write(record, []), lambda: None, records, Path(root, "report"))
        began = time.perf_counter()
        report.finish("ok", None)
        whole_report = time.perf_counter() - began
        report_bytes = Path(root, "report", "report.json").stat().st_size

    print(f"\n{len(run.adapters)} adapters × {len(records[0].metrics)} metrics, {len(records)} steps, per step:")
    print(f"{'':18}{'bytes':>10}{'µs CPU, training thread':>26}{'µs waited, median':>20}{'µs CPU, all':>14}")
    for name, (size, *times) in (("TensorBoardSink", ours), ("add_scalar each", theirs)):
        print(f"{name:18}{size:10,.0f}{times[0]:26,.0f}{times[1]:20,.0f}{times[2]:14,.0f}")
    size, *times = (there / here for here, there in zip(ours, theirs))
    print(f"{'how many times':18}{size:10,.1f}{times[0]:26,.0f}{times[1]:20,.0f}{times[2]:14,.0f}")
    print(
        f"ReportSink: {kept.thread_us:,.0f} µs a step; report.json {report_bytes:,} bytes, {whole_report * 1e3:.0f} ms"
    )


if __name__ == "__main__":
    main()
