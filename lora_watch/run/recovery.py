"""A run that rescues itself: when to go back, to what, and when to give up."""

from __future__ import annotations

import copy
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import Recovered, StepRecord
from lora_watch.base.text import count
from lora_watch.rules.remedies import raised_to
from lora_watch.rules.treatments import START, SUSPECT, Treatment, alert_of, treatment
from lora_watch.run.judge import Judge
from lora_watch.run.live import Change, LiveSettings
from lora_watch.run.recording import Recorder
from lora_watch.snapshots.copies import Copy
from lora_watch.snapshots.training import GoodStates, TrainingCopies, why_not

CALM = 10
"""Sound steps in a row after which updates are no longer held back."""
ODD = 4.0
"""Standard deviations of its own noise above what is expected from which a loss is taken to be of bad data still."""
MOST_DROPPED = 50
"""Updates that are dropped in a row of trouble before the run gives up."""
WAYS = (*Treatment, None)
"""What may be done about an alert, from the mildest to nothing: of several ranks the last one's way counts."""
HALF_WAY = "a recovery failed half-way, so that weights, optimizer and rates may be of different steps"


class NoRecovery:
    """What happens in the course of a run that is not to recover, or has ended: nothing."""

    over: str | None = None
    """Why the run does not recover any more, in words; None while it does."""

    def __init__(self, state: Mapping[str, Any] | None = None):
        self._of_checkpoint = dict(state or {})

    def prepare(self) -> None:
        """Before the adapters are looked for."""

    def begin(self, step: int) -> None:
        """Training begins after ``step``, which has been judged."""

    def use(self, optimizer: Any, scheduler: Any) -> None:
        """Another optimizer trains from now on, with this schedule."""

    def before_update(self) -> None:
        """The optimizer is about to use the gradients."""

    def is_odd(self, loss: float | Tensor | None) -> bool:
        """The update that has just been applied, with this ``loss``, is one of those to be taken back."""
        return False

    def settle(self, odd: bool) -> bool:
        """An update has been applied, which some rank finds ``odd``. True where it is taken back."""
        return False

    def updated(self, step: int) -> None:
        """The weights have ``step`` steps behind them."""

    def judged(self) -> None:
        """A step has been judged."""

    def conclude(self) -> None:
        """The run is over."""

    def way(self, alerts: Sequence[Alert], record: StepRecord, before_update: bool) -> Treatment | None:
        """What this rank would do about ``alerts``, the gravest first, found in ``record``; None: nothing helps."""
        return None

    def treat(self, alerts: Sequence[Alert], record: StepRecord, before_update: bool, way: Treatment | None) -> bool:
        """Recover from ``alerts`` in the ``way`` on which all ranks have agreed. False where that cannot be."""
        return False

    def give_up(self, why: str) -> None:
        """The run does not recover any more."""

    def break_off(self) -> None:
        """A recovery has failed half-way, on this rank or another: what was wrong stands as it was."""

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, plain: what was changed, and how often. What is copied is not in it."""
        return self._of_checkpoint

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Before ``prepare``."""


class Updates(enum.Flag):
    """What becomes of the optimizer's updates."""

    APPLIED = 0
    """They are applied as they come."""
    ON_TRIAL = enum.auto()
    """Each is taken back if its loss is odd."""
    NEXT_DROPPED = enum.auto()
    """The next one is taken back, whatever its loss."""


@dataclass(frozen=True)
class Decision:
    """What is done about an alert: ``treatment``, or nothing for the reason ``why_not``. Nothing of it is done yet."""

    treatment: Treatment | None = None
    good: Copy | None = None
    """What to go back to; None where the update is dropped."""
    change: Change = field(default_factory=Change)
    """What becomes of the settings."""
    why_not: str = ""


@dataclass
class Trouble:
    """What the run has recovered from last."""

    cause: Alert
    severity: Severity
    """Of ``cause``, before it was forgiven."""
    recovered: Recovered
    alert: Alert
    """It reports ``recovered``."""


