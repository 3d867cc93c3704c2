"""Judge a stored run with the rules of today: the alerts of live training, without training."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from benchmarks.corpus.traces import Trace
from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import StepRecord
from lora_watch.measurement.signals.gradients import NAMES
from lora_watch.measurement.signals.loss import LossSignals
from lora_watch.monitor.cadence import Cadence
from lora_watch.monitor.guard import Guard
from lora_watch.rules import BarelyMoves, Episodes, Rule, choose
from lora_watch.rules.forecast import end_of
from lora_watch.rules.harm import AT_THE_END, HARM, compared, projected
from lora_watch.rules.size import extent, size_of
from lora_watch.rules.small import STEPS

FULL_ONLY = (
    "spectral_norm",
    "stable_rank",
    "effective_rank",
    "relative_spectral_norm",
    "magnitude_norm",
    "output_ratio",
)
"""Metrics that the monitor measures at every step only at first, and then as often as its budget allows."""

ON_REQUEST = (*HARM, *AT_THE_END)
"""Scalars that the monitor computes only where a rule wants them."""

_NOTHING = -1.0
"""A ``max_overhead`` that no measurement keeps, in a replay that takes no time."""


def records(
    trace: Trace,
    sparse: bool = False,
    wanted: Callable[[], Collection[str]] = tuple,
    alarmed: Callable[[], bool] = lambda: False,
) -> Iterator[StepRecord]:
    """The records of a live run.

    Args:
        sparse: measure in full no more than a run of short steps on one process does.
        wanted: the losses with other adapters that rules want when the next step begins, and so a full measurement.
        alarmed: whether an alert is open then that is more than a remark.
    """
    signals, cadence = LossSignals(), _Sparse()
    comparable = any(compared(record) for record in trace.records)
    for record, following in itertools.zip_longest(trace.records, trace.records[1:]):
        asked, metrics = wanted(), record.metrics
        scalars = {name: value for name, value in record.scalars.items() if name not in ON_REQUEST or name in asked}
        if not asked and sparse and not cadence.due(record, alarmed()):
            metrics = {name: reading for name, reading in metrics.items() if name not in FULL_ONLY}
        seen = dataclasses.replace(
            record,
            metrics=metrics,
            comparable=comparable or (following is not None and projected(following) is not None),
        )
        scores = signals.update(record.loss, size=extent(seen), lr=record.lr) if record.step else {}
        complete = dataclasses.replace(seen, scalars={**scalars, **scores})
        cadence.see(complete)
        yield complete


class _Sparse:
    """The monitor's own cadence where each step is so short that ``max_overhead`` never allows a measurement."""

    def __init__(self) -> None:
        self._cadence = Cadence(1, _NOTHING, Guard(lambda message, remedy: None))
        self._cadence.start(0)

    def due(self, record: StepRecord, alarmed: bool) -> bool:
        return self._cadence.plan(record.step, collective=False, max_steps=record.run.max_steps, alarmed=alarmed)

    def see(self, record: StepRecord) -> None:
        self._cadence.see(record)


def judge(
    trace: Trace, rules: Iterable[Rule] | None = None, mute: Sequence[str] = (), sparse: bool = False
) -> list[Alert]:
    """Every alert of the run, in order of opening."""
    episodes = Episodes(choose(rules, mute))
    record = None
    for record in records(trace, sparse, lambda: episodes.wanted, lambda: episodes.warn):
        if record.step:
            episodes.check(_before_update(record), urgent=True)
        episodes.check(record)
    if record is not None and record.step == record.run.max_steps:  # the run reached its end
        episodes.conclude(record)
    return episodes.alerts


def first(alerts: Iterable[Alert], least: Severity, rules: Sequence[str] = ()) -> int | None:
    """The step of the first alert of at least that severity, of those rules where some are named."""
    steps = [a.step for a in alerts if a.severity >= least and (not rules or a.rule in rules)]
    return min(steps, default=None)


def _before_update(record: StepRecord) -> StepRecord:
    """The numbers that urgent rules see before the optimizer uses the step's gradients: clipping spreads a NaN."""
    names = NAMES
    if record.loss is not None and not math.isfinite(record.loss):
        names = (*names, "output_ratio")  # where such a loss comes from is looked for at once
    metrics = {name: reading for name, reading in record.metrics.items() if name in names}
    return dataclasses.replace(record, metrics=metrics, scalars={}, wiring={})


def projected_end(records: Iterable[StepRecord]) -> float:
    """The size at the end of the schedule, as LW104 projects it when it judges; infinite where it never does."""
    rule = BarelyMoves()
    due = (r for r in records if r.step >= STEPS and (r.lr_fraction or 0.0) >= rule.spent)
    return next((end_of(r, size.overall) for r in due if (size := size_of(r)) is not None), math.inf)
