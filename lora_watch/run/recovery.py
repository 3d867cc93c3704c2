"""A run that rescues itself: it drops the updates of broken batches, or goes back and turns its learning rate down."""

import copy
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from lora_watch.base.alerts import Alert, Recovered, Severity, discarded, in_order, in_words
from lora_watch.base.prescription import RATE, Evidence, Prescription, Setting
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import count
from lora_watch.measurement.signals.optimizer import rates_of
from lora_watch.rules import Episodes
from lora_watch.rules.base import FAULTS, NON_FINITE
from lora_watch.rules.policy import RECOVERED, Policy
from lora_watch.rules.prescribing import rate_now
from lora_watch.rules.remedies import (
    TYPED,
    in_the_rate,
    is_proven,
    multiplied,
    nearest,
    raised_by_hand,
    raised_to,
    suits,
)
from lora_watch.rules.size import FAR_TOO_LARGE
from lora_watch.run.guard import Guard
from lora_watch.run.ranks import Ranks
from lora_watch.run.recording import Recorder
from lora_watch.snapshots.copies import Copy, GoodCopies, Learned, why_not

ODD, CALM = 4.0, 10
"""After going back for broken data: a loss by so many standard deviations of its own noise above what is expected is
of them still, and so many sound steps in a row say that they are over."""
FEW = 5
"""Updates dropped in a row after which their batches are no longer taken to be the cause."""
MOST, OF = 50, 500
"""More dropped updates than this, of the latest so many, end the run: the data are broken, and not a batch."""
HALF_WAY = "a recovery failed half-way, so that weights, optimizer and rates may be of different steps (LW901)"
UNSURE = 3.0
"""What a learning rate is divided by where nothing lower is prescribed."""
GROWN = 1.5
"""Adapters have grown since the good state, and are not what a risen loss comes from elsewhere, from this factor on."""


class Treatment(enum.IntEnum):
    """The mildest first: of several ranks the last one's counts."""

    DROP = 0
    """Drop the updates of broken batches. Where some have been made already, go back before them first."""
    GO_BACK = 1
    """Go back to the last good state, and turn the learning rate down, but for a first NaN."""
    NONE = 2
    """Nothing helps."""