class Recovery(NoRecovery):
    """Copies what is trained while a run is healthy, goes back to it, and has the run go on.

    All ranks decide alike: copies are made at fixed steps, and what is asked of a record is the same on each of them.
    The state of ``recorder`` and ``judge`` goes back with the weights, so that the rules judge afresh. ``memory``: GiB
    on the host that copies may take.
    """

    def __init__(
        self, model: nn.Module, optimizer: Any, settings: LiveSettings, recorder: Recorder, judge: Judge, memory: float
    ):
        super().__init__()
        self._model, self._optimizer, self._memory = model, optimizer, memory
        self._settings, self._recorder, self._judge = settings, recorder, judge
        self._copies = TrainingCopies(optimizer, model)
        self._states = GoodStates(self._copies, judge.policy)
        self._updates = Updates.APPLIED
        self._held: Copy | None = None
        """From before the update that is under way, which may have to be taken back."""
        self._calm = 0
        """Sound updates in a row since the last that was not."""
        self._begins_at_zero = False
        """At the start of the run the adapters add nothing."""
        self._size: float | None = None
        """‖ΔW‖ of all adapters together, as measured last: alike on every rank, which output_ratio is not."""
        self._used = 0
        self._advised: dict[str, float] = {}
        """What the next run is to begin with, after all that has been changed so far."""
        self._trouble: Trouble | None = None
        self._treated: list[tuple[Alert, Severity]] = []
        """What the run has recovered from last, or has tried to, each as grave as it was."""

    # -- the course of a run -------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        why = why_not(self._model, self._optimizer, self._memory * 2**30)
        if why is not None:
            self.over = f"recover is unavailable: {why}"
            self._recorder.monitored.note(f"{self.over}. Alerts act as fail_on says")
        else:
            self._settings.begin()

    def begin(self, step: int) -> None:
        if self.over is not None:
            return
        self._begins_at_zero = step == 0 and adds_nothing(self._judge.last)
        self._held = None
        self._states.begin(step, _state_of(self._judge, self._recorder, self._size))

    def use(self, optimizer: Any, scheduler: Any) -> None:
        """Copies hold the state of the optimizer before: the run goes back to where this one began, and no further."""
        if self.over is not None:
            return
        self._relax()
        if (why := why_not(self._model, optimizer, self._memory * 2**30)) is not None:
            self.give_up(f"the optimizer was replaced, and {why}")
            return
        self._optimizer, self._copies = optimizer, TrainingCopies(optimizer, self._model)
        self._states = GoodStates(self._copies, self._judge.policy)
        self._settings.use(optimizer, scheduler)
        self.begin(self._judge.steps)

    def before_update(self) -> None:
        if self.over is None and (note := self._settings.before_update(self._judge.steps + 1)) is not None:
            self._recorder.monitored.note(note)
            self._judge.sinks.start(self._recorder.monitored.run, self._judge.steps)
        if self._on_trial and self._held is None:
            self._held = self._copies.take(self._judge.steps)

    def is_odd(self, loss: float | Tensor | None) -> bool:
        if self._held is None:
            return False
        if Updates.NEXT_DROPPED in self._updates:
            return True
        loss = None if loss is None else float(loss)
        cause = self._trouble.cause if self._trouble is not None else None
        if cause is not None and cause.closed_step is None and cause.last_step >= self._judge.steps:
            return True  # seen before the update
        return loss is not None and (not math.isfinite(loss) or self._recorder.spike_score(loss) > ODD)

    def settle(self, odd: bool) -> bool:
        held, self._held = self._held, None
        if held is None and not self._on_trial:
            return False
        odd = odd and held is not None
        self._updates &= ~Updates.NEXT_DROPPED
        if held is not None and odd:
            self._copies.put_back(held)
        self._copies.drop(held)
        self._calm = 0 if odd else self._calm + 1
        if odd and (trouble := self._trouble) is not None:
            trouble.recovered.dropped += 1
            if trouble.recovered.dropped > MOST_DROPPED:
                rule = trouble.cause.rule
                self._fail(trouble, f"{MOST_DROPPED} updates were dropped, and what {rule} has found goes on")
                self._relax()
        elif self._calm >= CALM:
            self._relax()
        return odd

    def updated(self, step: int) -> None:
        if self.over is None:
            self._copies.see()
        if self.over is None and not self._on_trial:
            suspects = [alert.rule for alert in self._judge.episodes.open if alert.rule in SUSPECT]
            self._states.updated(step, suspects)

    def judged(self) -> None:
        last = self._judge.last
        if last is not None:
            self._size = total_norm(last) or self._size
            self._states.judged(last.step, partial(_state_of, self._judge, self._recorder, self._size))

    def conclude(self) -> None:
        self._relax(now=True)

    # -- an alert ------------------------------------------------------------------------------------------------------
    def way(self, alerts: Sequence[Alert], record: StepRecord, before_update: bool) -> Treatment | None:
        good = self._states.good(alerts[0].rule, self._judge.steps)
        if self.over is not None or good is None:
            return None
        then = good.monitor["size"]
        grown = self._size / then if self._size and then else None
        way = treatment(alerts, record, self._recorder.sound_steps, before_update, grown)
        if way is Treatment.DROP and not self._copies.finite:
            return Treatment.GO_BACK  # an earlier update has spoiled the weights, at a step without a measurement
        return way

    def treat(self, alerts: Sequence[Alert], record: StepRecord, before_update: bool, way: Treatment | None) -> bool:
        good = self._states.good(alerts[0].rule, self._judge.steps)
        if self.over is not None or good is None:
            return False
        decision = self._decide(alerts, record, good, way)
        if decision.treatment is None:
            self.give_up(decision.why_not)
        else:
            rules = {alert.rule for alert in alerts}
            self._treated = [(alert, alert.severity) for alert in self._judge.episodes.open if alert.rule in rules]
            self._carry_out(decision, alerts, record, before_update)
        return self.over is None

    def _decide(self, alerts: Sequence[Alert], record: StepRecord, good: Copy, way: Treatment | None) -> Decision:
        """What to do about ``alerts`` in this ``way``. Changes nothing."""
        first, settings = alerts[0], self._settings
        last = self._trouble.recovered if self._trouble is not None else None
        again = last if last and last.rule == first.rule and record.step <= last.step + last.lost else None
        if way is Treatment.GO_BACK and again is not None and not again.changed:
            way, again = Treatment.WEAKEN, None  # the update itself may be what overflows
        if way is None:
            return Decision(why_not=f"nothing is gained by going back for {first.rule}")
        if way is Treatment.WEAKEN and settings.why_fixed is not None:
            return Decision(why_not=settings.why_fixed)
        if self._used >= self._judge.policy.recover:
            return Decision(why_not=f"recover={self._judge.policy.recover} is used up")
        if again is not None:
            lost = count(again.lost, "step")
            return Decision(why_not=f"{first.rule} came again before the {lost} that it had cost were made up")
        if way is Treatment.DROP:
            return Decision(way)
        raised = raised_to(record) is not None
        change = settings.back_to_plan(raised)
        if way is Treatment.WEAKEN and not raised and not change.values:
            change = settings.weaker(first, self._begins_at_zero and good.step == 0)
        return Decision(way, good, change)

    def _carry_out(self, decision: Decision, alerts: Sequence[Alert], record: StepRecord, before_update: bool) -> None:
        self._relax()
        self._used += 1
        own = [alert for alert, _ in self._treated]
        cause = next((alert for alert in own if alert.rule == alerts[0].rule), alerts[0])
        if decision.good is None:
            self._updates, self._calm = Updates.ON_TRIAL, 0
            self._copies.left = []
            self._drop_next()
            back_to = record.step - 1
            self._report(Recovered(back_to, back_to, cause.rule, {}, "untouched"), cause, own, [], {})
            self._judge.treated = cause
            return
        skip = decision.treatment is Treatment.SKIP
        trouble = self._go_back(decision.good, decision.change, cause, own, skip)
        self._recorder.begin_anew(self._judge.steps)
        if before_update:  # with gradients of what has just been thrown away
            self._drop_next()
        else:
            self._recorder.plan(self._judge.steps, alerts=len(self._judge.episodes.alerts))
        if record.step >= (self._recorder.monitored.run.max_steps or math.inf):
            self._fail(trouble, f"step {record.step} was the last, and nothing is trained any more")

    def _drop_next(self) -> None:
        if self._held is None:
            self._held = self._copies.take(self._judge.steps)
        self._updates |= Updates.NEXT_DROPPED

    def _go_back(self, good: Copy, change: Change, cause: Alert, own: Sequence[Alert], skip: bool) -> Trouble:
        step, monitored = self._judge.steps, self._recorder.monitored
        self._states.forget_after(good.step)
        self._copies.drop(self._held)
        self._held = None
        optimizer = self._copies.put_back(good)
        self._settings.make(change)
        if START in change.values:
            self._states.renew(good)
        over = self._judge.episodes.rewind(good.monitor["rules"], good.step, step, own)
        self._recorder.load_state_dict(copy.deepcopy(good.monitor["recorder"]))
        self._size = good.monitor["size"]
        if change.values:
            self._recorder.find(step)
            self._judge.sinks.start(monitored.run, step)
            outdated = self._judge.episodes.outdated(StepRecord(monitored.run, step, {}))
            own, over = [*own, *outdated], [*over, *outdated]
        self._updates, self._calm = Updates.ON_TRIAL if skip else Updates.APPLIED, 0
        if lowered := change.lowers and bool(change.values):
            self._advised |= self._settings.advised(change.values)
        recovered = Recovered(step, good.step, cause.rule, dict(change.values), optimizer)
        return self._report(recovered, cause, own, over, self._advised if lowered else {})

    def _report(
        self, recovered: Recovered, cause: Alert, own: Sequence[Alert], over: Sequence[Alert], advised: dict[str, float]
    ) -> Trouble:
        """``own``: alerts that the run has recovered from; ``over``: those that this has closed."""
        alert = alert_of(recovered, cause, self._judge.steps, advised, self._copies.left)
        alert.message += f" Recovery {self._used} of {self._judge.policy.recover}."
        self._trouble = Trouble(cause, cause.severity, recovered, alert)
        self._judge.recovered(recovered, alert, own, over, on_trial=self._on_trial)
        return self._trouble

    def give_up(self, why: str) -> None:
        self.over = why
        self._judge.story.append(f"The run does not recover again: {why}.")

    def break_off(self) -> None:
        self.give_up(f"{HALF_WAY} (LW901)")
        self._recorder.monitored.note(f"At step {self._judge.steps} {HALF_WAY}")
        self._updates, self._held = Updates.APPLIED, None
        for alert, severity in self._treated:
            self._judge.episodes.reopen(alert, severity)
        if self._trouble is not None:
            self._judge.settled(self._trouble.alert, None, now=True)

    def _fail(self, trouble: Trouble, why: str) -> None:
        """What has been recovered from stands as it was."""
        self.give_up(why)
        self._judge.episodes.reopen(trouble.cause, trouble.severity)

    def _relax(self, now: bool = False) -> None:
        """Updates are applied again as they come. ``now``: there is no step to come that would say it."""
        trouble = self._trouble
        if not self._on_trial or trouble is None:
            return
        self._updates &= ~Updates.ON_TRIAL
        trouble.alert.last_step = max(self._judge.steps, trouble.alert.last_step)
        trouble.alert.message += f" {count(trouble.recovered.dropped, 'update')} dropped in all."
        self._judge.settled(trouble.alert, trouble.cause if self.over is None else None, now)

    # -- questions -----------------------------------------------------------------------------------------------------
    @property
    def _on_trial(self) -> bool:
        return Updates.ON_TRIAL in self._updates

    def state_dict(self) -> dict[str, Any]:
        own = {"used": self._used, "advised": dict(self._advised), "story": list(self._judge.story)}
        return {**own, "settings": self._settings.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._used, self._advised = int(state.get("used", 0)), dict(state.get("advised", {}))
        self._settings.load_state_dict(state.get("settings", {}))
        self._judge.story = list(state.get("story", []))


def _state_of(judge: Judge, recorder: Recorder, size: float | None) -> dict[str, Any]:
    """The monitor's own, as of the step that was judged last."""
    return {"rules": judge.episodes.memory(), "recorder": copy.deepcopy(recorder.state_dict()), "size": size}


def total_norm(record: StepRecord) -> float | None:
    """‖ΔW‖_F of all adapters together; None where it was not measured."""
    reading = record.metrics.get("delta_norm")
    return None if reading is None else float(np.sqrt(np.nansum(np.square(reading.measured))))


def adds_nothing(record: StepRecord | None) -> bool:
    """ΔW of every adapter is 0."""
    reading = record.metrics.get("delta_norm") if record is not None else None
    return reading is not None and bool(reading.known.all()) and not reading.values.any()
