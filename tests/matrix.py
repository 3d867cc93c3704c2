"""What works where: every way, trainer and tracker tried with real processes and packages, as a page of the docs.

    python -m tests.matrix                        all rows that this machine can run; writes docs/matrix.md
    python -m tests.matrix --python /other/python --only zero2 diffusers  rows that another interpreter can run

A row that is not run keeps its numbers of the last time, which stand in docs/matrix.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEPT, PAGE = ROOT / "docs" / "matrix.json", ROOT / "docs" / "matrix.md"

WAYS: dict[str, tuple[str, int]] = {
    "one process": ("one process, plain loop", 1),
    "ddp": ("DDP", 2),
    "ddp-3": ("DDP", 3),
    "fsdp2": ("FSDP2", 2),
    "fsdp2-3": ("FSDP2", 3),
    "fsdp2-dora": ("FSDP2, DoRA, `drift=True`", 2),
    "fsdp2-bf16": ("FSDP2, bf16 in the forward pass", 2),
    "fsdp2-offloaded": ("FSDP2, CPU offload", 2),
    "fsdp1-orig": ("FSDP1, `use_orig_params=True`", 2),
    "fsdp1-flat": ("FSDP1, `use_orig_params=False`", 2),
    "fsdp2-trainer": ("FSDP2, Trainer", 2),
    "zero1": ("ZeRO-1, Trainer", 2),
    "zero2": ("ZeRO-2, Trainer", 2),
    "zero3": ("ZeRO-3, Trainer", 2),
    "tensor-parallel": ("tensor parallelism of the MLPs", 2),
    "context-parallel": ("context parallelism over FSDP2, keys and values gathered", 2),
}
"""By the name that ``tests.sharding.ways`` knows: what the page calls it, and on how many ranks."""

LAST_GOOD = ("ddp", "fsdp2", "fsdp2-3", "fsdp2-trainer", "fsdp1-orig", "zero2", "zero3", "tensor-parallel")
"""Ways that also run into a NaN, to see what is left in last_good/."""

PACKAGES: dict[str, tuple[str, str]] = {
    "Trainer on two ranks: NaN on one, an explosion that one sees": (
        "transformers",
        "tests/trainer/test_distributed.py",
    ),
    "`Monitor` in a plain loop": ("torch", "tests/monitor/test_plain_loop.py"),
    "compiled models, fused kernels": ("torch", "tests/monitor/test_hooks_unseen.py"),
    "accelerate": ("accelerate", "tests/integrations/test_accelerate.py"),
    "Lightning": ("lightning", "tests/integrations/test_lightning.py"),
    "Axolotl, its plugin manager and configuration": ("axolotl", "tests/integrations/test_axolotl.py"),
    "LLaMA-Factory, `run_exp`": ("llamafactory", "tests/integrations/test_llamafactory.py"),
    "sentence-transformers": ("sentence-transformers", "tests/integrations/test_elsewhere.py -k sentence"),
    "diffusers": ("diffusers", "tests/integrations/test_elsewhere.py -k unet"),
    "Seq2Seq, SFT packed and completions only, KTO, ORPO, CPO, Reward": ("trl", "tests/trainer/test_trainers.py"),
    "SFT": ("trl", "tests/trainer/test_loss.py -k sft_trainer"),
    "TRL's own script": ("trl", "tests/trainer/test_run.py -k trls_own_script"),
    "W&B, MLflow, Trackio, webhook": ("wandb", "tests/sinks/test_trackers.py"),
    "TensorBoard": ("tensorboard", "tests/sinks/test_trainer.py"),
}
"""What else is tried: a package, and the tests that do it."""

NOT_RUN = """\
- NCCL, any GPU, more than three ranks.
- Several machines.
- `torch.distributed.tensor.experimental.context_parallel`, which has no attention for a CPU. In the row above
  each rank gathers the keys and values of all.
- Pipeline parallelism, FSDP and ZeRO over quantised weights, ZeRO with offloading, Unsloth.
- Axolotl's own training command.
- Comet, SwanLab, ClearML, Neptune.

Two notes on the rows that were run:

- FSDP2 through the Trainer was run with accelerate told that it may shard on a CPU.
- The test of a restart brings a store of its own. After torchrun's `--max-restarts`, torch 2.13 waits for the
  dead rank if gloo uses the launcher's store.

`benchmarks/rank_cost.py` computes the cost of a step on up to 512 ranks and with 405 billion parameters.
These were not run."""


def ways(names: Sequence[str], python: str) -> dict[str, Any]:
    """Rows of ``tests.sharding.ways``, those on as many ranks from one start; with what ``LAST_GOOD`` leaves."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        loads = {}
        for ranks, zero in sorted({(WAYS[name][1], "zero" in name) for name in names}):
            same = [name for name in names if (WAYS[name][1], "zero" in name) == (ranks, zero)]
            group = [*same, *(f"kept-{name}" for name in same if name in LAST_GOOD)]
            start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
            command = [python, *start, "-m", "tests.sharding.ways", folder, *group]
            env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
            loads |= dict.fromkeys(same, os.getloadavg()[0])
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                print(done.stderr[-2000:], file=sys.stderr)
        for name in names:
            file, left = Path(folder, f"{name}.json"), Path(folder, f"kept-{name}.json")
            if file.exists():
                result = json.loads(left.read_text()) if left.exists() else None
                rows[name] = json.loads(file.read_text()) | {
                    "date": today(),
                    "load": loads[name],
                    "last_good": result,
                }
    return rows


