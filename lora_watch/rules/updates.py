"""LW306 to LW309: the gradients are there, and the updates come to nothing, or are not those that were planned."""

from dataclasses import dataclass, field, replace

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.records import BoolArray, FloatArray, RunInfo, StepRecord
from lora_watch.base.text import percent, times
from lora_watch.rules.base import NON_FINITE, Finding, Rule, known_values, worst_first
from lora_watch.rules.forecast import is_adaptive
from lora_watch.rules.remedies import raised_to


def _rates(run: RunInfo, lr: tuple[float, ...]) -> FloatArray:
    """Those of the adapters among ``lr``, the learning rates of the parameter groups, as far as they are known."""
    rates = run.per_adapter(lr)
    return rates[~np.isnan(rates)]


@dataclass
class OddRates(Rule):
    """The optimizer uses what nobody planned: odd rates, a weight decay that eats, the gradients of earlier steps.

    Fires when the learning rate of all adapters is 0: by its setting, or at three updates in a row, a tenth of the
    planned steps ahead (an ERROR where no schedule raises it); when a Trainer's is over twice its schedule's highest;
    when one layer's is over twenty times the others'; when weight decay takes over 1 % of the weights a step (50 %: an
    ERROR); when three steps of a plain loop begin with the gradients of the one before (an ERROR where that moves B).
    """

    id = "LW306"
    severity = Severity.WARNING
    yields_to = ("LW301", "LW102", "LW202")

    updates: int = 3
    left: float = 0.1
    factor: float = 2.0
    apart: float = 20.0
    decay: float = 0.01
    zeros: int = field(default=0, init=False)
    kept: float = field(default=0.0, init=False)
    """Steps in a row that began with a gradient."""
    piled: float = field(default=0.0, init=False)
    """Those of them that moved B as well: they gather no batches for a single update."""
    b_norm: float = field(default=0.0, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        rates = _rates(record.run, record.lr if record.step else record.run.peak_lr)
        if len(rates) and not rates.any():
            self.zeros += record.step > 0 and record.updated
            return self._zero(record)
        if record.step == 0:  # with rates in a plan alone
            return self.decays(record)
        self.zeros = 0
        return self._raised(record) or self._apart(record) or self.decays(record) or self._adds_up(record)

    def conclude(self, record: StepRecord) -> Finding | None:
        """Not one update was made at another rate: nothing has been learned."""
        found = self._zero(record) if 0 < record.step <= self.zeros else None
        return None if found is None else replace(found, severity=Severity.ERROR)

    def _zero(self, record: StepRecord) -> Finding | None:
        planned, peak = record.run.max_steps, _rates(record.run, record.run.peak_lr)
        never = len(peak) > 0 and not peak.any() and self.zeros >= record.step  # was it another, nor will it be
        late = planned is not None and record.step - self.zeros >= (1.0 - self.left) * planned
        if (self.zeros < self.updates or late) and not (never and record.run.learning_rate == 0.0):
            return None
        high = f" The schedule was meant to reach {peak.max():.3g}." if peak.any() else ""
        left = 0 if planned is None else planned - record.step
        ahead = f", with {left} of {planned} steps to go" if left > 0 else ""
        fewer = "the schedule was made for fewer steps than are trained: epochs or ranks counted differently"
        fix = "give the schedule the number of optimizer steps as its length"
        if not high:
            fewer = "learning_rate is 0" + ", or a schedule of your own returns 0" * (record.run.learning_rate != 0.0)
            fix = "set a learning rate, and look at what the schedule returns"
        elif "learning_rate" in record.run.config:  # a Trainer
            fix = "let the Trainer make the schedule, or give num_training_steps the number of optimizer steps"
        elif self.zeros >= record.step:
            fewer = "the schedule begins at 0, and scheduler.step() is not called"
            fix = "call scheduler.step() after each optimizer.step()"
        return Finding(
            f"the learning rate is 0, so nothing is learned{' any more' * (self.zeros < record.step)}",
            f"The rate has been exactly 0 for {self.zeros} updates{ahead}.{high}" * (self.zeros > 0),
            metric="lr",
            threshold=0.0,
            kind="zero",
            causes=[fewer],
            remedies=[fix],
            severity=Severity.ERROR if never else None,
        )

    def _adds_up(self, record: StepRecord) -> Finding | None:
        if (kept := record.scalars.get("kept_gradient")) is not None:  # of the first steps of a plain loop alone
            norms = known_values(record, "b_norm")
            now = self.b_norm if norms is None else float(np.nansum(norms))
            moves, self.b_norm = now != self.b_norm, now
            self.kept, self.piled = (self.kept + 1.0) * kept, (self.piled + 1.0) * kept * moves
        if self.kept < self.updates:
            return None
        return Finding(
            "the gradients are never set to zero",
            "Each update adds the gradients of all steps before it to those of its own batch.",
            metric="b_grad_norm",
            kind="adds up",
            causes=["optimizer.zero_grad() is not called, or monitor.step() is called between two updates"],
            remedies=["call optimizer.zero_grad() after each optimizer.step()"],
            severity=Severity.ERROR if self.piled >= self.updates else None,
        )

    def _raised(self, record: StepRecord) -> Finding | None:
        if (raised := raised_to(record, self.factor)) is None:
            return None
        now, planned = raised
        return Finding(
            "the learning rate is far above its schedule",
            f"The rate is {now:.3g} now, {times(now / planned)} the schedule's highest, {planned:.3g}.",
            metric="lr",
            threshold=self.factor * planned,
            kind="raised",
            causes=["a callback or code of your own has changed the optimizer's rates or the scheduler's base_lrs"],
            remedies=["find what raised the rate; mute this rule if the rise is intended"],
        )

    def _apart(self, record: StepRecord) -> Finding | None:
        """A parameter group of their own gives single layers another pace."""
        if len({*_rates(record.run, record.lr)}) < 2:
            return None
        rates = record.run.per_adapter(record.lr)
        usual = float(np.nanmedian(rates))
        fast = rates > self.apart * usual
        if not fast.any() or not usual > 0:
            return None
        return Finding(
            f"{int(fast.sum())} of {len(fast)} adapters learn far faster than the others",
            f"Their parameter group has the learning rate {np.nanmax(rates):.3g}, and that of the others {usual:.3g}.",
            adapters=worst_first(record, rates, fast),
            metric="lr",
            threshold=self.apart * usual,
            kind="apart",
            causes=["the optimizer was given a group of its own for these layers"],
            remedies=["give them the learning rate of the others"],
        )

    def decays(self, record: StepRecord) -> Finding | None:
        """Weight decay takes more than ``decay`` of the weights at this record's rates."""
        if not any(record.weight_decay) or not is_adaptive(record.run):
            return None
        taken = record.run.per_adapter(record.lr) * record.run.per_adapter(record.weight_decay)
        if not (taken > self.decay).any():
            return None
        decay = max(record.weight_decay)
        at_peak = record.run.per_adapter(record.run.peak_lr) * record.run.per_adapter(record.weight_decay)
        # Of all updates, each is then worth half of the one after it, and their sum is no larger than two.
        lost = bool(np.median(np.nan_to_num(at_peak)) >= 0.5)
        return Finding(
            "weight decay is undoing what is learned",
            f"It takes {percent(float(np.nanmax(taken)))} of A and of B at every step."
            + " However long the run is, they become no larger than two updates make them." * lost,
            metric="weight_decay",
            kind="decays",
            threshold=self.decay,
            causes=[f"weight_decay {decay:.3g} is multiplied by the learning rate at each step"],
            next_run=Prescription({"weight_decay": Setting(decay, 0.01 if decay > 0.01 else 0.0)}, step=record.step),
            severity=Severity.ERROR if lost else None,
        )


@dataclass
class UpdatesLost(Rule):
    """Updates get lost in half precision: too small to change the adapters, or skipped by the loss scaler.

    Fires when, in half of the adapters, most elements of A or of B stay as they are, bit for bit, in five updates at
    half the peak learning rate or more: in bf16 a step smaller than a 256th of an element changes nothing. It also
    fires when 5 of the last 20 steps were skipped; the up to 16 before the first update do not count.
    """

    id = "LW307"
    severity = Severity.WARNING
    yields_to = (*NON_FINITE, "LW301", "LW303", "LW306:zero")

    changed: float = 0.5
    updates: int = 5
    search: int = 16
    window: int = 20
    skips: int = 5
    lost: int = field(default=0, init=False)
    """Updates in a row so far that changed too little."""
    searched: int = field(default=0, init=False)
    """Steps skipped before the first update."""
    recent: list[int] = field(default_factory=list, init=False)
    """1 for a skipped step, 0 for an update: the last ``window`` since that search."""

    def check(self, record: StepRecord) -> Finding | None:
        return None if record.step == 0 else self._skipped(record) or self._rounded(record)

    def _skipped(self, record: StepRecord) -> Finding | None:
        """A scaler halves its scale at every overflow until the gradients fit."""
        if not record.updated and not self.recent and self.searched < self.search:
            self.searched += 1
            return None
        self.recent = [*self.recent, int(not record.updated)][-self.window :]
        if (skipped := sum(self.recent)) < self.skips:
            return None
        return Finding(
            f"the optimizer has skipped {skipped} of the last {len(self.recent)} steps",
            "The gradients of these steps overflowed, so their batches taught nothing.",
            kind="skipped",
            causes=["fp16 cannot hold this model's gradients or activations, as of models that were trained in bf16"],
            remedies=["bf16=True instead of fp16=True, or neither"],
        )

    def _rounded(self, record: StepRecord) -> Finding | None:
        """Of factors in half precision: PEFT's default, float32, has no such metric."""
        parts = [f"{factor}_{what}" for what in ("changed", "grad_norm") for factor in "ab"]
        if not record.updated or not record.metrics.keys() >= {*parts}:
            return None
        a, b, *gradients = (record.metrics[part].measured for part in parts)
        a, b = (np.where(gradient > 0, share, np.nan) for share, gradient in zip((a, b), gradients))
        rates, peak = _rates(record.run, record.lr), _rates(record.run, record.run.peak_lr)
        if not rates.max(initial=0.0) > 0:
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
        fix = "keep the adapters in float32: for p in model.parameters(): if p.requires_grad: p.data = p.data.float()"
        return Finding(
            "updates are too small for half precision, and get lost",
            f"In the last step {percent(float(np.nanmedian(stuck)))} of the elements of {factor} changed. The learning "
            f"rate is {rates.max():.3g}.",
            adapters=[(record.run.names[i], float(least[i])) for i in np.argsort(least) if known[i]][:10],
            metric=f"{factor.lower()}_changed",
            kind="rounded",
            threshold=self.changed,
            causes=["the adapter was cast to bf16 with the rest of the model, and no float32 copy of it is kept"],
            remedies=[f"{fix} (PEFT does it by autocast_adapter_dtype=True); bf16=True may stay"],
        )


@dataclass
class BaseWeightsMoved(Rule):
    """The weights under the adapters change, although they are not saved with the adapter.

    Fires when 64 elements of each weight have moved since the start, at all while the weight requires a gradient, else
    by more than 1 %. It is a WARNING when they are off by 0.03 % and have moved on at four full measurements, as by
    merging and unmerging in bf16. Weights under ZeRO-3 and FSDP1, and quantised ones, are not compared.
    """

    id = "LW309"
    severity = Severity.ERROR
    needs = "base_drift"
    yields_to = ("LW301:switched",)

    drift: float = 0.01
    creep: float = 3e-4
    moves: int = 4
    moved: dict[str, float] = field(default_factory=dict, init=False)
    """By adapter, at how many full measurements its weight was further from the start than ever before."""
    furthest: dict[str, float] = field(default_factory=dict, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        drift, trainable = known_values(record, "base_drift"), record.wiring.get("base_trainable")
        if drift is None or trainable is None:
            return None
        trained = (drift > 0) & trainable
        drifted = trained | (drift > self.drift)
        creeping = self._creeps(record, drift)
        moved = drifted if drifted.any() else creeping
        if not moved.any():
            return None
        message, threshold = "the frozen weights are changing, and they are not saved with the adapter", self.drift
        cause = "a checkpoint was loaded, weights were averaged or an adapter was merged while training went on"
        fix = "change the weights only after training has ended, or start again from them"
        if trained.any():
            threshold = 0.0
            cause = "requires_grad_(True) over all parameters, or a name filter that matches too much, unfroze them"
            fix = "for n, p in model.named_parameters(): p.requires_grad_('lora_' in n), before the optimizer is built"
        elif moved is creeping:
            message, threshold = "the frozen weights move a little at each merge", self.creep
            cause = "merge_adapter() and unmerge_adapter() round the weights each time"
            fix = "merge a copy of the weights, and put the old ones back instead of unmerging"
        return Finding(
            message,
            f"The weights under {moved.sum()} of {len(moved)} adapters have moved, by up to "
            f"{percent(float(drift[moved].max()))}.",
            adapters=worst_first(record, drift, moved)[:10],
            metric="base_drift",
            threshold=threshold,
            kind="" if moved is creeping else "moved",
            causes=[cause],
            remedies=[fix],
            severity=Severity.WARNING if moved is creeping else None,
        )

    def _creeps(self, record: StepRecord, drift: FloatArray) -> BoolArray:
        """``[n_adapters]``: the weight is off by a little, and has come there in several moves."""
        run, before = record.run, record.run.of_each(self.furthest)
        moved = run.of_each(self.moved) + (drift > 1.02 * before)
        self.moved |= run.by_name(moved)
        self.furthest |= run.by_name(np.fmax(drift, before))
        return (drift > self.creep) & (moved >= self.moves)
