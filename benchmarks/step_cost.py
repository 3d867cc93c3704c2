"""The script measures the whole step from outside: the CPU time of a monitored run over that of its unmonitored twin.

The aim after 20 steps is 1.04 times for steps of 40 ms, and 1.015 times for steps of 120 ms.

    python benchmarks/step_cost.py [--steps 120] [--quick]

Two processes train the same model with the real Trainer, one of them with LoraWatchCallback. They take turns, step by
step, so that other work on the machine meets both alike. A step counts all the CPU time of its process, all threads and
the writing of events included: that is the outside figure. The run's own figure is ``overhead_after_start`` of its last
record. The clock that the monitor reads is the process's CPU time too, which stands still while the twin trains.

Plain steps have no full measurement. Their cost is the median difference between the twins, step against step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

START = 20
"""Steps that are measured in full whatever they cost."""


class Size(NamedTuple):
    """A training: Llama blocks of 7 adapters each, sequences a batch, tokens a sequence."""

    blocks: int
    batch: int
    length: int


SIZES = Size(4, 4, 64), Size(4, 8, 128), Size(4, 24, 128), Size(32, 4, 64)


class Step(NamedTuple):
    """One step of one twin, as its process reports it."""

    cpu: float
    """Seconds, all threads."""
    kind: str
    """``full``, ``norms`` or ``plain``: what was measured."""
    own: float | None
    """The run's own figure after it."""


def train(size: Size, steps: int, monitored: bool) -> None:
    """A twin's process: a step for each line of its input, and a line of its output after it."""
    time.perf_counter = time.process_time
    import torch
    from transformers import TrainerCallback

    from lora_watch import LoraWatchCallback
    from lora_watch.demo import models, texts
    from lora_watch.demo.runs import build_trainer
    from lora_watch.demo.tasks import Score, Setup, Task, mean_loss

    torch.set_num_threads(1)
    callback = LoraWatchCallback(fail_on="never", console=False) if monitored else None
    begun: list[float] = []

    def report() -> None:
        now = time.process_time()
        if begun:
            last = callback.monitor.last if callback is not None and callback.monitor is not None else None
            metrics = last.metrics if last is not None else {}
            kind = "full" if "output_ratio" in metrics else "norms" if "a_norm" in metrics else "plain"
            own = last.overhead_after_start if last is not None else None
            print(json.dumps(Step(now - begun.pop(), kind, own)), flush=True)
        begun.append(now)

    class Turns(TrainerCallback):
        """Stands before the monitor's callback: a turn begins before it sees the step."""

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            report()
            sys.stdin.readline()

    def load() -> Any:
        model, _ = models.tiny_llama()
        if size.blocks == model.config.num_hidden_layers:
            return model
        model.config.num_hidden_layers = size.blocks
        return type(model)(model.config)

    tokenizer = models.tiny_llama()[1]
    text = texts.blocks(texts.stdlib_text(), tokenizer, (steps + 1) * size.batch, size.length)
    healthy = Setup("healthy", 16, 5e-4)
    score = Score("loss", mean_loss)
    task = Task("", load, text, text[:1], score, healthy, healthy, steps + 1, size.batch)
    with tempfile.TemporaryDirectory() as folder:
        twins = [Turns(), *([callback] if callback is not None else [])]
        build_trainer(task, healthy, Path(folder), twins).train()


@contextmanager
def twin(size: Size, steps: int, monitored: bool) -> Iterator[Callable[[], Step]]:
    """A process that trains; the function has it make one step."""
    command = [sys.executable, __file__, "--twin", json.dumps([*size, steps, monitored])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        command, env=os.environ | threads, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        to, back = process.stdin, process.stdout
        assert to is not None
        assert back is not None

        def step() -> Step:
            to.write("\n")
            to.flush()
            while not (line := back.readline()).startswith("["):
                if not line:
                    raise SystemExit("a twin ended early")
            return Step(*json.loads(line))

        yield step
        to.write("\n")  # the last one, which nobody times


def compare(size: Size, steps: int) -> str:
    """One row of the table."""
    pairs: list[tuple[Step, Step]] = []
    with twin(size, steps, True) as monitored, twin(size, steps, False) as bare:
        for number in range(steps):
            order = (monitored, bare) if number % 2 else (bare, monitored)
            took = {step: step() for step in order}
            pairs.append((took[monitored], took[bare]))
    first, rest = pairs[:START], pairs[START:]
    own = rest[-1][0].own

    def ratio(steps: list[tuple[Step, Step]]) -> float:
        return sum(w.cpu for w, _ in steps) / sum(b.cpu for _, b in steps)

    def more(kind: str) -> str:
        found = [w.cpu - b.cpu for w, b in rest if w.kind == kind]
        return f"{1e3 * statistics.median(found):5.2f}" if found else "    –"

    full = sum(w.kind == "full" for w, _ in rest)
    unmonitored = 1e3 * statistics.median(b.cpu for _, b in pairs)
    return (
        f"{7 * size.blocks:8d}  {size.batch:2d} × {size.length:3d}  {unmonitored:8.1f} ms"
        f"  × {ratio(pairs):5.3f}  × {ratio(first):5.3f}  × {ratio(rest):5.3f}  × {1 + (own or 0.0):5.3f}"
        f"  {more('plain')} ms  {more('norms')} ms  {more('full')} ms ({full} of {len(rest)})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120, help="optimizer steps of each twin")
    parser.add_argument("--quick", action="store_true", help="the smallest training alone")
    parser.add_argument("--only", type=int, help="one row, counted from 0")
    parser.add_argument("--twin", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.twin:
        blocks, batch, length, steps, monitored = json.loads(options.twin)
        return train(Size(blocks, batch, length), steps, monitored)
    sizes = SIZES[:1] if options.quick else SIZES if options.only is None else [SIZES[options.only]]
    print("adapters   tokens  unmonitored    whole   first 20    after       own   a step: plain     norms      full")
    for size in sizes:
        print(compare(size, options.steps), flush=True)


if __name__ == "__main__":
    main()
