"""The page RECOVERY.md: the results of the runs of ``recovery.py``. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.corpus.labels import BAD, GOOD, Outcome, best, gain
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import HELD_OUT_SEED, Spec
from benchmarks.corpus.rescuers import ARMS, OURS, UNTOUCHED
from benchmarks.corpus.traces import Trace

Runs = Mapping[tuple[str, str, str], Mapping[str, Any]]
"""By the run's name, the arm and the late fault."""
NEAR = 0.03
"""A late fault is made up for where the held-out loss ends at most so much above that of the run without it."""
TITLES = {
    OURS: "`recover=3`",
    UNTOUCHED: "untouched: clipping at 1.0, the Trainer's default",
    "halve": "back and half the rate, by a moving average",
    "ZClip": "ZClip, z > 2.5",
}


def failing(outcomes: Mapping[Spec, Outcome]) -> list[Spec]:
    """Settings that nothing was chosen on and that go wrong; those of the small models first."""
    found = [s for s, o in outcomes.items() if s.seed == HELD_OUT_SEED and o.label in ("diverged", "damaged")]
    return sorted(found, key=lambda spec: ("tiny", "minilm", "smollm2").index(spec.base))


def good(outcomes: Mapping[Spec, Outcome]) -> list[Spec]:
    """Settings of the smallest model that nothing was chosen on and that are good."""
    return [s for s, o in outcomes.items() if s.seed == HELD_OUT_SEED and o.label == "good" and s.base == "tiny"]


