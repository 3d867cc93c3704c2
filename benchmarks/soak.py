"""Claim: a long run takes no more memory, threads or time a step at its end than before.
A run that is killed again and again has the curves and alerts of a run that was left alone.

    python benchmarks/soak.py [--steps 50000] [--kills 20]

The long run trains a very small Llama with the real Trainer and measures its own process twenty times. It measures
resident memory, CPU time a step, threads, open files, and the size of the files it wrote. SIGKILL ends the other run at
random steps; each time it resumes from its latest checkpoint. Its curves and alerts must be those of a twin that was
left alone.

The script ends with exit code 1 if a promise is broken. It needs POSIX, and reads memory and open files from Linux's
/proc.
"""

from __future__ import annotations

import gc
import math
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from lora_watch import LoraWatchCallback
from lora_watch.runs.places import find_runs
from lora_watch.runs.run import FinishedRun, read_run
from lora_watch.sinks.tensorboard import ALL_OF

LOOKS = 20
MOST_GROWTH = 5.0
"""MiB of resident memory, from the first quarter of the run to its end."""
MOST_SLOWER = 1.2
"""Median CPU time a step in the last quarter over that in the second."""
SAVE_EVERY, RESUMED_STEPS = 5, 120


class Look(NamedTuple):
    step: int
    memory: float
    """MiB of resident memory."""
    pace: float
    """Milliseconds of CPU a step since the last call, of all threads: a median."""
    threads: int
    files: int
    """Open descriptors."""
    written: float
    """MiB below the output folder."""


