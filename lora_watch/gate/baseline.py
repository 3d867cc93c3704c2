"""What has moved since an earlier run, the baseline.

``rules/guide.yaml`` explains the findings, LW811 to LW816, and ``rules/evidence.yaml`` the tolerances. Loss and norms
are those at the end: they are compared where both runs have come to the same one.
"""

import math
import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from lora_watch.base.alerts import Alert
from lora_watch.base.text import count, first_of, full_stop, percent, short
from lora_watch.rules.policy import OF_FINISHED_RUNS
from lora_watch.runs.comparison import trial_of
from lora_watch.runs.places import UnreadableError, find_runs
from lora_watch.runs.run import STOPPED_EARLY, AdapterState, FinishedRun, finding, read_run

TOLERANCES = {"loss": 0.10, "typical_norm": 0.15, "layer_norm": 2.0, "scale": 1e-6}
LAYERS_TO_COMPARE = 4
"""Fewer layers than this have no median that stands for all: the median is compared, single layers are not."""

_NOT_A_SETTING = "no setting that both reports hold: the code, the data, the machine or the versions of libraries"
_CAUSES = {
    "LW814": r"(^|_)r$|rank|alpha|rslora",
    "LW815": r"(^|_)r$|rank|target|modules|layer|bias|dora|token|task_type|^model|frozen",
    "LW816": r"steps planned|epochs|batch_size|accumulation|world_size|train_data",
}
"""By finding, names of the settings that can be its cause; of the others any can be."""
RULES = {rule: name for rule, name in OF_FINISHED_RUNS.items() if rule > "LW81"}


def load(path: Path) -> FinishedRun:
    """The run at ``path`` by its report alone. Raises UnreadableError where there is none, or none to compare with."""
    try:
        places = find_runs(path)
        if len(places) != 1:
            raise UnreadableError(f"{path} holds {len(places)} runs, and a baseline is one")
        run = read_run(replace(places[0], events=()))
        if run.verdict != "ok":
            raise UnreadableError(f"{path} is not fit to be compared with: {run.ending}")
        if run.final_loss is None and run.loss_ends[1] is not None:
            raise UnreadableError(f"{path} lacks loss.final")
    except UnreadableError as error:
        what = full_stop(str(error).partition(". Name ")[0])  # and not what else would have been read
        raise UnreadableError(f"--baseline: {what} Name a good run's folder, or a copy of its report.json") from error
    return run


def compare(now: FinishedRun, before: FinishedRun) -> list[Alert]:
    """What has moved. Each finding names the settings that differ, whether the loss is lower, and how to accept it."""
    found = [*_adapters(now, before), *_scales(now, before)]
    if now.ended and now.step != before.step:
        taken = f"the run has taken {count(now.step, 'step')}, the baseline {before.step}"
        early = [who for who, run in (("this run", now), ("the baseline", before)) if run.stopped_early]
        why = [f"{' and '.join(early)} stopped before the planned steps ({STOPPED_EARLY})"] * bool(early)
        fix = ["compare runs that take all their steps"]
        said = "So losses and norms are not compared."
        found.append(finding("LW816", now.step, taken, details=said, causes=why, remedies=fix))
    elif now.ended:
        found += [*_loss(now, before), *_norms(now, before)]
    for alert in (alert for alert in found if not alert.causes):
        different = _different(now, before, _CAUSES.get(alert.rule, ""))
        if now.final_loss is not None and before.final_loss is not None and alert.rule in ("LW812", "LW813"):
            losses = f"The final loss is {short(now.final_loss)}, and the baseline's {short(before.final_loss)}."
            alert.details = f"{alert.details} {losses}".lstrip()
        alert.causes = [f"{first_of(different, 6)} (baseline → this run)" if different else _NOT_A_SETTING]
        told = () if now.next_run is None else now.next_run.values
        undo = "take what Next run says" if {each.split(" ")[0] for each in different} & {*told} else "undo the change"
        alert.remedies = [f"{undo}, or, if it is meant, give this run's folder to --baseline from now on"]
    return found


def _different(now: FinishedRun, before: FinishedRun, among: str) -> list[str]:
    """The settings that differ, in words, of those ``among`` whose names both reports record. ``among``: a regular
    expression."""

    def settings(run: FinishedRun) -> dict[str, str]:
        trial = trial_of(run.name, run)
        numbers = {"learning_rate": trial.lr, "lora_alpha": trial.alpha, "r": trial.r, "seed": trial.seed}
        known = {name: f"{value:g}" for name, value in numbers.items() if value is not None} | {**trial.settings}
        parts = [run.config, *(run.config.get("lora") or {}).values()]
        unset = [name for part in parts if isinstance(part, Mapping) for name in part if part[name] is None]
        return {**dict.fromkeys(unset, "not set"), **known}

    ours, theirs = settings(now), settings(before)
    names = [name for name in ours if re.search(among, name) and name != "eval_data"]
    names = [name for name in names if ours[name] != theirs.get(name, ours[name])]
    if "steps planned" in names and among == _CAUSES["LW816"] and (now.config.get("max_steps") or 0) > 0:
        names = ["steps planned"]  # which alone says how many there are
    return [f"{name} {theirs[name]} → {ours[name]}" for name in names]