_OF_LOSS = ("LW202", "LW203")
TREATED = (*NON_FINITE, "LW102", "LW207", *_OF_LOSS)
"""Rules for which going back, or dropping updates, may help."""


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
        guard: Guard,
        say: Callable[[Sequence[Alert]], object],
        memory: float,
    ):
        self._model, self._optimizer, self._memory = model, optimizer, memory
        self._policy, self._recorder, self._episodes = policy, recorder, episodes
        self._guard, self._say = guard, say
        self._over: str | None = "it has not begun"
        """Why the run does not recover (any more), in words; None while it does."""
        self._factors = 1.0, 1.0
        """Of the checkpoint, what this session has not taken over: see ``MonitoredAdapters.turn_down``."""
        self._lowered_to: Sequence[float] = ()
        """The peak of each parameter group that the checkpoint's run had in the end, if a recovery had lowered it."""
        self._learned, self._good = Learned(None), GoodCopies(dict, 0)
        self._dropping: Alert | None = None
        """The open LW910 of broken batches, which counts the updates that are dropped."""
        self._causes: list[tuple[Alert, Severity]] = []
        """What updates are dropped for, each as grave as it was."""
        self._calm_in = 0
        """Sound losses that are to come until no more updates are dropped for an odd one; 0 where none is."""
        self._dropped: list[int] = []
        """The latest steps whose updates were dropped."""
        self._step = 0
        self._judged: StepRecord | None = None
        """The latest record that has been judged."""
        self._size: float | None = None
        """‖ΔW‖ of all adapters together, as measured last."""

    # -- the course of a run -------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Before the adapters are looked for."""
        monitored, rates = self._recorder.monitored, rates_of(self._optimizer, "max_lr", "initial_lr")
        if len(rates) == len(self._lowered_to) and np.allclose(rates, self._lowered_to, rtol=0.02, atol=0.0):
            self._factors = 1.0, 1.0  # the script has that rate by now
        if self._policy.recover:
            self._attach()
        if self._over is not None:
            monitored.run = replace(monitored.run, lapsed_factor=self._factors[1])
        else:
            monitored.turn_down(self._factors[1], self._factors[0] / self._factors[1])
            self._factors = 1.0, 1.0

    def _attach(self) -> None:
        monitored = self._recorder.monitored
        self._over = why_not(self._model, self._optimizer, self._memory * 2**30)
        if self._over is not None:
            return monitored.note(f"recover is unavailable: {self._over}. Alerts act as fail_on says")
        monitored.lowered.attach(self._optimizer, self._guard)
        self._learned = Learned(self._optimizer)
        self._good = GoodCopies(self._learned.content, max(map(self._policy.reach, TREATED)))

    def start(self, step: int) -> None:
        """Training begins after ``step``, which has been judged."""
        self._step = step
        for alert in [alert for alert in self._episodes.open if alert.back_to is not None]:
            self._close(alert)  # the session before ended while updates were dropped
        if self._over is None:
            self._good.start(step).monitor = self._state_of_monitor()

    def use(self, optimizer: Any) -> None:
        """Another optimizer trains from now on. Copies hold the state of the one before: the run goes back to where
        this one began, and no further."""
        if self._over is None:
            self._end_dropping()
            self._optimizer = optimizer
            self._attach()
            self.start(self._step)

    def before_update(self, loss: float | Tensor | None, ranks: Ranks) -> None:
        """Drop the coming update where the run has gone back for broken data and this ``loss`` is of them, too."""
        if not self._calm_in:
            return
        odd = False
        with self._guard("looking whether a loss is odd"):
            now = 0.0 if loss is None else float(loss)
            odd = not math.isfinite(now) or self._recorder.spike_score(now) > ODD
        if ranks.any(odd):
            self._recorder.monitored.lowered.drop()

    def after_update(self, step: int) -> bool:
        """Step number ``step`` is over. True where its update was dropped, on all ranks."""
        self._step, dropped, alert = step, self._recorder.monitored.lowered.end(), self._dropping
        if dropped and alert is not None and alert.recovery is not None:
            alert.recovery.dropped, alert.last_step = alert.recovery.dropped + 1, step
            alert.details = details_of(alert.recovery, len(self._went_back), self._policy.recover)
            self._dropped = [*self._dropped[-MOST:], step]
            if len(self._dropped) > MOST and self._dropped[0] > step - OF:
                self.give_up(f"more than {MOST} of the last {OF} updates were dropped for {alert.recovery.rule}")
        if self._calm_in:
            self._calm_in = CALM if dropped else self._calm_in - 1
            if not self._calm_in:
                self._end_dropping()
        return dropped

    def judged(self, record: StepRecord) -> None:
        """The latest step: with ``recover`` each is judged before the next update."""
        self._judged = record
        if self._over is None:
            if (norms := record.metrics.get("delta_norm")) is not None:
                self._size = float(np.sqrt(np.nansum(np.square(norms.measured))))
            if not self._calm_in and raised_to(record) is None:  # else it may not be good
                self._good.updated(record.step)
                self._good.judged(record.step, self._state_of_monitor)

    def conclude(self) -> None:
        """The run is over. One whose last updates were all dropped has not recovered; a single one may have been."""
        if self._dropping is not None and self._in_a_row > 1:
            self.give_up("the run has ended while updates were dropped")
        self._end_dropping()

    def let_go(self) -> None:
        """Nothing of it stays in the optimizer, and no copy and no model is kept alive."""
        self._recorder.monitored.lowered.detach()
        self._model, self._optimizer = nn.Module(), None
        self._learned, self._good = Learned(None), GoodCopies(dict, 0)

    # -- an alert ------------------------------------------------------------------------------------------------------
    def recover(self, alerts: Sequence[Alert], coming: StepRecord | None, ranks: Ranks) -> bool:
        """Recover from ``alerts`` on which all ranks have agreed: all ranks, or none. True if the run goes on.
        ``coming``: what is known of a step whose update has not been applied yet. What fails here does so behind a
        guard, from one meeting of the ranks to the next: the others would wait."""
        record, done, own = coming or self._judged, False, list[Alert]()
        causes: list[tuple[Alert, Severity]] = []
        chosen, factor, why, best = Treatment.NONE, 1.0, "not every rank can", math.inf
        with self._guard("recovering"):
            alerts, here = in_order(alerts), {alert.rule: alert for alert in self._episodes.open}
            own = [here.get(alert.rule, alert) for alert in alerts]
            causes = [(alert, alert.severity) for alert in own]
            best = self._episodes.best_step
            chosen, factor, why = self._choose(own[0], alerts, record, coming is not None)
        agreed, divisor, earliest = ranks.most(chosen, 1.0 / factor, -best)
        if record is not None and agreed < Treatment.NONE:
            why = HALF_WAY  # here or on another rank
            with self._guard("recovering"):
                was_last = self._act(Treatment(int(agreed)), 1.0 / divisor, own, record, coming is not None, -earliest)
                done, why = not was_last, was_last or why
        if failed := ranks.any(not done):
            with self._guard("recovering"):
                self._causes += causes
                self.give_up(why or "not every rank can")
        return not failed

    def _choose(
        self, first: Alert, alerts: Sequence[Alert], record: StepRecord | None, before_update: bool
    ) -> tuple[Treatment, float, str]:
        """What this rank would do about ``alerts``: how, what it would multiply the learning rate by, and why it does
        nothing. Changes nothing."""
        good = self._copy_for(first, self._episodes.best_step)
        monitored, factor, why = self._recorder.monitored, 1.0, ""
        if self._over is not None or good is None or record is None:
            return Treatment.NONE, 1.0, self._over or "no step has been made that it could go back to"
        grown = self._size / good.monitor["size"] if self._size and good.monitor["size"] else None
        before = any(recovered.rule == first.rule for recovered in self._went_back)
        chosen = treatment(alerts, record, before_update, grown, before)
        # So many in a row are not the batches' fault. Those without a target are masked as long as the data have them.
        in_vain = self._in_a_row >= FEW and first.metric != "targets" and not self._calm_in
        if chosen is Treatment.DROP and before_update and (in_vain or not self._learned.finite):
            chosen = Treatment.GO_BACK
        if chosen is Treatment.GO_BACK and (in_vain or before or first.rule not in NON_FINITE):
            raised = _raised(record) is not None
            factor = back_to_plan(record, good.monitor["lr"]) if raised else turned_down(first, monitored.run)
        if chosen is Treatment.NONE:
            why = f"nothing is gained by going back for {first.rule}"
        elif not (chosen is Treatment.DROP and before_update) and len(self._went_back) >= self._policy.recover:
            why = f"recover={self._policy.recover} is used up"
        elif factor < 1.0 and not monitored.lowered.works:
            why = "the optimizer takes no learning rate from torch's hooks, by which it is turned down"
        return (Treatment.NONE, 1.0, why) if why else (chosen, factor, "")

    def _copy_for(self, alert: Alert, best: float) -> Copy | None:
        return self._good.before(self._step - self._policy.reach(alert.rule), best)

    def _act(
        self, chosen: Treatment, factor: float, own: list[Alert], record: StepRecord, before_update: bool, best: float
    ) -> str:
        """Why that was in vain, in words; empty where the run goes on. ``best``: see ``GoodCopies.before``."""
        causes, step, most = [(alert, alert.severity) for alert in own], self._step, self._policy.recover
        good = None if chosen is Treatment.DROP and before_update else self._copy_for(own[0], best)
        at = step + before_update  # whose update, if it is still to come, is dropped
        back_to = at if good is None else good.step
        if good is None and self._dropping is not None:  # one more of them
            self._causes += [cause for cause in causes if all(cause[0] is not known for known, _ in self._causes)]
        else:
            self._end_dropping()
            gone = {*range(back_to + 1, at + 1)}.difference(*discarded(self._episodes.alerts))
            recovered = Recovered(at, back_to, own[0].rule, changes(factor, record), discarded=len(gone))
            alert = alert_of(recovered, self._episodes.prescription, len(self._went_back) + 1, most)
            for _, now in recovered.changed.values():
                if raised_by_hand(record):
                    alert.remedies = [f"let the learning rate rise to {now:g} at most"]
                elif by_schedule := multiplied(record):
                    end = f"{now / by_schedule[1]:.3g}"
                    alert.causes = [by_schedule[0]]
                    alert.remedies = [f"let the schedule's factor end at {end}: min({end}, …)"]
            if factor != 1.0:  # what LW401 has said of the old rate
                own = [*own, *(alert for alert in self._episodes.open if alert.rule == "LW401")]
            if good is not None:
                self._go_back(good, factor, own, record, at)
            self._say(self._episodes.say(alert))
            if chosen is Treatment.DROP:
                self._causes, self._dropping, self._calm_in = causes, alert, CALM if good is not None else 0
            else:
                self._episodes.end(alert, at)
        self._episodes.forgive(own, back_to)
        if before_update:  # its gradients are of what is broken, or has been thrown away
            self._recorder.monitored.lowered.drop()
        else:
            self._recorder.plan(step, alerts=len(self._episodes.alerts))
        was_last = good is not None and record.step >= (self._recorder.monitored.run.max_steps or math.inf)
        return f"step {record.step} was the last, and nothing is trained any more" if was_last else ""

    def _go_back(self, good: Copy, factor: float, own: Sequence[Alert], record: StepRecord, at: int) -> None:
        """To ``good``, and on after step ``at`` with ``factor`` on the learning rate."""
        recorder, then = self._recorder, good.monitor
        self._good.forget_after(good.step)
        self._learned.put_back(good)
        of_script = 1.0 if _raised(record) else factor
        recorder.monitored.turn_down(of_script, factor / of_script)
        self._say(self._episodes.rewind(then["rules"], good.step, at, own))
        recorder.turn_back(copy.deepcopy(then["recorder"]), good.step, at, of_script)
        self._size = then["size"]
        recorder.cadence.first = self._step  # what follows is measured as after a start

    # -- what it was for -----------------------------------------------------------------------------------------------
    def _end_dropping(self) -> None:
        """Updates are made again as they come, and what some were dropped for is over."""
        over = [] if self._dropping is None else [self._dropping, *(cause for cause, _ in self._causes)]
        self._dropping, self._causes, self._calm_in = None, [], 0
        for alert in over:
            self._close(alert)

    def _close(self, alert: Alert) -> None:
        self._episodes.forgive([alert], alert.back_to)
        self._say(self._episodes.end(alert, max(self._step, alert.last_step)))

    def give_up(self, why: str) -> None:
        """The run does not recover any more. What it has not recovered from stands as it was."""
        if not self._policy.recover or self._over is not None:
            return
        causes, self._over = self._causes, why
        self._recorder.monitored.note(self.story[-1])
        self._end_dropping()
        for alert, severity in causes:
            self._episodes.reopen(alert, severity)
        self._say([alert for alert, _ in causes])

    @property
    def _in_a_row(self) -> int:
        """Updates dropped since the last one that was not."""
        return next((i for i, step in enumerate(reversed(self._dropped)) if step != self._step - i), len(self._dropped))

    @property
    def _went_back(self) -> list[Recovered]:
        """The recoveries that count, also before a resume: updates that are dropped one by one use up none."""
        return [r for a in self._episodes.alerts if (r := a.recovery) is not None and r.back_to < r.step]

    @property
    def story(self) -> list[str]:
        """What the run has recovered from, and why it does not again, in words: the last ones of a run that ends."""
        told = [f"At step {a.step} {a.message}. {a.details}" for a in self._episodes.alerts if a.recovery is not None]
        if self._recorder.monitored.run.lapsed_factor != 1.0:
            told.append("This session trains at the old rate again (LW314).")
        unable = self._policy.recover and self._over
        return [*told, *([f"The run does not recover{' again' if told else ''}: {self._over}."] if unable else [])]

    # -- state ---------------------------------------------------------------------------------------------------------
    def _state_of_monitor(self) -> dict[str, Any]:
        """As of the step that was judged last."""
        recorder, rates = copy.deepcopy(self._recorder.state_dict()), self._judged.lr if self._judged else ()
        return {"rules": self._episodes.memory(), "recorder": recorder, "size": self._size, "lr": rates}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, plain: what was changed, and is again with ``recover``. What is copied is not in it."""
        lowered, run, (factor, own) = self._recorder.monitored.lowered, self._recorder.monitored.run, self._factors
        to = list(lowered.times(run.peak_lr, own)) if own * run.lr_factor != 1.0 else []
        factor *= lowered.factor * lowered.of_raised[0]
        return {"factor": factor, "lr_factor": own * run.lr_factor, "lowered_to": to}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Before ``prepare``."""
        self._factors = float(state.get("factor", 1.0)), float(state.get("lr_factor", 1.0))
        self._lowered_to = [float(rate) for rate in state.get("lowered_to", ())]


