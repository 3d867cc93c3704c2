"""What works where: every way, trainer and tracker tried with real processes and packages, as a page of the docs.

    python docs/matrix.py                        all rows that this machine can run; writes the table of docs/matrix.md
    python docs/matrix.py --only                 the table alone, from what is kept
    python docs/matrix.py --python /other/python --only zero2 diffusers  rows that another interpreter can run

A row that is not run keeps its numbers of the last time, which stand in docs/matrix.json.
"""

import argparse
import datetime
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEPT, PAGE = ROOT / "docs" / "matrix.json", ROOT / "docs" / "matrix.md"

WAYS: dict[str, tuple[str, int]] = {
    "one process": ("one process", 1),
    "ddp": ("DDP", 2),
    "ddp-3": ("DDP", 3),
    "fsdp2": ("FSDP2", 2),
    "fsdp2-3": ("FSDP2", 3),
    "fsdp2-dora": ("FSDP2, DoRA", 2),
    "fsdp2-bf16": ("FSDP2, bf16", 2),
    "fsdp2-offloaded": ("FSDP2, CPU offload", 2),
    "fsdp1-orig": ("FSDP1, `use_orig_params=True`", 2),
    "fsdp1-flat": ("FSDP1, `use_orig_params=False`", 2),
    "fsdp2-trainer": ("FSDP2, Trainer", 2),
    "zero1": ("ZeRO-1, Trainer", 2),
    "zero2": ("ZeRO-2, Trainer", 2),
    "zero3": ("ZeRO-3, Trainer", 2),
    "tensor-parallel": ("tensor parallelism of the MLPs", 2),
    "context-parallel": ("context parallelism over FSDP2", 2),
}
"""By the name that ``tests.sharding.ways`` knows: what the page calls it, and on how many ranks."""

ONE, SEVERAL, NEVER = "tried in one process", "tried in several", "never run"

LAST_GOOD = ("ddp", "fsdp2", "fsdp2-3", "fsdp2-trainer", "fsdp1-orig", "zero2", "zero3", "tensor-parallel")
"""Ways that also run into a NaN, to see what is left in last_good/."""

SPREAD = ("zero3", "context-parallel")
"""Ways without last_good/ by the callback's own check (the adapters are spread over ranks): no run shows it."""

PACKAGES: dict[str, tuple[str, str, str]] = {
    "`Trainer`": (SEVERAL, "transformers", "tests/trainer/test_distributed.py"),
    "a plain loop (`Monitor`)": (SEVERAL, "torch", "tests/monitor/test_plain_loop.py"),
    "Lightning": (SEVERAL, "lightning", "tests/integrations/test_lightning.py"),
    "a loop of accelerate": (ONE, "accelerate", "tests/integrations/test_accelerate.py"),
    "TRL: SFT, DPO, KTO, ORPO, CPO, reward, GRPO, RLOO; `Seq2SeqTrainer`": (
        ONE,
        "trl",
        "tests/trainer/test_trainers.py tests/trainer/test_loss.py::test_sft_trainer "
        "tests/trainer/test_loss.py::test_dpo_trainer tests/rules/test_policies.py",
    ),
    "Axolotl, its plugins": (ONE, "axolotl", "tests/integrations/test_axolotl.py"),
    "LLaMA-Factory, `run_exp`": (ONE, "llamafactory", "tests/integrations/test_llamafactory.py"),
    "sentence-transformers": (ONE, "sentence-transformers", "tests/integrations/test_elsewhere.py -k sentence"),
    "diffusers": (ONE, "diffusers", "tests/integrations/test_elsewhere.py -k unet"),
    "W&B, MLflow, Trackio": (ONE, "wandb", "tests/sinks/test_trackers.py"),
    "TensorBoard": (ONE, "tensorboard", "tests/sinks/test_trainer.py"),
    "compiled models, fused kernels": (ONE, "torch", "tests/monitor/test_hooks_unseen.py"),
}
"""What else is tried: in how many processes, with which package, and the tests that do it."""

LACKS = {"compiled models, fused kernels": "`output_ratio`"}
"""What a package does not let be measured."""


