"""Judge a stored run with the rules as they are now: what live training would have said, without training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.corpus.traces import Trace
from lora_watch.alerts import Alert
from lora_watch.monitor.cadence import FULL_AT_START
from lora_watch.records import StepRecord
from lora_watch.rules import Episodes, Rule, choose
from lora_watch.signals.gradients import NAMES, NAMES_DENSE
from lora_watch.signals.loss import LossSignals

FULL_ONLY = (
    "spectral_norm",
    "stable_rank",
    "effective_rank",
    "relative_spectral_norm",
    "magnitude_norm",
    "output_ratio",
)
"""Metrics that the monitor measures at every step only at first, and then as often as its budget allows."""


def records(trace: Trace, full_every: int = 1) -> Iterator[StepRecord]:
    """The records of a live run. ``full_every``: the cadence of full measurements after the first steps."""
    signals = LossSignals()
    for record in trace.records:
        metrics: Mapping = record.metrics
        if record.step > FULL_AT_START and record.step % full_every:
            metrics = {name: reading for name, reading in metrics.items() if name not in FULL_ONLY}
        scalars = {**record.scalars, **(signals.update(record.loss) if record.step else {})}
        yield dataclasses.replace(record, metrics=metrics, scalars=scalars)


def judge(
    trace: Trace, rules: Iterable[Rule] | None = None, mute: Sequence[str] = (), full_every: int = 1
) -> list[Alert]:
    """Every alert of the run, in order of opening."""
    episodes = Episodes(choose(rules, mute))
    record = None
    for record in records(trace, full_every):
        if record.step:
            episodes.check(_before_update(record), urgent=True)
        episodes.check(record)
    if record is not None and record.step == record.run.max_steps:  # the run reached its end
        episodes.conclude(record)
    return episodes.alerts


def _before_update(record: StepRecord) -> StepRecord:
    """What the urgent rules see of this step before the optimizer uses its gradients: clipping spreads a NaN."""
    names = (*NAMES, *NAMES_DENSE)
    if record.loss is not None and not math.isfinite(record.loss):
        names = (*names, "output_ratio")  # where such a loss comes from is looked for at once
    metrics = {name: reading for name, reading in record.metrics.items() if name in names}
    return dataclasses.replace(record, metrics=metrics, scalars={}, wiring={})
