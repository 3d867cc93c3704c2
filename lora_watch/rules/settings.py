"""LW4xx: what looks wrong in the settings, before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.records import AdapterInfo, BoolArray, StepRecord
from lora_watch.base.text import percent
from lora_watch.rules.base import Finding, RuleOnSettings
from lora_watch.rules.forecast import (
    ORDINARY_PACE,
    ORDINARY_SCALE,
    is_adaptive,
    pace,
)
from lora_watch.rules.remedies import Advice, formula_of, weaker

RSLORA = "Kalajdzievski 2023, arXiv:2312.03732"
"""The paper behind rank stabilisation."""


@dataclass
class AggressiveScale(RuleOnSettings):
    """The scale does not suit the learning rate, as far as settings and base weights tell.

    Fires as a WARNING before the first step when the first step at the full learning rate will be five times a useful
    one, or, where the weights are unknown, when rsLoRA multiplies an alpha that is meant for α/r. It is an INFO when
    the scale is high for the learning rate. Up to a learning rate that a sweep has found it is silent.
    """

    id = "LW401"
    name = "aggressive-scale"
    severity = Severity.WARNING

    scale: float = 4.0
    lr: float = 3e-4
    useful_steps: float = 5.0

    def check(self, record: StepRecord) -> Finding | None:
        run = record.run
        if not run.adapters or _is_found(record):
            return None
        lr, useful = run.per_adapter(run.peak_lr), pace(record)
        scale = np.array([abs(a.scale) for a in run.adapters])
        too_large, meant = useful > self.useful_steps, _meant_for_vanilla(record, self.scale)
        high = is_adaptive(run) & (scale >= self.scale) & (lr > self.lr)
        if not (too_large or meant.any() or (high.any() and not useful <= ORDINARY_PACE)):
            return None
        worst = int(np.nanargmax(scale * lr if (lr > 0).any() else scale))
        adapter, rate = run.adapters[worst], float(lr[worst])
        warns = too_large or (math.isnan(useful) and meant.any())
        details = "" if warns else "Whether it is too high shows within about 10 steps at the full rate."
        if too_large:
            details = "Judging by the model's weights, the first steps will be far larger than those of useful runs."
        advice = weaker(record) if too_large else Advice([])
        return Finding(
            _verdict(adapter, rate, "too high" if warns else "high"),
            details,
            metric="effective_lr",
            threshold=self.scale * self.lr,
            numbers={"first step, in useful ones": useful, "effective lr": abs(adapter.scale) * rate},
            causes=_why(adapter, bool(meant[worst])) if warns else [],
            remedies=advice.remedies,
            next_run=advice.next_run,
            severity=Severity.WARNING if warns else Severity.INFO,
        )


def _verdict(adapter: AdapterInfo, rate: float, how: str) -> str:
    """``alpha/r = 32 is high for learning rate 0.002``, as far as they are known."""
    scale = f"{formula_of(adapter)} = {abs(adapter.scale):.3g}"
    if math.isnan(rate):
        return f"{scale} is {how} for an ordinary learning rate"
    if abs(adapter.scale) <= ORDINARY_SCALE:
        return f"learning rate {rate:g} is {how} for these weights"
    return f"{scale} is {how} for learning rate {rate:g}"


def _why(adapter: AdapterInfo, is_meant: bool) -> list[str]:
    if not is_meant:
        usual = f"ordinary learning rates are meant for {formula_of(adapter)} = 1 to {ORDINARY_SCALE:g}"
        return [usual] if abs(adapter.scale) > ORDINARY_SCALE else []
    alpha, scale = adapter.alpha or math.nan, abs(adapter.scale)
    meant = f"lora_alpha {alpha:g} at rank {adapter.r} is meant for alpha/r = {alpha / adapter.r:.3g}"
    return [f"{meant}, and with use_rslora the scale is {scale:.3g} ({RSLORA})"]


def _is_found(record: StepRecord) -> bool:
    """The learning rate is no higher than what a sweep has found."""
    found, used = (record.run.config.get("find_lr") or {}).get("rate"), record.run.learning_rate
    return bool(found) and isinstance(used, (int, float)) and used <= found * (1 + 1e-9)


def _meant_for_vanilla(record: StepRecord, scale: float) -> BoolArray:
    """``[n_adapters]``: under rsLoRA at a scale above ``scale``, with an α that is a multiple of r."""
    adapters = record.run.adapters
    large = [a.alpha is not None and a.alpha >= a.r and abs(a.scale) > scale for a in adapters]
    return np.array(large, dtype=bool) & [a.scale_formula == "alpha/sqrt(r)" for a in adapters]


WITHOUT_WARM_UP = ("constant", "reduce_lr_on_plateau", "greedy")
"""Schedules of transformers that take no notice of a warm-up."""


@dataclass
class WarmUpTooLong(RuleOnSettings):
    """The warm-up is longer than the run, or takes most of it: the learning rate is reached late or never.

    Fires as a WARNING when the run ends in its warm-up, and as an INFO when the warm-up takes more than half of the
    run's steps. A schedule of your own that reaches its learning rate does not count as ending in it.
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
        what, details = f"the warm-up takes {percent(share)} of the run", "The learning rate is reached late."
        if ends_in_it := share > 1.0:
            if not self._ends_in_it(record, share):
                return None
            what = "the run ends in its warm-up"
            details = f"The run has {steps} steps and the warm-up {given:g}, so at most {percent(1 / share)} of the "
            details += "learning rate is reached."
        return Finding(
            what,
            details,
            metric=name,
            threshold=self.share,
            causes=["the warm-up was written for a longer run"],
            next_run=Prescription({name: Setting(given, float(new))}, step=record.step),
            severity=Severity.WARNING if ends_in_it else Severity.INFO,
        )

    @staticmethod
    def _ends_in_it(record: StepRecord, share: float) -> bool:
        """What is known of the schedule agrees: a Trainer's own may be another."""
        rate, peaks = record.run.learning_rate, set(record.run.peak_lr)
        return not rate or len(peaks) != 1 or math.isclose(min(peaks), rate / share, rel_tol=0.2)