def ways(names: Sequence[str], python: str) -> dict[str, Any]:
    """Rows of ``tests.sharding.ways``, those on as many ranks from one start; with what ``LAST_GOOD`` leaves."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for ranks, zero in sorted({(WAYS[name][1], "zero" in name) for name in names}):
            same = [name for name in names if (WAYS[name][1], "zero" in name) == (ranks, zero)]
            group = [*same, *(f"kept-{name}" for name in same if name in LAST_GOOD)]
            start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
            command = [python, *start, "-m", "tests.sharding.ways", folder, *group]
            env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                print(done.stderr[-2000:], file=sys.stderr)
        for name in names:
            file, left = Path(folder, f"{name}.json"), Path(folder, f"kept-{name}.json")
            if file.exists():
                result = json.loads(left.read_text()) if left.exists() else None
                rows[name] = json.loads(file.read_text()) | {"date": today(), "last_good": result}
    return rows


def packages(names: Sequence[str], python: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What the tests of each say; not of a package that is missing, where it was there before."""
    rows = {}
    for name in names:
        _, package, tests = PACKAGES[name]
        ask = f"from importlib import metadata; print(metadata.version({package!r}))"
        version = subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip() or None
        if version is None and name in kept:
            continue
        command = [python, "-m", "pytest", "-o", "addopts=", "-q", *shlex.split(tests)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        says = re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout.strip().rpartition("\n")[2])
        rows[name] = {"says": {what: int(n) for n, what in says}, "version": version, "date": today()}
    return rows


def today() -> str:
    return str(datetime.datetime.now(datetime.timezone.utc).date())


def page(kept: Mapping[str, Any], before: str) -> str:
    """``before``, whose first table has a row a package; ways of which the same is missing share one."""
    rows = [_package(name, kept["packages"].get(name)) for name in PACKAGES]
    alike: dict[tuple[str, str], list[str]] = {}
    for name, (what, ranks) in WAYS.items():
        alike.setdefault(_way(name, kept["ways"]), []).append(f"{what} ({ranks})" if ranks > 1 else what)
    rows += [f"| {'; '.join(names)} | {status} | {missing} |" for (status, missing), names in alike.items()]
    head, line, rest = before.partition("|---|---|---|\n")
    return head + line + "".join(f"{row}\n" for row in rows) + rest[re.match(r"(\|.*\n)*", rest).end() :]


def _way(name: str, ways: Mapping[str, Any]) -> tuple[str, str]:
    """Its status, and what is missing. What is in last_good/ holds for all ways of one engine."""
    row = ways.get(name)
    if row is None:
        return NEVER, ""
    most = max(row["known"].values(), default=0) or 1
    missing = [f"`{metric}`" for metric, n in row["known"].items() if n == 0]
    missing += [f"`{metric}` of {most - n} of {most} layers" for metric, n in row["known"].items() if 0 < n < most]
    nothing_known = len(missing) == len(row["known"])
    left = row.get("last_good") or ways.get(name.partition("-")[0], {}).get("last_good") or {}
    if name in SPREAD or (left and all(run["step"] is None for run in left.values())):
        missing.append("`last_good/`")
    if not row["same"] or any(run.get("same") is False for run in left.values()):
        return "**differs**", ", ".join(missing)
    status = SEVERAL if WAYS[name][1] > 1 else ONE
    return status, "every number" if nothing_known else ", ".join(missing) or "none"


def _package(name: str, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return f"| {name} | {NEVER} | |"
    status, package, _ = PACKAGES[name]
    passed = row["says"].get("passed") and set(row["says"]) <= {"passed", "skipped"}
    with_ = f"{package} {(row['version'] or '(not installed)').partition('+')[0]}"
    return f"| {name} | {status if passed else '**fails**'}, {with_} | {LACKS.get(name, '')} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the rows")
    parser.add_argument("--only", nargs="*", help="names of rows; none: write the page alone")
    parser.add_argument("--packages", action=argparse.BooleanOptionalAction, default=True, help="the second table, too")
    chosen = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"ways": {}, "packages": {}}
    only = [*WAYS, *(PACKAGES if chosen.packages else ())] if chosen.only is None else chosen.only
    if unknown := set(only) - {*WAYS, *PACKAGES}:
        parser.error(f"no rows are called {', '.join(sorted(unknown))}")
    kept["ways"] |= ways([name for name in WAYS if name in only], chosen.python)
    kept["packages"] |= packages([name for name in PACKAGES if name in only], chosen.python, kept["packages"])
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
