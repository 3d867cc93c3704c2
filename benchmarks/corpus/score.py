"""Score the rules, and those of other monitors, on the held-out seeds of the corpus; write SCORES.md next to this file.

    python -m benchmarks.corpus.score [--seeds held-out|tuning]

Reads what ``generate.py``, ``cures.py``, ``long.py`` and ``layers.py`` have stored; trains nothing; a minute or two.
"""

from __future__ import annotations

import argparse
import collections
import copy
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.corpus import larger, layers, long, peers, policies
from benchmarks.corpus.cures import UNTRIED, advised_runs, near_best, of_bad, report
from benchmarks.corpus.everyday import cells
from benchmarks.corpus.faults import FAULTS
from benchmarks.corpus.generate import load_all
from benchmarks.corpus.labels import Outcome, label
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import FRESH_SEED, Spec, fresh
from benchmarks.corpus.replay import first, judge, projected_end, records
from benchmarks.corpus.traces import Trace
from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import FloatArray
from lora_watch.rules import AggressiveScale, BarelyMoves, Episodes, Rule
from lora_watch.rules.forecast import first_step_of, pace
from lora_watch.rules.size import projected

OUT = Path(__file__).with_name("SCORES.md")
SEEN = (
    "SmolLM2 on Python at s 16 and lr 0.003 is not named, with seed 2 and seed 3. In training LW102 compares the loss "
    "with and without the adapters. These traces are older and hold no such comparison. So the rules go by the start "
    "of the loss here. Both were trained again under the callback (`live.py`). Seed 2 has LW102's ERROR at step 5. "
    "With seed 3 batches cost about as much with the adapters as without, and it has none."
)
"""Remarks on the marks."""
NOT_CHOSEN = (
    "No threshold was chosen on them but LW102's last. The comparisons of LW104 and LW202 took their form after "
    "runs of these seeds had been looked at. So did LW102's comparisons of batch after batch at sizes above 12. "
)
LABELS = ("diverged", "damaged", "wasted", "fair", "good")

Runs = Mapping[Spec, Trace]


# -- ours and theirs on the grid ---------------------------------------------------------------------------------------
def flagged(trace: Trace) -> dict[str, int | None]:
    """By peer: the first step that it flags, None for silence."""
    steps = [record for record in trace.records if record.step]
    seen = peers.Trace(
        loss=np.array([math.nan if r.loss is None else r.loss for r in steps]),
        grad_norm=trace.grad_norm[: len(steps)],
        lr=np.array([r.lr[0] if r.lr else math.nan for r in steps]),
    )
    return {name: min(rule(seen), default=None) for name, rule in peers.PEERS.items()}


def columns(runs: Runs, outcomes: Mapping[Spec, Outcome]) -> dict[str, dict[Spec, int | None]]:
    """By monitor: the first step at which it names each run."""
    out: dict[str, dict[Spec, int | None]] = collections.defaultdict(dict)
    for spec in outcomes:
        alerts = judge(runs[spec])
        out["lora_watch, WARNING or worse"][spec] = first(alerts, Severity.WARNING)
        out["lora_watch, ERROR"][spec] = first(alerts, Severity.ERROR)
        out["lora_watch, LW104 alone"][spec] = first(alerts, Severity.WARNING, ("LW104",))
        for name, step in flagged(runs[spec]).items():
            out[name][spec] = step
    return out


def detection(runs: Runs, outcomes: Mapping[Spec, Outcome]) -> str:
    """The share of each label's runs that each monitor names, and how soon it names diverged ones."""
    by_label = {name: [s for s, o in outcomes.items() if o.label == name] for name in LABELS}
    rows = []
    for monitor, spoke in columns(runs, outcomes).items():
        delays = []
        for spec in by_label["diverged"]:
            step, onset = spoke[spec], outcomes[spec].onset
            if step is not None and onset is not None:
                delays.append(max(step - onset, 0))
        delay = f"{statistics.median(delays):g}, at most {max(delays)}" if delays else "–"
        counts = [share(sum(spoke[s] is not None for s in some), len(some)) for some in by_label.values()]
        rows.append([monitor, counts[0], delay, *counts[1:]])
    return table(
        ["monitor", "diverged", "steps after onset: median", "damaged", "wasted", "fair", "good (false)"], rows
    )


