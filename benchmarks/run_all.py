"""Runs every benchmark of this folder, one after the other, and writes what they print to RESULTS.md.

::

    python benchmarks/run_all.py                      all of it: some twenty minutes on an otherwise idle machine
    python benchmarks/run_all.py --quick              small settings, to the terminal: do they run at all?
    python benchmarks/run_all.py --only host_time     one of them, to the terminal

Ends with exit code 1 if one of them fails.
"""

from __future__ import annotations

import ast
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer

from lora_watch import __version__

HERE = Path(__file__).parent
RUNS: dict[str, tuple[list[str], list[str]]] = {
    "measure_vs_naive": (["--large"], ["--rounds", "1"]),
    "host_time": (["--large", "--parts"], ["--steps", "5", "--parts"]),
    "step_cost": ([], ["--quick", "--steps", "24"]),
    "tensorboard_cost": ([], ["--steps", "10"]),
    "loss_detection": ([], ["--steps", "4000"]),
    "rank_cost": ([], ["--rounds", "2"]),
    "check_speed": ([], ["--steps", "300"]),
    "soak": ([], ["--steps", "200", "--kills", "2"]),
    "report_size": (["{folder}"], ["{folder}", "--adapters", "28", "--steps", "100", "--rounds", "1"]),
    "tab_scale": (["{folder}"], ["{folder}", "--adapters", "28", "--steps", "100"]),
}
"""Arguments of each script, in full and quick. ``{folder}`` is an empty one, removed afterwards."""


class Result(NamedTuple):
    name: str
    command: str
    output: str
    seconds: float
    failed: bool


def run(name: str, arguments: list[str]) -> Result:
    """Runs one script on one thread; its errors are part of the output only when it fails."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / f"{name}.py"), *(x.format(folder=folder) for x in arguments)]
        began = time.monotonic()
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    failed = done.returncode != 0
    output = done.stdout + (done.stderr if failed else "")
    shown = " ".join(["python", f"benchmarks/{name}.py", *(x.format(folder="DIRECTORY") for x in arguments)])
    return Result(name, shown, output.strip(), time.monotonic() - began, failed)


def claim(name: str) -> str:
    """The first paragraph of a script's docstring, on one line."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).removeprefix("Claim: ").replace("|", "\\|")


def processor() -> str:
    """The processor's model, as Linux or else Python knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def markdown(results: list[Result]) -> str:
    today = datetime.datetime.now(datetime.timezone.utc).date()
    machine = [
        ("date", str(today)),
        ("processor", f"{processor()}, {os.cpu_count()} cores, one thread used"),
        ("software", f"lora_watch {__version__}, torch {torch.__version__}, Python {platform.python_version()}"),
    ]
    lines = ["# Benchmarks", "", "Written by `python benchmarks/run_all.py`.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine]
    lines += ["", "| benchmark | claim | took |", "|---|---|---|"]
    for result in results:
        took = "**failed**" if result.failed else f"{result.seconds:.0f} s"
        lines.append(f"| [{result.name}](#{result.name}) | {claim(result.name)} | {took} |")
    for result in results:
        lines += ["", f"## {result.name}", "", "```", f"$ {result.command}", result.output, "```"]
    return "\n".join(lines) + "\n"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small settings; the numbers mean little")] = False,
    only: Annotated[list[str] | None, typer.Option(help="names of benchmarks, instead of all")] = None,
    out: Annotated[Path | None, typer.Option(help="file to write; RESULTS.md for a full run")] = None,
) -> None:
    unknown = set(only or ()) - set(RUNS)
    if unknown:
        raise typer.BadParameter(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(RUNS)}")
    results = []
    for name in only or RUNS:
        print(f"{name} …", file=sys.stderr, flush=True)
        results.append(run(name, RUNS[name][quick]))
    text = markdown(results)
    if out is None and not quick and not only:
        out = HERE / "RESULTS.md"
    if out is None:
        print(text)
    else:
        out.write_text(text, encoding="utf-8")
    if any(result.failed for result in results):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