# -- what is done about an alert, and how that is told: pure ----------------------------------------------------------
def treatment(
    alerts: Sequence[Alert], record: StepRecord, before_update: bool, grown: float | None, again: bool
) -> Treatment:
    """What all of ``alerts``, the gravest first, are treated by.

    ``before_update``: the update has not been applied yet; ``grown``: by what factor the adapters are larger than in
    the state to go back to, None if unknown; ``again``: the run has gone back for the same rule before.
    """
    untreated = any(alert.rule not in TREATED or f"{alert.rule}:{alert.kind}" in FAULTS for alert in alerts)
    if record.broken or untreated:  # a frozen weight does not go back
        return Treatment.NONE
    worst = alerts[0]
    if worst.rule in NON_FINITE:
        in_weights = worst.metric in ("a_norm", "b_norm", "delta_norm") or (record.size_before or 0.0) > FAR_TOO_LARGE
        return Treatment.DROP if before_update and not in_weights else Treatment.GO_BACK
    of_data = (is_proven if again else suits)(record) and (grown or 1.0) < GROWN
    return Treatment.DROP if worst.rule in _OF_LOSS and of_data else Treatment.GO_BACK


def turned_down(alert: Alert, run: RunInfo) -> float:
    """What the learning rate is multiplied by for ``alert``: its settings ``in_the_rate``, for the scale stays."""
    own, told = rate_now(run), alert.next_run
    if not own:
        return 1.0 / UNSURE
    ours = in_the_rate(told, run, own).values.get(RATE, own) if told is not None else own
    return nearest(ours if ours < own else own / UNSURE, TYPED, 10) / own


