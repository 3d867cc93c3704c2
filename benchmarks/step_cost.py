"""The script measures the whole step from outside: the CPU time of a monitored run over that of its unmonitored twin.

The aim after 20 steps is 1.04 times for steps of 40 ms, and 1.015 times for steps of 120 ms. On two ranks it is 1.03
times for steps of 250 ms.

    python benchmarks/step_cost.py [--steps 100] [--quick] [--only ROW] [--noise]

With ``--noise`` neither twin is monitored: by so much the ratios differ for other reasons.

Two twins train the same model, and one of them is monitored. One process uses LoraWatchCallback in the real Trainer.
Two gloo ranks use Monitor in a plain loop under DDP, FSDP2 or tensor parallelism. The twins take turns, step by step,
so that other work on the machine meets both alike. A step counts all the CPU time of its processes, all threads and the
writing of events included: that is the outside figure.
The run's own figure is ``overhead`` of its last record, the first steps included. The clock that the monitor reads is
the process's CPU time too, which stands still while the twin trains.

glibc keeps freed memory or gives it back, as the heap happens to lie. A step of 900 ms differed by 150 ms for that
reason alone, and the monitored twin was the faster one. So both twins keep their memory (``MALLOC``).

The cost of a step on the thread that trains is the median difference between the twins, step against step. Each kind of
step has its own: plain, with norms, measured in full, or with losses that rules have asked for (LW104 does once in each
run). Other threads work in bursts, which no median shows: of theirs the differences of all steps are added up
(``threads``, a step). A ratio adds up all of it.
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
"""Steps that are measured in full."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
"""For glibc: take memory from the heap, and do not give it back."""

PARTING = 30
"""Seconds that a twin has to end in."""


class Size(NamedTuple):
    """A training: Llama blocks of 7 adapters each, sequences a batch and rank, tokens a sequence."""

    blocks: int
    batch: int
    length: int
    way: str = "Trainer"


SIZES = (
    *(Size(4, 4, 64), Size(4, 8, 128), Size(4, 24, 128), Size(32, 4, 64)),
    *(Size(4, 8, 128, "DDP"), Size(4, 8, 128, "FSDP2"), Size(4, 8, 128, "TP")),
)


KINDS = ("plain", "norms", "full", "compared")


class Step(NamedTuple):
    """One step of one twin, as its processes report it."""

    cpu: float
    """Seconds of the thread that trains, on all ranks."""
    threads: float
    """Seconds of all other threads of these processes."""
    kind: str
    """``plain``, ``norms``, ``full`` or ``compared``: what was measured."""
    own: float | None
    """The run's own figure after it."""


class Turns:
    """A twin's steps: one for each line of its input, and a line of its output after it.

    Args:
        monitor: the monitor, as soon as there is one.
        ranks: the twin's processes.
    """

    def __init__(self, monitor: Callable[[], Any], ranks: int = 1):
        self._monitor, self._ranks = monitor, ranks
        self._began: float | None = None
        self._threads = 0.0
        """CPU time of all other threads at the latest report. They work on while the twin waits for its turn."""

    def next(self) -> None:
        """A step is over, and the next one may begin."""
        own, threads = time.thread_time(), time.process_time() - time.thread_time()
        if self._began is not None:
            self._report(own - self._began, threads - self._threads)
        self._threads = threads
        self._wait()
        self._began = time.thread_time()

    def _report(self, cpu: float, threads: float) -> None:
        import torch

        first = True
        if self._ranks > 1:
            total = torch.tensor([cpu, threads], dtype=torch.float64)
            torch.distributed.all_reduce(total)
            (cpu, threads), first = total.tolist(), torch.distributed.get_rank() == 0
        monitor = self._monitor()
        last = monitor.last if monitor is not None else None
        metrics = last.metrics if last is not None else {}
        kind = "full" if "output_ratio" in metrics else "norms" if "a_norm" in metrics else "plain"
        if last is not None and not {"end_loss", "base_loss"}.isdisjoint(last.scalars):
            kind = "compared"
        if first:
            own = last.overhead if last is not None else None
            print(json.dumps(Step(cpu, threads, kind, own)), flush=True)

    def _wait(self) -> None:
        import torch

        if self._ranks == 1 or torch.distributed.get_rank() == 0:
            sys.stdin.readline()
        if self._ranks > 1:
            torch.distributed.barrier()


def load(size: Size) -> Any:
    """The packaged Llama, with as many blocks."""
    from lora_watch.demo import models

    model, _ = models.tiny_llama()
    if size.blocks == model.config.num_hidden_layers:
        return model
    model.config.num_hidden_layers = size.blocks
    return type(model)(model.config)


def train(size: Size, steps: int, monitored: bool) -> None:
    """A twin's process."""
    time.perf_counter = time.process_time
    import torch

    from lora_watch.demo import models, texts

    torch.set_num_threads(1)
    tokenizer = models.tiny_llama()[1]
    text = texts.blocks(texts.stdlib_text(), tokenizer, (steps + 1) * size.batch, size.length)
    drive = in_trainer if size.way == "Trainer" else on_ranks
    with tempfile.TemporaryDirectory() as folder:
        drive(size, steps, monitored, text, Path(folder))


