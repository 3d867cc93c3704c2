"""From a step of the model to its record: what is due, reading it, and putting it together."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from lora_watch.base.deferred import HostCopy, PendingCopy, is_far
from lora_watch.base.records import FIRST_STEPS, Due, Readings, StepRecord
from lora_watch.measurement.norms.finite import spoiled
from lora_watch.measurement.norms.merging import kept_by_a_merge
from lora_watch.measurement.signals.gradients import any_seen, overflow
from lora_watch.measurement.signals.labels import NUMBERS, SAME, is_own
from lora_watch.measurement.signals.loss import FIRST, SEEN_FIRST, Chance, LossProgress, LossSignals
from lora_watch.measurement.signals.policy import PolicySignals
from lora_watch.measurement.signals.scaled_loss import GONE, NOT_KNOWN, OTHER
from lora_watch.rules.size import HARM, extent
from lora_watch.run.guard import Guard
from lora_watch.run.instruments import Instruments
from lora_watch.run.monitored import MonitoredAdapters
from lora_watch.run.ranks import world_size

_SUSPECT = {"loss_rise_score": 3.0, "loss_spike_score": 4.0}
"""Scores of the loss that call for a full measurement: less than they take to open an alert. Healthy losses of the
corpus reach one of them anew at 0.8 % of their steps."""

_NONZERO = 1e-3
"""‖ΔW‖/‖W₀‖ of an adapter before the first update from which on it counts as adding something."""
BY_GUESSING = ("LW205", "LW207")
"""Rules that compare the loss with what guessing costs."""
OF_A_LOOP = ("kept_gradient", "came_gradient")
"""What ``Monitor`` sees of one adapter's gradient at each of the first steps: it was there before the first pass back,
and that pass has brought one."""
_STEPS_TO_BE_SEEN = 3
"""Steps without any adapter's gradient from which on that is noted."""

Loss = float | Tensor | None


@dataclass(frozen=True)
class PendingRecord:
    """What was read of one step, before its numbers have reached the host."""

    known: dict[str, Any]
    """Fields of the record that were known at once."""
    numbers: PendingCopy
    """All else that was read, by name, which may still be on its way from an accelerator."""


class _Source(NamedTuple):
    """What shows where losses that are not finite come from: looked for at the first such step, told at all."""

    step: int
    ratios: Readings
    """``output_ratio`` of that step."""
    broken: tuple[str, ...]
    """See ``StepRecord.broken``."""


class Cadence:
    """Decides before each step what is measured of it: the norms at every beat, everything at the first beats and at
    some after them, and at the next one when a loss begins to look odd or an alert has opened.

    ``every``: optimizer steps from one beat to the next. ``full_every``: beats from one full measurement to the next.
    """

    def __init__(self, every: int = 1, full_every: int = 16):
        self._every, self._full_every = every, full_every
        self.due = Due(0, trained=False)
        """What the coming step, of the latest ``plan``, is to have measured; before the first all that can be."""
        self.first = 0
        """The step after which the run began, or, where it has gone back, begins anew."""
        self._alerts = 0
        self._odd = False
        self.called = False
        """The next beat is to be a full one."""

    def see(self, record: StepRecord) -> None:
        """Take the records of a run in order: their losses may call for a full measurement."""
        odd = any(record.scalars.get(name, 0.0) >= least for name, least in _SUSPECT.items())
        self.called |= odd and not self._odd
        self._odd = odd

    def plan(self, step: int, *, wanted: bool = False, alerts: int = 0, ranks: bool = False) -> bool:
        """Decide what the coming ``step`` has measured. True if that is everything.

        Args:
            wanted: it is the last step, or a rule needs a full measurement of it.
            alerts: how many have opened so far.
            ranks: there are others. They see other losses and alerts, and must measure the same steps.
        """
        self.called |= alerts > self._alerts
        self._alerts = alerts
        beat, rest = divmod(step, self._every)
        early, called = step - self.first <= FIRST_STEPS, self.called and not ranks
        full = wanted or (rest == 0 and (early or called or beat % self._full_every == 0))
        self.due = Due(step, norms=full or rest == 0, full=full)
        self.called &= not full
        return full


