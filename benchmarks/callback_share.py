"""What watching costs a real training run: the share of a step spent in the callback, and two whole runs.

    python benchmarks/callback_share.py [--model tiny|minilm|smollm2] [--steps 40]

Trains the demo's model with the real Trainer, with and without LoraWatchCallback in alternation, on one thread. The
share is the time spent inside the callback (hooks in the forward pass, loss tap and every event counted) over the
wall time of the same run, so it does not depend on how busy the machine is; the whole runs are compared in process
CPU time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from lora_watch import LoraWatchCallback
from lora_watch.demo.runs import build_trainer
from lora_watch.demo.tasks import TASKS, Task


def run(task: Task, steps: int, monitored: bool) -> tuple[float, float]:
    """``(CPU seconds of training, share of the wall time in the callback)``."""
    with tempfile.TemporaryDirectory() as folder:
        callback = LoraWatchCallback(fail_on="never", console=False)
        trainer = build_trainer(task, task.healthy, Path(folder), [callback] if monitored else [], max_steps=steps)
        began = time.process_time()
        trainer.train()
        seconds = time.process_time() - began
        return seconds, callback.monitor.overhead if callback.monitor else 0.0


def main(
    model: Annotated[str, typer.Option(help="tiny (packaged), minilm or smollm2")] = "tiny",
    steps: Annotated[int, typer.Option(help="optimizer steps of each run")] = 40,
    pairs: Annotated[int, typer.Option(help="how many runs of each kind")] = 3,
) -> None:
    torch.set_num_threads(1)
    task = TASKS[model](False)
    run(task, 3, monitored=True)  # caches
    plain, monitored, shares = [], [], []
    for _ in range(pairs):
        plain.append(run(task, steps, monitored=False)[0])
        seconds, share = run(task, steps, monitored=True)
        monitored.append(seconds)
        shares.append(share)
    step = statistics.median(plain) / steps
    ratio = statistics.median(w / p for w, p in zip(monitored, plain))
    print(f"{model}: {steps} steps, {1000 * step:.0f} ms of CPU a step without the callback")
    print(f"share of a step spent in the callback: {100 * statistics.median(shares):.2f} %")
    print(f"whole run with / without: {ratio:.3f} (median of {pairs} pairs, CPU time)")


if __name__ == "__main__":
    typer.run(main)
