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
import json
import lzma
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.corpus.generate import load_all
from benchmarks.corpus.labels import label
from benchmarks.corpus.replay import judge
from lora_watch.base.alerts import Alert

KEPT = Path(__file__).with_name("golden.json.xz")
FIRST = Path(__file__).with_name("golden_first.json.xz")

Golden = Mapping[str, list[list[Any]]]
"""By the run's name: ``[rule, severity, step, closed step, settings]`` of each alert."""


def plain(alerts: Iterable[Alert]) -> list[list[Any]]:
    """``alerts`` as the file has them: settings rounded to four digits, which is more than a message shows."""
    return [
        [a.rule, a.severity.name, a.step, a.closed_step, {k: _rounded(v) for k, v in sorted(a.settings.items())}]
        for a in alerts
    ]


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value


def read(path: Path = KEPT) -> Golden:
    found = json.loads(lzma.decompress(path.read_bytes()))
    # The first file has the alerts of two cadences: of everything at each step, and of what a live run measured.
    return {name: kept["live"] if isinstance(kept, dict) else kept for name, kept in found.items()}


def write(golden: Golden, path: Path) -> None:
    path.write_bytes(lzma.compress(json.dumps(golden, sort_keys=True).encode()))


def changes(before: Iterable[list[Any]], now: Iterable[list[Any]]) -> list[str]:
    """What a run's alerts have lost (-) and gained (+), one line an alert."""
    old, new = ([json.dumps(alert, sort_keys=True) for alert in some] for some in (before, now))
    return [f"- {alert}" for alert in old if alert not in new] + [f"+ {alert}" for alert in new if alert not in old]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", action="store_true", help="compare with commit 016560c, in a table by rule")
    parser.add_argument("--keep", action="store_true", help="keep the alerts of now")
    wanted = parser.parse_args()
    traces = load_all()
    now: Golden = json.loads(json.dumps({spec.name: plain(judge(trace)) for spec, trace in traces.items()}))
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
    if wanted.keep:
        write(now, KEPT)


if __name__ == "__main__":
    main()