class Recorder:
    """Makes the record of every step: reads what is due, and completes the record when that has reached the host.

    ``lr_fraction``, ``judge_loss``: see ``Monitor``. ``is_scaled``: whether a loss scaler stands between the gradients
    and the optimizer.
    """

    def __init__(
        self,
        monitored: MonitoredAdapters,
        instruments: Instruments,
        cadence: Cadence,
        guard: Guard,
        lr_fraction: Callable[[int], float | None] | None,
        judge_loss: bool,
        is_scaled: Callable[[], bool],
    ):
        self.monitored, self.instruments, self.cadence = monitored, instruments, cadence
        self._guard, self._host_copy = guard, HostCopy()
        self._planned, self._is_scaled = lr_fraction or self._of_steps, is_scaled
        self._spent = 0.0, 1.0
        """What is spent of the schedule is the first number, and the second times what a run without recovery has."""
        prefers = monitored.run.learns_preferences
        self._loss = LossSignals(progress=LossProgress(prefers), chance=Chance.of(monitored.run.config))
        self._policy = PolicySignals(LossProgress(prefers, [0.0] * prefers))  # a margin begins at 0
        self._judge_loss = judge_loss
        instruments.own_loss.asked = "classes" not in monitored.run.config
        self._unknown = 0
        """Steps of which it was not known among how many classes the loss chooses."""
        self._skipped = 0
        """Steps that the optimizer has skipped."""
        self._rate = 0.0
        """The highest rate of the step before, where no schedule is known."""
        self._source: _Source | None = None
        """Of the losses that are not finite at present."""
        self._unseen: int | None = 0
        """Steps so far without any adapter's gradient; None once there was one."""
        self.ranks = False
        """There are other ranks."""

    def find(self, step: int, coming: bool = True) -> None:
        """Look for the adapters, after ``step``. ``coming``: what was to be seen of the coming pass can still be."""
        self.ranks = world_size() > 1
        try:
            self.monitored.find()
            with self.monitored.none_alone():
                self.instruments.watch(self.monitored, step, coming)
        except BaseException:
            self.monitored.run = replace(self.monitored.run, searched=False)  # it is tried again
            self.instruments.forget()  # what was begun leaves no hook behind, and no rank measures what others do not
            raise

    def use(self, optimizer: Any, peak_lr: tuple[float, ...]) -> None:
        """Another optimizer trains from now on. What share of its Σ lr has been spent is known by the steps alone."""
        self.monitored.use(optimizer, peak_lr)
        self._planned = self._of_steps

    def plan(self, step: int, wanted: Mapping[str, float] | None = None, alerts: int = 0) -> None:
        """Decide how the step after ``step`` is measured (``Cadence.plan``), and have its forward pass seen where that
        takes it, and what rules have ``wanted`` (``Rule.wants``). ``alerts``: how many have opened so far."""
        last = step + 1 == self.monitored.run.max_steps
        at_last = HARM if last and self._judge_loss else {}  # what the weights at the end are compared with
        if losses := {**(wanted or {}), **at_last}:
            self.instruments.scaled_loss.arm(losses)
        if self.cadence.plan(step + 1, wanted=bool(wanted) or last, alerts=alerts, ranks=self.ranks):
            self.instruments.arm(step)

    def read_gradients(self, loss: Loss) -> bool:
        """Read what the optimizer is about to use. True if an accelerator has to be waited for to know it."""
        read = [*self.instruments.gradients.read().tensors, *([loss] if isinstance(loss, Tensor) else [])]
        return any(map(is_far, {tensor.device for tensor in read}))

    def before_update(
        self, step: int, loss: Loss, always: bool = True, **seen: Tensor | int | None
    ) -> StepRecord | None:
        """What is known of ``step`` after ``read_gradients``: the loss and the gradients, and what was ``seen``. Waits
        for accelerators. None where all of it is finite, unless it is wanted ``always``."""
        gradients, labels = self.instruments.gradients, self.instruments.own_loss.labels
        if labels is not None:
            seen = {**labels.seen, "targets": None, **seen}  # a loop's own are judged after the update
        there = self._host_copy.send({"gradients": gradients.latest, "loss": loss, **seen}).read()
        gradients.keep(there["gradients"])
        overflows, loss = overflow(there["gradients"]), _number(there["loss"], float)
        sound = (loss is None or math.isfinite(loss)) and not overflows
        if sound and not always:
            return None
        skipped = overflows and self._is_scaled()
        own = {"loss": loss, "targets": _number(there.get("targets"), int), "bad_inputs": () if sound else _bad(there)}
        record = StepRecord(self.monitored.run, step, there["gradients"], updated=not skipped, **own)
        if not sound and not (skipped and (loss is None or math.isfinite(loss))):
            record = replace(record, spoiled=spoiled(gradients.adapters))
        return self._with_source(record)

    def measure(
        self, step: int, loss: Loss, *, lr: tuple[float, ...] = (), updated: bool = True, **seen: Tensor | int | None
    ) -> PendingRecord:
        """Read all that is to be known of ``step``, without waiting for an accelerator.

        ``seen``, where the driver counts them: ``labels``, how often each class was one, ``[classes]``; ``targets``,
        how many labels that count the micro-batch with the fewest has had; see ``Labels.seen``.
        """
        due = self.cadence.due._replace(step=step, trained=step > 0)
        monitored, instruments = self.monitored, self.instruments
        heard: dict[str, Any] = dict.fromkeys(("labels", "targets", "own_losses", "own_loss", "squares", *SEEN_FIRST))
        if step:
            instruments.rates.step(lr, updated)
        metrics = instruments.measure(due)  # first: other ranks come along
        if step:
            heard |= instruments.own_loss.take()
        if "labels" in seen:
            instruments.own_loss.labels = None
        numbers = {
            "metrics": metrics,
            "loss": loss,
            "wanted": instruments.scaled_loss.begin() if instruments.scaled_loss.is_armed else {},
            **heard,
            **seen,
        }
        known = {
            "run": monitored.run,
            "step": step,
            "lr": lr,
            "weight_decay": monitored.groups.weight_decay,
            "wiring": monitored.wiring(
                readable=bool(instruments.bank.known.all()),
                base_trainable=instruments.frozen.trainable if due.full else None,
            ),
            "retired": monitored.retired,
            "updated": updated,
        }
        return PendingRecord(known, self._host_copy.send(numbers))

    def at_the_end(self, last: StepRecord) -> StepRecord | None:
        """``last`` with the norms of the weights as they stand, what a merge would keep of them, and the losses of the
        last batch that was compared (``ScaledLoss.again``). None where the adapters are no longer those of ``last``
        (merged, taken out), or it takes other ranks to read them."""
        metrics = self.norms_now(last)
        if metrics is None:
            return None
        losses = self.instruments.scaled_loss.again(HARM) if last.comparable else {}
        kept = math.nan
        with self._guard("measuring what a merge would keep", aside=True):
            kept = kept_by_a_merge(self.monitored.adapters)
        scalars = {**last.scalars, **losses, "merge_kept": kept}
        return replace(last, metrics={**last.metrics, **metrics}, scalars=scalars)

    def norms_now(self, last: StepRecord, together: bool = False) -> Readings | None:
        """The norms of the weights as they stand. None: see ``at_the_end``. ``together``: all ranks come here."""
        monitored, alone = self.monitored, self.monitored.collective and not together
        if monitored.run.names != last.run.names or alone or not monitored.is_whole:
            return None
        monitored.live.refresh()
        if monitored.live.now.state[:, 1].any():  # merged
            return None
        return self._host_copy.send({"metrics": self.instruments.norms(Due(last.step))}).read()["metrics"]

    def complete(self, pending: PendingRecord, dropped: bool = False, **since: Any) -> StepRecord:
        """The whole record of a step: waits for what is still on its way. ``dropped``: its update was taken back, so
        that its loss says nothing of the run. ``since``: other fields."""
        there = pending.numbers.read()
        known, metrics, loss = pending.known, there["metrics"], _number(there["loss"], float)
        wanted, own_losses = there["wanted"], there["own_losses"]
        if wanted and own_losses is not None and loss is not None and not is_own(loss, own_losses.tolist()):
            wanted, self.instruments.scaled_loss.why_not = {}, OTHER
        if (why_not := self.instruments.scaled_loss.why_not).startswith((OTHER, NOT_KNOWN, GONE)):
            self.monitored.note(
                f"whether the adapters do harm is judged by their size and by the loss alone, because {why_not}"
            )
        # Accelerate does not see it when a fused optimizer (the Trainer's default) skips the step by itself.
        updated = known["updated"] and not (self._is_scaled() and overflow(metrics))
        self._skipped += not updated and not dropped
        scalars: dict[str, float] = dict(self._policy.scalars)
        own = {
            "metrics": metrics,
            "loss": loss,
            "targets": _number(there["targets"], int),
            "bad_inputs": () if loss is None or math.isfinite(loss) else _bad(there),
            "overhead": self._guard.overhead,
            # A skipped step does not move the schedule.
            "lr_fraction": self._fraction(known["step"] - self._skipped, known["lr"]),
            "updated": updated,
            "scalars": scalars,
            "comparable": self._judge_loss and not dropped and not why_not,
            "own_code": why_not.removeprefix(NOT_KNOWN) if why_not.startswith(NOT_KNOWN) else "",
        }
        scalars |= {name: _number(there[name], float) for name in OF_A_LOOP if there.get(name) is not None}
        record = StepRecord(**{**known, **own, **since})
        if self._unseen is not None and record.step and self.monitored.adapters:
            self._look_for_gradients(self._unseen, record)
        if self._judge_loss and not dropped:
            scalars |= self._guessing(loss, there)
            labels = None if there["labels"] is None or "classes" not in scalars else there["labels"].tolist()
            scalars |= self._loss.update(loss, labels, extent(record), record.lr, there["squares"]) | wanted
        self.cadence.see(record)
        if record.step - self.cadence.first == FIRST_STEPS:
            self._guard.start_clock()  # from here on a step costs what it costs in a long run
        return self._with_source(record)

    def _guessing(self, loss: float | None, there: Mapping[str, Any]) -> dict[str, float]:
        """``classes``: among how many the loss chooses, where that is known; what the model and its labels say."""
        run, own_loss = self.monitored.run, _number(there["own_loss"], float)
        classes = run.config.get("classes")
        if own_loss is not None and loss is not None:
            is_minus = loss < 0.0 and is_own(-loss, there["own_losses"].tolist())  # which LW205 names
            classes = run.own_classes if is_minus or abs(loss - own_loss) <= SAME * abs(own_loss) else classes
        if isinstance(classes, int) and classes > 1:
            seen = {name: _number(there[name], float) for name in SEEN_FIRST if there[name] is not None}
            return {"classes": float(classes)} | seen
        self._unknown += loss is not None and loss >= 0.0 and run.own_classes > 1
        if self._unknown == FIRST and any(rule["id"] in BY_GUESSING for rule in run.rules):
            self.instruments.own_loss.asked = False
            self.monitored.run = replace(run, rules=tuple(r for r in run.rules if r["id"] not in BY_GUESSING))
            if not run.config.get("preference"):  # whose loss nobody takes for the model's
                self.monitored.note(
                    "wrong labels and random weights would not be noticed: the loss is not the one that the model "
                    f"returns, so what guessing costs is not known ({' and '.join(BY_GUESSING)})"
                )
        return {}

    def _look_for_gradients(self, unseen: int, record: StepRecord) -> None:
        """Gradients that are gone, or somewhere else, before they are read stand in no number: a note says so.
        ``unseen``: steps so far without any."""
        now = record.wiring
        idle = bool(now) and not (now["active"] & now["trainable"] & ~now["merged"]).any()  # which LW301 says
        idle |= record.scalars.get("came_gradient") == 0.0  # and this LW303: no pass back reaches them
        self._unseen = None if idle or any_seen(record.metrics) else unseen + 1
        if self._unseen == _STEPS_TO_BE_SEEN:
            hint = "" if "learning_rate" in record.run.config else ": call monitor.step() before zero_grad()"
            self.monitored.note(
                f"the gradient norms are unknown: no adapter had a gradient when lora_watch looked{hint}"
            )

    def note_the_start(self, record: StepRecord) -> None:
        """Adapters that add something before the first update, as ``record`` says, are judged by what comes to it."""
        began, monitored = record.metrics.get("relative_norm"), self.monitored
        if why := monitored.run.init_from_base:
            monitored.note(f"{why} has moved a part of the frozen weights into the adapters: LW104 does not judge")
        if began is None or why or not (began.measured > _NONZERO).any():
            return
        monitored.run = replace(monitored.run, nonzero_start=True)
        self.instruments.scaled_loss.keep_beginning()
        monitored.note(
            "the adapters were not zero at the start: their size counts from there, and batches are compared with the "
            "adapters as they began. Whether they grow enough is not judged (LW104)"
        )

    def _with_source(self, record: StepRecord) -> StepRecord:
        """Where the loss is not finite, with what shows where that comes from. Looked for at the first such step."""
        if record.loss is None or math.isfinite(record.loss):
            self._source = None
            return record
        if self._source is None:
            ratios, broken = self.instruments.search(record.step)
            seen = self._host_copy.send({"ratios": ratios}).read()["ratios"]
            self._source = _Source(record.step, seen, broken)
        source = self._source
        ratios = source.ratios if source.step == record.step else {}  # later steps have not been seen
        return replace(record, metrics={**ratios, **record.metrics}, broken=source.broken)

    def read_row(self, numbers: Mapping[str, float], last: StepRecord | None) -> dict[str, float]:
        """What the ``numbers`` of a Trainer's row say of a policy, when ``last`` is the latest record."""
        size, lr = (None, ()) if last is None else (extent(last), last.lr)
        return self._policy.update(numbers, size, max(lr, default=0.0))

    def spike_score(self, loss: float) -> float:
        """By how many standard deviations of its own noise ``loss`` is above what was to be expected; 0 if unknown."""
        return replace(self._loss.detector).update(loss).spike_score if self._judge_loss else 0.0

    @property
    def losses(self) -> list[float]:
        """See ``StepRecord``; empty where no loss is known."""
        progress = self._loss.progress
        return [sum(progress.first) / len(progress.first), *progress.recent] if progress.recent else []

    def let_go(self) -> None:
        """The run is over: what was found stays, and no model is kept alive."""
        state, nothing = self.state_dict(), nn.Module()
        self.monitored = MonitoredAdapters(nothing, None, self.monitored.run)
        self.instruments = Instruments(nothing, self._guard, output_ratio=False)
        self._is_scaled, self._planned = bool, self._of_steps
        self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        norms = self.monitored.base_norms.items()
        return {
            "loss": self._loss.state_dict(),
            "policy": {"progress": dict(vars(self._policy.progress)), "scalars": dict(self._policy.scalars)},
            "spent": self.instruments.rates.spent,
            "skipped": self._skipped,
            "rate": self._rate,
            "turned_back": list(self._spent),
            "nonzero_start": self.monitored.run.nonzero_start,
            "frozen": {name: list(pair) for name, pair in norms if np.isfinite(pair).all()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._loss.load_state_dict(state.get("loss", {}))
        policy = state.get("policy", {})
        vars(self._policy.progress).update(policy.get("progress", {}))
        self._policy.scalars = dict(policy.get("scalars", {}))
        self.instruments.rates.spent = dict(state.get("spent", {}))
        self._skipped, self._rate = state.get("skipped", 0), state.get("rate", 0.0)
        before, slope = state.get("turned_back", (0.0, 1.0))
        self._spent = before, slope
        self.monitored.run = replace(self.monitored.run, nonzero_start=state.get("nonzero_start", False))
        self.monitored.base_norms = {name: (norm, top) for name, (norm, top) in state.get("frozen", {}).items()}

    def turn_back(self, good: Mapping[str, Any], step: int, now: int, factor: float) -> None:
        """The run goes on after step ``now`` from the ``good`` state, that of ``step``, at ``factor`` times its rates.
        What was spent in between has left nothing in the adapters."""
        slope = self._spent[1] * factor
        self.load_state_dict(good)
        before, after = self._planned(step), self._planned(now)
        if before is not None and after is not None:
            self._spent = self._spent[0] + self._spent[1] * before - slope * after, slope

    def _fraction(self, step: int, lr: tuple[float, ...]) -> float | None:
        before, self._rate = self._rate, max(lr, default=0.0)
        planned, (offset, slope) = self._planned(step), self._spent
        rises = 0.0 < before < self._rate and step < (self.monitored.run.max_steps or 0)
        if planned is None or (rises and self._planned == self._of_steps):  # nobody knows how far
            return None
        return (offset + slope * planned) / (offset + slope)

    def _of_steps(self, step: int) -> float | None:
        """The share of its rates that a schedule has spent after ``step``, as far as steps alone tell."""
        max_steps = self.monitored.run.max_steps
        return min(step / max_steps, 1.0) if max_steps else None


def _bad(there: Mapping[str, Any]) -> tuple[str, ...]:
    """See ``StepRecord.bad_inputs``."""
    seen = {name: there.get(f"bad {name}") for name in NUMBERS}
    return tuple(name for name, bad in seen.items() if bad is not None and math.isnan(_number(bad, float)))


def _number(value: Any, kind: Callable[[Any], Any]) -> Any:
    """One number, or the array ``[1]`` that a tensor has become on the host, as a number of this ``kind``."""
    return None if value is None else kind(value[0]) if isinstance(value, np.ndarray) else kind(value)