def _adapters(now: FinishedRun, before: FinishedRun) -> Iterator[Alert]:
    if any(alert.rule == "LW301" for alert in now.alerts):
        return  # they are there and do not train, as that says
    gone = [name for name in before.adapters if name not in now.adapters]
    new = [name for name in now.adapters if name not in before.adapters]
    lost = "gone" if now.resting <= before.resting else "frozen, off or gone"
    parts = [f"{count(len(names), 'adapter')} {what}" for names, what in ((gone, lost), (new, "new")) if names]
    trained, trained_before = now.trainable_parameters, before.trainable_parameters
    if trained is not None and trained_before is not None and trained != trained_before:
        parts.append(f"{trained:,} trainable parameters instead of {trained_before:,}")
    if parts:
        yield finding(
            "LW815",
            now.step,
            f"the trained parameters have changed since the baseline: {', '.join(parts)}",
            adapters=[(name, 0.0) for name in gone] + [(name, 1.0) for name in new],
            metric="present",
        )


def _scales(now: FinishedRun, before: FinishedRun) -> Iterator[Alert]:
    changed = []
    for name, a, b in _both(now, before):
        same = a.r is None or b.r is None or a.r == b.r
        new, old = a.last.get("scale"), b.last.get("scale")
        if new is not None and old is not None:
            same &= abs(new - old) <= TOLERANCES["scale"] * abs(old)  # a NaN is another
        if not same:
            changed.append((name, (a.r, new), (b.r, old)))
    if changed:
        name, (r, scale), (r_before, scale_before) = changed[0]
        yield finding(
            "LW814",
            now.step,
            f"the scale or the rank of {count(len(changed), 'adapter')} is not the baseline's",
            details=f"{name} has r {r}, scale {short(scale)} instead of r {r_before}, scale {short(scale_before)}.",
            adapters=[(name, math.nan if new is None else new) for name, (_, new), _ in changed],
            metric="scale",
        )


def _loss(now: FinishedRun, before: FinishedRun) -> Iterator[Alert]:
    new, old = now.final_loss, before.final_loss
    if old is None:
        return
    change = math.nan if new is None else (new - old) / abs(old or math.inf)
    if not change <= TOLERANCES["loss"]:  # a NaN is not
        numbers = f"It is {short(new)} instead of {short(old)}{f', {100 * change:+.1f} %' * (new is not None)}."
        yield finding("LW811", now.step, "the final loss is not as low as the baseline's", details=numbers)


def _norms(now: FinishedRun, before: FinishedRun) -> Iterator[Alert]:
    """Two questions: did all layers together do something else, and did one of them do other than the rest?"""
    pairs = [(name, a.last.get("delta_norm"), b.last.get("delta_norm")) for name, a, b in _both(now, before)]
    known = [(name, a, b) for name, a, b in pairs if a is not None and b is not None]
    shifts = {name: _shift(a, b) for name, a, b in known if a or b}
    if not shifts or 2 * len(known) < len(pairs):
        if pairs:
            message = "the adapters' norms cannot be compared with the baseline's"
            known_of = f"Both reports have those of {len(known)} of {count(len(pairs), 'adapter')}."
            yield finding("LW812", now.step, message, details=known_of)
        return
    typical, tolerance = statistics.median(shifts.values()), TOLERANCES["typical_norm"]
    if not abs(typical) <= math.log1p(tolerance):
        yield finding(
            "LW812",
            now.step,
            "the adapters' norms ‖ΔW‖ have shifted as a whole",
            details=f"At the end the median layer has {short(math.exp(typical), 3)} times the baseline's (tolerance: "
            f"{percent(tolerance)} either way).",
            metric="delta_norm",
            threshold=tolerance,
        )
    # Where the median is not finite nothing can be told apart: all layers are equally lost.
    if len(shifts) < LAYERS_TO_COMPARE or not math.isfinite(typical):
        return
    away = {name: shift - typical for name, shift in shifts.items()}
    limit = math.log(max(1.0, TOLERANCES["layer_norm"]))
    moved = sorted((name for name in away if not abs(away[name]) <= limit), key=lambda name: -abs(away[name]))
    if moved:
        times = short(math.exp(away[moved[0]]), 3)
        yield finding(
            "LW813",
            now.step,
            f"{count(len(moved), 'layer')} moved away from the rest since the baseline, {moved[0]} the farthest",
            details=f"Its ‖ΔW‖ is {times} times what the other layers' change would make it (tolerance: a "
            f"factor of {TOLERANCES['layer_norm']:g}).",
            adapters=[(name, math.exp(away[name])) for name in moved],
            metric="delta_norm",
            threshold=TOLERANCES["layer_norm"],
        )


def _both(now: FinishedRun, before: FinishedRun) -> list[tuple[str, AdapterState, AdapterState]]:
    return [(name, now.adapters[name], kept) for name, kept in before.adapters.items() if name in now.adapters]


def _shift(now: float, before: float) -> float:
    """log(now/before); infinite where one of them is zero, or not finite."""
    if now == 0:
        return -math.inf
    return math.log(now / before) if before > 0 and math.isfinite(now) else math.inf