# -- faults ------------------------------------------------------------------------------------------------------------
def most_open(alerts: Sequence[Alert]) -> int:
    """The most alerts above INFO that were open at once."""
    grave = [a for a in alerts if a.severity > Severity.INFO]
    ends = [math.inf if a.closed_step is None else a.closed_step for a in grave]
    return max((sum(b.step <= a.step < end for b, end in zip(grave, ends)) for a in grave), default=0)


def faults(runs: Runs) -> str:
    """For each injected fault: was it named by the right rule, in the right layer, by how many alerts at once."""
    rows = []
    for name, fault in FAULTS.items():
        some = [spec for spec in runs if spec.fault == name]
        if not some:
            continue
        alerts = {spec: judge(runs[spec]) for spec in some}
        right = {s: next((a for a in alerts[s] if a.rule in fault.rules), None) for s in some}
        named = [s for s in some if right[s] is not None]
        others = sorted({a.rule for s in some for a in alerts[s] if a.rule not in fault.rules and a.severity > 10})
        layer = "–"
        if fault.layer:
            layer = share(sum(_names_victim(right[s], runs[s]) for s in named), len(some))
        delays = [a.step - s.fault_step for s, a in right.items() if a is not None and a.step >= s.fault_step]
        rows.append(
            [
                name,
                *(fault.rules[:1] or ["none"]),
                share(len(named), len(some)),
                f"{statistics.median(delays):g}" if delays else "at the start" if named else "–",
                layer,
                max(most_open(alerts[s]) for s in some),
                ", ".join(others) or "–",
            ]
        )
    return table(["fault", "rule", "named", "steps later", "right layer", "most alerts open", "other rules"], rows)


