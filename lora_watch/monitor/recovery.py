"""A run that rescues itself: when to go back, to what, and when to give up."""

from __future__ import annotations

import copy
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import Recovered, StepRecord
from lora_watch.base.text import count
from lora_watch.monitor.judge import Judge
from lora_watch.monitor.live import START, LiveSettings
from lora_watch.monitor.ranks import any_rank
from lora_watch.monitor.recording import Recorder
from lora_watch.rules.policy import RECOVERED
from lora_watch.rules.remedies import raised_to
from lora_watch.rules.treatments import SUSPECT, Treatment, treatment
from lora_watch.snapshots.copies import Copy
from lora_watch.snapshots.good_states import GoodStates
from lora_watch.snapshots.training import TrainingCopies, why_not

CALM = 10
"""Sound steps in a row after which updates are no longer held back."""
ODD = 4.0
"""Standard deviations of its own noise above what is expected from which a loss is taken to be of bad data still."""
MOST_DROPPED = 50
"""Updates that are dropped in a row of trouble before the run gives up."""


class NoRecovery:
    """What happens in the course of a run that is not to recover: nothing."""

    def prepare(self) -> None:
        """Before the adapters are looked for."""

    def begin(self, step: int) -> None:
        """Training begins after ``step``, which has been judged."""

    def before_update(self) -> None:
        """The optimizer is about to use the gradients."""

    def settle(self, loss: float | Tensor | None) -> bool:
        """An update has been applied. True where it is taken back, for what the run is recovering from goes on."""
        return False

    def updated(self, step: int) -> None:
        """The weights have ``step`` steps behind them."""

    def judged(self) -> None:
        """A step has been judged."""

    def conclude(self) -> None:
        """The run is over."""

    def treat(self, alerts: Sequence[Alert], record: StepRecord, before_update: bool) -> bool:
        """Recover from ``alerts``, the gravest first, found in ``record``. False where that cannot be."""
        return False

    def give_up(self, why: str) -> None:
        """The run does not recover any more."""

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, plain: what was changed, and how often. What is copied is not in it."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Before ``prepare``."""


class Updates(enum.Enum):
    """What becomes of the optimizer's updates."""

    APPLIED = enum.auto()
    """They are applied as they come."""
    ON_TRIAL = enum.auto()
    """Each is taken back if its loss is odd."""
    NEXT_DROPPED = enum.auto()
    """The next one is taken back; those after it are applied."""
    NEXT_DROPPED_THEN_ON_TRIAL = enum.auto()
    """The next one is taken back; those after it are on trial."""

    @property
    def next_is_dropped(self) -> bool:
        return self in (Updates.NEXT_DROPPED, Updates.NEXT_DROPPED_THEN_ON_TRIAL)

    @property
    def after_the_next(self) -> Updates:
        return {
            Updates.NEXT_DROPPED: Updates.APPLIED,
            Updates.NEXT_DROPPED_THEN_ON_TRIAL: Updates.ON_TRIAL,
        }.get(self, self)

    @property
    def on_trial(self) -> bool:
        return self in (Updates.ON_TRIAL, Updates.NEXT_DROPPED_THEN_ON_TRIAL)