class Looking(TrainerCallback):
    """Looks at this process ``LOOKS`` times a run."""

    def __init__(self, folder: Path, steps: int):
        self.folder, self.every = folder, max(steps // LOOKS, 1)
        self.looks: list[Look] = []
        self._times: list[float] = []
        self._last = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.process_time()
        self._times.append(now - self._last)
        if state.global_step % self.every == 0:
            gc.collect()
            written = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.looks.append(
                Look(
                    state.global_step,
                    pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
                    1000 * statistics.median(self._times),
                    threading.active_count(),
                    len(os.listdir("/proc/self/fd")),
                    written / 2**20,
                )
            )
            self._times.clear()
        self._last = time.process_time()


class Dying(TrainerCallback):
    """Kills this process after ``step``."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def trainer_of(folder: Path, steps: int, lr: float, callbacks: list[TrainerCallback], **more: Any) -> Trainer:
    """A Llama of two blocks, 32 wide, on 64 sequences that repeat; eight optimizer steps a pass."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, max_position_embeddings=32, **sizes))
    ids = (torch.arange(64)[:, None] * torch.arange(1, 17)[None]) % 64
    settings = {
        "save_strategy": "no",
        "logging_steps": max(steps // 10, 1),
        "report_to": "tensorboard",
        "per_device_train_batch_size": 8,
    }
    args = TrainingArguments(
        str(folder), max_steps=steps, learning_rate=lr, use_cpu=True, disable_tqdm=True, seed=0, **settings | more
    )
    trainer = Trainer(
        model=get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")),
        args=args,
        train_dataset=[{"input_ids": row, "labels": row} for row in ids],  # type: ignore[arg-type]
        callbacks=[LoraWatchCallback(fail_on="never", console=False, full_every=1), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def most_written(looks: list[Look]) -> float:
    """MiB that the documentation grants a run. Each doubling of the steps adds half of the first 10,000 steps' MiB, as
    the run then writes every second, fourth, … step. Files that belong to no step add 2 %."""
    whole = [look for look in looks if look.step <= ALL_OF][-1]
    doublings = math.log2(max(looks[-1].step / ALL_OF, 1.0))
    return 1.02 * whole.written * min(looks[-1].step, ALL_OF) / whole.step * (1 + doublings / 2)


# -- one long run ------------------------------------------------------------------------------------------------------
def endure(folder: Path, steps: int) -> list[str]:
    """Prints what was seen, gives back the promises that were broken."""
    before = set(threading.enumerate())
    looking = Looking(folder, steps)
    trainer_of(folder, steps, 1e-3, [looking]).train()
    gc.collect()
    time.sleep(0.5)
    left = sorted(thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("lora_watch"))
    looks = looking.looks
    second, last = looks[len(looks) // 4 : len(looks) // 2], looks[-len(looks) // 4 :]
    growth = looks[-1].memory - second[0].memory
    slower = statistics.median(x.pace for x in last) / statistics.median(x.pace for x in second)
    print("  step   memory MiB   ms a step   threads   open files   written MiB")
    for x in looks:
        print(f"{x.step:6d}   {x.memory:10.1f}   {x.pace:9.2f}   {x.threads:7d}   {x.files:10d}   {x.written:11.2f}")
    print(f"memory grew by {growth:.1f} MiB since step {second[0].step}; a step takes {slower:.2f} times as long")
    kept = {
        f"memory grew by {growth:.1f} MiB": growth < MOST_GROWTH,
        f"steps take {slower:.2f} times as long": slower < MOST_SLOWER,
        f"{looks[-1].written:.1f} MiB were written": looks[-1].written < most_written(looks),
        "threads came or went": len({x.threads for x in second + last}) == 1,
        "open files came or went": len({x.files for x in second + last}) == 1,
        f"threads are left: {', '.join(left)}": not left,
    }
    return [broken for broken, holds in kept.items() if not holds]


# -- killed and resumed ------------------------------------------------------------------------------------------------
def resume(folder: Path, dies: int | None) -> None:
    """Train on from the latest checkpoint, in a process of its own, to the end or to the step at which it is killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            callbacks: list[TrainerCallback] = [] if dies is None else [Dying(dies)]
            saving = {"save_strategy": "steps", "save_steps": SAVE_EVERY, "save_total_limit": 2}
            trainer = trainer_of(folder, RESUMED_STEPS, 0.3, callbacks, **saving)
            trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.exists() else None)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    expected = 0 if dies is None else -signal.SIGKILL
    if os.waitstatus_to_exitcode(status) != expected:
        raise RuntimeError(f"training ended with {os.waitstatus_to_exitcode(status)}, not with {expected}")


def left_by(folder: Path) -> FinishedRun:
    (place,) = find_runs(folder)
    return read_run(place)


def survive(folder: Path, kills: int) -> list[str]:
    """Prints what was seen, gives back the promises that were broken."""
    resume(folder / "whole", None)
    deaths, at = [], 0
    draw = random.Random(0)
    for left in range(kills, 0, -1):
        at = min(at + draw.randint(1, max(2 * (RESUMED_STEPS - at) // (left + 1), 1)), RESUMED_STEPS - 1)
        resume(folder / "killed", at)
        deaths.append(at)
        last = get_last_checkpoint(str(folder / "killed"))
        at = int(Path(last).name.partition("-")[2]) if last else 0
    resume(folder / "killed", None)
    print(f"killed after steps {', '.join(map(str, deaths))} of {RESUMED_STEPS}, a checkpoint every {SAVE_EVERY}")
    whole, killed = left_by(folder / "whole"), left_by(folder / "killed")
    curves = [
        {metric: str(run.data.metric(metric)[0].values.tolist()) for metric in ("delta_norm", "b_grad_norm")}
        | {"loss": run.data.series_at("loss")}
        for run in (whole, killed)
    ]
    alerts = [[(alert.rule, alert.step, alert.closed_step) for alert in run.alerts] for run in (whole, killed)]
    print(f"{len(whole.data.steps)} steps, alerts {alerts[0]}; killed: {len(killed.data.steps)} steps, {alerts[1]}")
    kept = {
        "the runs have not ended well": whole.verdict == killed.verdict in ("ok", "unhealthy"),
        "the run that is compared has no alert": bool(alerts[0]),
        "alerts differ": alerts[0] == alerts[1],
        "steps are missing": whole.data.steps == killed.data.steps == list(range(RESUMED_STEPS + 1)),
        "curves differ": curves[0] == curves[1] and bool(curves[0]["loss"]),
    }
    return [broken for broken, holds in kept.items() if not holds]


def main(
    steps: Annotated[int, typer.Option(help="optimizer steps of the long run")] = 50_000,
    kills: Annotated[int, typer.Option(help="how often the other run is killed")] = 20,
) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        broken = survive(Path(folder), kills)  # first: a fork should copy little
        broken += endure(Path(folder) / "long", steps)
    for promise in broken:
        print(f"BROKEN: {promise}")
    raise typer.Exit(bool(broken))


if __name__ == "__main__":
    typer.run(main)
