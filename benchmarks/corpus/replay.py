"""Judge a stored run with the rules of today: the alerts of live training, without training."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from benchmarks.corpus.traces import Trace
from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import Evaluation, Logged, StepRecord
from lora_watch.drivers.trainer_info import evaluated_samples
from lora_watch.measurement.signals.gradients import NAMES
from lora_watch.measurement.signals.loss import LossProgress, LossSignals
from lora_watch.measurement.signals.policy import PolicySignals, numbers_of
from lora_watch.rules import BarelyMoves, Episodes, Rule, choose
from lora_watch.rules.forecast import end_of
from lora_watch.rules.norms import STEPS
from lora_watch.rules.size import AT_THE_END, HARM, compared, extent, projected, size_of
from lora_watch.run.recording import Cadence

FULL_ONLY = (
    "spectral_norm",
    "stable_rank",
    "effective_rank",
    "relative_spectral_norm",
    "base_drift",
    "output_ratio",
)
"""Metrics of a full measurement alone."""

ON_REQUEST = (*HARM, *AT_THE_END)
"""Scalars that the monitor computes only where a rule wants them."""


def records(
    trace: Trace,
    wanted: Callable[[], Collection[str]] = tuple,
    opened: Callable[[], int] = int,
    policy: PolicySignals | None = None,
) -> Iterator[StepRecord]:
    """The records of a live run: of each step what the monitor's own cadence measures.

    Args:
        wanted: the losses with other adapters that rules want when the next step begins, and so a full measurement.
        opened: how many alerts have opened by then.
        policy: has seen every row in the end, the one of the last step, too.
    """
    policy, cadence = policy or _margins(trace), Cadence()
    signals = LossSignals(progress=LossProgress(policy.progress.exact))
    rows, evaluations = {int(row["step"]): row for row in trace.rows if "loss" in row}, _evaluations(trace)
    has_loss, logged = all("reward" not in row for row in trace.rows), None
    comparable = any(compared(record) for record in trace.records)
    for record, following in itertools.zip_longest(trace.records, trace.records[1:]):
        asked, metrics, wiring = wanted(), record.metrics, record.wiring
        scalars = {name: value for name, value in record.scalars.items() if name not in ON_REQUEST or name in asked}
        in_full = bool(asked) or record.step == record.run.max_steps
        if not cadence.plan(record.step, wanted=in_full, alerts=opened()) and record.step:
            metrics = {name: reading for name, reading in metrics.items() if name not in FULL_ONLY}
            wiring = {k: v for k, v in wiring.items() if k != "base_trainable"}
        seen = dataclasses.replace(
            record,
            metrics=metrics,
            wiring=wiring,
            comparable=comparable or (following is not None and projected(following) is not None),
        )
        scores = signals.update(record.loss, size=extent(seen), lr=record.lr) if record.step and has_loss else {}
        known = {"logged": logged, "evaluations": evaluations.get(record.step - 1, {})}
        complete = dataclasses.replace(seen, scalars={**scalars, **policy.scalars, **scores}, **known)
        cadence.see(complete)
        yield complete
        row = rows.get(record.step)
        numbers = policy.update(numbers_of(row), extent(seen), max(record.lr, default=0.0)) if row else {}
        logged = Logged(record.step, numbers) if row else None


def judge(trace: Trace, rules: Iterable[Rule] | None = None, mute: Sequence[str] = ()) -> list[Alert]:
    """Every alert of the run, in order of opening."""
    episodes = Episodes(choose(rules, mute))
    record, policy = None, _margins(trace)
    for record in records(trace, lambda: episodes.wanted, lambda: len(episodes.alerts), policy):
        if record.step:
            episodes.check(_before_update(record), urgent=True)
        episodes.check(record)
    if record is not None and record.step == record.run.max_steps:  # the run reached its end
        evaluations, scalars = _evaluations(trace).get(record.step, {}), {**record.scalars, **policy.scalars}
        episodes.conclude(dataclasses.replace(record, evaluations=evaluations, scalars=scalars, logged=None))
    return episodes.alerts


def _margins(trace: Trace) -> PolicySignals:
    """As the monitor begins them."""
    prefers = any(record.run.learns_preferences for record in trace.records[:1])
    return PolicySignals(LossProgress(prefers, [0.0] * prefers))


def _evaluations(trace: Trace) -> dict[int, dict[str, Evaluation]]:
    """By the step after which each was made."""
    found = ((int(row["step"]), row) for row in trace.rows if "eval_loss" in row)
    return {step: {"eval_loss": Evaluation(step, row["eval_loss"], evaluated_samples(row))} for step, row in found}


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