def _names_victim(alert: Alert | None, trace: Trace) -> bool:
    adapters = trace.records[0].run.adapters
    return bool(alert and alert.adapters) and alert.adapters[0][0] == adapters[len(adapters) // 2].name


# -- what separates ----------------------------------------------------------------------------------------------------
def _within(trace: Trace, metric: str, pick: Callable[[FloatArray], float], steps: int = 10) -> float:
    """The highest of ``pick(metric over layers)`` in the first steps."""
    values = [r.metrics[metric].values for r in records(trace) if 0 < r.step <= steps and metric in r.metrics]
    picked = [pick(v[np.isfinite(v)]) if np.isfinite(v).any() else math.inf for v in values]
    return max(picked, default=math.nan)


def _p90(values: FloatArray) -> float:
    return float(np.percentile(values, 90))


CANDIDATES: dict[str, Callable[[Trace], float]] = {
    "s·lr": lambda t: max(a.scale for a in t.records[0].run.adapters) * max(t.records[0].run.peak_lr),
    "first full step, in useful ones": lambda t: pace(t.records[0]),
    "first full step, median layer": lambda t: first_step_of(t.records[0].run) / t.records[0].run.blocks,
    "first full step, × blocks": lambda t: first_step_of(t.records[0].run),
    "highest loss / first loss": lambda t: max(r.loss or 0 for r in t.records) / (t.records[1].loss or 1),
    "relative_norm, max": lambda t: _within(t, "relative_norm", np.max),
    "relative_spectral_norm, max": lambda t: _within(t, "relative_spectral_norm", np.max),
    "relative_spectral_norm, p90 × blocks": (
        lambda t: _within(t, "relative_spectral_norm", _p90) * t.records[0].run.blocks
    ),
    "output_ratio, max": lambda t: _within(t, "output_ratio", np.max),
    "output_ratio, p90": lambda t: _within(t, "output_ratio", _p90),
    "output_ratio, p90 × √blocks": lambda t: _within(t, "output_ratio", _p90) * math.sqrt(t.records[0].run.blocks),
    "output_ratio, p90 × blocks": lambda t: _within(t, "output_ratio", _p90) * t.records[0].run.blocks,
}
"""Statistics of the first ten steps that might tell too strong runs from good ones."""


def separation(runs: Runs, outcomes: Mapping[Spec, Outcome]) -> str:
    """How well each statistic separates too strong runs from good ones: within each model, and with one for all.

    ``good up to`` and ``bad from``: the highest value of a good run and the lowest of a damaged or diverged one. The
    last two columns are over all models together. The first counts the bad runs above every good run. The second is
    the chance that a bad run has a higher value than a good one (1 is perfect, 0.5 a coin). Optimizers like Adam only.
    """
    bases = sorted({spec.base for spec in outcomes})
    rows = []
    for name, statistic in CANDIDATES.items():
        good: dict[str, list[float]] = {b: [] for b in bases}
        bad: dict[str, list[float]] = {b: [] for b in bases}
        for spec, outcome in outcomes.items():
            if spec.optimizer == "sgd":
                continue
            if outcome.label == "good":
                good[spec.base].append(statistic(runs[spec]))
            elif outcome.label in ("damaged", "diverged"):
                bad[spec.base].append(statistic(runs[spec]))
        cells = [f"{max(good[b]):.2g} / {min(bad[b]):.2g}" if good[b] and bad[b] else "–" for b in bases]
        highest = max(max(some) for some in good.values() if some)
        everyone = [value for some in bad.values() for value in some]
        healthy = np.array([value for some in good.values() for value in some])
        chance = float(np.mean([(v > healthy).mean() + (v == healthy).mean() / 2 for v in everyone]))
        rows.append([name, *cells, share(sum(v > highest for v in everyone), len(everyone)), f"{chance:.3f}"])
    ranges = (f"{base}: good up to / bad from" for base in bases)
    return table(["statistic", *ranges, "bad above every good run", "bad above a good run"], rows)


# -- marks -------------------------------------------------------------------------------------------------------------
def marks(runs: Runs, outcomes: Mapping[Spec, Outcome]) -> str:
    """The marks that the work set itself, and the figures of the held-out runs."""
    said = {spec: judge(runs[spec]) for spec in outcomes}
    by_label = {name: [s for s, o in outcomes.items() if o.label == name] for name in LABELS}
    bad, good = [*by_label["diverged"], *by_label["damaged"]], by_label["good"]
    named_bad = {s: step for s in bad if (step := first(said[s], Severity.ERROR)) is not None}
    named, above = list(named_bad.values()), [s for s in bad if not runs[s].after <= runs[s].before]
    late = long.runs()
    steps = sum(s.steps for s in good) + sum(map(long.healthy, late))
    wrong = {
        least: sum(first(said[s], least) is not None for s in good) + sum(bool(long.false(e, least)) for e in late)
        for least in (Severity.WARNING, Severity.ERROR)
    }
    unnamed = [s for s in by_label["wasted"] if first(said[s], Severity.WARNING) is None]
    nearly_fair = sum(outcomes[s].gain > 1 / 3 for s in unnamed)
    entries = [entry for entry in advised_runs() if entry["label"] != "good"]
    tried = [entry for entry in entries if entry["rule"] and entry["verdict"] != UNTRIED]
    advised = [entry["verdict"] for entry in tried]
    nans = json.loads(layers.RESULTS.read_text()) if layers.RESULTS.exists() else []
    healthy = f"{len(good)} good runs of the grid and {len(late)} long ones, {steps:,} healthy steps"
    return table(
        ["mark", "measured"],
        [
            ["damaged and diverged runs named ERROR: at least 95 %", share(len(named), len(bad))],
            ["those of them that ended above their start: 100 %", share(len(set(named_bad) & set(above)), len(above))],
            ["the step of that ERROR: median at most 5", f"{statistics.median(named):g}, at most {max(named)}"],
            ["false ERRORs: 0 in 250 good runs and 20,000 healthy steps", f"{wrong[Severity.ERROR]} in {healthy}"],
            ["good runs with a false WARNING: at most 2 %", share(wrong[Severity.WARNING], len(good) + len(late))],
            [
                "wasted runs named: at least 85 %",
                share(len(by_label["wasted"]) - len(unnamed), len(by_label["wasted"]))
                + f"; {nearly_fair} of the others reach a third to a half of the best gain",
            ],
            [
                "run again as advised: at least 95 % no longer bad",
                share(sum(v != "bad" for v in advised), len(advised))
                + f"; {sum(not entry['rule'] for entry in entries)} had no advice",
            ],
            ["run again as advised: at least 85 % good", share(sum(v == "good" for v in advised), len(advised))],
            [
                "run again as advised: at least 80 % with 0.9 of the best gain",
                share(sum(map(near_best, tried)), len(tried)),
            ],
            ["right layer for a NaN: 100 %", share(sum(map(layers.right, nans)), len(nans))],
        ],
    )


def by_model(runs: Runs, outcomes: Mapping[Spec, Outcome]) -> str:
    """False and missed alerts by model."""
    said, entries = {spec: judge(runs[spec]) for spec in outcomes}, of_bad(advised_runs())
    rows = []
    for base in dict.fromkeys(spec.base for spec in outcomes):
        again = [e["verdict"] for e in entries if e["rule"] and e["name"].startswith(base) and e["verdict"] != UNTRIED]
        some = [spec for spec in outcomes if spec.base == base]
        rows.append([*larger.row(some, outcomes, said), share(again.count("good"), len(again))])
    return table(larger.HEADS, rows)


# -- thresholds that were set last -------------------------------------------------------------------------------------
def replayed(everything: Runs) -> str:
    """The rules whose thresholds were set last, each asked alone: the runs of which it gives a WARNING, by seeds."""
    outcomes = label(everything)
    rows = []
    asked: dict[str, Rule] = {"LW401": AggressiveScale(), "LW104": BarelyMoves()}
    by_size = BarelyMoves()
    by_size.compared = True
    asked |= {"LW104 without `slow`": BarelyMoves(slow=0.0), "LW104 by the size alone": by_size}
    for name, rule in asked.items():
        warned = {spec for spec in outcomes if _warns(copy.deepcopy(rule), everything[spec])}
        for words, held_out in (("tuning", False), ("held-out", True)):
            seeds = {s: o for s, o in outcomes.items() if s.held_out == held_out}
            by_label = [[s for s, o in seeds.items() if o.label == kind] for kind in LABELS]
            rows.append([name, words, *(share(len(warned.intersection(some)), len(some)) for some in by_label)])
    return table(["WARNINGs of", "seeds", *LABELS], rows)


def least_sizes(everything: Runs) -> str:
    """The smallest adapters of good runs, as LW104 projects them: by model, and by seeds."""
    found: dict[str, dict[bool, list[float]]] = {}
    for spec, outcome in label(everything).items():
        if outcome.label == "good":
            end = projected_end(everything[spec].records)
            found.setdefault(spec.base, {}).setdefault(spec.held_out, []).append(end)
    rows = [[base, f"{min(some[False]):.2f}", f"{min(some[True]):.2f}"] for base, some in found.items()]
    return table(["least size of a good run, as LW104 projects it", "tuning seeds", "held-out seeds"], rows)


def _warns(rule: Rule, trace: Trace) -> bool:
    episodes = Episodes([rule])
    for record in records(trace, wanted=lambda: episodes.wanted):
        episodes.check(record)
    return first(episodes.alerts, Severity.WARNING) is not None


def _fresh(runs: Runs) -> str:
    planned = list(fresh())
    trained = sum(spec in runs for spec in planned)
    return (
        f" {trained} of the {len(planned)} runs of seed {FRESH_SEED} are trained. No threshold was chosen on it either."
    )


def _projected(runs: Runs, outcomes: Mapping[Spec, Outcome]) -> str:
    """Which runs LW104 can compare here, and which it judges by their size alone."""
    able = {s: t for s, t in runs.items() if s.base != "minilm" and not s.fault}
    compares = {s for s, t in able.items() if any(projected(record) for record in t.records)}
    good = sum(outcomes[s].label == "good" for s in compares)
    slow = [s for s in able if s not in compares and s.lr <= 5e-3]
    return (
        f"LW104 compares in {len(compares)} runs, {good} of them good. It judges MiniLM's by their size alone, since "
        f"the head is new, and {len(able) - len(compares)} of the others, {len(slow)} of these at rates up to 0.005. "
        "Their traces are older than its comparison, and the runs did not repeat within 2 %."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", choices=("held-out", "tuning"), default="held-out")
    held_out = parser.parse_args().seeds == "held-out"
    everything = load_all()
    outcomes = {s: o for s, o in label(everything).items() if s.held_out == held_out}
    runs = {s: t for s, t in everything.items() if s.held_out == held_out}
    counts = collections.Counter(o.label for o in outcomes.values())
    bases = collections.Counter(s.base for s in outcomes)
    of_all = collections.Counter(o.label for o in label(everything).values())
    parts = [
        "# Scores on the corpus",
        "Made by `python -m benchmarks.corpus.score`. The corpus holds "
        f"{len(everything)} real runs ({sum(of_all.values())} of the grid: "
        + ", ".join(f"{of_all[name]} {name}" for name in LABELS)
        + f"; {len(everything) - sum(of_all.values())} with an injected fault). "
        + f"The scores are those of the {'held-out' if held_out else 'tuning'} seeds "
        + f"({', '.join(map(str, sorted({s.seed for s in outcomes})))}). "
        + (NOT_CHOSEN if held_out else "Thresholds were chosen on them. ")
        + f"They have {len(outcomes)} runs of the grid ("
        + ", ".join(f"{n} {base}" for base, n in bases.items())
        + f") and {len(runs) - len(outcomes)} with faults. The labels of the grid's runs: "
        + ", ".join(f"{counts[name]} {name}" for name in LABELS)
        + ". "
        "A run is labelled by its final held-out loss alone: see `labels.py`." + (_fresh(runs) if held_out else ""),
        *(["## Marks", marks(runs, outcomes), f"{SEEN} {_projected(runs, outcomes)}"] if held_out else []),
        *(["## By model", by_model(runs, outcomes)] if held_out else []),
        "## Which runs each monitor names",
        "A monitor names a run when it says anything of it, at any step. The table has the share of the named runs of "
        "each kind. A fair run ends between half and three quarters of the best gain: naming it is neither right nor "
        "wrong. Peers are re-implemented from their published definitions (`peers.py`). They see loss, gradient norm "
        "and learning rate.",
        detection(runs, outcomes),
        "## What people run",
        "The second grid adapts PEFT's default q_proj and v_proj, v_proj alone, attention, MLP or all linear layers. "
        "It has batches of 1 to 32. Its data is shuffled, or has the longest or easiest examples first, or one text "
        "after another. It has ranks 4 to 64, rsLoRA, DoRA, dropout, weight decay, warm-up, and rates from wasted to "
        "ruinous. Thresholds were chosen on the seeds 0, 1, 10 and 11. The texts `news` and `headers` occur in "
        "held-out runs of this grid alone.",
        cells(runs, outcomes),
        "## Injected faults",
        faults(runs),
        *(["## Which layer is named for a NaN", layers.report(), "## Long runs", long.report()] if held_out else []),
        *([larger.HEADING, larger.report(), policies.HEADING, policies.report()] if held_out else []),
        "## Thresholds that were set last",
        "The table has LW401 and LW104, each asked alone, on all runs. Tuning seeds stand apart.",
        replayed(everything),
        least_sizes(everything),
        "## Which statistic tells strong runs from good ones",
        "The table compares damaged and diverged runs with good ones. A statistic is the highest value within ten "
        "steps, or before the first.",
        separation(runs, outcomes),
        "## Runs trained again as advised",
        report() if held_out else "The held-out seeds alone have these runs.",
    ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if held_out:
        OUT.write_text(text)


if __name__ == "__main__":
    main()
