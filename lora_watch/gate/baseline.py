"""A run kept to compare later ones with: made from a run, stored as JSON, and compared.

``rules/guide.yaml`` explains the findings, LW811 to LW816, and ``rules/evidence.yaml`` the tolerances, which stand in
the stored file. Loss and norms are those at the end: they are compared where both runs have come to the same one.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.strict_json import strict
from lora_watch.base.text import clean, count, short
from lora_watch.base.untrusted import MISFITS, or_none, whole
from lora_watch.rules.policy import OF_FINISHED_RUNS
from lora_watch.runs.places import UnreadableError
from lora_watch.runs.run import FinishedRun, read_json

KIND, BASELINE_VERSION = "lora_watch baseline", 2
TOLERANCES = {"loss": 0.10, "typical_norm": 0.15, "layer_norm": 2.0, "scale": 1e-6}
LAYERS_TO_COMPARE = 4
"""Fewer layers than this have no median that stands for all: the median is compared, single layers are not."""

RULES = {rule: name for rule, name in OF_FINISHED_RUNS.items() if rule > "LW81"}


def finding(rule: str, step: int, message: str, severity: Severity = Severity.ERROR, **fields: Any) -> Alert:
    """An alert of a run that is over. ``fields`` are those of Alert."""
    return Alert(rule, fields.pop("name", OF_FINISHED_RUNS[rule]), severity, step, message, **fields)


@dataclass(frozen=True)
class BaselineAdapter:
    """What is kept of one adapter, as last measured."""

    r: int | None
    scale: float | None
    delta_norm: float | None


@dataclass(frozen=True)
class Baseline:
    """What is kept of a run."""

    name: str
    step: int
    loss: float | None
    """Mean over the last tenth of the steps; None without event files."""
    trainable_parameters: int | None
    adapters: Mapping[str, BaselineAdapter]
    tolerances: Mapping[str, float] = field(default_factory=lambda: dict(TOLERANCES))

    def to_json(self) -> bytes:
        """One line a number, so that a change of the file can be read."""
        content = {"kind": KIND, "version": BASELINE_VERSION, **asdict(self)}
        return f"{json.dumps(strict(content), indent=1)}\n".encode()


def keep(run: FinishedRun) -> Baseline:
    """What a baseline keeps of ``run``. Its name says nothing of where it lay on somebody's machine."""
    adapters = {
        name: BaselineAdapter(adapter.r, adapter.last.get("scale"), adapter.last.get("delta_norm"))
        for name, adapter in run.adapters.items()
    }
    return Baseline(Path(run.name).name, run.step, run.final_loss, run.trainable_parameters, adapters)


def load(path: Path) -> Baseline:
    """The baseline in the file ``path``. Raises UnreadableError, which names the file, where there is none."""
    if not path.exists():
        raise UnreadableError(f"there is no baseline {path}; --update-baseline writes one, from a run without findings")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UnreadableError(f"{path} is no baseline; --update-baseline writes one where no file is")
    if content.get("version") != BASELINE_VERSION:
        raise UnreadableError(
            f"the baseline {path} has the format {content.get('version')!r}, known here: {BASELINE_VERSION}; "
            "delete it, and write it anew with --update-baseline"
        )
    try:
        return Baseline(
            name=clean(content["name"]),
            step=whole(content["step"]),
            loss=or_none(float, content["loss"]),
            trainable_parameters=or_none(whole, content["trainable_parameters"]),
            adapters={
                clean(name): BaselineAdapter(
                    or_none(whole, kept["r"]), or_none(float, kept["scale"]), or_none(_not_negative, kept["delta_norm"])
                )
                for name, kept in content["adapters"].items()
            },
            tolerances=TOLERANCES | {name: _not_negative(value) for name, value in content["tolerances"].items()},
        )
    except MISFITS as error:
        raise UnreadableError(
            f"the baseline {path} does not hold what it should ({type(error).__name__}: {error})"
        ) from error


def compare(run: FinishedRun, baseline: Baseline) -> list[Alert]:
    """What moved in ``run`` since ``baseline``, as findings."""
    now = keep(run)
    found = [*_adapters(now, baseline), *_scales(now, baseline)]
    if not run.ended:
        return found
    if now.step != baseline.step:
        taken = f"The run has taken {count(now.step, 'step')}, the baseline {baseline.step}"
        return [*found, finding("LW816", now.step, f"{taken}: their ends are no match.")]
    return [*found, *_loss(now, baseline), *_norms(now, baseline)]