def page(
    done: Sequence[Mapping[str, Any]],
    traces: Mapping[Spec, Trace],
    outcomes: Mapping[Spec, Outcome],
    long_runs: Sequence[Spec],
    late: Sequence[str],
) -> str:
    """``late``: the late faults, the first of them none at all."""
    runs: Runs = {(d["run"], d["arm"], d["late"]): d for d in done}
    bad, sound = failing(outcomes), good(outcomes)
    gains = {(spec, arm): gain_of(spec, arm, runs, traces) for spec in bad for arm in ARMS}
    spent = sum(d["cpu"] for d in done) / 60
    planned = [(spec.name, arm, fault) for spec in long_runs for arm in ARMS for fault in late]
    planned += [(spec.name, arm, "") for spec in bad for arm in ARMS if arm != UNTOUCHED]
    planned += [(spec.name, arm, "") for spec in sound for arm in (OURS, UNTOUCHED)]
    missing = sum(key not in runs for key in planned)
    parts = [
        "# Runs that rescue themselves",
        f"Written by `python -m benchmarks.corpus.recovery --scores`: {len(done)} runs, {spent:.0f} minutes of a core. "
        f"No threshold was chosen on the seeds of these runs. {missing} of {len(planned)} planned runs were not made. "
        "A table that lacks one says so, or counts fewer.",
        "An advice to divide alpha by c lowers the rate by c^0.7, as `advise` does. With c itself, two of these runs "
        "gained 0.73 (tiny, scale 16, batch 32) and 0.35 (MiniLM, scale 16) of the best: they are no independent test "
        "of that choice. Before, A, B and the rate were divided by √c: 16 of the 17 settings were good, and MiniLM "
        "at scale 16 ended at 0.41.",
        "## Marks",
        table(("mark", "measured"), marks(runs, gains, bad, long_runs, late, sound)),
        "## Settings that fail",
        f"The table has the {len(bad)} settings of the corpus that end diverged or damaged. A bad run has a gain below "
        "half of the best run's, a good one a gain above three quarters. Steps lost are those of the runs that went "
        "back.",
        table(
            ("", "no longer bad", "good", "steps lost: median", "most", "ended by its monitor"),
            (_of_settings(arm, runs, gains, bad) for arm in ARMS),
        ),
        "## Late faults",
        f"The runs have 600 steps, the fault at step 300, and seeds {', '.join(str(spec.seed) for spec in long_runs)}. "
        f"The table counts the runs whose held-out loss ended at most {100 * NEAR:g} % above that of the untouched run "
        "without a fault. The worst run stands after it.",
        table(
            ("", *late), ([TITLES[arm], *(_of_fault(arm, f, runs, long_runs, late[0]) for f in late)] for arm in ARMS)
        ),
        "## Setting by setting",
        "Each cell has the gain as a share of the best run's, and in brackets the steps lost.",
        table(("setting", *ARMS), ([spec.name, *(_gain(spec, a, runs, gains) for a in ARMS)] for spec in bad)),
        "## Late fault by late fault",
        "Each cell has the held-out loss after 600 steps. Its brackets say why the run went back, the steps lost, and "
        "the updates dropped then.",
        table(
            ("seed", "fault", *ARMS),
            (
                [spec.seed, fault, *(_loss(runs.get((spec.name, arm, fault))) for arm in ARMS)]
                for spec in long_runs
                for fault in late
            ),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def gain_of(spec: Spec, arm: str, runs: Runs, traces: Mapping[Spec, Trace]) -> float | None:
    """As a share of the best of its family; -inf where there was no end, or none that is finite; None if not run."""
    if arm == UNTOUCHED:
        after = traces[spec].after
    elif (run := runs.get((spec.name, arm, ""))) is not None:
        after = math.nan if run["after"] is None else run["after"]
    else:
        return None
    members = [s for s in traces if s.family == spec.family and s.seed == spec.seed and not s.fault]
    found = gain(traces[spec].before, after, traces[best(traces, members)].after)
    return -math.inf if math.isnan(found) else found


def reference(spec: Spec, runs: Runs, nothing: str) -> Mapping[str, Any] | None:
    """The untouched run without a fault; where that was not made, the one with ``recover`` that never went back."""
    ours = runs.get((spec.name, OURS, nothing))
    return runs.get((spec.name, UNTOUCHED, nothing)) or (ours if ours and not ours["recoveries"] else None)


def excess(run: Mapping[str, Any] | None, sound: Mapping[str, Any] | None) -> float | None:
    """By what share the held-out loss is above that of ``sound``; infinite where there is none. None if not run."""
    if run is None or sound is None:
        return None
    return math.inf if run["after"] is None else run["after"] / sound["after"] - 1.0


def marks(
    runs: Runs,
    gains: Mapping[tuple[Spec, str], float | None],
    bad: Sequence[Spec],
    long_runs: Sequence[Spec],
    late: Sequence[str],
    sound: Sequence[Spec],
) -> list[tuple[str, str]]:
    """Each mark, and the figure that was measured."""
    ours = [g for spec in bad if (g := gains[spec, OURS]) is not None]
    lost = [cost for spec in bad if (cost := lost_by(runs.get((spec.name, OURS, "")))) is not None]
    above = [
        e
        for spec in long_runs
        for fault in late[1:]
        if (e := excess(runs.get((spec.name, OURS, fault)), reference(spec, runs, late[0]))) is not None
    ]
    keys = [*((spec.name, late[0]) for spec in long_runs), *((spec.name, "") for spec in sound)]
    healthy = [run for name, fault in keys if (run := runs.get((name, OURS, fault)))]
    twins = [(run, twin) for run in healthy if (twin := runs.get((run["run"], UNTOUCHED, run["late"])))]
    same = sum(run["weights"] == twin["weights"] for run, twin in twins)
    return [
        ("failing settings no longer bad: at least 90 %", share(sum(g >= BAD for g in ours), len(ours))),
        ("failing settings good: at least 75 %", share(sum(g >= GOOD for g in ours), len(ours))),
        ("steps lost: median at most 15", _lost(lost)),
        (f"late faults within {100 * NEAR:g} %: at least 90 %", share(sum(e <= NEAR for e in above), len(above))),
        (
            "healthy runs: 0 recoveries",
            f"{sum(bool(run['recoveries']) for run in healthy)} in {len(healthy)} runs",
        ),
        (
            "healthy runs: bit-identical",
            f"{same}/{len(twins)} that were trained without the monitor, too",
        ),
    ]


def lost_by(run: Mapping[str, Any] | None) -> int | None:
    """Steps that a run has thrown away; None where it never went back."""
    return sum(recovery[2] for recovery in run["recoveries"]) if run is not None and run["recoveries"] else None


def _lost(lost: Iterable[int]) -> str:
    values = list(lost)
    return f"{statistics.median(values):g}, at most {max(values)}" if values else "–"


def _of_settings(
    arm: str, runs: Runs, gains: Mapping[tuple[Spec, str], float | None], bad: Sequence[Spec]
) -> list[object]:
    found = [g for spec in bad if (g := gains[spec, arm]) is not None]
    if not found:
        return [TITLES[arm], *["not run"] * 5]
    own = [runs[spec.name, arm, ""] for spec in bad if (spec.name, arm, "") in runs]
    lost = [cost for run in own if (cost := lost_by(run)) is not None]
    fair, well = (share(sum(g >= least for g in found), len(found)) for least in (BAD, GOOD))
    cost = (f"{statistics.median(lost):g}", max(lost)) if lost else ("–", "–")
    return [TITLES[arm], fair, well, *cost, sum(bool(run["ended"]) for run in own)]


def _of_fault(arm: str, fault: str, runs: Runs, long_runs: Sequence[Spec], nothing: str) -> str:
    found = [excess(runs.get((s.name, arm, fault)), reference(s, runs, nothing)) for s in long_runs]
    known = [e for e in found if e is not None]
    if not known:
        return "not run"
    worst = "no end" if math.isinf(max(known)) else f"{100 * max(known):+.1f} %"
    return f"{sum(e <= NEAR for e in known)}/{len(known)}, {worst}"


def _gain(spec: Spec, arm: str, runs: Runs, gains: Mapping[tuple[Spec, str], float | None]) -> str:
    found, lost = gains[spec, arm], lost_by(runs.get((spec.name, arm, "")))
    if found is None:
        return "not run"
    return ("no end" if math.isinf(found) else f"{found:.2f}") + ("" if lost is None else f" ({lost})")


def _loss(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "not run"
    said = "ended" if run["ended"] else "NaN" if run["after"] is None else f"{run['after']:.3f}"
    recoveries = [f"{r[0]} −{r[2]}" + (f", {r[4]} dropped" if len(r) > 4 and r[4] else "") for r in run["recoveries"]]
    few = [*recoveries[:3], f"{len(recoveries) - 3} more"] if len(recoveries) > 3 else recoveries
    return said + (f" ({'; '.join(few)})" if recoveries else "")
