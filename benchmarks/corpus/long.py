"""Runs of 1,500 steps, monitored as live runs are: the alerts before their fault, and how soon one names it.

    python -m benchmarks.corpus.long

The script takes half an hour of one core. It trains no run again that is in long.json. The alerts there are those of
the rules of that day. ``--judge`` asks the rules of today about the traces. These are large and stay in a folder that
git ignores.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpus import peers
from benchmarks.corpus.faults import FAULTS
from benchmarks.corpus.generate import trace
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import Spec, long
from benchmarks.corpus.replay import judge
from benchmarks.corpus.traces import Trace, load, save
from lora_watch.base.alerts import Severity
from lora_watch.rules.episodes import QUIET_STEPS

RESULTS = Path(__file__).with_name("long.json")
TRACES = Path(__file__).parent / "long_traces"
"""Share of the time that full measurements may take: the callback's own default."""


def result(spec: Spec, run: Trace) -> dict[str, Any]:
    """The record of a run: its settings, its end, and its alerts."""
    alerts = [
        {
            "rule": alert.rule,
            "severity": alert.severity.name,
            "step": alert.step,
            "layer": alert.adapters[0][0] if alert.adapters else None,
            "cause": alert.causes[0] if alert.causes else None,
        }
        for alert in judge(run)
    ]
    adapters = run.records[0].run.adapters
    return {
        "name": spec.name,
        "steps": spec.steps,
        "fault": spec.fault,
        "fault_step": spec.fault_step,
        "victim": adapters[len(adapters) // 2].name,
        "before": run.before,
        "after": run.after if math.isfinite(run.after) else None,
        "alerts": alerts,
        "peers": {name: episodes(rule, run, healthy_steps(spec)) for name, rule in peers.PEERS.items()},
    }


def healthy_steps(spec: Spec) -> int:
    """Steps before the fault, all where there is none."""
    return spec.fault_step - 1 if spec.fault else spec.steps


def episodes(rule: Any, run: Trace, steps: int) -> int:
    """The number of episodes in which a peer flags the healthy steps."""
    losses = [math.nan if r.loss is None else r.loss for r in run.records if r.step][:steps]
    seen = peers.Trace(np.array(losses), run.grad_norm[:steps], np.full(len(losses), math.nan))
    with np.errstate(all="ignore"):
        said = rule(seen)
    return sum(not i or step - said[i - 1] > QUIET_STEPS + 1 for i, step in enumerate(said))


# -- the report --------------------------------------------------------------------------------------------------------
def runs() -> list[dict[str, Any]]:
    """The record of each run, in the order of the plan."""
    found = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    return [found[spec.name] for spec in long() if spec.name in found]


def healthy(entry: dict[str, Any]) -> int:
    return entry["fault_step"] - 1 if entry["fault"] else entry["steps"]


def false(entry: dict[str, Any], least: Severity = Severity.WARNING) -> list[dict[str, Any]]:
    """The alerts of its healthy steps."""
    early = [a for a in entry["alerts"] if a["step"] <= healthy(entry)]
    return [a for a in early if Severity[a["severity"]] >= least]


def found(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The alert that names the fault."""
    rules = FAULTS[entry["fault"]].rules if entry["fault"] else ()
    late = [a for a in entry["alerts"] if a["step"] >= entry["fault_step"]]
    return next((a for a in late if a["rule"] in rules), None)


def report() -> str:
    """The section of SCORES.md."""
    entries = runs()
    if not entries:
        return "Not run yet: `python -m benchmarks.corpus.long`."
    faulty = [entry for entry in entries if entry["fault"]]
    steps = sum(map(healthy, entries))
    named = [(entry, alert) for entry in faulty if (alert := found(entry)) is not None]
    delays = [alert["step"] - entry["fault_step"] for entry, alert in named]
    wrong = {least: sum(len(false(entry, least)) for entry in entries) for least in (Severity.WARNING, Severity.ERROR)}
    theirs = {name: sum(entry["peers"][name] for entry in entries) for name in peers.PEERS}
    warned, failed = wrong[Severity.WARNING], wrong[Severity.ERROR]
    head = (
        f"The {len(entries)} runs of 1,500 steps have batch sizes 1 to 8; their schedule is constant, cosine, or "
        f"cosine with warm restarts. No threshold was chosen on their seeds. {len(faulty)} of them have a fault after "
        f"a thousand sound steps. In {steps:,} healthy steps they gave {warned} false alerts, "
        f"{1e4 * warned / steps:.2f} in 10,000 steps; {failed} of them are ERRORs. The rules named "
        f"{share(len(named), len(faulty))} faults, after "
        f"{statistics.median(delays):g} steps (median), at most {max(delays)}. Of the ERRORs behind corrupted batches "
        f"{_suspecting_data(faulty)} suspect the data first. Rules that were merged since have their names of today. "
        "The peers' false alerts on the same steps: "
        + ", ".join(f"{name} {count}" for name, count in theirs.items())
        + "."
    )
    heads = ["run", "held-out loss", "false alerts", "fault, at step", "named", "steps later", "first cause", "others"]
    return head + "\n\n" + table(heads, map(_row, entries))


def _suspecting_data(entries: Sequence[dict[str, Any]]) -> str:
    """Of the ERRORs of runs with corrupted batches, those whose first cause is the data, not the settings."""
    corrupted = [entry for entry in entries if entry["fault"] == "corrupted-batches"]
    errors = [a for e in corrupted for a in e["alerts"] if a["step"] >= e["fault_step"] and a["severity"] == "ERROR"]
    return share(sum((a["cause"] or "").startswith("the data changed") for a in errors), len(errors))


def _row(entry: dict[str, Any]) -> Sequence[object]:
    after = "NaN" if entry["after"] is None else f"{entry['after']:.2f}"
    said = ", ".join(f"{a['rule']} at {a['step']}" for a in false(entry)) or "0"
    if not entry["fault"]:
        return [entry["name"], f"{entry['before']:.2f} → {after}", said, *["–"] * 5]
    alert = found(entry)
    others = {a["rule"] for a in entry["alerts"] if a["step"] >= entry["fault_step"] and a["severity"] != "INFO"}
    cells = ["no", "–", "–"]
    if alert is not None:
        layer = f" in {alert['layer']}" if FAULTS[entry["fault"]].layer else ""
        cells = [alert["rule"] + layer, alert["step"] - entry["fault_step"], alert["cause"] or "–"]
        others.discard(alert["rule"])
    fault = f"{entry['fault']}, {entry['fault_step']}"
    return [entry["name"], f"{entry['before']:.2f} → {after}", said, fault, *cells, ", ".join(sorted(others)) or "–"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", action="store_true", help="ask the rules of today about the traces that are there")
    again = parser.parse_args().judge
    torch.set_num_threads(1)
    done = {entry["name"]: entry for entry in runs()}
    for spec in long():
        path = TRACES / f"{spec.name}.zip"
        began = time.perf_counter()
        if (again and not path.exists()) or (spec.name in done and not again):
            continue
        if not path.exists():
            save(path, {spec.name: trace(spec, full_every=16)})
        done[spec.name] = result(spec, load(path)[spec.name])
        RESULTS.write_text(json.dumps(list(done.values()), indent=1) + "\n")
        said = [f"{a['rule']}@{a['step']}" for a in done[spec.name]["alerts"]]
        print(f"{spec.name}: {time.perf_counter() - began:.0f} s, {said}", flush=True)


if __name__ == "__main__":
    main()
