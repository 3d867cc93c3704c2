"""Every alert of every trace of the corpus, kept, so that each change of the rules shows what it moves.

    python -m benchmarks.corpus.golden              what differs now from the alerts that are kept
    python -m benchmarks.corpus.golden --first      the same, counted by rule and label, against commit 016560c
    python -m benchmarks.corpus.golden --keep       keep the alerts of now: the commit says which changed, and why

Two files lie beside this one: ``golden_first.json.xz`` has the alerts of commit 016560c and is never written again,
``golden.json.xz`` has those of the latest commit that kept some. Runs with an injected fault are among the traces.
Trains nothing; two minutes.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import lzma
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus.cures import advised
from benchmarks.corpus.generate import load_all, plan
from benchmarks.corpus.labels import label
from benchmarks.corpus.plan import Spec, larger
from benchmarks.corpus.replay import judge
from lora_watch.base.alerts import Alert
from lora_watch.base.prescription import RATE, SIZE

KEPT = Path(__file__).with_name("golden.json.xz")
FIRST = Path(__file__).with_name("golden_first.json.xz")

Golden = Mapping[str, list[list[Any]]]
"""By the run's name: ``[rule, severity, step, closed step, settings for the next run]`` of each alert."""


def plain(alerts: Iterable[Alert]) -> list[list[Any]]:
    """``alerts`` as the file has them. One of a run has the prescription for the next one."""

    return [
        [a.rule, a.severity.name, a.step, a.closed_step, {k: _rounded(v) for k, v in sorted(a.settings.items())}]
        for a in alerts
    ]


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value


def read(path: Path = KEPT) -> Golden:
    found = json.loads(lzma.decompress(path.read_bytes()))
    # The first file has the alerts of two cadences: of everything at each step, and of what a live run measured.
    found = {name: kept["live"] if isinstance(kept, dict) else kept for name, kept in found.items()}
    # It also has settings for each alert: a run had more than one prescription.
    return {name: [alert[:4] for alert in kept] for name, kept in found.items()} if path == FIRST else found


def write(golden: Golden, path: Path) -> None:
    path.write_bytes(lzma.compress(json.dumps(golden, sort_keys=True).encode()))


def changes(before: Iterable[list[Any]], now: Iterable[list[Any]]) -> list[str]:
    """What a run's alerts have lost (-) and gained (+), one line an alert."""
    old, new = ([json.dumps(alert, sort_keys=True) for alert in some] for some in (before, now))
    return [f"- {alert}" for alert in old if alert not in new] + [f"+ {alert}" for alert in new if alert not in old]


def contradictions(judged: Mapping[Spec, Sequence[Alert]]) -> tuple[int, list[str]]:
    """How many runs have the settings that the prescription of another names, the same in all else; and which of them
    end with other settings for the next run. Following a prescription is a fixed point."""
    followed, differing = 0, []
    families: dict[Spec, list[Spec]] = collections.defaultdict(list)
    for spec in judged:
        families[dataclasses.replace(spec, lr=0.0, scale=0.0)].append(spec)
    for spec, alerts in judged.items():
        told = next((alert.next_run for alert in alerts if alert.next_run is not None), None)
        if told is None or not {*told.values} & {*SIZE}:
            continue
        new = advised(spec, told.values)
        for other in families[dataclasses.replace(spec, lr=0.0, scale=0.0)]:
            same_scale = math.isclose(other.scale, new.scale, rel_tol=0.02)
            if other is spec or not same_scale or not told.allows(RATE, other.lr):
                continue
            followed += 1
            again = next((alert.next_run for alert in judged[other] if alert.next_run is not None), None)
            if again is not None and not all(told.allows(name, value) for name, value in again.values.items()):
                differing.append(f"{spec.name}: {told}; as {other.name}: {again}")
    return followed, differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", action="store_true", help="compare with commit 016560c, in a table by rule")
    parser.add_argument("--keep", action="store_true", help="keep the alerts of now")
    wanted = parser.parse_args()
    traces = load_all([*plan(), *larger()])
    judged = {spec: judge(trace) for spec, trace in traces.items()}
    now: Golden = json.loads(json.dumps({spec.name: plain(alerts) for spec, alerts in judged.items()}))
    if wanted.first:
        now = {name: [alert[:4] for alert in alerts] for name, alerts in now.items()}
    before = read(FIRST if wanted.first or not KEPT.exists() else KEPT)
    labels = {spec.name: outcome.label for spec, outcome in label(traces).items()}
    moved: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
    runs = 0
    for name in sorted({*before, *now}):
        found = changes(before.get(name, []), now.get(name, []))
        runs += bool(found)
        if found and not wanted.first:
            print(f"{name} ({labels.get(name, 'fault')})", *found, sep="\n  ")
        for line in found:
            rule, severity, *_ = json.loads(line[2:])
            moved[rule, severity, labels.get(name, "fault"), line[0]] += 1
    if wanted.first:
        for (rule, severity, kind, sign), count in sorted(moved.items()):
            print(f"{rule} {severity:8} {kind:9} {sign}{count}")
    print(f"{runs} of {len(now)} runs differ")
    followed, differing = contradictions(judged)
    print(f"{len(differing)} of {followed} runs with prescribed settings are prescribed others", *differing, sep="\n  ")
    if wanted.keep:
        write(now, KEPT)


if __name__ == "__main__":
    main()