def in_trainer(size: Size, steps: int, monitored: bool, text: Any, folder: Path) -> None:
    """The real Trainer."""
    from transformers import TrainerCallback

    from lora_watch import LoraWatchCallback
    from lora_watch.demo.runs import build_trainer
    from lora_watch.demo.tasks import Setup, Task

    callback = LoraWatchCallback(fail_on="never", console=False) if monitored else None
    turns = Turns(lambda: callback.monitor if callback is not None else None)

    class Begins(TrainerCallback):
        """Stands before the monitor's callback: a turn begins before it sees the step."""

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            turns.next()

    healthy = Setup("healthy", 16, 5e-4)
    task = Task("", lambda: load(size), text, text[:1], steps + 1, size.batch)
    build_trainer(task, healthy, folder, [Begins(), *([callback] if callback is not None else [])]).train()


def on_ranks(size: Size, steps: int, monitored: bool, text: Any, folder: Path) -> None:
    """A plain loop on the ranks that torchrun has started."""
    import torch
    from peft import LoraConfig, get_peft_model

    from lora_watch import Monitor

    torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(load(size), lora).train()
    model = spread(model, size.way)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-4, foreach=size.way != "TP")
    shared = [str(folder)]
    torch.distributed.broadcast_object_list(shared)  # the first rank writes, into its own folder
    monitor = Monitor(model, optimizer, output_dir=shared[0], console=False) if monitored else None
    turns = Turns(lambda: monitor, torch.distributed.get_world_size())
    for step in range(steps + 1):
        turns.next()
        batch = torch.stack([torch.as_tensor(row["input_ids"]) for row in text[step * size.batch :][: size.batch]])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        if size.way != "TP":  # torch clips no mixture of DTensors and plain ones
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if monitor is not None:
            monitor.step(loss)
        optimizer.zero_grad()
    torch.distributed.destroy_process_group()


def spread(model: Any, way: str) -> Any:
    """Over the ranks, each of them whole (DDP), in shards (FSDP2), or the MLPs alone in slices (TP)."""
    import torch
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    if way == "DDP":
        return torch.nn.parallel.DistributedDataParallel(model)
    blocks = model.get_base_model().model.layers
    if way == "FSDP2":
        for block in blocks:
            torch.distributed.fsdp.fully_shard(block)
        return torch.distributed.fsdp.fully_shard(model)
    mesh = torch.distributed.init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for block in blocks:
        for part in (block.mlp.gate_proj, block.mlp.up_proj):
            parallelize_module(part, mesh, {"base_layer": ColwiseParallel(), "lora_B.default": ColwiseParallel()})
        plan = {"base_layer": RowwiseParallel(), "lora_A.default": RowwiseParallel()}
        parallelize_module(block.mlp.down_proj, mesh, plan)
    return model


@contextmanager
def twin(size: Size, steps: int, monitored: bool) -> Iterator[Callable[[], Step]]:
    """Processes that train; the function has them make one step."""
    launcher = [] if size.way == "Trainer" else ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *launcher, __file__, "--twin", json.dumps([*size, steps, monitored])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        command, env=os.environ | threads | MALLOC, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
        to.flush()
        try:
            process.wait(PARTING)
        except subprocess.TimeoutExpired:  # gloo's ranks hang at times when they part, monitored or not
            process.terminate()


def compare(size: Size, steps: int, noise: bool = False) -> str:
    """One row of the table."""
    pairs: list[tuple[Step, Step]] = []
    with twin(size, steps, not noise) as monitored, twin(size, steps, False) as bare:
        for number in range(steps):
            order = (monitored, bare) if number % 2 else (bare, monitored)
            took = {step: step() for step in order}
            pairs.append((took[monitored], took[bare]))
    first, rest = pairs[:START], pairs[START:]
    own = rest[-1][0].own

    def more(steps: list[tuple[Step, Step]], kind: str) -> tuple[float, int]:
        found = [w.cpu - b.cpu for w, b in steps if w.kind == kind]
        return (statistics.median(found) if found else 0.0), len(found)

    def of_threads(steps: list[tuple[Step, Step]]) -> float:
        return sum(w.threads - b.threads for w, b in steps)

    def ratio(steps: list[tuple[Step, Step]]) -> float:
        costs = sum(cost * times for cost, times in (more(steps, kind) for kind in KINDS)) + of_threads(steps)
        return 1.0 + costs / sum(b.cpu + b.threads for _, b in steps)

    def shown(kind: str) -> str:
        cost, times = more(pairs if kind == "compared" else rest, kind)
        return f"{1e3 * cost:6.2f} ms ({times:3d})" if times else "       –       "

    unmonitored = 1e3 * statistics.median(b.cpu + b.threads for _, b in pairs)
    return (
        f"{size.way:7s} {7 * size.blocks:8d}  {size.batch:2d} × {size.length:3d}  {unmonitored:8.1f} ms"
        f"  × {ratio(pairs):5.3f}  × {ratio(first):5.3f}  × {ratio(rest):5.3f}  × {1 + (own or 0.0):5.3f}"
        f"  {'  '.join(map(shown, KINDS))}  {1e3 * of_threads(rest) / len(rest):6.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps of each twin")
    parser.add_argument("--quick", action="store_true", help="the smallest training alone")
    parser.add_argument("--only", type=int, help="one row, counted from 0")
    parser.add_argument("--noise", action="store_true", help="two twins without a monitor")
    parser.add_argument("--twin", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.twin:
        *size, steps, monitored = json.loads(options.twin)
        return train(Size(*size), steps, monitored)
    sizes = SIZES[:1] if options.quick else SIZES if options.only is None else [SIZES[options.only]]
    print(
        "driver  adapters   tokens  unmonitored    whole   first 20    after       own"
        "   a step after these: plain       norms             full         compared (once)   threads"
    )
    for size in sizes:
        print(compare(size, options.steps, options.noise), flush=True)


if __name__ == "__main__":
    main()
