"""LW408 and LW409: whether DoRA and the warm-up can work, judged before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules.base import Finding, RuleOnSettings, worst_first


@dataclass
class DoraOverZeroRows(RuleOnSettings):
    """DoRA is on a frozen weight with an all-zero row: the layer's output is NaN from the first forward pass.

    Fires when such a row is found before the first step. DoRA divides by the norm of each row of W₀ + ΔW (Liu et al.
    2024, arXiv:2402.09353), so the layer computes 0/0. Such rows come from padding, pruning or zero-initialised layers.
    """

    id = "LW408"
    name = "dora-over-zero-rows"
    severity = Severity.ERROR

    def check(self, record: StepRecord) -> Finding | None:
        zeros = np.array([a.zero_magnitudes for a in record.run.adapters], dtype=np.float64)
        if not zeros.any():
            return None
        worst = record.run.adapters[int(np.argmax(zeros))]
        return Finding(
            f"DoRA over all-zero rows of the frozen weight in {int((zeros > 0).sum())} of {len(zeros)} adapters "
            f"({int(zeros.max())} in {worst.name}): its output there is 0/0, and the loss will be NaN.",
            adapters=worst_first(record, zeros, zeros > 0),
            metric="zero_magnitudes",
            threshold=0.0,
            causes=[
                "rows that are padded, pruned or zero; DoRA divides by their norm (Liu et al. 2024, arXiv:2402.09353)"
            ],
            remedies=["take these modules out of target_modules (exclude_modules), or set use_dora=False"],
        )


WITHOUT_WARM_UP = ("constant", "reduce_lr_on_plateau", "greedy")
"""Schedules of transformers that take no notice of a warm-up."""


@dataclass
class WarmUpTooLong(RuleOnSettings):
    """The warm-up is longer than the run, or takes most of it: the learning rate is reached late or never.

    Fires as a WARNING when the run ends in its warm-up, and as an INFO when the warm-up takes more than ``share`` of
    the run's steps. A schedule of your own that reaches its learning rate does not count as ending in it.
    """

    id = "LW409"
    name = "warm-up-too-long"
    severity = Severity.WARNING

    share: float = 0.5

    def check(self, record: StepRecord) -> Finding | None:
        config, steps = record.run.config, record.run.max_steps
        if str(config.get("lr_scheduler_type")) in WITHOUT_WARM_UP:
            return None
        name = "warmup_steps" if config.get("warmup_steps") else "warmup_ratio"
        given = float(config.get(name) or 0.0)
        if is_share := given < 1.0:  # of the steps, as warmup_ratio is, too
            share = given
        else:
            share = given / steps if steps else 0.0
        if not share > self.share:
            return None
        new = 0.1 if is_share else steps // 10 if steps else 0
        what, rest = f"The warm-up takes {100 * share:.0f} % of the run", f" (threshold {100 * self.share:.0f} %)"
        if ends_in_it := share > 1.0:
            if not self._ends_in_it(record, share):
                return None
            what = f"The run of {steps} steps ends in its warm-up of {given:g}"
            rest = f": it uses {100 / share:.0f} % of its learning rate at most"
        return Finding(
            f"{what}{rest}.",
            metric=name,
            threshold=self.share,
            causes=["the warm-up was written for a longer run"],
            remedies=[f"{name} {given:g} → {new:g}"],
            settings={name: float(new)},
            severity=Severity.WARNING if ends_in_it else Severity.INFO,
        )

    @staticmethod
    def _ends_in_it(record: StepRecord, share: float) -> bool:
        """What is known of the schedule agrees: a Trainer's own may be another."""
        rate, peaks = record.run.config.get("learning_rate"), set(record.run.peak_lr)
        return not rate or len(peaks) != 1 or math.isclose(min(peaks), rate / share, rel_tol=0.2)
