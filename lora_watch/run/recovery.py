"""A run that rescues itself: it drops the updates of broken batches, or goes back and turns its learning rate down."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import Recovered, StepRecord
from lora_watch.base.text import count
from lora_watch.measurement.signals.optimizer import rates_of
from lora_watch.rules.base import NON_FINITE
from lora_watch.rules.remedies import raised_to
from lora_watch.rules.treatments import SUSPECT, Treatment, alert_of, is_in_vain, rate_of, treatment, turned_down
from lora_watch.run.ranks import Ranks
from lora_watch.snapshots.copies import Copy
from lora_watch.snapshots.training import GoodStates, TrainingCopies, why_not

if TYPE_CHECKING:
    from lora_watch.run.engine import Engine

CALM = 10
"""Sound steps in a row after which updates are no longer held back."""
ODD = 4.0
"""Standard deviations of its own noise above what is expected from which a loss is taken to be of bad data still."""
MOST_DROPPED = 50
"""Updates that are dropped in a row of trouble before the run gives up."""
HALF_WAY = "a recovery failed half-way, so that weights, optimizer and rates may be of different steps"


class Recovery:
    """Copies what is trained while a run is healthy, goes back to it, and has the run go on.

    All ranks decide alike: copies are made at fixed steps, each rank says what it would do, and the gravest is obeyed.
    The state of rules and recorder goes back with the weights, so that the rules judge afresh. ``memory``: GiB
    on the host that copies may take. Where the policy does not say ``recover`` nothing happens in here.
    """

    def __init__(self, model: nn.Module, optimizer: Any, engine: Engine, memory: float):
        self._model, self._optimizer, self._memory = model, optimizer, memory
        self._engine, self._guard = engine, engine.guard
        self._copies = TrainingCopies(None)
        self._states = GoodStates(self._copies, engine.policy)
        self._over: str | None = "it has not begun"
        """Why the run does not recover (any more), in words; None while it does."""
        self._held: Copy | None = None
        """From before the update that is under way, which may have to be taken back."""
        self._trial: int | None = None
        """Sound updates that are still to come until no more are taken back for an odd loss; None where none is."""
        self._drop_next = False
        """The update that is under way is taken back, whatever its loss."""
        self._in_a_row = 0
        """Updates dropped since the last one that was not."""
        self._size: float | None = None
        """‖ΔW‖ of all adapters together, as measured last: alike on every rank, which output_ratio is not."""
        self._used = 0
        self._script = 0.0
        """Of a checkpoint: the ``highest`` rate of the script that it was saved by."""
        self._last: tuple[Recovered, Alert] | None = None
        """The latest recovery, and the alert that reports it."""
        self._treated: list[tuple[Alert, Severity]] = []
        """What it was for, the cause first, each as grave as it was."""

    # -- the course of a run -------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Before the adapters are looked for."""
        monitored, recover = self._engine.recorder.monitored, self._engine.policy.recover
        lowered = monitored.lowered
        if recover:
            self._attach(self._optimizer)
        if self._over is not None and recover:
            monitored.note(f"recover is unavailable: {self._over}. Alerts act as fail_on says")
        # Whoever resumes with the lower rate in the script has it once.
        if (now := highest(self._optimizer)) and self._script > now:
            lowered.factor = min(lowered.factor * self._script / now, 1.0)
            monitored.run = replace(monitored.run, lr_factor=min(monitored.run.lr_factor * self._script / now, 1.0))
        if self._over is not None and lowered.factor != 1.0:
            monitored.note(
                f"a recovery had turned the learning rate down by {1 / lowered.factor:.3g}, and does not any more: the "
                "script's own is used"
            )
            lowered.factor, monitored.run = 1.0, replace(monitored.run, lr_factor=1.0)

    def _attach(self, optimizer: Any) -> None:
        why = why_not(self._model, optimizer, self._memory * 2**30)
        if why is None:
            self._engine.recorder.monitored.lowered.attach(optimizer, self._guard)
            self._optimizer, self._copies = optimizer, TrainingCopies(optimizer, self._model)
            self._states = GoodStates(self._copies, self._engine.policy)
        self._over = why

    def begin(self, step: int) -> None:
        """Training begins after ``step``, which has been judged."""
        if self._over is None:
            self._states.begin(step, self._state_of_monitor())

    def use(self, optimizer: Any) -> None:
        """Another optimizer trains from now on. Copies hold the state of the one before: the run goes back to where
        this one began, and no further."""
        if self._over is None:
            self._relax()
            self._held = None
            self._attach(optimizer)
            if self._over is not None:
                self.give_up(f"the optimizer was replaced, and {self._over}")
            self.begin(self._engine.steps)

    def before_update(self) -> None:
        """The optimizer is about to use the gradients."""
        if self._trial is not None and self._held is None:
            self._held = self._copies.take(self._engine.steps)

    def after_update(self, loss: float | Tensor | None, ranks: Ranks) -> bool:
        """An update with this ``loss`` has been applied. True where it is taken back, on all ranks."""
        if not self._engine.policy.recover:
            return False
        odd, over = False, True
        with self._guard("looking whether an update is odd"):
            self._engine.recorder.monitored.lowered.after_step()
            odd, over = self._is_odd(loss), self._over is not None
        odd, over = ranks.most(odd, over)
        with self._guard("recovering no more"):
            if over and self._over is None:
                self.give_up("not every rank does")
        return self._or_break_off("taking back an update", partial(self._settle, bool(odd)))

    def _is_odd(self, loss: float | Tensor | None) -> bool:
        if self._held is None or self._drop_next:
            return self._held is not None
        cause = self._treated[0][0] if self._treated else None
        if cause is not None and cause.closed_step is None and cause.last_step >= self._engine.steps:
            return True  # seen before the update
        loss = None if loss is None else float(loss)
        return loss is not None and (not math.isfinite(loss) or self._engine.recorder.spike_score(loss) > ODD)

    def _settle(self, odd: bool) -> bool:
        held, self._held, self._drop_next = self._held, None, False
        if held is None:
            return False
        if odd:
            self._copies.put_back(held)
        self._copies.drop(held)
        if self._trial is None:
            return odd
        self._trial = CALM if odd else self._trial - 1
        self._in_a_row = self._in_a_row + 1 if odd else 0
        if odd and self._last is not None:
            recovered = self._last[0]
            recovered.dropped += 1
            if is_in_vain(self._treated[0][0], self._in_a_row):
                self._engine.treated = None  # if it comes once more, the run goes back
            if recovered.dropped > MOST_DROPPED:
                self._fail(f"{MOST_DROPPED} updates were dropped, and what {recovered.rule} has found goes on")
        if self._trial == 0 or self._over is not None:
            self._relax()
        return odd

    def updated(self, step: int) -> None:
        """The weights have ``step`` steps behind them."""
        if self._over is None:
            self._copies.see()
            if self._trial is None:
                suspects = [alert.rule for alert in self._engine.episodes.open if alert.rule in SUSPECT]
                self._states.updated(step, suspects)

    def judged(self) -> None:
        """A step has been judged."""
        last = self._engine.last
        if last is not None and self._over is None:
            self._size = total_norm(last) or self._size
            self._states.judged(last.step, self._state_of_monitor)

    def conclude(self) -> None:
        """The run is over. One whose last updates were all dropped has not recovered; a single one may have been."""
        if self._trial == CALM and self._last is not None and self._last[0].dropped > 1:
            self._fail(f"the run has ended while updates were dropped, and what {self._last[0].rule} has found goes on")
        self._relax(now=True)

    def leave(self) -> None:
        """Nothing of it stays in the optimizer."""
        self._engine.recorder.monitored.lowered.detach()

    # -- an alert ------------------------------------------------------------------------------------------------------
    def treat(self, alerts: Sequence[Alert], coming: StepRecord | None, ranks: Ranks) -> bool:
        """Recover from ``alerts`` on which all ranks have agreed, the gravest first: all ranks, or none. True if the
        run goes on. ``coming``: what is known of a step whose update has not been applied yet."""
        record, way, factor, why = coming or self._engine.last, Treatment.NONE, 1.0, "not every rank can"
        with self._guard("recovering"):
            way, factor, why = self._decide(alerts, record, coming is not None)
        agreed, divisor = ranks.most(way, 1.0 / factor)
        done = False
        if record is not None and agreed < Treatment.NONE:
            act = partial(self._carry_out, Treatment(int(agreed)), 1.0 / divisor, alerts, record, coming is not None)
            done = self._or_break_off("recovering", act)
        elif self._over is None:
            self.give_up(why)
        if ranks.any(not done) and done:
            done = self._or_break_off("recovering on another rank", lambda: None)
        return done and self._over is None

    def _decide(
        self, alerts: Sequence[Alert], record: StepRecord | None, before_update: bool
    ) -> tuple[Treatment, float, str]:
        """What this rank would do about ``alerts``: how, what it would multiply the learning rate by, and why it does
        nothing. Changes nothing."""
        first, good = alerts[0], self._states.good(alerts[0].rule, self._engine.steps)
        if self._over is not None or good is None or record is None:
            return Treatment.NONE, 1.0, self._over or "there is no copy to go back to"
        then, factor, run = good.monitor["size"], 1.0, self._engine.recorder.monitored.run
        grown = self._size / then if self._size and then else None
        way = treatment(alerts, record, self._engine.recorder.sound_steps, before_update, grown)
        if way is Treatment.DROP and not self._copies.finite:
            way = Treatment.GO_BACK  # an earlier update has spoiled the weights, at a step without a measurement
        last = self._last[0] if self._last is not None else None
        goes_on = last is not None and (self._trial is not None or record.step <= last.step + last.lost)
        again = last if last and last.rule == first.rule and goes_on else None
        if again is not None and not again.changed and way is not Treatment.NONE:
            way = Treatment.GO_BACK  # the mild way did not help: the update itself may be what overflows
        if way is Treatment.GO_BACK and (again is not None or first.rule not in NON_FINITE):
            factor = turned_down(first, run) if raised_to(record) is None else back_to_plan(record, good.monitor["lr"])
        return (Treatment.NONE, 1.0, why) if (why := self._why_not(way, factor, first, again)) else (way, factor, "")

    def _why_not(self, way: Treatment, factor: float, alert: Alert, again: Recovered | None) -> str:
        """Why this is not done; empty where it is."""
        if way is Treatment.NONE:
            return f"nothing is gained by going back for {alert.rule}"
        if self._used >= self._engine.policy.recover:
            return f"recover={self._engine.policy.recover} is used up"
        if again is not None and again.changed:
            return f"{alert.rule} came again before the {count(again.lost, 'step')} that it had cost were made up"
        if factor < 1.0 and any(map(math.isnan, rates_of(self._optimizer))):
            return "the optimizer makes its own learning rate"
        if factor < 1.0 and not self._engine.recorder.monitored.lowered.works:
            return "the optimizer's step has not called torch's hooks, in which the learning rate is turned down"
        return ""

    def _carry_out(
        self, way: Treatment, factor: float, alerts: Sequence[Alert], record: StepRecord, before_update: bool
    ) -> bool:
        rules, first = [alert.rule for alert in alerts], alerts[0].rule
        own = sorted((a for a in self._engine.episodes.open if a.rule in rules), key=lambda a: a.rule != first)
        own = own if own and own[0].rule == first else [alerts[0], *own]
        self._relax()
        self._used += 1
        self._treated = [(alert, alert.severity) for alert in own]
        self._trial, self._in_a_row = (CALM if way is Treatment.DROP else None), 0
        if way is Treatment.DROP and before_update:
            self._engine.treated = own[0]
            self._report(Recovered(self._engine.steps, self._engine.steps, first, {}), own, [])
        else:
            self._copies.drop(self._held)
            self._held = None
            self._go_back(self._states.good(first, self._engine.steps), factor, own, record)
            if record.step >= (self._engine.recorder.monitored.run.max_steps or math.inf):
                self._fail(f"step {record.step} was the last, and nothing is trained any more")
        self._drop_next = before_update  # with gradients of what is broken, or has been thrown away
        if before_update and self._held is None:
            self._held = self._copies.take(self._engine.steps)
        if not before_update:
            self._engine.recorder.plan(self._engine.steps, alerts=len(self._engine.episodes.alerts))
        return True

    def _go_back(self, good: Copy | None, factor: float, own: list[Alert], record: StepRecord) -> None:
        assert good is not None
        step, recorder, engine = self._engine.steps, self._engine.recorder, self._engine
        self._states.forget_after(good.step)
        self._copies.put_back(good)
        changed = self._turn_down(factor, record)
        over = engine.episodes.rewind(good.monitor["rules"], good.step, step, own)
        recorder.load_state_dict(copy.deepcopy(good.monitor["recorder"]))
        self._size = good.monitor["size"]
        if changed:
            recorder.find(step)
            engine.sinks.start(recorder.monitored.run, step)
            outdated = engine.episodes.outdated(StepRecord(recorder.monitored.run, step, {}))
            own, over = [*own, *outdated], [*over, *outdated]
        self._report(Recovered(step, good.step, own[0].rule, changed), own, over)
        recorder.begin_anew(step)

    def _turn_down(self, factor: float, record: StepRecord) -> dict[str, list[float]]:
        """Multiply the rate of the adapters' groups. What that changes of the settings of the user's script."""
        monitored = self._engine.recorder.monitored
        rate, already = rate_of(monitored.run), monitored.run.lr_factor
        if factor == 1.0:
            return {}
        pair = None if rate is None else (rate / already, rate * factor)
        if raised := raised_to(record):  # by the script, whose settings are right
            pair = raised[1] / factor, raised[1]
        else:
            monitored.turn_down(factor)
        monitored.lowered.factor *= factor
        return {} if pair is None else {"learning_rate": [float(f"{rate:.6g}") for rate in pair]}

    def _report(self, recovered: Recovered, own: Sequence[Alert], over: Sequence[Alert]) -> None:
        """``own``: alerts that the run has recovered from; ``over``: those that this has closed."""
        cause = replace(own[0], next_run=self._engine.next_run)
        alert = alert_of(recovered, cause, f"{self._used} of {self._engine.policy.recover}")
        self._last = recovered, alert
        self._engine.recovered(recovered, alert, own, over, on_trial=self._trial is not None)

    # -- the end of recovering -----------------------------------------------------------------------------------------
    def give_up(self, why: str) -> None:
        """The run does not recover any more."""
        if self._engine.policy.recover:
            self._over = why
            self._engine.story.append(f"The run does not recover again: {why}.")

    def _fail(self, why: str) -> None:
        """What has been recovered from stands as it was."""
        self.give_up(why)
        for alert, severity in self._treated:
            self._engine.episodes.reopen(alert, severity)

    def _relax(self, now: bool = False) -> None:
        """Updates are applied again as they come. ``now``: there is no step to come that would say it."""
        if self._trial is None or self._last is None:
            return
        (recovered, alert), self._trial = self._last, None
        alert.last_step = max(self._engine.steps, alert.last_step)
        alert.details += f" {count(recovered.dropped, 'update')} dropped in all."
        self._engine.settled(alert, self._treated[0][0] if self._over is None else None, now)

    def _or_break_off(self, doing: str, put_back: Callable[[], bool | None]) -> bool:
        """The answer of ``put_back``; False where it fails half-way, and has none: nothing of that is to look
        healthy."""
        done: bool | None = None
        with self._guard(doing):
            done = put_back()
        if done is None:
            with self._guard("ending a recovery that has failed"):
                self._engine.recorder.monitored.note(f"At step {self._engine.steps} {HALF_WAY}")
                self._trial, self._held, self._drop_next = None, None, False
                self._fail(f"{HALF_WAY} (LW901)")
                self._engine.sinks.start(self._engine.recorder.monitored.run, self._engine.steps)
                if self._last is not None:
                    self._engine.settled(self._last[1], None, now=True)
        return bool(done)

    # -- questions -----------------------------------------------------------------------------------------------------
    def _state_of_monitor(self) -> dict[str, Any]:
        """As of the step that was judged last."""
        recorder, last = copy.deepcopy(self._engine.recorder.state_dict()), self._engine.last
        rules, rates = self._engine.episodes.memory(), last.lr if last is not None else ()
        return {"rules": rules, "recorder": recorder, "size": self._size, "lr": rates}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, plain: what was changed, and how often. What is copied is not in it."""
        monitored = self._engine.recorder.monitored
        factors = {"factor": monitored.lowered.factor, "lr_factor": monitored.run.lr_factor}
        factors["script"] = highest(self._optimizer) or self._script
        return {"used": self._used, "story": list(self._engine.story), **factors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Before ``prepare``."""
        monitored = self._engine.recorder.monitored
        self._used, self._engine.story = int(state.get("used", 0)), list(state.get("story", []))
        self._script = float(state.get("script", 0.0))
        if (factor := float(state.get("lr_factor", 1.0))) != 1.0:
            monitored.turn_down(factor)
        monitored.lowered.factor = float(state.get("factor", 1.0))


def back_to_plan(record: StepRecord, then: Sequence[float]) -> float:
    """What turns rates that something has raised into those that were there ``then``, else the schedule's highest."""
    rates = [*then] if len(then) == len(record.lr) and any(then) else [*record.run.peak_lr]
    return min((rate / now for rate, now in zip(rates, record.lr) if now > rate > 0), default=1.0)


def highest(optimizer: Any) -> float:
    """The highest rate that a scheduler has found in a parameter group, as the script has set it; 0 without any."""
    rates = [group.get("initial_lr") for group in getattr(optimizer, "param_groups", ())]
    return max((float(rate) for rate in rates if rate is not None), default=0.0)


def total_norm(record: StepRecord) -> float | None:
    """‖ΔW‖_F of all adapters together; None where it was not measured."""
    reading = record.metrics.get("delta_norm")
    return None if reading is None else float(np.sqrt(np.nansum(np.square(reading.measured))))
