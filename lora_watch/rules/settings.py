"""LW4xx: what looks wrong in the settings, before the first step."""

import math
from dataclasses import dataclass, replace

from lora_watch.base.alerts import Severity
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.records import StepRecord
from lora_watch.base.text import percent
from lora_watch.rules.base import Finding, RuleOnSettings
from lora_watch.rules.forecast import ORDINARY_SCALE, foretold_step, pace, strongest
from lora_watch.rules.remedies import formula_of, settings_in_words, weaker


@dataclass
class AggressiveScale(RuleOnSettings):
    """The learning rate and the scale are too strong, as far as settings and base weights tell.

    Fires before the first step when the first step at the full learning rate will be five times a useful one. Where the
    weights are unknown, it fires when rsLoRA multiplies an alpha that is meant for α/r. Up to a learning rate that a
    sweep has found it is silent. Where preferences are learned it is an INFO up to 25 times a useful step.
    """

    id = "LW401"
    severity = Severity.WARNING

    scale: float = 4.0
    useful_steps: float = 5.0

    def check(self, record: StepRecord) -> Finding | None:
        run = record.run
        found = (run.config.get("find_lr") or {}).get("rate") or 0.0
        if not run.adapters or run.untrained or (run.learning_rate or math.inf) <= found * (1 + 1e-9):
            return None  # nothing is known, or a sweep has found this one, or a higher one
        useful, adapter = pace(record), strongest(record)
        said = f"{settings_in_words(record)} is too strong"
        alpha, rooted = adapter.alpha or 0.0, adapter.scale_formula == "alpha/sqrt(r)"
        if math.isnan(useful) and rooted and alpha >= adapter.r and abs(adapter.scale) > self.scale:
            cause = f"lora_alpha {alpha:g} at rank {adapter.r} is meant for alpha/r = {alpha / adapter.r:.3g}, and "
            cause += f"with use_rslora the scale is {abs(adapter.scale):.3g} (Kalajdzievski 2023, arXiv:2312.03732)"
            return Finding(said, metric="effective_lr", causes=[cause])
        if not useful > self.useful_steps:
            return None
        formula = formula_of(adapter)
        usual = f"{formula} multiplies each step, and usual rates are meant for {formula} = 1 to {ORDINARY_SCALE:g}"
        details = f"By the weights, the first full step adds {percent(foretold_step(run))} of a layer's output."
        may_suit = run.learns_preferences and useful < self.useful_steps**2  # as that of the best run may be
        if may_suit:
            said = f"{settings_in_words(record)} is strong"
            details += " Whether it is too strong shows in the first steps."
        return Finding(
            said,
            details,
            metric="effective_lr",
            **vars(replace(weaker(record), causes=[usual] * (abs(adapter.scale) > ORDINARY_SCALE))),
            severity=Severity.INFO if may_suit else None,
        )


WITHOUT_WARM_UP = ("constant", "reduce_lr_on_plateau", "greedy")
"""Schedules of transformers that take no notice of a warm-up."""


@dataclass
class WarmUpTooLong(RuleOnSettings):
    """The warm-up is longer than the run, so that the learning rate is never reached.

    Fires before the first step when the warm-up has more steps than the run. Of a plain loop it reads the schedule that
    `Monitor(scheduler=…)` names. A Trainer's own schedule that reaches its learning rate does not count.
    """

    id = "LW409"
    severity = Severity.WARNING

    def check(self, record: StepRecord) -> Finding | None:
        config, steps = record.run.config, record.run.max_steps
        given = float(config.get("warmup_steps") or 0.0)
        if str(config.get("lr_scheduler_type")) in WITHOUT_WARM_UP or not steps or given <= steps:
            return None
        reached, rate, peaks = steps / given, record.run.learning_rate, set(record.run.peak_lr)
        if rate and len(peaks) == 1 and not math.isclose(min(peaks), rate * reached, rel_tol=0.2):
            return None  # a Trainer's own schedule may be another
        return Finding(
            "the run ends in its warm-up",
            f"The run has {steps} steps and the warm-up {given:g}, so at most {percent(reached)} of the learning rate "
            "is reached.",
            metric="warmup_steps",
            threshold=float(steps),
            causes=["the warm-up was written for a longer run"],
            next_run=Prescription({"warmup_steps": Setting(given, float(steps // 10))}, step=record.step),
        )
