"""LW306 to LW310: the gradients are there, and the updates come to nothing, or are not those that were planned."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import BoolArray, FloatArray, RunInfo, StepRecord
from lora_watch.base.text import percent, times
from lora_watch.rules.base import NON_FINITE, Finding, Rule, known_values, worst_first
from lora_watch.rules.remedies import raised_to


def _rates(run: RunInfo, lr: tuple[float, ...]) -> FloatArray:
    """Those of the adapters among ``lr``, the learning rates of the parameter groups, as far as they are known."""
    rates = run.per_adapter(lr)
    return rates[~np.isnan(rates)]


@dataclass
class LearningRateIsZero(Rule):
    """The learning rate of every parameter group with an adapter is exactly zero, and stays there.

    Fires when three updates in a row are at zero, and the first of them has more than a tenth of the planned steps
    ahead. Schedules touch zero for one step only: warm-up at its first, decay at its last.
    """

    id = "LW306"
    name = "lr-is-zero"
    severity = Severity.WARNING
    yields_to = ("LW304", "LW301", "LW302")

    updates: int = 3
    left: float = 0.1
    zeros: int = field(default=0, init=False)
    """Updates at zero in a row so far."""

    def check(self, record: StepRecord) -> Finding | None:
        if record.step == 0 or (record.lr and min(record.lr) > 0.0):
            self.zeros = 0
            return None
        rates = _rates(record.run, record.lr)
        if not len(rates):
            return None
        if (rates != 0).any():
            self.zeros = 0
            return None
        self.zeros += record.updated
        planned = record.run.max_steps
        late = planned is not None and record.step - self.zeros >= (1.0 - self.left) * planned
        if self.zeros < self.updates or late:
            return None
        peak = _rates(record.run, record.run.peak_lr)
        high = f" The schedule was meant to reach {peak.max():.3g}." if len(peak) and peak.max() > 0 else ""
        ahead = f", with {planned - record.step} of {planned} steps to go" if planned is not None else ""
        fix = "give the schedule the number of optimizer steps as its length"
        if "learning_rate" in record.run.config:  # a Trainer
            fix = "let the Trainer make the schedule, or give num_training_steps the number of optimizer steps"
        return Finding(
            "the learning rate is 0, so nothing is learned any more",
            f"The rate has been exactly 0 for {self.zeros} updates{ahead}.{high}",
            metric="lr",
            threshold=0.0,
            causes=[
                "the schedule was made for fewer steps than are trained: epochs or ranks counted differently"
                if high
                else "learning_rate is 0, or a schedule of your own returns 0"
            ],
            remedies=[fix],
        )


@dataclass
class LearningRateRaised(Rule):
    """The learning rate is far above the highest of its schedule: it was raised during the run.

    Fires when the rate is more than twice the highest that the schedule can reach, before the adapters and the loss
    show the effect. It needs a Trainer, because a plain loop does not tell its plan.
    """

    id = "LW311"
    name = "lr-above-schedule"
    severity = Severity.WARNING
    yields_to = ("LW102", "LW202")

    factor: float = 2.0

    def check(self, record: StepRecord) -> Finding | None:
        if not record.step or all(now <= planned for now, planned in zip(record.lr, record.run.peak_lr)):
            return None
        if (raised := raised_to(record, self.factor)) is None:
            return None
        now, planned = raised
        return Finding(
            "the learning rate is far above its schedule",
            f"The rate is {now:.3g} now, {times(now / planned)} the schedule's highest, {planned:g}.",
            metric="lr",
            threshold=self.factor * planned,
            causes=["a callback or code of your own has changed the optimizer's rates or the scheduler's base_lrs"],
            remedies=["find what raised the rate; mute this rule if the rise is intended"],
        )


@dataclass
class UpdatesLostToRounding(Rule):
    """Updates of half-precision adapters are too small to change them: most elements stay the same, bit for bit.

    Fires when, in half of the adapters, most elements of A or of B stay as they are in five updates at half the peak
    learning rate or more. In bf16 a step smaller than a 256th of an element leaves it unchanged. Factors in float32,
    PEFT's default, are not compared.
    """

    id = "LW307"
    name = "updates-lost-to-rounding"
    severity = Severity.WARNING
    yields_to = (*NON_FINITE, "LW304", "LW301", "LW302", "LW303", "LW306")

    changed: float = 0.5
    updates: int = 5
    lost: int = field(default=0, init=False)
    """Such updates in a row so far."""

    def check(self, record: StepRecord) -> Finding | None:
        if "a_changed" not in record.metrics or not record.updated:
            return None
        a, b = (self._changed_share(record, factor) for factor in "ab")
        if a is None or b is None:
            return None
        rates, peak = _rates(record.run, record.lr), _rates(record.run, record.run.peak_lr)
        if not len(rates) or not rates.max() > 0:
            return None
        least = np.fmin(a, b)
        known = np.isfinite(least)
        if not known.any() or np.median(least[known]) >= self.changed:
            self.lost = 0
            return None
        if rates.max() >= 0.5 * peak.max(initial=0.0):
            self.lost += 1
        if self.lost < self.updates:
            return None
        factor, stuck = ("A", a) if np.nanmean(a) < np.nanmean(b) else ("B", b)
        return Finding(
            "updates are too small for half precision, and get lost",
            f"In the last step {percent(float(np.nanmedian(stuck)))} of the elements of {factor} changed. The learning "
            f"rate is {rates.max():.3g}.",
            adapters=[(record.run.adapters[i].name, float(least[i])) for i in np.argsort(least) if known[i]][:10],
            metric=f"{factor.lower()}_changed",
            threshold=self.changed,
            causes=["the adapter was cast to bf16 with the rest of the model, and no float32 copy of it is kept"],
            remedies=[
                "keep the adapters in float32: for p in model.parameters(): if p.requires_grad: p.data = p.data.float()"
                " (PEFT does it by autocast_adapter_dtype=True); bf16=True may stay"
            ],
        )

    @staticmethod
    def _changed_share(record: StepRecord, factor: str) -> FloatArray | None:
        """``[n_adapters]``: the share of the factor's elements that changed; NaN where it had no gradient."""
        shares = known_values(record, f"{factor}_changed")
        gradient = None if shares is None else known_values(record, f"{factor}_grad_norm")
        return None if shares is None or gradient is None else np.where(gradient > 0, shares, np.nan)