def packages(names: Sequence[str], python: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What the tests of each say; not of a package that is missing, where it was there before."""
    rows = {}
    for name in names:
        package, tests = PACKAGES[name]
        ask = f"from importlib import metadata; print(metadata.version({package!r}))"
        version = subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip() or None
        if version is None and name in kept:
            continue
        command = [python, "-m", "pytest", "-o", "addopts=", "-q", *tests.split()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        says = re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout.strip().rpartition("\n")[2])
        rows[name] = {"says": {what: int(n) for n, what in says}, "version": version, "date": today()}
    return rows


def today() -> str:
    return str(datetime.datetime.now(datetime.timezone.utc).date())


def page(kept: Mapping[str, Any]) -> str:
    versions = {k: v for row in kept["ways"].values() for k, v in row["versions"].items() if k != "lora-watch"}
    named = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()) if package != "numpy")
    loads = [row["load"] for row in kept["ways"].values() if "load" in row]
    load = f" The load average at\n  the start was {min(loads):.1f} to {max(loads):.1f}." if loads else ""
    lines = [HEAD.format(versions=named, load=load), *(_way(name, kept["ways"].get(name)) for name in WAYS)]
    lines += [PACKAGE_HEAD, *(_package(name, kept["packages"].get(name)) for name in PACKAGES)]
    return "\n".join(lines) + f"\n\n## Not run\n\n{NOT_RUN}\n"


def _way(name: str, row: Mapping[str, Any] | None) -> str:
    description, ranks = WAYS[name]
    if row is None:
        return f"| {description} | {ranks} | not run | | | | | |"
    most = max(row["known"].values(), default=0) or 1
    unknown = [f"`{metric}`" for metric, n in row["known"].items() if n == 0]
    partly = [f"`{metric}` of {most - n}" for metric, n in row["known"].items() if 0 < n < most]
    error = "unknown" if row["error"] is None else f"{row['error']:.0e}"
    same = "the same bits" if row["same"] else "**differ**"
    all_of_it = "everything" if len(unknown) == len(row["known"]) else ", ".join([*unknown, *partly]) or "nothing"
    cost = f"{row['ms_ours']:.1f} of {row['ms']:.0f}"
    left = _left(row.get("last_good"))
    return f"| {description} | {ranks} | {row['verdict']} | {error} | {all_of_it} | {same} | {left} | {cost} |"


def _left(runs: Mapping[str, Any] | None) -> str:
    """Of the adapter in last_good/."""
    if runs is None:
        return ""
    if all(run["step"] is None for run in runs.values()):
        return "not kept"
    return "the same bits" if all(run.get("same") for run in runs.values()) else "**differs**"


def _package(name: str, row: Mapping[str, Any] | None) -> str:
    package, tests = PACKAGES[name]
    if row is None:
        return f"| {name} | not run | | `{tests}` |"
    says = ", ".join(f"{n} {what}" for what, n in row["says"].items()) or "**did not start**"
    return f"| {name} | {says} | {package} {row['version'] or '(not installed)'} | `{tests}` |"


HEAD = """# What works where

`python -m tests.matrix` makes this page from real processes, with gloo on a CPU of two cores. Versions:
{versions}.
The packaged model with 28 adapters takes ten steps (32 with DoRA) without and with a monitor.

## Ways to spread a model over ranks

- *Error*: the worst error of ‖ΔW‖ over the adapters, against the product of the whole matrices in float64.
- *Unknown*: the metrics that the report has no number for.
- *Losses*: those with a monitor, against those without.
- *Last good*: the adapter that a run ended by a NaN leaves in `last_good/`, as PEFT loads it. It is compared with the
  parameters after its step.
- *Norms* are measured at every step; after the first 20 at every fourth where each factor takes a collective of its own
  (ZeRO-3, columns that tensor parallelism cuts). FSDP2 takes one for all (`rank_cost.py`).
- *Cost*: milliseconds of a step spent in the monitor, and of a step, the least of ten. All are measured in full.{load}

| way | ranks | verdict | error | unknown | losses | last good | cost |
|---|---|---|---|---|---|---|---|"""

PACKAGE_HEAD = """
If everything is unknown, the run's verdict is `unknown`, and `lora-watch check` exits with 2.

## Trainers, loops and trackers

| what | its tests say | version | tests |
|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the rows")
    parser.add_argument("--only", nargs="+", help="names of rows")
    parser.add_argument("--packages", action=argparse.BooleanOptionalAction, default=True, help="the second table, too")
    chosen = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"ways": {}, "packages": {}}
    only = chosen.only or [*WAYS, *(PACKAGES if chosen.packages else ())]
    if unknown := set(only) - {*WAYS, *PACKAGES}:
        parser.error(f"no rows are called {', '.join(sorted(unknown))}")
    kept["ways"] |= ways([name for name in WAYS if name in only], chosen.python)
    kept["packages"] |= packages([name for name in PACKAGES if name in only], chosen.python, kept["packages"])
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
