"""A run kept to compare later ones with: made from a run, stored as JSON, and compared.

``rules/guide.yaml`` explains the findings, LW811 to LW816, and ``rules/evidence.yaml`` the tolerances, which stand in
the stored file. A run that has not come to its end is not asked for its loss or its length.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.strict_json import strict
from lora_watch.base.text import clean, count, short
from lora_watch.base.untrusted import MISFITS, or_none, whole
from lora_watch.rules.policy import OF_FINISHED_RUNS
from lora_watch.runs.places import UnreadableError
from lora_watch.runs.run import FinishedRun, read_json

KIND, BASELINE_VERSION = "lora_watch baseline", 1
TOLERANCES = {"loss": 0.10, "typical_norm": 0.15, "layer_norm": 2.0, "scale": 1e-6}
CURVE_POINTS = 32
"""Steps of the stored curves: the first eight, then ever further apart, and the last."""
LAYERS_TO_COMPARE = 4
"""Fewer layers than this have no median that stands for all: the median is compared, single layers are not."""

RULES = {rule: name for rule, name in OF_FINISHED_RUNS.items() if rule > "LW81"}


def finding(rule: str, step: int, message: str, severity: Severity = Severity.ERROR, **fields: Any) -> Alert:
    """An alert of a run that is over. ``fields`` are those of Alert."""
    return Alert(rule, fields.pop("name", OF_FINISHED_RUNS[rule]), severity, step, message, **fields)


@dataclass(frozen=True)
class BaselineAdapter:
    """What is kept of one adapter."""

    r: int | None
    scale: float | None
    delta_norm: Sequence[float | None]
    """At each of the baseline's ``steps``; None where it is unknown."""


@dataclass(frozen=True)
class Baseline:
    """What is kept of a run."""

    name: str
    step: int
    loss: float | None
    """Mean over the last tenth of the steps; None without event files."""
    trainable_parameters: int | None
    steps: Sequence[int]
    adapters: Mapping[str, BaselineAdapter]
    tolerances: Mapping[str, float] = field(default_factory=lambda: dict(TOLERANCES))

    def to_json(self) -> bytes:
        """One line an adapter, so that a change of the file can be read."""
        head = {
            "kind": KIND,
            "version": BASELINE_VERSION,
            "name": Path(self.name).name,  # not where it lay on somebody's machine
            "tolerances": dict(self.tolerances),
            "step": self.step,
            "loss": _rounded(self.loss),
            "trainable_parameters": self.trainable_parameters,
            "steps": list(self.steps),
        }
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        rows = []
        for name, kept in self.adapters.items():
            adapter = {"r": kept.r, "scale": _rounded(kept.scale), "delta_norm": [*map(_rounded, kept.delta_norm)]}
            rows.append(f"  {json.dumps(name)}: {json.dumps(adapter)}")
        lines.append(' "adapters": {\n' + ",\n".join(rows) + "\n }")
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def keep(run: FinishedRun, steps: Sequence[int] | None = None) -> Baseline:
    """What a baseline keeps of ``run``: its ``delta_norm`` at ``steps``, by default at ``curve_steps``."""
    if steps is None:
        steps = curve_steps([step for step in run.data.measured("delta_norm") if step > 0])
    curves = run.data.metric_at("delta_norm", steps)
    adapters = {
        name: BaselineAdapter(adapter.r, adapter.last.get("scale"), [curves.get(step, {}).get(name) for step in steps])
        for name, adapter in run.adapters.items()
    }
    return Baseline(run.name, run.step, run.final_loss, run.trainable_parameters, steps, adapters)


