"""Trains every bad run of the held-out seeds, and the extremes of ``plan.py``, with the settings its alert names.

Good runs that got an ERROR are trained so, too.

    python -m benchmarks.corpus.cures [--most N]

Restartable. The results are kept in cures.json next to this file and go into the report of ``score.py``. With
``--most`` that many runs are trained. The others whose advice is new stay untried.
"""

from __future__ import annotations

import argparse
import collections
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
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import Spec, extremes
from benchmarks.corpus.replay import first, judge
from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.prescription import SIZE

RESULTS = Path(__file__).with_name("cures.json")
UNTRIED = "untried"
"""The verdict on advice that nothing has been trained with yet."""
NEAR_BEST = 0.9
ABOUT = (
    "The constants of `rules/forecast.py` were chosen on the seeds 0, 1, 10 and 11 of the corpus and on the sweeps of "
    "the seeds 0 and 1. All runs here have other seeds. The prescription that each run ends with is followed, "
    "once. The gain is a share of that of the best run of the grid on the same data."
)


def advice(alerts: Sequence[Alert]) -> Alert | None:
    """The alert that carries the run's prescription, if that names other settings for the adapters' size."""
    return next((a for a in alerts if {*a.settings} & {*SIZE}), None)


def advised(spec: Spec, settings: Mapping[str, float]) -> Spec:
    """``spec`` with the advised settings."""
    alpha = settings.get("lora_alpha", spec.alpha)
    scale = alpha / (math.sqrt(spec.r) if spec.rslora else spec.r)
    return dataclasses.replace(spec, scale=scale, lr=settings.get("learning_rate", spec.lr))


def run_again(spec: Spec, alert: Alert, before: float, best_after: float, known: dict[Spec, float]) -> dict[str, Any]:
    """The result of training with the advice.

    ``known``: losses after, by what was trained. Different runs may be advised the same.
    """
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
        if entry["rule"] and entry["verdict"] != UNTRIED
    }


def advised_runs() -> list[dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def report() -> str:
    """The section on the bad runs that were trained again with the advice."""
    entries = advised_runs()
    if not entries:
        return "Not run yet: `python -m benchmarks.corpus.cures`."
    parts = [ABOUT]
    for title, some in (("", of_bad(entries)), ("### Extremes", [e for e in entries if e["extreme"]])):
        parts += [title, _fixed(some), _rows(some)]
    wrongly = [entry for entry in entries if entry["label"] == "good"]
    better = sum((entry.get("gain") or 0.0) >= entry["gain_before"] for entry in wrongly)
    parts += ["### Good runs with an ERROR", f"As advised, {share(better, len(wrongly))} gain as much or more."]
    return "\n\n".join(filter(None, [*parts, _rows(wrongly)]))


def of_bad(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries of bad runs of the grid."""
    return [entry for entry in entries if not entry["extreme"] and entry["label"] != "good"]


def _fixed(entries: Sequence[Mapping[str, Any]]) -> str:
    tried = [entry for entry in entries if entry["verdict"] != UNTRIED]
    advised = [entry for entry in tried if entry["rule"]]
    heads = []
    for words, some in (("Of the runs with advice", advised), ("Of all runs", tried)):
        verdicts = collections.Counter(entry["verdict"] for entry in some)
        better, good = share(len(some) - verdicts["bad"], len(some)), share(verdicts["good"], len(some))
        near = share(sum(map(near_best, some)), len(some))
        heads.append(f"{words} {better} are no longer bad, {good} are good, {near} reach 0.9 of the best run's gain.")
    rows = []
    for what in ("rule", "base"):
        groups = collections.defaultdict(list)
        for entry in advised:
            groups[entry["rule"] if what == "rule" else entry["name"].partition("_")[0]].append(entry)
        rows += [
            [
                group,
                share(sum(map(near_best, some)), len(some)),
                share(sum(e["verdict"] != "bad" for e in some), len(some)),
            ]
            for group, some in sorted(groups.items())
        ]
    if left := len(entries) - len(tried):
        heads.append(f"{left} more have new advice, and were not trained with it.")
    heads.append("A run that no alert named counts as still bad.")
    return f"{' '.join(heads)}\n\n" + table(["advice of, or on", "at least 0.9 of the best", "no longer bad"], rows)


def near_best(entry: Mapping[str, Any]) -> bool:
    """The run with the advised settings reached 0.9 of the best run's gain."""
    return (entry.get("gain") or 0.0) >= NEAR_BEST


def _rows(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            entry["name"],
            entry["label"] + (f", gain {entry['gain_before']:.2f}" if entry["label"] == "good" else ""),
            f"{entry['rule']} {entry['severity']} at {entry['step']}" if entry["rule"] else "–",
            _settings(entry["settings"]),
            f"{entry['gain']:.2f}" if isinstance(entry.get("gain"), float) else "–",
            entry["verdict"],
        ]
        for entry in entries
    ]
    return table(["run", "was", "advised by", "advice", "gain after", "became"], rows)


def _settings(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items()) or "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=10**6, help="train that many runs at most")
    left = parser.parse_args().most
    torch.set_num_threads(1)
    corpus, extreme = load_all(), load_all(extremes())
    outcomes = label(corpus | extreme) | label(corpus)  # no extreme is a reference for other runs
    unfinished = RESULTS.with_suffix(".part")
    files = [path for path in (RESULTS, unfinished) if path.exists()]
    done = {entry["name"]: entry for path in files for entry in json.loads(path.read_text())}
    known = {spec: trace.after for spec, trace in corpus.items()} | trained_before(done, corpus | extreme)
    results = []
    for spec, trace in (corpus | extreme).items():
        if spec.fault or not spec.held_out:
            continue
        alerts, outcome = judge(trace), outcomes[spec]
        if not outcome.bad and (outcome.label != "good" or first(alerts, Severity.ERROR) is None):
            continue
        alert = advice(alerts)
        earlier = done.get(spec.name)
        if alert is None:
            entry: dict[str, Any] = {"name": spec.name, "rule": None, "settings": {}, "verdict": "bad"}
        elif earlier and earlier["settings"] == alert.settings and earlier["verdict"] != UNTRIED:
            entry = earlier | {"rule": alert.rule}
        elif left <= 0 and advised(spec, alert.settings) not in known:
            entry = {"name": spec.name, "rule": alert.rule, "settings": alert.settings, "verdict": UNTRIED}
        else:
            members = [s for s in corpus if s.family == spec.family and s.seed == spec.seed and not s.fault]
            left -= advised(spec, alert.settings) not in known
            entry = run_again(spec, alert, trace.before, corpus[best(corpus, members)].after, known)
        entry |= {
            "label": outcome.label,
            "gain_before": outcome.gain if math.isfinite(outcome.gain) else None,
            "step": alert.step if alert else None,
            "severity": alert.severity.name if alert else None,
            "extreme": spec in extreme,
        }
        print(f"{spec.name} ({entry['label']}): {entry['rule']} {entry['settings']} → {entry['verdict']}", flush=True)
        results.append(entry)
        done[spec.name] = entry
        unfinished.write_text(json.dumps(list(done.values()), indent=1) + "\n")
    unfinished.unlink(missing_ok=True)
    RESULTS.write_text(json.dumps(results, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
