"""Tells what an incident record holds: what moved first, in which layer, at which step.

The recorder (``incident.json``) has the last steps before a failure with every metric of every adapter. Nothing is
expected of it but ``adapters`` and ``steps``; what else is missing or odd is passed over in silence, for a story that
leaves something out is better than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.text import clean, count, short
from lora_watch.base.untrusted import MISFITS, whole

JUMP = 4.0
"""A number has jumped when it is at least this many times anything recorded before it.

In healthy runs of 40 steps (tiny Llama, 28 adapters, two seeds, two learning rates) none rose to more than 2.6 times.
"""
_BEFORE = 3
"""Values of its own that must come before a number for that to mean anything."""
_CAUSE_FIRST = ("loss", "b_grad_norm", "a_grad_norm", "b_norm", "a_norm", "delta_norm", "spectral_norm", "output_ratio")
"""The order in which one fault shows within a step; other metrics come after these."""


Curves = dict[tuple[str, str], list[tuple[int, float]]]
"""``{(metric, where): [(step, value)]}``"""


class Event(NamedTuple):
    """One number that did something new at ``step``."""

    step: int
    metric: str
    where: str
    """The adapter, or ``the run`` for the loss."""
    value: float
    before: float
    """The largest value recorded before it; 0 if there is none."""

    def order(self) -> tuple[int, int, float]:
        """As the fault went through the model."""
        place = _CAUSE_FIRST.index(self.metric) if self.metric in _CAUSE_FIRST else len(_CAUSE_FIRST)
        return self.step, place, -self.value if math.isfinite(self.value) else -math.inf


def tell(incident: Any, alerts: Sequence[Alert]) -> list[str]:
    """The story, one sentence a line; empty without a record that can be read."""
    try:
        curves = _curves(incident)
    except MISFITS:
        return ["There is an incident record, but it does not hold what it should."]
    steps = sorted({step for curve in curves.values() for step, _ in curve})
    if not steps:
        return []
    lines = [f"The incident record holds {count(len(steps), 'step')}, {steps[0]} to {steps[-1]}."]
    broken = _first(curves, lambda place, value, highest: not math.isfinite(value))
    jumps = _first(curves, _has_jumped)
    if jumps and not (broken and broken[0].step <= jumps[0].step):
        lines.append(
            _said("What moved first", jumps, lambda e: f"rose to {e.value / e.before:.3g} × its highest before")
        )
    if broken:
        lines.append(_said("Not finite first", broken, lambda e: f"was {e.value:g}"))
    errors = [alert for alert in alerts if alert.severity >= Severity.ERROR]
    for alert in errors:
        if crossed := _crossings(curves, alert):
            lines.append(_said(f"Beyond {alert.rule}'s threshold first", crossed, lambda e: f"was {short(e.value)}"))
    lines += [f"Step {alert.step}: {alert.rule} {alert.name} opened." for alert in errors if alert.step >= steps[0]]
    good = incident.get("last_good")
    if isinstance(good, Mapping) and isinstance(good.get("step"), int):
        lines.append(
            f"{clean(good.get('folder'))}/, next to incident.json, has the adapter as it was at step {good['step']}."
        )
    elif (why := incident.get("last_good_unavailable")) is not None:
        lines.append(f"The last good adapter was not kept: {clean(why)}.")
    return lines


def _said(what: str, events: Sequence[Event], doing: Any) -> str:
    first, others = events[0], events[1:]
    line = f"{what}: step {first.step}, {first.metric} of {first.where} {doing(first)}"
    if others:
        together = sum(event.step == first.step for event in others)
        late = ", ".join(f"{e.where} at step {e.step}" for e in others if e.step > first.step)
        if len(late) >= 200:
            late = f"{len(others) - together} more until step {others[-1].step}"
        at_once = f"{together} more at that step" if together else ""
        line += f"; then {'; '.join(filter(None, (at_once, late)))}"
    return line + "."


def _curves(incident: Any) -> Curves:
    """Raises KeyError, TypeError, ValueError or AttributeError for what is no incident."""
    curves: Curves = {}
    if incident is None:
        return curves
    steps = [whole(step) for step in incident["steps"]]
    names = [clean(adapter["name"]) for adapter in incident["adapters"]]

    def add(metric: str, where: str, step: int, value: Any) -> None:
        if value is not None:
            curves.setdefault((metric, where), []).append((step, float(value)))

    for step, loss in zip(steps, incident.get("loss") or ()):
        add("loss", "the run", step, loss)
    for metric, rows in (incident.get("metrics") or {}).items():
        for step, row in zip(steps, rows):
            for name, value in zip(names, row or ()):
                add(clean(metric), name, step, value)
    return curves


def _first(curves: Curves, is_new: Callable[[int, float, float], bool]) -> list[Event]:
    """Of each adapter the first value of which ``is_new(place, value, highest before)`` holds, by ``Event.order``."""
    found = []
    for (metric, where), curve in curves.items():
        highest = 0.0
        for place, (step, value) in enumerate(curve):
            if is_new(place, value, highest):
                found.append(Event(step, metric, where, value, highest))
                break
            highest = max(highest, value if math.isfinite(value) else math.inf)
    first: dict[str, Event] = {}
    for event in sorted(found, key=Event.order):
        first.setdefault(event.where, event)
    return list(first.values())


def _has_jumped(place: int, value: float, highest: float) -> bool:
    return place >= _BEFORE and math.isfinite(value) and value >= JUMP * highest > 0


def _crossings(curves: Curves, alert: Alert) -> list[Event]:
    threshold = math.inf if alert.threshold is None else alert.threshold
    its_own = {key: curve for key, curve in curves.items() if key[0] == alert.metric}
    return _first(its_own, lambda place, value, highest: value > threshold)
