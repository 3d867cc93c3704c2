"""Does the advice cure? Every sick run of the held-out third is trained once more with the settings its alert names.

    python -m benchmarks.corpus.cures

Restartable; the results are kept in cures.json beside this file and go into the report of ``score.py``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.corpus.generate import load_all, train
from benchmarks.corpus.labels import BAD, GOOD, Outcome, best, gain, label
from benchmarks.corpus.plan import Spec
from benchmarks.corpus.replay import judge
from benchmarks.corpus.traces import Trace
from lora_watch.alerts import Alert, Severity

RESULTS = Path(__file__).with_name("cures.json")
STRENGTH = ("LW102", "LW103", "LW104", "LW202", "LW401")
"""Rules that speak of the adapter's strength and name new settings."""


def advice(alerts: Sequence[Alert]) -> Alert | None:
    """What a reader would follow: the gravest alert that names new settings, the first of them."""
    able = [a for a in alerts if a.rule in STRENGTH and a.settings and a.severity >= Severity.WARNING]
    return max(able, key=lambda alert: alert.severity, default=None)


def cured(spec: Spec, settings: Mapping[str, float]) -> Spec:
    """``spec`` with the advised settings."""
    alpha = settings.get("lora_alpha", spec.alpha)
    scale = alpha / (math.sqrt(spec.r) if spec.rslora else spec.r)
    return dataclasses.replace(spec, scale=scale, lr=settings.get("learning_rate", spec.lr))


def sick(traces: Mapping[Spec, Trace], outcomes: Mapping[Spec, Outcome]) -> list[tuple[Spec, Alert | None]]:
    """The bad runs of ``outcomes`` and the advice that each was given."""
    return [(spec, advice(judge(traces[spec]))) for spec, outcome in outcomes.items() if outcome.bad]


def cure(spec: Spec, alert: Alert, before: float, best_after: float) -> dict[str, Any]:
    """Train with the advice; what came of it."""
    new = cured(spec, alert.settings)
    with tempfile.TemporaryDirectory() as folder:
        _, _, after = train(new, folder)
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


def main() -> None:
    torch.set_num_threads(1)
    traces = load_all()
    outcomes = label(traces)
    done = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    results = []
    for spec, alert in sick(traces, {s: o for s, o in outcomes.items() if s.held_out}):
        earlier = done.get(spec.name)
        if alert is None:
            entry: dict[str, Any] = {"name": spec.name, "rule": None, "settings": {}, "verdict": "bad"}
        elif earlier and earlier["rule"] == alert.rule and earlier["settings"] == alert.settings:
            entry = earlier
        else:
            members = [s for s in traces if s.family == spec.family and s.seed == spec.seed and not s.fault]
            entry = cure(spec, alert, traces[spec].before, traces[best(traces, members)].after)
        entry["label"] = outcomes[spec].label
        print(f"{spec.name} ({entry['label']}): {entry['rule']} {entry['settings']} → {entry['verdict']}", flush=True)
        results.append(entry)
        unfinished = RESULTS.with_suffix(".part")
        unfinished.write_text(json.dumps(results, indent=1) + "\n")
    RESULTS.with_suffix(".part").rename(RESULTS)


if __name__ == "__main__":
    main()
