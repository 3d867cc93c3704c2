"""The loop: find, measure, judge, write."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lora_watch.base.alerts import Alert, LoraWatchError, Verdict, in_order
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.run import interrupts
from lora_watch.run.cadence import Cadence
from lora_watch.run.guard import guarded
from lora_watch.run.judge import Judge
from lora_watch.run.observed import Observed
from lora_watch.run.ranks import Ranks, world_size
from lora_watch.run.rates import peaks
from lora_watch.run.recording import Loss, Recorder, Taken
from lora_watch.run.recovery import Recovery
from lora_watch.run.replicas import Replicas


class Run(Observed):
    """One training from its first event to its last: ``start``, ``before_update``, ``after_update``, ``end``.

    It owns all that must happen in one order: measuring, rules, agreement of ranks, recovery, files, the verdict,
    and the exception that ends the training. Trainers translate their events into it. See ``Monitor`` for the settings.
    """

    def __init__(self, recorder: Recorder, judge: Judge, cadence: Cadence, recovery: Recovery):
        self._recorder, self._judge, self._cadence = recorder, judge, cadence
        self.policy = judge.policy
        self.guard = judge.guard
        """What is done inside a training is done in it: no exception comes out, and the time counts as overhead."""
        self._recovery = recovery
        self._waiting: Taken | None = None
        """The latest step, while its numbers are still on their way."""
        self._coming: StepRecord | None = None
        """What is known of a step whose update has not been applied yet."""
        self._started = False
        self._looked = False
        """The adapters have been found unchanged in this step: a plain one asks them once."""
        self._exchanged = False
        """Other adapters were found after the step's pass had begun, which was to be seen."""
        self._rates: tuple[float, ...] = ()
        """Of the parameter groups, for the coming update: a trainer's schedule may move on before the step is over."""
        self._announced: RunInfo | None = None
        """What the sinks know of the run and its adapters."""
        self._ended_with: LoraWatchError | None = None
        self._replicas = Replicas()
        self._mark = self.place = object()
        self.ranks = Ranks()
        """Alone, until whoever drives this knows of others."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy, pickled or not, tells what was found; without model and sinks it takes no part in the run."""
        gone = dict.fromkeys(("_waiting", "_coming", "_ended_with"))
        return {
            **vars(self),
            **gone,
            "_replicas": Replicas(),
            "_started": False,
            "ranks": Ranks(),
        }

    @guarded("starting")
    def start(self, step: int = 0, updated: bool = False) -> None:
        """Find the adapters and judge what can be judged before the first step. ``step``: steps done before.
        ``updated``: the first update has been made already, and hides the beginning."""
        self._started = True
        with self.guard("starting"):
            self._count()
            self._cadence.start(step)
            self._judge.start(step)
        with self.guard("listening to what ends the process", aside=True):
            interrupts.began(self)
        with self.guard("preparing to recover"):
            self._recovery.prepare()
        with self.guard("looking for adapters"):
            self._recorder.find(step)
        with self.guard("starting"):
            _announce(self, step)
            self._judge.sinks.updated(step)
        with self.guard("judging what there is before the first step"):
            _judge_the_start(self._judge, self._recorder, step, updated)
        with self.guard("copying what a run may go back to"):
            self._recovery.begin(step)
        with self.guard("planning the first step"):
            self._recorder.plan(step)
        self._judge.coverage.start(self.guard.failures)
        self.guard.start_clock()

    @guarded("placing hooks")
    def place_hooks(self) -> None:
        """See the passes of the coming step, where that is measured in full. After ``start`` and ``after_update`` the
        hooks are in place: who knows when passes begin and end takes them off in between."""
        if self._recorder.is_armed:
            _look_again(self)  # these are the adapters that the pass goes through
            self._recorder.place_hooks()

    @guarded("taking hooks off the model", light=True)
    def take_hooks_off(self) -> None:
        """Nothing of ours is in the model, until ``place_hooks``."""
        self._recorder.take_hooks_off()

    @guarded("taking over another optimizer")
    def use(self, optimizer: Any, scheduler: Any = None) -> None:
        """What the coming update is made by, and its schedule: those of the update before, or others from now on."""
        if not self._started or optimizer is None or self._recorder.monitored.is_trained_by(optimizer):
            return
        self._judge_waiting()
        self._recorder.use(optimizer, peaks(scheduler))
        self._recovery.use(optimizer)
        self._looked = False

    @guarded("reading gradients")
    def before_clipping(self) -> None:
        """See which gradients are finite before they are clipped, which may spread one NaN to all. Optional."""
        self._looked = self._recorder.before_clipping() and self.run.searched

    @guarded("reading gradients", list)
    def before_update(self, loss: Loss, made: bool = False, targets: Tensor | int | None = None) -> list[Alert]:
        """Look at the loss and the gradients that the optimizer is about to use, or has used where it is ``made``.

        Optional, for loops that want to stop before a non-finite update. Returns what the policy is to act on and the
        rules call ``urgent``. Waits for an accelerator only if something may act (``fail_on``, ``recover``).
        """
        if not self._started:
            return []
        with self.guard("reading gradients"):
            if not self._looked:
                self._exchanged |= _look_again(self, coming=False)
            self._looked = True
            self._rates = self._recorder.monitored.lr
            if made:  # what is there now is not what the step before has left
                self._judge.sinks.updated(self.steps + 1)
        with self.guard("reading gradients"):  # whatever has failed: where they are sharded other ranks come here, too
            if not self._recorder.read_gradients(loss) or self.policy.can_act:
                self._judge_waiting()
                self._coming = self._recorder.before_update(self.steps + 1, loss, targets, self.policy.can_act)
                if self._coming is not None:
                    self._judge.before_update(self._coming)
            self._recovery.before_update()
        return self._judge.urgent

    @guarded("measuring", list)
    def after_update(
        self,
        loss: Loss,
        step: int | None = None,
        *,
        updated: bool = True,
        labels: Tensor | None = None,
        targets: Tensor | int | None = None,
    ) -> list[Alert]:
        """Measure, judge and write one finished optimizer step. Never raises; returns what the policy is to act on.

        With adapters on an accelerator it measures this step, and judges and writes the one before.

        ``updated``: False when the optimizer skipped the step. ``labels``: how often each class was a label in it,
        ``[classes]``. ``targets``: how many labels that count the micro-batch with the fewest has had, ``[]``.
        """
        if not self._started:
            return []
        with self.guard("counting the steps"):
            self._judge.done(self.steps + 1 if step is None else step)
        self._coming, self._looked, looked = None, False, self._looked
        with self.guard("measuring"):
            self._judge_waiting()
        # What other ranks come to, too, stands behind a door of its own: this one comes there, whatever has failed.
        dropped = self._recovery.after_update(loss, self.ranks)
        recorder, rates, switched = self._recorder, self._rates, False
        with self.guard("measuring"):
            self._judge.sinks.updated(self.steps)
            due, self._rates = self._cadence.due(self.steps), ()
            # What was trained in this step is measured, although a callback may have switched to others already: those
            # are looked for afterwards.
            if not looked or not recorder.monitored.is_whole:
                self._exchanged |= _look_again(self, everywhere=due.full, coming=False)
            elif due.norms:
                switched = _have_changed(self, everywhere=due.full)
            rates = rates or recorder.monitored.lr
            recorder.spend(rates, updated and not dropped)
            self._judge.coverage.exchanged += self._exchanged and due.full
            self._exchanged = False
        with self.guard("measuring"):
            seen = {"labels": labels, "targets": targets}
            self._waiting = taken = recorder.take(self.steps, loss, lr=rates, updated=updated and not dropped, **seen)
            _announce(self, self.steps)
            if switched:
                recorder.find(self.steps)
                self._waiting = recorder.with_retired(taken)
            if dropped or not taken.pending.late:
                self._judge_waiting(dropped)
            self._recovery.updated(self.steps)
            self._recovery.judged()
        with self.guard("planning the next step"):
            recorder.plan(self.steps, self._judge.episodes.wanted, len(self.alerts))
        return self._judge.acute

    def unresolved(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Those that end the run: on any rank the policy acts on ``alerts``, and the run does not recover from them.
        Every rank calls it at the same step, and gets the same answer."""
        agreed = self._agree(alerts)
        self._judge.ended_for = [] if not agreed or _recovered(self, agreed) else agreed
        return self._judge.ended_for

    def end_for(self, alerts: Sequence[Alert] | None = None) -> LoraWatchError | None:
        """What ends the training now, on every rank, where ``alerts`` (``failures`` if None) are ``unresolved``."""
        return self._fail() if self.unresolved(self._own() if alerts is None else alerts) else None

    def end(self, step: int | None = None) -> LoraWatchError | None:
        """The training has come to its end, the planned one or not: judge it as a whole, and complete its files.

        Returns the exception of a run that has failed on any rank, again when asked again. ``step``: see ``conclude``.
        """
        if not self._started:
            self.finish()
            return self._ended_with
        self.conclude(step)
        # Nothing is trained any more that could recover. What was agreed on at the last step stays so.
        self._judge.ended_for = self._judge.ended_for or self._agree(self._own())
        return self._fail() if self._judge.ended_for else self.finish("ok")

    @guarded("looking for what ends the run", list, light=True)
    def _own(self) -> list[Alert]:
        """``failures``; none where they cannot be told, for the other ranks wait for an answer."""
        return self.failures

    def _agree(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Where ranks cannot agree any more none ends the run: those that go on would wait for it."""
        alerts = self._judge.prescribed(alerts)
        agreed = [] if self.ranks.together and world_size() > 1 else alerts
        if self.policy.can_act:
            with self.guard.light("agreeing with the other ranks"):
                agreed = self.ranks.agree(alerts)
        if agreed:
            with self.guard("taking over alerts of another rank"):
                self._judge.adopt(agreed)
        return agreed

    def _fail(self) -> LoraWatchError:
        """The exception of a run that its ranks have agreed to end: this one ends it, whatever fails in here."""
        error = LoraWatchError("", self._judge.ended_for)
        with self.guard("saying what has ended the run"):
            error = self.error()
        self._ended_with = error
        self.finish("failed", error.message)
        self.ranks.wait()
        return error

    @guarded("measuring", list)
    def flush(self) -> list[Alert]:
        """Judge the latest step now, where its numbers are still on their way from an accelerator: waits for them.
        Returns what the policy is to act on if there was such a step, nothing otherwise."""
        if self._waiting is None:
            return []
        with self.guard("measuring"):
            self._judge_waiting()
        return self._judge.acute

    @guarded("judging the whole run", list)
    def conclude(self, step: int | None = None) -> list[Alert]:
        """Ask the rules for their last word on a run that has ended by itself; a second call does nothing.

        Returns ``failures`` if it, or a step that had still been under way, brought news. A run that the policy has
        ended is not asked about. ``step``: steps done, as the driver of the loop has counted them.
        """
        if step is not None:
            self._judge.done_in_all(step)
        failures = self.flush()
        with self.guard("judging the whole run"):
            self._recovery.conclude()
            if self._judge.conclude(self._recorder.at_the_end):
                return self.failures
        return failures

    @guarded("ending")
    def finish(self, verdict: Verdict = "ok", message: str | None = None) -> None:
        """Close every sink with ``ok``, ``failed`` or ``interrupted``. A second call does nothing.

        What has ended by itself with an ERROR was not ok: it is ``unhealthy``, and the message says why. What was not
        measured, or not judged to its end, is ``unknown``: ``ok`` is decided from steps judged of steps done.
        """
        if not self._started:
            self._recorder.close()
            return
        (self.conclude if verdict == "ok" else self.flush)()
        self._started = False
        with self.guard("taking the hooks off the model", aside=True):
            self._recorder.close()
        with self.guard("listening to what ends the process", aside=True):
            interrupts.ended(self)
        if verdict == "ok":
            verdict, message = "unknown", "lora_watch failed while it judged the whole run"
            with self.guard("judging the whole run"):
                verdict, message = self._judge.verdict()
        self._judge.finish(self.run, verdict, message)
        self._count_as(verdict)
        with self.guard("letting go of the model", aside=True):  # whoever keeps a run keeps no model alive
            self._recorder = copy.copy(self._recorder)
            self._recovery = self._recovery.ended(self._recorder)

    def finish_for(self, error: BaseException) -> None:
        """Close every sink, since ``error`` has ended the training."""
        _explain(self, error)
        failed = isinstance(error, LoraWatchError)
        self.finish("failed" if failed else "interrupted", error.message if failed else interrupts.in_words(error))

    @guarded("noting an evaluation", aside=True)
    def evaluated(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note in the report how good the model is: ``{"eval_loss": 1.2}``. Also after ``finish``."""
        self._judge.sinks.evaluated(self.steps if step is None else step, metrics)

    @guarded("keeping the rules' state for a checkpoint, so that a resumed run starts them anew", dict, aside=True)
    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for a checkpoint. Waits for the latest step, and until it is on disk."""
        self.flush()
        self._judge.sinks.flush()
        return self._judge.state_dict() | self._recorder.state_dict() | {"recovery": self._recovery.state_dict()}

    @guarded("taking over a checkpoint's state, so that what it does not tell starts anew")
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Call it before ``start``."""
        self._judge.load_state_dict(state)
        self._recorder.load_state_dict(state)
        self._recovery.load_state_dict(state.get("recovery", {}))

    def _judge_waiting(self, dropped: bool = False) -> None:
        taken, self._waiting = self._waiting, None
        if taken is not None:
            record = self._recorder.complete(taken, dropped)
            with self.guard.light("comparing the adapters of ranks", aside=True):
                record = self._replicas.compared(record) if self._recorder.monitored.replicated else record
            self._judge.judge(record, dropped)
            self._recovery.judged()


def _judge_the_start(judge: Judge, recorder: Recorder, step: int, updated: bool) -> None:
    if step == 0:
        judge.judge(record := recorder.complete(recorder.take(0, None)))
        if not updated:
            recorder.look_at_the_beginning(record)
    else:  # a resumed run was judged before its first step already, and has what was found since then
        # Alerts of the session before are this one's story, too.
        judge.write_waiting(StepRecord(recorder.monitored.run, step, {}))


def _recovered(loop: Run, alerts: Sequence[Alert]) -> bool:
    """Go back and on for ``alerts``, on which all ranks have agreed: all of them or none. True if the run goes on."""
    if not loop.policy.recover:
        return False
    with loop.guard("recovering"):
        loop._judge_waiting()
    recovered = loop._recovery.treat(in_order(alerts), loop._coming, loop.ranks)
    return recovered or not loop.policy.can_end_a_run  # alike on every rank, which its own alerts are not


def _have_changed(loop: Run, everywhere: bool) -> bool:
    """Adapters have come, gone or been switched since they were looked for, or that has failed."""
    unknown = not loop.run.searched and world_size() == 1  # several ranks stay alike
    return unknown or loop._recorder.monitored.has_changed(everywhere)


def _look_again(loop: Run, everywhere: bool = False, coming: bool = True) -> bool:
    """Look for the adapters anew if they ``_have_changed``; whether they have. ``coming``: the pass of the coming step
    has not begun."""
    changed = _have_changed(loop, everywhere)
    if changed:
        loop._recorder.find(loop.steps, coming)
    return changed


def _explain(loop: Run, error: BaseException) -> None:
    """Open the alert that explains ``error``: adapters no longer train since the last step, and backward has raised."""
    with loop.guard("looking for what has ended the run", aside=True):
        if not loop._started or world_size() > 1 or not interrupts.raised_by_backward(error):
            return
        loop._judge_waiting()
        monitored = loop._recorder.monitored
        if _look_again(loop, everywhere=True) or loop.run is not loop._announced:  # found before the pass
            wiring = monitored.wiring(readable=False, base_trainable=None)
            loop._judge.explain(StepRecord(loop.run, loop.steps, {}, wiring=wiring, retired=monitored.retired))


def _announce(loop: Run, step: int) -> None:
    if loop.run is not loop._announced:  # other adapters, or a note
        loop._announced = loop.run
        loop._judge.sinks.start(loop.run, step)