def _raised(record: StepRecord) -> tuple[float, float] | None:
    return raised_to(record) or raised_by_hand(record)


def back_to_plan(record: StepRecord, then: Sequence[float]) -> float:
    """What turns rates that something has raised into those that were there ``then``, else the schedule's highest. A
    plain loop may have warmed up ``then``, by hand: it goes on well below what has failed."""
    rates = [*then] if len(then) == len(record.lr) and any(then) else [*record.run.peak_lr]
    least = min((rate / now for rate, now in zip(rates, record.lr) if now > rate > 0), default=1.0)
    return min(least, 1.0 / UNSURE) if raised_by_hand(record) else least


def changes(factor: float, record: StepRecord) -> dict[str, list[float]]:
    """What a ``factor`` on the rate of the adapters' groups changes of the settings of the user's script."""
    rate, raised = rate_now(record.run), _raised(record)
    if factor == 1.0 or rate is None:
        return {}
    pair = (raised[0], raised[0] * factor) if raised else (rate / record.run.lr_factor, rate * factor)
    digits, of = (3 if raised else 6), "" if raised or not multiplied(record) else "peak "
    return {of + RATE: [float(f"{rate:.{digits}g}") for rate in pair]}


def alert_of(recovered: Recovered, before: Prescription | None, number: int, most: int) -> Alert:
    """The alert that says how a run has recovered, for the time ``number`` of at ``most``. ``before``: what was
    prescribed until then. Its own is the rate that the run goes on with, in the same range; where that was for another
    alpha, one as much lower or higher. None where no rule has blamed the rate, which was turned down on trial."""
    told, next_run, rule = before.settings.get(RATE) if before else None, None, recovered.rule
    if told is not None and RATE in recovered.changed:
        yours, now = recovered.changed[RATE]
        low, high = (None if end is None else end * now / told.ours for end in (told.low, told.high))
        next_run = Prescription({RATE: Setting(yours, now, low, high)}, Evidence.HARM, recovered.step)
    went_back = recovered.back_to < recovered.step
    back = f"the run went back to step {recovered.back_to} because of {rule}"
    remedy = "print the batches whose updates were dropped. Remove broken rows; if all are sound, read the loss's code"
    return Alert(
        RECOVERED,
        "recovered",
        Severity.WARNING,
        recovered.step,
        back if went_back else f"updates are dropped because of {rule}",
        details_of(recovered, number, most),
        remedies=[] if went_back else [remedy],
        next_run=next_run,
        back_to=recovered.back_to,
        recovery=recovered,
    )


def details_of(recovered: Recovered, number: int, most: int) -> str:
    """What has come of a recovery so far."""
    back, changed = recovered.discarded, recovered.changed
    said = [f"{count(back, 'step')} discarded."] if back else ["Adapters and optimizer stay as they were."]
    said += [f"{count(recovered.dropped, 'update')} dropped."] * (recovered.dropped > 0)
    on = f"It went on with {in_words(changed)} (logs show the script's rate)." if changed else "No setting was changed."
    return " ".join([*said, on, *[f"Recovery {number} of {most}."] * (back > 0)])
