"""A run kept to compare later ones with: made from a run, stored as JSON, and compared.

``rules/guide.yaml`` explains the findings, LW811 to LW816, and ``rules/evidence.yaml`` the tolerances. The stored file
has them, too, where another project may write its own. Norms are compared at every step that was kept. A run that has
not come to its end is not asked for its loss or its length.
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
from lora_watch.base.untrusted import MISFITS, or_none, read_bytes, whole
from lora_watch.rules.policy import OF_FINISHED_RUNS
from lora_watch.runs.events import FILES
from lora_watch.runs.places import UnreadableError, find_runs
from lora_watch.runs.run import FinishedRun, read_json, read_run

KIND, BASELINE_VERSION = "lora_watch baseline", 1
TOLERANCES = {"loss": 0.10, "typical_norm": 0.15, "layer_norm": 2.0, "scale": 1e-6}
CURVE_POINTS = 32
"""Steps of the stored curves: the first eight, then ever further apart, and the last."""
LAYERS_TO_COMPARE = 4
"""Fewer layers than this have no median that stands for all: the median is compared, single layers are not."""

RULES = {rule: name for rule, name in OF_FINISHED_RUNS.items() if rule > "LW81"}


def finding(
    rule: str, step: int, message: str, severity: Severity = Severity.ERROR, name: str | None = None, **fields: Any
) -> Alert:
    """An alert of a run that is over. ``name``: where it is not the usual one of ``rule``; ``fields`` of Alert."""
    return Alert(rule, name or OF_FINISHED_RUNS[rule], severity, step, message, **fields)


@dataclass(frozen=True)
class BaselineAdapter:
    """What is kept of one adapter."""

    r: int | None
    scale: float | None
    delta_norm: Mapping[int, float]
    """By step."""


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
        """One line an adapter, so that a change of the file can be read."""
        steps = sorted({step for kept in self.adapters.values() for step in kept.delta_norm})
        head = {
            "kind": KIND,
            "version": BASELINE_VERSION,
            "name": Path(self.name).name,  # not where it lay on somebody's machine
            "tolerances": dict(self.tolerances),
            "step": self.step,
            "loss": _rounded(self.loss),
            "trainable_parameters": self.trainable_parameters,
            "steps": steps,
        }
        adapters = {
            name: {
                "r": kept.r,
                "scale": _rounded(kept.scale),
                "delta_norm": [_rounded(kept.delta_norm.get(step)) for step in steps],
            }
            for name, kept in self.adapters.items()
        }
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        rows = [f"  {json.dumps(name)}: {json.dumps(adapter)}" for name, adapter in adapters.items()]
        lines.append(' "adapters": {\n' + ",\n".join(rows) + "\n }")
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def keep(run: FinishedRun, steps: Sequence[int] | None = None) -> Baseline:
    """What a baseline keeps of ``run``: its ``delta_norm`` at ``steps``.

    By default those are ``curve_steps`` of the steps at which it was measured. The first ones and the last are among
    them, which any run of this length has measured, however fast it was.
    """
    if steps is None:
        steps = curve_steps([step for step in run.data.measured("delta_norm") if step > 0])
    curves = run.data.metric_at("delta_norm", steps)
    adapters = {}
    for name, adapter in run.adapters.items():
        curve = {step: values[name] for step, values in curves.items() if name in values}
        if not run.data.steps and "delta_norm" in adapter.last:
            curve = {run.step: adapter.last["delta_norm"]}
        adapters[name] = BaselineAdapter(adapter.r, adapter.last.get("scale"), curve)
    return Baseline(run.name, run.step, run.final_loss, run.trainable_parameters, adapters)


def curve_steps(steps: Sequence[int]) -> list[int]:
    """At most ``CURVE_POINTS`` of ``steps``: the first eight, then ever further apart, and the last."""
    if len(steps) <= CURVE_POINTS:
        return list(steps)
    growth = (len(steps) / 8) ** (1 / (CURVE_POINTS - 8))
    places = {*range(8), *(min(len(steps) - 1, round(8 * growth**i) - 1) for i in range(1, CURVE_POINTS - 7))}
    return [steps[place] for place in sorted(places)]


def load(path: Path) -> Baseline:
    """The baseline at ``path``: one that was written, or a run, its report or its folder, to be made into one. Raises
    UnreadableError."""
    content = None
    if not path.exists():
        raise UnreadableError(f"there is no baseline {path}; --update-baseline writes one, from a run without findings")
    if path.is_file() and not path.match(FILES):
        content = read_json(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        content = None  # which may be large, and is read again
        places = find_runs(path)
        if len(places) > 1:
            raise UnreadableError(f"{path} holds {len(places)} runs; a baseline is one: name its folder")
        return keep(read_run(places[0]))
    if content.get("version") != BASELINE_VERSION:
        raise UnreadableError(
            f"the baseline {path} has the format {content.get('version')!r}, known here: {BASELINE_VERSION}; "
            "write it anew with --update-baseline"
        )
    try:
        steps = [whole(step) for step in content["steps"]]
        return Baseline(
            name=clean(content["name"]),
            step=whole(content["step"]),
            loss=or_none(float, content["loss"]),
            trainable_parameters=or_none(whole, content["trainable_parameters"]),
            adapters={
                clean(name): BaselineAdapter(
                    or_none(whole, a["r"]),
                    or_none(float, a["scale"]),
                    {
                        step: _not_negative(norm)
                        for step, norm in zip(steps, a["delta_norm"], strict=True)
                        if norm is not None
                    },
                )
                for name, a in content["adapters"].items()
            },
            tolerances=TOLERANCES | {name: _not_negative(value) for name, value in content["tolerances"].items()},
        )
    except MISFITS as error:
        raise UnreadableError(
            f"the baseline {path} does not hold what it should ({type(error).__name__}: {error})"
        ) from error


def may_be_replaced(path: Path) -> bool:
    """Nothing is lost by writing a baseline to ``path``: nothing is there, or one, damaged or not."""
    if not path.exists():
        return True
    try:
        content = read_bytes(path)
    except OSError:
        return False
    return not content or KIND.encode() in content


def compare(run: FinishedRun, baseline: Baseline) -> list[Alert]:
    """What moved in ``run`` since ``baseline``, as findings."""
    steps = sorted({step for kept in baseline.adapters.values() for step in kept.delta_norm})
    now = keep(run, steps)
    return [
        *_adapters(now, baseline),
        *_scales(now, baseline),
        *(_ending(run, now, baseline) if run.verdict in ("ok", "unhealthy", "unknown") else ()),
        *_norms(now, baseline, steps, ended=bool(run.data.steps) and run.verdict != "interrupted"),
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


def _ending(run: FinishedRun, now: Baseline, before: Baseline) -> Iterator[Alert]:
    if now.step != before.step:
        message = f"The run has taken {count(now.step, 'step')}, the baseline {before.step}: their ends are no match."
        yield finding("LW816", now.step, message)
        return
    if now.loss is None or before.loss is None:
        if run.loss_ends[1] is not None or before.loss is not None:
            whose = "this run" if now.loss is None else "the baseline"
            message = f"The final loss cannot be compared with the baseline's: {whose} has no mean loss."
            causes = ["its event files were not written (tensorboard=False), or are not next to its report"]
            yield finding("LW811", now.step, message, Severity.WARNING, "loss-unknown", metric="loss", causes=causes)
        return
    change = (now.loss - before.loss) / abs(before.loss) if before.loss else math.copysign(math.inf, now.loss)
    numbers = f"{short(now.loss)} instead of {short(before.loss)}, {100 * change:+.1f} %"
    if not change <= before.tolerances["loss"]:  # a NaN is not
        yield finding("LW811", now.step, f"The final loss is higher than the baseline's: {numbers}.", metric="loss")
    elif change < -before.tolerances["loss"]:
        message = f"The final loss is lower than the baseline's: {numbers}. Time for --update-baseline."
        yield finding("LW811", now.step, message, severity=Severity.INFO, metric="loss", name="loss-improved")


def _norms(now: Baseline, before: Baseline, steps: Sequence[int], ended: bool) -> Iterator[Alert]:
    """Two questions: did all layers together do something else, and did one of them do other than the rest? ``ended``:
    the run has come to its end, and all of its norms are left."""
    pairs = _both(now, before)
    typical_limit = math.log1p(before.tolerances["typical_norm"])
    layer_limit = math.log(max(1.0, before.tolerances["layer_norm"]))
    typical: dict[int, float] = {}
    beyond: dict[str, list[tuple[int, float]]] = {}
    for step in steps:
        both = [(name, a.delta_norm.get(step), b.delta_norm.get(step)) for name, a, b in pairs]
        ratios = {name: _log_ratio(a, b) for name, a, b in both if a is not None and b is not None}
        shifts = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if not shifts:
            continue
        typical[step] = statistics.median(shifts.values())
        # Where the median is not finite nothing can be told apart: all layers are equally lost.
        if len(shifts) >= LAYERS_TO_COMPARE and math.isfinite(typical[step]):
            for name, shift in shifts.items():
                if not abs(shift - typical[step]) <= layer_limit:
                    beyond.setdefault(name, []).append((step, shift - typical[step]))
    off = [step for step, shift in typical.items() if not abs(shift) <= typical_limit]
    if off:
        last = max(typical)
        later = f" and {_times(typical[last])} at step {last}" if last > off[0] else ""
        yield finding(
            "LW812",
            off[0],
            f"The adapters' norms ‖ΔW‖ have shifted as a whole: the median layer has {_times(typical[off[0]])} the "
            f"baseline's at step {off[0]}{later} "
            f"(tolerance: {before.tolerances['typical_norm']:.0%} either way).",
            metric="delta_norm",
            threshold=before.tolerances["typical_norm"],
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
            adapters=[(name, _exp(shift)) for _, name, shift in differing],
            metric="delta_norm",
            threshold=before.tolerances["layer_norm"],
            causes=["these layers have another learning rate, rank, initialisation or data than before"],
        )
    reached = max((step for step in steps if step <= now.step), default=0) if ended else 0
    if (not typical or 2 * max(typical) < reached) and before.adapters and now.adapters:
        until = f"beyond step {max(typical)} of {reached}" if typical else "at any step"
        yield finding(
            "LW812",
            now.step,
            f"The adapters' norms cannot be compared with the baseline's {until}: they were measured at other steps.",
            causes=[
                "one of them has no event files next to its report",
                "one of them ended before its first measurement",
                "they measure at other steps (every)",
            ],
        )


def _both(now: Baseline, before: Baseline) -> list[tuple[str, BaselineAdapter, BaselineAdapter]]:
    return [(name, now.adapters[name], kept) for name, kept in before.adapters.items() if name in now.adapters]


def _log_ratio(now: float, before: float) -> float | None:
    """log(now/before); None where both are zero or both are not finite: nothing has moved."""
    if now == before or not (math.isfinite(now) or math.isfinite(before)):
        return 0.0 if now == before and now != 0 else None
    if not math.isfinite(now) or before == 0:
        return math.inf
    return -math.inf if now == 0 or not math.isfinite(before) else math.log(now / before)


def _exp(shift: float) -> float:
    return math.inf if shift > 700 else math.exp(shift)


def _times(shift: float) -> str:
    return f"{short(_exp(shift), 3)} times"


def _rounded(value: float | None) -> float | str | None:
    """Six digits are more than any tolerance needs, and make the file small."""
    return None if value is None else strict(float(f"{value:.6g}"))


def _not_negative(value: Any) -> float:
    number = float(value)
    if number < 0:
        raise ValueError("a norm or a tolerance below 0")
    return number
