"""Does the advice cure? Every sick run of the held-out seeds is trained once more with the settings its alert names.

    python -m benchmarks.corpus.cures

And the extremes of ``plan.py``. Restartable; the results are kept in cures.json beside this file and go into the report
of ``score.py``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.corpus.generate import load_all, train
from benchmarks.corpus.labels import BAD, GOOD, best, gain, label
from benchmarks.corpus.plan import Spec, extremes
from benchmarks.corpus.replay import judge
from lora_watch.base.alerts import Alert, Severity

RESULTS = Path(__file__).with_name("cures.json")
STRENGTH = ("LW102", "LW103", "LW104", "LW202", "LW401")
"""Rules that speak of the adapter's strength and name new settings."""


def advice(alerts: Sequence[Alert]) -> Alert | None:
    """The alert that a reader would follow: of the gravest that name new settings, the first."""
    able = [a for a in alerts if a.rule in STRENGTH and a.settings and a.severity >= Severity.WARNING]
    return max(able, key=lambda alert: alert.severity, default=None)


def agree(alerts: Sequence[Alert]) -> bool:
    """Whether all alerts of the run that name new settings name the same ones, remarks included."""
    return len({tuple(sorted(a.settings.items())) for a in alerts if a.settings}) < 2


def advised(spec: Spec, settings: Mapping[str, float]) -> Spec:
    """``spec`` with the advised settings."""
    alpha = settings.get("lora_alpha", spec.alpha)
    scale = alpha / (math.sqrt(spec.r) if spec.rslora else spec.r)
    return dataclasses.replace(spec, scale=scale, lr=settings.get("learning_rate", spec.lr))


def cure(spec: Spec, alert: Alert, before: float, best_after: float, known: dict[Spec, float]) -> dict[str, Any]:
    """Train with the advice; what came of it. ``known``: losses after, by what was trained, as different runs may be
    advised the same."""
    new = advised(spec, alert.settings)
    if new not in known:
        with tempfile.TemporaryDirectory() as folder:
            known[new] = train(new, folder)[2]
    after = known[new]
    share = gain(before, after, best_after)
    verdict = "good" if share >= GOOD else "fair" if share >= BAD else "bad"
    return {
        "name": spec.name,
        "rule": alert.rule,
        "settings": alert.settings,
        "after": after if math.isfinite(after) else None,
        "gain": share if math.isfinite(share) else None,
        "verdict": verdict,
    }


def trained_before(done: Mapping[str, Mapping[str, Any]], specs: Iterable[Spec]) -> dict[Spec, float]:
    """The losses after of the runs that earlier results come from."""
    entries = [(spec, done[spec.name]) for spec in specs if spec.name in done]
    return {
        advised(spec, entry["settings"]): math.nan if entry["after"] is None else entry["after"]
        for spec, entry in entries
        if entry["rule"]
    }


def main() -> None:
    torch.set_num_threads(1)
    corpus, extreme = load_all(), load_all(extremes())
    outcomes = label(corpus | extreme) | label(corpus)  # no extreme is what others are measured by
    unfinished = RESULTS.with_suffix(".part")
    files = [path for path in (RESULTS, unfinished) if path.exists()]
    done = {entry["name"]: entry for path in files for entry in json.loads(path.read_text())}
    known = {spec: trace.after for spec, trace in corpus.items()} | trained_before(done, corpus | extreme)
    results = []
    for spec, trace in (corpus | extreme).items():
        if spec.fault or not (spec.held_out and outcomes[spec].bad):
            continue
        alerts = judge(trace)
        alert = advice(alerts)
        earlier = done.get(spec.name)
        if alert is None:
            entry: dict[str, Any] = {"name": spec.name, "rule": None, "settings": {}, "verdict": "bad"}
        elif earlier and earlier["rule"] == alert.rule and earlier["settings"] == alert.settings:
            entry = earlier
        else:
            members = [s for s in corpus if s.family == spec.family and s.seed == spec.seed and not s.fault]
            entry = cure(spec, alert, trace.before, corpus[best(corpus, members)].after, known)
        entry |= {
            "label": outcomes[spec].label,
            "step": alert.step if alert else None,
            "severity": alert.severity.name if alert else None,
            "agree": agree(alerts),
            "extreme": spec in extreme,
        }
        print(f"{spec.name} ({entry['label']}): {entry['rule']} {entry['settings']} → {entry['verdict']}", flush=True)
        results.append(entry)
        done[spec.name] = entry
        unfinished.write_text(json.dumps(list(done.values()), indent=1) + "\n")
    unfinished.unlink(missing_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
