"""Labels of the grid's runs, from the held-out loss relative to the best of the family. No rule has a say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.corpus.plan import Spec
from benchmarks.corpus.traces import Trace

Label = Literal["good", "fair", "wasted", "damaged", "diverged"]

GOOD, BAD = 0.75, 0.5
"""Shares of the family's best gain: from GOOD on a run is good, below BAD it is bad; between them it is fair."""


@dataclass(frozen=True)
class Outcome:
    """A run's label and the numbers behind it."""

    label: Label
    gain: float
    """Improvement of the held-out loss as a share of the best in the family with the same seed; NaN after a NaN."""
    onset: int | None
    """First step from which the training loss stays above its start to the end, for a diverged run."""

    @property
    def bad(self) -> bool:
        return self.label in ("wasted", "damaged", "diverged")


def label(traces: Mapping[Spec, Trace]) -> dict[Spec, Outcome]:
    """The outcome of every run without a fault.

    ``diverged``: the held-out loss ended above 1.1 × its start, or not finite. Of the other bad runs those whose
    settings are stronger than the best run's are ``damaged``, the rest ``wasted``.
    """
    families: dict[tuple, list[Spec]] = {}
    for spec in traces:
        if not spec.fault:
            families.setdefault((spec.family, spec.seed), []).append(spec)
    return {spec: _outcome(spec, traces, members) for members in families.values() for spec in members}


def drive(spec: Spec) -> float:
    """How strongly the settings drive the adapter: s·lr under Adam, s²·lr where steps follow the gradient's size."""
    return spec.scale * spec.lr * (spec.scale if spec.optimizer == "sgd" else 1.0)


def gain(before: float, after: float, best: float) -> float:
    """Improvement from ``before`` to ``after`` as a share of that to ``best``."""
    return (before - after) / (before - best) if math.isfinite(after) else math.nan


def best(traces: Mapping[Spec, Trace], members: list[Spec]) -> Spec:
    """The run that ended with the lowest held-out loss."""
    return min(members, key=lambda s: traces[s].after if math.isfinite(traces[s].after) else math.inf)


def _outcome(spec: Spec, traces: Mapping[Spec, Trace], members: list[Spec]) -> Outcome:
    trace, top = traces[spec], best(traces, members)
    share = gain(trace.before, trace.after, traces[top].after)
    return Outcome(*judge(trace, share, stronger=drive(spec) > drive(top)))


def judge(trace: Trace, share: float, stronger: bool) -> tuple[Label, float, int | None]:
    """``(label, gain, onset)`` of a run with the gain ``share``."""
    if not trace.after <= 1.1 * trace.before:
        return "diverged", share, onset(trace)
    if share >= GOOD:
        return "good", share, None
    if share >= BAD:
        return "fair", share, None
    return ("damaged" if stronger else "wasted"), share, None


def onset(trace: Trace) -> int | None:
    """First step from which the loss is above the first one to the end (1: at once); None when it ends below."""
    losses = [record.loss for record in trace.records if record.loss is not None]
    first = 1
    for step, loss in enumerate(losses, 1):
        if loss <= losses[0] and step > 1:
            first = step + 1
    return first if first <= len(losses) else None