class Recovery(NoRecovery):
    """Copies what is trained while a run is healthy, goes back to it, and has the run go on.

    All ranks decide alike: copies are made at fixed steps, and what is asked of a record is the same on each of them.

    Args:
        model, optimizer: what is trained, and by what.
        settings: how to change the training while it runs.
        recorder, judge: whose state goes back with the weights, so that the rules judge afresh.
        memory: GiB of host memory that copies may take.
    """

    def __init__(
        self, model: nn.Module, optimizer: Any, settings: LiveSettings, recorder: Recorder, judge: Judge, memory: float
    ):
        self._model, self._optimizer, self._memory = model, optimizer, memory
        self._settings, self._recorder, self._judge = settings, recorder, judge
        self.over: str | None = None
        """Why the run does not recover any more, in words; None while it does."""
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
        self._last: Recovered | None = None
        self._alert: Alert | None = None
        """The alert that tells of ``_last``."""
        self._cause: Any = None
        """The alert that it was for, None before the first, and how severe that was."""
        self._severity = Severity.ERROR

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
        self._states.begin(step, self._state())

    def before_update(self) -> None:
        if self.over is None and (note := self._settings.before_update(self._judge.steps + 1)) is not None:
            self._recorder.monitored.note(note)
            self._judge.sinks.start(self._recorder.monitored.run, self._judge.steps)
        if self._updates.on_trial and self._held is None:
            self._held = self._copies.take(self._judge.steps)

    def settle(self, loss: float | Tensor | None) -> bool:
        held, self._held = self._held, None
        if held is None and not self._updates.on_trial:
            return False
        odd = held is not None and (self._updates.next_is_dropped or self._is_odd(loss))
        self._updates = self._updates.after_the_next
        if held is not None and odd:
            self._copies.put_back(held)
        self._copies.drop(held)
        self._calm = 0 if odd else self._calm + 1
        if odd and self._last is not None:
            self._last.dropped += 1
            if self._last.dropped > MOST_DROPPED:
                self._fail(f"{MOST_DROPPED} updates were dropped, and what {self._cause.rule} has found goes on")
                self._relax()
        elif self._calm >= CALM:
            self._relax()
        return odd

    def updated(self, step: int) -> None:
        if self.over is None:
            self._copies.see()
        if self.over is None and not self._updates.on_trial:
            suspects = [alert.rule for alert in self._judge.episodes.open if alert.rule in SUSPECT]
            self._states.updated(step, suspects)

    def judged(self) -> None:
        last = self._judge.last
        if last is not None:
            self._size = total_norm(last) or self._size
            self._states.judged(last.step, self._state)

    def conclude(self) -> None:
        self._relax(now=True)

    # -- an alert ------------------------------------------------------------------------------------------------------
    def treat(self, alerts: Sequence[Alert], record: StepRecord, before_update: bool) -> bool:
        good = self._states.good(alerts[0].rule, self._judge.steps)
        way = self._way(alerts, record, good, before_update) if self.over is None and good is not None else None
        if way is None or good is None:
            return False
        self._relax()
        self._used += 1
        own = [alert for alert in self._judge.episodes.open if alert.rule in {a.rule for a in alerts}]
        self._cause = next((alert for alert in own if alert.rule == alerts[0].rule), alerts[0])
        if way is Treatment.DROP:
            self._drop(record.step, own)
        else:
            self._go_back(way, record, good, own)
            if before_update:  # with gradients of what has just been thrown away
                self._drop_next(then_on_trial=way is Treatment.SKIP)
            if record.step >= (self._recorder.monitored.run.max_steps or math.inf):
                self._fail(f"step {record.step} was the last, and nothing is trained any more")
        return self.over is None

    def _way(self, alerts: Sequence[Alert], record: StepRecord, good: Copy, before_update: bool) -> Treatment | None:
        first, last, times = alerts[0], self._last, self._judge.policy.recover
        then = good.monitor["size"]
        grown = self._size / then if self._size and then else None
        way = treatment(alerts, record, self._recorder.sound_steps, before_update, grown)
        if way is Treatment.DROP and any_rank(not self._copies.finite, True, self._copies.device):
            way = Treatment.GO_BACK  # an earlier update has spoiled the weights, at a step without a measurement
        again = last is not None and last.rule == first.rule and record.step <= last.step + last.lost
        if again and last is not None and way is Treatment.GO_BACK and not last.changed:
            way, again = Treatment.WEAKEN, False  # the update itself may be what overflows
        fixed = self._settings.why_fixed if way is Treatment.WEAKEN else None
        if way is None:
            self.give_up(f"nothing is gained by going back for {first.rule}")
        elif fixed is not None:
            self.give_up(fixed)
        elif self._used >= times:
            self.give_up(f"recover={times} is used up")
        elif again and last is not None:
            self.give_up(f"{first.rule} came again before the {count(last.lost, 'step')} that it had cost were made up")
        return way if self.over is None else None

    def give_up(self, why: str) -> None:
        self.over = why
        self._judge.add_to_story(f"The run does not recover again: {why}.")

    def _fail(self, why: str) -> None:
        """What has been recovered from stands as it was."""
        self.give_up(why)
        self._judge.episodes.reopen(self._cause, self._severity)

    def _drop(self, step: int, own: Sequence[Alert]) -> None:
        """The coming update will be taken back, and what follows held back for a while."""
        self._drop_next(then_on_trial=True)
        self._calm = 0
        self._judge.treat(self._cause)
        self._forgive(own, step - 1)
        self._tell(Recovered(step - 1, step - 1, self._cause.rule, {}, "untouched"), [], now=False)

    def _forgive(self, alerts: Sequence[Alert], back_to: int) -> None:
        self._severity = self._cause.severity
        self._judge.episodes.forgive(alerts, back_to)

    def _drop_next(self, then_on_trial: bool) -> None:
        if self._held is None:
            self._held = self._copies.take(self._judge.steps)
        self._updates = Updates.NEXT_DROPPED_THEN_ON_TRIAL if then_on_trial else Updates.NEXT_DROPPED

    def _go_back(self, way: Treatment, record: StepRecord, good: Copy, own: Sequence[Alert]) -> None:
        step = self._judge.steps
        self._states.forget_after(good.step)
        self._copies.drop(self._held)
        self._held = None
        optimizer = "went back" if self._copies.put_back(good) else "was cleared"
        changed = raised = self._settings.put_back_raised()
        if raised_to(record) is not None:
            self._settings.expect_to_stay()
        elif way is Treatment.WEAKEN and not raised:
            changed = self._settings.weaken(self._cause, self._begins_at_zero and good.step == 0)
            if START in changed:
                self._states.renew(good)
        closed = self._judge.episodes.rewind(good.monitor["rules"], good.step, step, own)
        self._recorder.load_state_dict(copy.deepcopy(good.monitor["recorder"]))
        self._size = good.monitor["size"]
        if changed:
            self._recorder.find(step)
            self._judge.sinks.start(self._recorder.monitored.run, step)
            outdated = self._judge.episodes.outdated(StepRecord(self._recorder.monitored.run, step, {}))
            own, closed = [*own, *outdated], [*closed, *outdated]
        self._forgive(own, good.step)
        self._updates, self._calm = Updates.ON_TRIAL if way is Treatment.SKIP else Updates.APPLIED, 0
        self._tell(
            Recovered(step, good.step, self._cause.rule, changed, optimizer), closed, now=True, advise=not raised
        )

    def _tell(self, recovered: Recovered, closed: Sequence[Alert], now: bool, advise: bool = True) -> None:
        self._last = recovered
        changed = recovered.changed if advise else {}
        self._advised |= self._settings.advised(changed)
        self._alert = alert_of(recovered, self._cause, self._judge.steps, self._advised if changed else {})
        self._alert.message += f" Recovery {self._used} of {self._judge.policy.recover}."
        self._judge.add_to_story(self._alert.message)
        alerts = [*closed, *self._judge.episodes.say(self._alert)]
        if not self._updates.on_trial:
            self._judge.episodes.end(self._alert, self._judge.steps)
        self._judge.sinks.recovered(recovered)
        self._judge.tell(alerts, now)

    def _relax(self, now: bool = False) -> None:
        """Updates are applied again as they come. ``now``: there is no step to come that would say it."""
        if not self._updates.on_trial or self._alert is None or self._cause is None or self._last is None:
            return
        self._updates = Updates.NEXT_DROPPED if self._updates.next_is_dropped else Updates.APPLIED
        self._judge.treat(None)
        step = self._judge.steps
        self._alert.last_step = max(step, self._alert.last_step)
        self._alert.message += f" {count(self._last.dropped, 'update')} dropped in all."
        ended = [*self._judge.episodes.end(self._alert, step)]
        if self.over is None:
            ended += self._judge.episodes.end(self._cause, step)
        self._judge.tell(ended, now)

    # -- questions -----------------------------------------------------------------------------------------------------
    def _is_odd(self, loss: float | Tensor | None) -> bool:
        """The step that has just been made is one of those to be dropped."""
        loss = None if loss is None else float(loss)
        cause = self._cause
        if cause is not None and cause.closed_step is None and cause.last_step >= self._judge.steps:
            return True  # seen before the update
        return loss is not None and (not math.isfinite(loss) or self._recorder.spike_score(loss) > ODD)

    def _state(self) -> dict[str, Any]:
        """Of the monitor, as of the step that was judged last."""
        return {
            "rules": self._judge.episodes.memory(),
            "recorder": copy.deepcopy(self._recorder.state_dict()),
            "size": self._size,
        }

    def state_dict(self) -> dict[str, Any]:
        own = {"used": self._used, "advised": dict(self._advised), "story": list(self._judge.story)}
        return {**own, "settings": self._settings.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._used, self._advised = int(state.get("used", 0)), dict(state.get("advised", {}))
        self._settings.load_state_dict(state.get("settings", {}))
        self._judge.story = list(state.get("story", []))


def total_norm(record: StepRecord) -> float | None:
    """‖ΔW‖_F of all adapters together; None where it was not measured."""
    reading = record.metrics.get("delta_norm")
    return None if reading is None else float(np.sqrt(np.nansum(np.square(reading.measured))))


def adds_nothing(record: StepRecord | None) -> bool:
    """ΔW of every adapter is 0."""
    reading = record.metrics.get("delta_norm") if record is not None else None
    return reading is not None and bool(reading.known.all()) and not reading.values.any()


def alert_of(recovered: Recovered, cause: Alert, step: int, settings: Mapping[str, float]) -> Alert:
    """The alert that says how a run has recovered. ``settings``: what the next run should begin with."""
    of = f"for {cause.rule} {cause.name}"
    changes = ", ".join(f"{name} {before:.3g} → {after:.3g}" for name, (before, after) in recovered.changed.items())
    untouched = recovered.optimizer == "untouched"
    if untouched:
        said = f"The update of step {step + 1} is dropped {of}: adapters and optimizer stay as they were."
    else:
        state = "went back with it" if recovered.optimizer == "went back" else "was cleared, since there had been none"
        said = (
            f"{count(recovered.lost, 'step')} discarded {of}: the adapter is again that of step {recovered.back_to}, "
            f"and the optimizer's state {state}."
        )
    again = ", ".join(f"{name}={value:g}" for name, value in settings.items())
    if START in recovered.changed:
        changes += f": A and B begin smaller, and it trains as with {again}"
    return Alert(
        RECOVERED,
        "recovered",
        Severity.WARNING,
        step + untouched,
        f"{said} {f'Changed: {changes}.' if changes else 'No setting was changed.'}",
        causes=list(cause.causes[:1]),
        remedies=[f"start the next run with {again}"] if again else list(cause.remedies[:1]),
        settings=dict(settings),
        back_to=recovered.back_to,
    )