def curve_steps(steps: Sequence[int]) -> list[int]:
    """At most ``CURVE_POINTS`` of ``steps``: the first eight, then ever further apart, and the last."""
    if len(steps) <= CURVE_POINTS:
        return list(steps)
    growth = (len(steps) / 8) ** (1 / (CURVE_POINTS - 8))
    places = {*range(8), *(min(len(steps) - 1, round(8 * growth**i) - 1) for i in range(1, CURVE_POINTS - 7))}
    return [steps[place] for place in sorted(places)]


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
            steps=[whole(step) for step in content["steps"]],
            adapters={
                clean(name): BaselineAdapter(
                    or_none(whole, kept["r"]),
                    or_none(float, kept["scale"]),
                    [
                        or_none(_not_negative, norm)
                        for _, norm in zip(content["steps"], kept["delta_norm"], strict=True)
                    ],
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
    now = keep(run, baseline.steps)
    ended = run.verdict in ("ok", "unhealthy", "unknown")
    return [
        *_adapters(now, baseline),
        *_scales(now, baseline),
        *(_ending(now, baseline) if ended else ()),
        *_norms(now, baseline, ended),
    ]


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


def _ending(now: Baseline, before: Baseline) -> Iterator[Alert]:
    if now.step != before.step:
        message = f"The run has taken {count(now.step, 'step')}, the baseline {before.step}: their ends are no match."
        yield finding("LW816", now.step, message)
    elif before.loss is not None:
        change = math.nan if now.loss is None else (now.loss - before.loss) / abs(before.loss or math.inf)
        if not change <= before.tolerances["loss"]:  # a NaN is not
            numbers = f"{short(now.loss)} instead of {short(before.loss)}, {100 * change:+.1f} %"
            yield finding("LW811", now.step, f"The final loss is not as low as the baseline's: {numbers}.")


def _norms(now: Baseline, before: Baseline, ended: bool) -> Iterator[Alert]:
    """Two questions: did all layers together do something else, and did one of them do other than the rest? Where a
    run that has ``ended`` leaves them open, that is a finding."""
    pairs = _both(now, before)
    layer_limit = math.log(max(1.0, before.tolerances["layer_norm"]))
    typical: dict[int, float] = {}
    beyond: dict[str, list[tuple[int, float]]] = {}
    for i, step in enumerate(before.steps):
        both = [(name, a.delta_norm[i], b.delta_norm[i]) for name, a, b in pairs]
        shifts = {name: _shift(a, b) for name, a, b in both if a is not None and b is not None and (a or b)}
        if not shifts:
            continue
        typical[step] = statistics.median(shifts.values())
        # Where the median is not finite nothing can be told apart: all layers are equally lost.
        if len(shifts) >= LAYERS_TO_COMPARE and math.isfinite(typical[step]):
            for name, shift in shifts.items():
                if not abs(shift - typical[step]) <= layer_limit:
                    beyond.setdefault(name, []).append((step, shift - typical[step]))
    tolerance = before.tolerances["typical_norm"]
    if off := [step for step, shift in typical.items() if not abs(shift) <= math.log1p(tolerance)]:
        last = max(typical)
        later = f" and {_times(typical[last])} at step {last}" if last > off[0] else ""
        yield finding(
            "LW812",
            off[0],
            f"The adapters' norms ‖ΔW‖ have shifted as a whole: the median layer has {_times(typical[off[0]])} the "
            f"baseline's at step {off[0]}{later} (tolerance: {tolerance:.0%} either way).",
            metric="delta_norm",
            threshold=tolerance,
            causes=["the learning rate, its schedule, the scale or the number of steps has changed", "other data"],
        )
    differing = [(found[0][0], name, max((shift for _, shift in found), key=abs)) for name, found in beyond.items()]
    if differing:
        differing.sort(key=lambda found: (found[0], -abs(found[2])))
        step, name, shift = differing[0]
        yield finding(
            "LW813",
            step,
            f"{count(len(differing), 'layer')} moved away from the rest since the baseline, first {name} "
            f"at step {step}. "
            f"Its ‖ΔW‖ is up to {_times(shift)} what the other layers' change would make it "
            f"(tolerance: a factor of {before.tolerances['layer_norm']:g}).",
            adapters=[(name, math.exp(shift)) for _, name, shift in differing],
            metric="delta_norm",
            threshold=before.tolerances["layer_norm"],
            causes=["these layers have another learning rate, rank, initialisation or data than before"],
        )
    reached = max((step for step in before.steps if step <= now.step), default=0)
    if ended and pairs and 2 * max(typical, default=-1) < reached:
        until = f"beyond step {max(typical)} of {reached}" if typical else "at any step"
        yield finding(
            "LW812",
            now.step,
            f"The adapters' norms cannot be compared with the baseline's {until}.",
            causes=["its event files are not next to its report", "it measures at other steps (every)"],
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


def _rounded(value: float | None) -> float | str | None:
    """Six digits are more than any tolerance needs, and make the file small."""
    return None if value is None else strict(float(f"{value:.6g}"))


def _not_negative(value: Any) -> float:
    number = float(value)
    if number < 0:
        raise ValueError("a norm or a tolerance below 0")
    return number