@dataclass
class StepsSkipped(Rule):
    """The optimizer keeps skipping steps: a loss scaler finds overflowing gradients again and again.

    Fires when 5 of the last 20 steps were skipped. Under fp16 the scale is halved at every overflow until it fits: up
    to 16 halvings before the first update do not count.
    """

    id = "LW308"
    name = "optimizer-steps-skipped"
    severity = Severity.WARNING

    search: int = 16
    window: int = 20
    skips: int = 5
    searched: int = field(default=0, init=False)
    """Steps skipped before the first update."""
    recent: list[int] = field(default_factory=list, init=False)
    """1 for a skipped step, 0 for an update: the last ``window`` since that search."""

    def check(self, record: StepRecord) -> Finding | None:
        if record.step == 0:
            return None
        if not record.updated and not self.recent and self.searched < self.search:
            self.searched += 1
            return None
        self.recent = [*self.recent, int(not record.updated)][-self.window :]
        if (skipped := sum(self.recent)) < self.skips:
            return None
        return Finding(
            f"the optimizer has skipped {skipped} of the last {len(self.recent)} steps",
            "The gradients of these steps overflowed, so their batches taught nothing.",
            causes=["fp16 cannot hold this model's gradients or activations, as of models that were trained in bf16"],
            remedies=["bf16=True instead of fp16=True, or neither"],
        )


@dataclass
class BaseWeightsMoved(Rule):
    """The weights under the adapters change, although they are not saved with the adapter.

    Fires when 64 elements of each weight have moved since the start, at all while the weight requires a gradient, else
    by more than 1 %. It is a WARNING when they are off by 0.03 % and have moved on at four full measurements, as where
    an adapter is merged and unmerged in bf16 again and again. Weights under ZeRO-3 and FSDP1, and quantised ones, are
    not compared.
    """

    id = "LW309"
    name = "base-weights-moved"
    severity = Severity.ERROR
    needs = "base_drift"
    yields_to = ("LW304",)

    drift: float = 0.01
    creep: float = 3e-4
    moves: int = 4
    moved: dict[str, int] = field(default_factory=dict, init=False)
    """By adapter, at how many full measurements its weight was further from the start than ever before."""
    furthest: dict[str, float] = field(default_factory=dict, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        drift, trainable = known_values(record, "base_drift"), record.wiring.get("base_trainable")
        if drift is None or trainable is None:
            return None
        trained = (drift > 0) & trainable
        drifted = trained | (drift > self.drift)
        creeping = self._creeps(record, drift)
        if creeping.any() and not drifted.any():
            return Finding(
                "the frozen weights move a little at each merge",
                f"The weights under {int(creeping.sum())} of {len(drift)} adapters have moved again and again, by "
                f"{percent(float(drift[creeping].max()))} so far.",
                adapters=worst_first(record, drift, creeping)[:10],
                metric="base_drift",
                threshold=self.creep,
                causes=["merge_adapter() and unmerge_adapter() round the weights each time"],
                remedies=["merge a copy of the weights, and put the old ones back instead of unmerging"],
                severity=Severity.WARNING,
            )
        if not drifted.any():
            return None
        cause = "requires_grad_(True) over all parameters, or a name filter that matches too much, unfroze them"
        remedy = "for n, p in model.named_parameters(): p.requires_grad_('lora_' in n), before the optimizer is built"
        if not trained.any():
            cause = "a checkpoint was loaded, weights were averaged or an adapter was merged while training went on"
            remedy = "change the weights only after training has ended, or start again from them"
        return Finding(
            "the frozen weights are changing, and they are not saved with the adapter",
            f"The weights under {int(drifted.sum())} of {len(drifted)} adapters have moved, by up to "
            f"{percent(float(drift[drifted].max()))}.",
            adapters=worst_first(record, drift, drifted)[:10],
            metric="base_drift",
            threshold=0.0 if trained.any() else self.drift,
            causes=[cause],
            remedies=[remedy],
        )

    def _creeps(self, record: StepRecord, drift: FloatArray) -> BoolArray:
        """``[n_adapters]``: the weight is off by a little, and has come there in several moves."""
        run, before = record.run, record.run.of_each(self.furthest)
        moved = run.of_each(self.moved) + (drift > 1.02 * before)
        self.moved |= {name: int(count) for name, count in run.by_name(moved).items()}
        self.furthest |= run.by_name(np.fmax(drift, before))
        return (drift > self.creep) & (moved >= self.moves)
