"""A run that rescues itself: it drops the updates of broken batches, or goes back and turns its learning rate down."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from lora_watch.base.alerts import Alert, Recovered, Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import count
from lora_watch.measurement.signals.optimizer import rates_of
from lora_watch.rules import Episodes
from lora_watch.rules.base import NON_FINITE
from lora_watch.rules.policy import RECOVERED, Policy
from lora_watch.rules.prescribing import rate_now
from lora_watch.rules.remedies import raised_to
from lora_watch.rules.treatments import (
    SUSPECT,
    TREATED,
    Treatment,
    alert_of,
    is_in_vain,
    treatment,
    turned_down,
)
from lora_watch.run.guard import Guard
from lora_watch.run.ranks import Ranks
from lora_watch.run.recording import Recorder
from lora_watch.run.sinks import Sinks
from lora_watch.snapshots.copies import Copy, GoodCopies, take
from lora_watch.snapshots.training import Learned, why_not

CALM = 10
"""Sound steps in a row after which updates are no longer held back."""
ODD = 4.0
"""Standard deviations of its own noise above what is expected from which a loss is taken to be of bad data still."""
MOST_DROPPED = 50
"""Updates that are dropped for one alert before the run gives up."""
HALF_WAY = "a recovery failed half-way, so that weights, optimizer and rates may be of different steps"


@dataclass
class _Case:
    recovered: Recovered
    alert: Alert
    """The one that reports it (LW910)."""
    causes: list[tuple[Alert, Severity]]
    """What it is for, the first cause first, each as grave as it was."""
    still_sound: int = 0
    """Sound updates in a row that are to come until no more are dropped for an odd loss; 0 where none is."""
    in_a_row: int = 0
    """Updates dropped since the last one that was not."""

    @property
    def cause(self) -> Alert:
        return self.causes[0][0]


class Recovery:
    """Copies what is trained while a run is healthy, goes back to it, and has the run go on.

    All ranks decide alike: copies are made at fixed steps, each rank says what it would do, and the gravest is obeyed.
    The state of rules and recorder goes back with the weights, so that the rules judge afresh. Where the policy does
    not say ``recover`` no step comes in here.

    Args:
        say: takes alerts that have changed, which are written with the next record.
        memory: GiB on the host that copies may take.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        policy: Policy,
        recorder: Recorder,
        episodes: Episodes,
        sinks: Sinks,
        guard: Guard,
        say: Callable[[Sequence[Alert]], object],
        memory: float,
    ):
        self._model, self._optimizer, self._memory = model, optimizer, memory
        self._policy, self._recorder, self._episodes, self._sinks = policy, recorder, episodes, sinks
        self._guard, self._say = guard, say
        self._over: str | None = "it has not begun"
        """Why the run does not recover (any more), in words; None while it does."""
        self._gave_up: str | None = None
        """The same where it has tried to."""
        self._kept: Mapping[str, Any] = {}
        """Of the checkpoint from which this session goes on."""
        self._learned = Learned(None)
        self._good = GoodCopies(dict, 0)
        self._held: Copy | None = None
        """From before the update that is under way, which may have to be taken back."""
        self._drop_next = False
        """The update that is under way is taken back, whatever its loss."""
        self._latest: _Case | None = None
        self._step = 0
        self._judged: StepRecord | None = None
        """The latest record that has been judged."""
        self._size: float | None = None
        """‖ΔW‖ of all adapters together, as measured last: alike on every rank, which output_ratio is not."""

    # -- the course of a run -------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Before the adapters are looked for."""
        monitored = self._recorder.monitored
        if self._policy.recover and (why := self._attach(self._optimizer)):
            monitored.note(f"recover is unavailable: {why}. Alerts act as fail_on says")
        factor, of_script = (float(self._kept.get(name, 1.0)) for name in ("factor", "lr_factor"))
        if self._over is not None:
            monitored.run = replace(monitored.run, lapsed_factor=of_script)
        else:
            monitored.turn_down(factor, of_script)

    def _attach(self, optimizer: Any) -> str | None:
        """Why there is no recovering from what ``optimizer`` does, in words."""
        self._over = why_not(self._model, optimizer, self._memory * 2**30)
        if self._over is None:
            self._recorder.monitored.lowered.attach(optimizer, self._guard)
            self._optimizer, self._learned = optimizer, Learned(optimizer, self._model)
            self._good = GoodCopies(self._learned.content, max(map(self._policy.reach, TREATED)))
        return self._over

    def start(self, step: int) -> None:
        """Training begins after ``step``, which has been judged."""
        self._step = step
        for alert in [alert for alert in self._episodes.open if alert.back_to is not None]:
            self._episodes.forgive([alert], alert.back_to)  # the session before ended while updates were dropped
            self._say(self._episodes.end(alert, step))
        if self._over is None:
            self._good.start(step).monitor = self._state_of_monitor()

    def use(self, optimizer: Any) -> None:
        """Another optimizer trains from now on. Copies hold the state of the one before: the run goes back to where
        this one began, and no further."""
        if self._over is None:
            self._relax()
            if why := self._attach(optimizer):
                self.give_up(f"the optimizer was replaced, and {why}")
            self.start(self._step)

    def before_update(self) -> None:
        if self._drop_next or self._dropping is not None:
            self._held = take(self._learned.content(), self._step)

    def after_update(self, step: int, loss: float | Tensor | None, ranks: Ranks) -> bool:
        """Update number ``step``, with this ``loss``, has been applied. True where it is taken back, on all ranks."""
        self._step = step
        odd = False
        with self._guard("looking whether an update is odd"):
            self._recorder.monitored.lowered.give_back()  # whatever the optimizer's step has raised
            odd = self._is_odd(loss)
        return self._whole("taking back an update", partial(self._end_update, bool(ranks.most(odd)[0])))

    def _is_odd(self, loss: float | Tensor | None) -> bool:
        if self._held is None or self._drop_next:
            return self._held is not None
        cause = self._latest.cause if self._latest is not None else None
        if cause is not None and cause.closed_step is None and cause.last_step >= self._step:
            return True  # seen before the update
        loss = None if loss is None else float(loss)
        return loss is not None and (not math.isfinite(loss) or self._recorder.spike_score(loss) > ODD)

    def _end_update(self, odd: bool) -> bool:
        held, self._held, self._drop_next = self._held, None, False
        if held is None:
            return False
        if odd:
            self._learned.put_back(held)
        if (case := self._dropping) is not None:
            if odd:
                case.in_a_row, case.alert.last_step = case.in_a_row + 1, self._step
                case.recovered.dropped += 1
            left, case.in_a_row = (CALM, case.in_a_row) if odd else (case.still_sound - 1, 0)
            if case.recovered.dropped > MOST_DROPPED:
                self._fail(f"{MOST_DROPPED} updates were dropped, and what {case.recovered.rule} has found goes on")
            if left and self._over is None:
                case.still_sound = left
            else:
                self._relax()
        return odd

    def updated(self) -> None:
        """The step is over, and its update stands."""
        if self._over is not None:
            return
        self._learned.see()
        open_now = self._episodes.open
        suspects = [self._policy.reach(alert.rule) for alert in open_now if (alert.rule, alert.kind) in SUSPECT]
        if self._dropping is None and suspects:
            self._good.forget_after(self._step - max(suspects))
        elif self._dropping is None:
            self._good.updated(self._step)
        if self._judged is not None:
            self._good.judged(self._judged.step, self._state_of_monitor)

    def judged(self, record: StepRecord) -> None:
        self._judged = record
        if self._over is None:
            self._size = total_norm(record) or self._size
            self._good.judged(record.step, self._state_of_monitor)

    def conclude(self) -> None:
        """The run is over. One whose last updates were all dropped has not recovered; a single one may have been."""
        case = self._dropping
        if case is not None and case.in_a_row > 1:
            goes_on = f"what {case.recovered.rule} has found goes on"
            self._fail(f"the run has ended while updates were dropped, and {goes_on}")
        self._relax()

    def let_go(self) -> None:
        """Nothing of it stays in the optimizer, and no copy and no model is kept alive."""
        self._recorder.monitored.lowered.detach()
        self._model, self._optimizer, self._over = nn.Module(), None, "the run is over"
        self._learned, self._good, self._held = Learned(None), GoodCopies(dict, 0), None

    # -- an alert ------------------------------------------------------------------------------------------------------
    def recover(self, alerts: Sequence[Alert], coming: StepRecord | None, ranks: Ranks) -> bool:
        """Recover from ``alerts`` on which all ranks have agreed, the gravest first: all ranks, or none. True if the
        run goes on. ``coming``: what is known of a step whose update has not been applied yet."""
        record, chosen, factor, why = coming or self._judged, Treatment.NONE, 1.0, "not every rank can"
        with self._guard("recovering"):
            chosen, factor, why = self._choose(alerts, record, coming is not None)
        agreed, divisor = ranks.most(chosen, 1.0 / factor)
        done = False
        if record is not None and agreed < Treatment.NONE:
            act = partial(self._act, Treatment(int(agreed)), 1.0 / divisor, alerts, record, coming is not None)
            done = self._whole("recovering", act)
        elif self._over is None:
            self.give_up(why)
        if ranks.any(not done) and done:
            done = self._whole("recovering on another rank", lambda: None)
        return done and self._over is None

    def _choose(
        self, alerts: Sequence[Alert], record: StepRecord | None, before_update: bool
    ) -> tuple[Treatment, float, str]:
        """What this rank would do about ``alerts``: how, what it would multiply the learning rate by, and why it does
        nothing. Changes nothing."""
        first, good, latest = alerts[0], self._copy_for(alerts[0].rule), self._latest
        if self._over is not None or good is None:
            return Treatment.NONE, 1.0, self._over or "there is no copy to go back to"
        if record is None:
            return Treatment.NONE, 1.0, f"{first.rule} was there before the first step"
        then, factor, run = good.monitor["size"], 1.0, self._recorder.monitored.run
        grown = self._size / then if self._size and then else None
        chosen = treatment(alerts, record, self._recorder.sound_steps, before_update, grown)
        last = latest.recovered if latest is not None and latest.recovered.rule == first.rule else None
        again = last if last and (self._dropping is not None or record.step <= last.step + last.lost) else None
        # An earlier update may have spoiled the weights unmeasured, or the mild treatment has not helped.
        too_mild = chosen is Treatment.DROP and not self._learned.finite
        if too_mild or (again is not None and not again.changed and chosen is not Treatment.NONE):
            chosen = Treatment.GO_BACK
        if chosen is Treatment.GO_BACK and (again is not None or first.rule not in NON_FINITE):
            factor = turned_down(first, run) if raised_to(record) is None else back_to_plan(record, good.monitor["lr"])
        why = ""
        if chosen is Treatment.NONE:
            why = f"nothing is gained by going back for {first.rule}"
        elif len(self._before) >= self._policy.recover:
            why = f"recover={self._policy.recover} is used up"
        elif again is not None and again.changed:
            why = f"{first.rule} came again before the {count(again.lost, 'step')} that it had cost were made up"
        elif factor < 1.0 and any(map(math.isnan, rates_of(self._optimizer))):
            why = "the optimizer makes its own learning rate"
        elif factor < 1.0 and not self._recorder.monitored.lowered.works:
            why = "the optimizer's step has not called torch's hooks, in which the learning rate is turned down"
        return (Treatment.NONE, 1.0, why) if why else (chosen, factor, "")

    def _copy_for(self, rule: str) -> Copy | None:
        return self._good.before(self._step - self._policy.reach(rule))

    def _act(
        self, chosen: Treatment, factor: float, alerts: Sequence[Alert], record: StepRecord, before_update: bool
    ) -> bool:
        here = {alert.rule: alert for alert in self._episodes.open}
        own = [here.get(alert.rule, alert) for alert in alerts]
        causes = [(alert, alert.severity) for alert in own]
        self._relax()  # which forgives what the recovery before was for
        good = None if chosen is Treatment.DROP and before_update else self._copy_for(own[0].rule)
        back_to = self._step if good is None else good.step
        recovered = Recovered(self._step, back_to, own[0].rule, self._changes(factor, record))
        told, number = self._episodes.prescription, f"{len(self._before) + 1} of {self._policy.recover}"
        alert = alert_of(recovered, told, number)
        self._latest = _Case(recovered, alert, causes, CALM if chosen is Treatment.DROP else 0)
        if good is not None:
            own += self._go_back(good, factor, own, record)
        self._episodes.forgive(own, back_to)
        self._say(self._episodes.say(alert))
        if not self._latest.still_sound:
            self._episodes.end(alert, self._step)
        if good is not None and record.step >= (self._recorder.monitored.run.max_steps or math.inf):
            self._fail(f"step {record.step} was the last, and nothing is trained any more")
        self._drop_next = before_update  # with gradients of what is broken, or has been thrown away
        if before_update:
            self.before_update()
        else:
            self._recorder.plan(self._step, alerts=len(self._episodes.alerts))
        return True

    def _changes(self, factor: float, record: StepRecord) -> dict[str, list[float]]:
        """What a ``factor`` on the rate of the adapters' groups changes of the settings of the user's script."""
        rate, raised, so_far = rate_now(record.run), raised_to(record), record.run.lr_factor
        if factor == 1.0 or rate is None:
            return {}
        pair = (raised[1] / factor, raised[1]) if raised else (rate / so_far, rate * factor)  # the script's are right
        return {"learning_rate": [float(f"{rate:.6g}") for rate in pair]}

    def _go_back(self, good: Copy, factor: float, own: list[Alert], record: StepRecord) -> list[Alert]:
        """To ``good``, and on with ``factor`` on the learning rate. The alerts about settings that are then no longer
        the run's."""
        step, recorder = self._step, self._recorder
        self._held, outdated = None, []
        self._good.forget_after(good.step)
        self._learned.put_back(good)
        recorder.monitored.turn_down(factor, 1.0 if raised_to(record) else factor)
        self._say(self._episodes.rewind(good.monitor["rules"], good.step, step, own))
        recorder.load_state_dict(copy.deepcopy(good.monitor["recorder"]))
        self._size = good.monitor["size"]
        if factor != 1.0:
            recorder.find(step)
            self._sinks.start(recorder.monitored.run, step)
            outdated = self._episodes.outdated(StepRecord(recorder.monitored.run, step, {}))
            self._say(outdated)
        recorder.cadence.start(step)  # what follows is measured as after a start
        return outdated

    # -- dropping updates ----------------------------------------------------------------------------------------------
    @property
    def _dropping(self) -> _Case | None:
        """That for which updates are dropped while their loss is odd."""
        return self._latest if self._latest is not None and self._latest.still_sound else None

    @property
    def dropping_for(self) -> Alert | None:
        """The alert for which updates are being dropped: it does not end the run. None where that is in vain, so that
        the run goes back for it."""
        case = self._dropping
        return None if case is None or is_in_vain(case.cause, case.in_a_row) else case.cause

    def _relax(self) -> None:
        """Updates are applied again as they come."""
        case = self._dropping
        if case is None:
            return
        case.still_sound, over = 0, [case.alert]
        case.alert.details += f" {count(case.recovered.dropped, 'update')} dropped in all."
        if self._over is None:  # while updates were dropped it was as grave again as at first
            self._episodes.forgive([case.cause], case.cause.back_to)
            over.append(case.cause)
        for alert in over:
            self._say(self._episodes.end(alert, self._step))

    # -- the end of recovering -----------------------------------------------------------------------------------------
    def give_up(self, why: str) -> None:
        if self._policy.recover:
            self._over = self._gave_up = why

    @property
    def _before(self) -> list[Alert]:
        """What the run has recovered from so far, also before it was resumed."""
        return [alert for alert in self._episodes.alerts if alert.rule == RECOVERED]

    @property
    def story(self) -> list[str]:
        """What the run has recovered from, and why it does not again, in words: the last ones of a run that ends."""
        told = [f"At step {alert.step} {alert.message}. {alert.details}" for alert in self._before]
        again = " again" if told else ""
        return told + [f"The run does not recover{again}: {self._gave_up}."] * (self._gave_up is not None)

    def _fail(self, why: str) -> None:
        """What has been recovered from stands as it was."""
        self.give_up(why)
        for alert, severity in self._latest.causes if self._latest is not None else ():
            self._episodes.reopen(alert, severity)

    def _whole(self, doing: str, act: Callable[[], bool | None]) -> bool:
        """The answer of ``act``; False where it fails half-way, and has none: nothing of that is to look healthy."""
        done: bool | None = None
        with self._guard(doing):
            done = act()
        if done is None:
            with self._guard("ending a recovery that has failed"):
                monitored = self._recorder.monitored
                monitored.note(f"At step {self._step} {HALF_WAY}")
                self._held, self._drop_next = None, False
                self._fail(f"{HALF_WAY} (LW901)")
                self._sinks.start(monitored.run, self._step)
                if self._latest is not None:
                    self._latest.still_sound = 0
                    self._say(self._episodes.end(self._latest.alert, self._step))
        return bool(done)

    # -- state ---------------------------------------------------------------------------------------------------------
    def _state_of_monitor(self) -> dict[str, Any]:
        """As of the step that was judged last."""
        recorder, rates = copy.deepcopy(self._recorder.state_dict()), self._judged.lr if self._judged else ()
        return {"rules": self._episodes.memory(), "recorder": recorder, "size": self._size, "lr": rates}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, plain: what was changed. What is copied is not in it."""
        monitored = self._recorder.monitored
        return {"factor": monitored.lowered.factor, "lr_factor": monitored.run.lr_factor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Before ``prepare``."""
        self._kept = state


def back_to_plan(record: StepRecord, then: Sequence[float]) -> float:
    """What turns rates that something has raised into those that were there ``then``, else the schedule's highest."""
    rates = [*then] if len(then) == len(record.lr) and any(then) else [*record.run.peak_lr]
    return min((rate / now for rate, now in zip(rates, record.lr) if now > rate > 0), default=1.0)


def total_norm(record: StepRecord) -> float | None:
    """‖ΔW‖_F of all adapters together; None where it was not measured."""
    reading = record.metrics.get("delta_norm")
    return None if reading is None else float(np.sqrt(np.nansum(np.square(reading.measured))))
