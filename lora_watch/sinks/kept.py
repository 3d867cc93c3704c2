"""Writes `last_good/`, the adapter from before a run went wrong, next to its report.

A run goes wrong when an error opens, or an alert for which the policy ends it, and is well again when none of them is
open any more.
"""

import math
import shutil
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.format import LAST_GOOD
from lora_watch.rules.base import IN_VAIN, NON_FINITE
from lora_watch.rules.policy import Policy
from lora_watch.rules.remedies import improved
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory
from lora_watch.sinks.report import LARGEST_SHARE_OF_TIME, ReportSink
from lora_watch.snapshots.copies import Copy, GoodCopies, take
from lora_watch.snapshots.last_good import what_can_save, why_not_kept, write_adapter

_README = """# The adapter of step {step}
lora_watch has kept it: no alert was open then that made it doubtful, as `report.json` says next to this folder.
`PeftModel.from_pretrained(base, folder)` loads it.
"""
RECOVERED_FROM = "the run has recovered: what it ended with is good"
JUDGED_FROM = 12
"""Steps after which a run is known to have gained, or to have not."""


class LastGoodSink(Sink):
    """Keeps the last good adapter, and writes it when the run goes wrong, and when it ends in that.

    Args:
        report: whose folder it writes to, and which tells of it.
        model: whose trained parameters to keep.
        policy: what ends the run, besides errors.

    Its methods raise OSError when a file cannot be written, and what the model's ``save_pretrained`` raises.
    """

    def __init__(self, report: ReportSink, model: nn.Module, policy: Policy):
        self._report, self._policy = report, policy
        self._model: nn.Module = what_can_save(model)
        self._trained: dict[str, Any] = {}
        """What is copied: the adapters, and what is trained with them (DoRA's magnitudes, ``modules_to_save``)."""
        self._why_not: str | None = None
        """Why nothing is copied, in words."""
        self._copies = GoodCopies(lambda: self._trained, policy.evidence())
        self._good: Copy | None = None
        self._saved: int | None = None
        """The step of the copy that was written last."""
        self._history = AlertHistory()
        self._at = self._healthy_at = -1
        """Steps whose update has been applied; the latest of them that was judged healthy."""
        self._serious: list[Alert] = []
        """The open alerts by which the run has gone wrong."""
        self._in_vain: str | None = None
        """The title of an open alert by which nothing of what was learned is good."""
        self._is_wrong, self._good_until = False, 0
        """And since when, as far as its alerts tell."""
        self._best = math.inf
        """The step of the best evaluation, where one has got worse since."""
        self._gained: bool | None = None
        """The run has been better than at its start; None where nothing tells."""
        self._next_write = 0.0  # time.monotonic()

    def start(self, run: RunInfo, step: int) -> None:
        """Copies of what was trained before are kept while names and shapes are the same. Those of step 0 are good."""
        if not run.adapters:
            return
        before = {name: p.shape for name, p in self._trained.items()}
        trained = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        self._why_not = why_not_kept(self._model, trained)
        self._trained = trained if self._why_not is None else {}
        if {name: p.shape for name, p in self._trained.items()} != before:
            self._copies.clear()
            if step == 0 and self._trained:
                self._copies.start(0)

    def updated(self, step: int) -> None:
        self._at = step
        if self._trained and not self._is_wrong:
            self._copies.updated(step)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        if alerts:
            self._history.update(alerts)
            still = [alert for alert in self._history if alert.closed_step is None]
            self._serious = [a for a in still if a.severity >= Severity.ERROR or self._policy.counts(a)]
            vain = (a.title for a in still if a.severity >= IN_VAIN.get(f"{a.rule}:{a.kind}", math.inf))
            before, self._in_vain = self._in_vain, next(vain, None)
            if self._in_vain and not before and self._saved is not None:
                self._save()  # what was told of is withdrawn
        self._best = record.derived.get("best step", self._best)  # absent before an update, and of one that is dropped
        if not self._serious:
            self._is_wrong = False
            norms = record.metrics.get("product_norm")  # absent where nothing was measured at this step
            finite = norms is None or bool(np.isfinite(norms.values[norms.known]).all())  # also where LW101 is muted
            if norms is not None and finite:
                self._healthy_at = record.step
            if record.step >= JUDGED_FROM and {"loss_start", "reward_start"} & record.scalars.keys():
                self._gained = bool(self._gained) or improved(record)
            elif norms is not None and not self._gained:
                self._gained = None if norms.values.any() else False  # nothing has moved yet
            if finite:
                self._copies.judged(record.step, lambda: True)
            return
        # Where a copy is finite it is from before a NaN. What has become an error may have begun as a warning.
        reach = self._policy.evidence
        good = min(record.step - 1 if a.rule in NON_FINITE else a.step - reach(a.rule) for a in self._serious)
        if self._is_wrong and good < self._good_until:  # another alert began earlier
            self._good_until = good
            self._choose(good)
            self._save()
        elif not self._is_wrong:
            self._is_wrong, self._good_until = True, good
            is_before = record.step > self._at and all(a.rule in NON_FINITE for a in self._serious)
            if is_before and self._at <= min(self._healthy_at, self._best) and self._trained:
                # Found before its update was applied, or dropped: what is there now is what the last one has left.
                self._good = take(self._trained, self._at)
            else:
                self._choose(good)
                self._copies.forget_after(good)  # a run that recovers has them for long
            if time.monotonic() >= self._next_write:
                self._save()

    def finish(self, verdict: Verdict, message: str | None) -> None:
        if verdict == "ok":
            self._in_vain = self._in_vain or RECOVERED_FROM
        if not self._is_wrong:
            self._choose(self._at - self._policy.evidence())
        if self._is_wrong or verdict == "failed" or self._saved is not None:  # a run may have mended by itself
            self._save()
        # Whoever holds this sink after the run does not hold its weights.
        self._model, self._trained, self._good = nn.Module(), {}, None
        self._copies.clear()

    def _choose(self, step: int) -> None:
        """The run has gone wrong, after ``step`` as far as is known: take what was good then."""
        self._good = self._copies.before(
            step, self._best, lambda copy: all(bool(t.isfinite().all()) for t in copy.read().values())
        )

    def _save(self) -> None:
        began, folder = time.monotonic(), self._report.directory / LAST_GOOD
        good = None if self._in_vain or self._gained is False else self._good
        if good is None and self._saved is not None:
            shutil.rmtree(folder, ignore_errors=True)
            self._saved = None
        elif good is not None and not (self._saved == good.step and folder.is_dir()):
            write_adapter(self._model, good.read(), folder, _README.format(step=good.step))
            self._saved = good.step
        gained = None if self._in_vain else self._gained
        self._report.tell_last_good(good and good.step, self._why_not or self._in_vain, gained)
        self._next_write = began + (time.monotonic() - began) / LARGEST_SHARE_OF_TIME
