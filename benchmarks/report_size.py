"""Claim: ``lora-watch report`` draws 224 adapters × 14 metrics × 10,000 steps into one file of at most 1.5 MB, in 3 s.

Writes such a run with the sinks of every run (made-up numbers, some 140 MB, once), and makes its page. Prints seconds
of one core, those that passed, and the bytes of the page. The command includes Python's start and its imports.

    python benchmarks/report_size.py DIRECTORY [--adapters 224] [--steps 10000] [--rounds 3] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lora_watch.base.records import AdapterInfo, Reading, RunInfo, StepRecord
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink
from lora_watch.tensorboard_plugin.page.writing import write_page

METRICS = (
    "scale", "product_norm", "delta_norm", "spectral_norm", "relative_norm", "relative_spectral_norm", "stable_rank",
    "effective_rank", "output_ratio", "a_norm", "b_norm", "a_grad_norm", "b_grad_norm", "effective_lr",
)  # fmt: skip
TYPES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK = 16


def write(folder: Path, adapters: int, steps: int) -> None:
    infos = tuple(
        AdapterInfo(
            f"model.layers.{i // 7}.{TYPES[i % 7]}", "Linear", i // 7, 4096, 4096, RANK, 32.0, 2.0, "alpha/r", 0, 1
        )
        for i in range(adapters)
    )
    random = np.random.default_rng(0)
    level = np.exp(random.normal(0, 0.4, adapters))
    known = np.ones(adapters, dtype=bool)
    run = RunInfo(infos, max_steps=steps, peak_lr=(2e-4,))
    sinks = [ReportSink(folder / "lora_watch"), TensorBoardSink(folder / "runs" / "one")]
    for sink in sinks:
        sink.start(run, 0)
    for step in range(1, steps + 1):
        size = level * 0.5 * step / (step + steps / 5)
        metrics = {
            name: Reading(np.full(adapters, 2.0) if name == "scale" else size * noise, known)
            for name, noise in zip(METRICS, np.exp(random.normal(0, 0.05, (len(METRICS), adapters))))
        }
        loss = 2 + 3 * float(np.exp(-5 * step / steps)) + float(random.normal(0, 0.1))
        scalars = {"loss_start": 5.0, "loss_recent": loss}
        record = StepRecord(run, step, metrics, loss=loss, lr=(2e-4,), overhead=0.01, scalars=scalars, size=0.2)
        for sink in sinks:
            sink.write(record, [])
    for sink in sinks:
        sink.finish("ok", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--adapters", type=int, default=224)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    run, page = options.directory / "run", options.directory / "report.html"
    if not run.exists():
        began = time.monotonic()
        write(run, options.adapters, options.steps)
        print(f"wrote the run in {time.monotonic() - began:.0f} s")
    if options.profile:
        with cProfile.Profile() as profile:
            write_page([run], page)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    command = [sys.executable, "-m", "lora_watch", "report", str(run), "-o", str(page)]
    for _ in range(options.rounds):
        wall, before = time.monotonic(), os.times()
        subprocess.run(command, check=True, capture_output=True)
        after, passed = os.times(), time.monotonic() - wall
        core = sum(after[2:4]) - sum(before[2:4])  # of children: user and system
        print(f"lora-watch report: {core:.1f} s of one core ({passed:.1f} s passed)")
    print(f"{page.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