def _adapters(now: Baseline, before: Baseline) -> Iterator[Alert]:
    gone = [name for name in before.adapters if name not in now.adapters]
    new = [name for name in now.adapters if name not in before.adapters]
    parts = [f"{count(len(names), 'adapter')} {what}" for names, what in ((gone, "gone"), (new, "new")) if names]
    trained, trained_before = now.trainable_parameters, before.trainable_parameters
    if trained is not None and trained_before is not None and trained != trained_before:
        parts.append(f"{trained:,} trainable parameters instead of {trained_before:,}")
    if parts:
        yield finding(
            "LW815",
            now.step,
            f"The trained parameters have changed since the baseline: {', '.join(parts)}.",
            adapters=[(name, 0.0) for name in gone] + [(name, 1.0) for name in new],
            metric="present",
            causes=["target_modules, the ranks or the model have changed"],
        )


def _scales(now: Baseline, before: Baseline) -> Iterator[Alert]:
    changed = []
    for name, a, b in _both(now, before):
        same = a.r is None or b.r is None or a.r == b.r
        if a.scale is not None and b.scale is not None:
            same &= abs(a.scale - b.scale) <= before.tolerances["scale"] * abs(b.scale)  # a NaN is another
        if not same:
            changed.append((name, a, b))
    if changed:
        name, a, b = changed[0]
        yield finding(
            "LW814",
            now.step,
            f"The scale or the rank of {count(len(changed), 'adapter')} is not the baseline's: {name} has "
            f"r {a.r}, scale {short(a.scale)} instead of r {b.r}, scale {short(b.scale)}.",
            adapters=[(name, math.nan if a.scale is None else a.scale) for name, a, _ in changed],
            metric="scale",
            causes=["r, lora_alpha, use_rslora or a pattern of them has changed"],
        )


def _loss(now: Baseline, before: Baseline) -> Iterator[Alert]:
    if before.loss is None:
        return
    change = math.nan if now.loss is None else (now.loss - before.loss) / abs(before.loss or math.inf)
    if not change <= before.tolerances["loss"]:  # a NaN is not
        numbers = f"{short(now.loss)} instead of {short(before.loss)}, {100 * change:+.1f} %"
        yield finding("LW811", now.step, f"The final loss is not as low as the baseline's: {numbers}.")


def _norms(now: Baseline, before: Baseline) -> Iterator[Alert]:
    """Two questions: did all layers together do something else, and did one of them do other than the rest?"""
    pairs = [(name, a.delta_norm, b.delta_norm) for name, a, b in _both(now, before)]
    known = [(name, a, b) for name, a, b in pairs if a is not None and b is not None]
    shifts = {name: _shift(a, b) for name, a, b in known if a or b}
    if not shifts or 2 * len(known) < len(pairs):
        if pairs:
            message = "The adapters' norms cannot be compared with the baseline's."
            cause = f"both reports have those of {len(known)} of {count(len(pairs), 'adapter')}"
            yield finding("LW812", now.step, message, causes=[cause])
        return
    typical, tolerance = statistics.median(shifts.values()), before.tolerances["typical_norm"]
    if not abs(typical) <= math.log1p(tolerance):
        yield finding(
            "LW812",
            now.step,
            f"The adapters' norms ‖ΔW‖ have shifted as a whole: at the end the median layer has {_times(typical)} the "
            f"baseline's (tolerance: {tolerance:.0%} either way).",
            metric="delta_norm",
            threshold=tolerance,
            causes=["the learning rate, its schedule or the scale has changed", "other data"],
        )
    # Where the median is not finite nothing can be told apart: all layers are equally lost.
    if len(shifts) < LAYERS_TO_COMPARE or not math.isfinite(typical):
        return
    away = {name: shift - typical for name, shift in shifts.items()}
    limit = math.log(max(1.0, before.tolerances["layer_norm"]))
    moved = sorted((name for name in away if not abs(away[name]) <= limit), key=lambda name: -abs(away[name]))
    if moved:
        yield finding(
            "LW813",
            now.step,
            f"{count(len(moved), 'layer')} moved away from the rest since the baseline, {moved[0]} the farthest. "
            f"Its ‖ΔW‖ is {_times(away[moved[0]])} what the other layers' change would make it "
            f"(tolerance: a factor of {before.tolerances['layer_norm']:g}).",
            adapters=[(name, math.exp(away[name])) for name in moved],
            metric="delta_norm",
            threshold=before.tolerances["layer_norm"],
            causes=["these layers have another learning rate, rank, initialisation or data than before"],
        )


def _both(now: Baseline, before: Baseline) -> list[tuple[str, BaselineAdapter, BaselineAdapter]]:
    return [(name, now.adapters[name], kept) for name, kept in before.adapters.items() if name in now.adapters]


def _shift(now: float, before: float) -> float:
    """log(now/before); infinite where one of them is zero, or not finite."""
    if now == 0:
        return -math.inf
    return math.log(now / before) if before > 0 and math.isfinite(now) else math.inf


def _times(shift: float) -> str:
    return f"{short(math.exp(shift), 3)} times"


def _not_negative(value: Any) -> float:
    number = float(value)
    if number < 0:
        raise ValueError("a norm or a tolerance below 0")
    return number
