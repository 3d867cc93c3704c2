"""What happens in a training, in its order: measure, record, ask the rules, write, let ranks agree, act."""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor, nn

from lora_watch.base.alerts import Alert, LoraWatchError, Severity, Verdict, discarded, in_order, last_recovery
from lora_watch.base.prescription import Prescription
from lora_watch.base.records import Evaluation, Logged, RunInfo, StepRecord
from lora_watch.format.tags import eval_losses
from lora_watch.measurement.signals.policy import numbers_of
from lora_watch.measurement.signals.scaled_loss import OTHER
from lora_watch.rules import Episodes, catalogue
from lora_watch.rules.policy import FEWEST_STEPS, MONITOR_FAILURE
from lora_watch.rules.saving import SavedAdapterDiffers
from lora_watch.run import process
from lora_watch.run.coverage import Coverage
from lora_watch.run.guard import Guard, guarded
from lora_watch.run.instruments import Instruments
from lora_watch.run.monitored import MonitoredAdapters
from lora_watch.run.ranks import Ranks, world_size
from lora_watch.run.rates import kept_rate, peaks
from lora_watch.run.recording import Cadence, Loss, PendingRecord, Recorder
from lora_watch.run.recovery import Recovery
from lora_watch.run.replicas import Replicas
from lora_watch.run.sinks import Sinks
from lora_watch.settings import RunSettings

NOT_MADE = "The run was stopped before the update: this batch was not trained on."


class Engine:
    """One training from its first event to its last: ``start``, ``before_update``, ``after_update``, ``end``.

    It owns all that must happen in one order. Every driver has one and translates its trainer's events. Events return
    the alerts on which something is to be done. ``raise_for`` and ``end`` raise LoraWatchError, and after the end so
    does ``saved``. Nothing else is raised.

    Args:
        place: where the run's report goes. Runs that repeat this one have the same.
        is_scaled: whether a loss scaler stands between the gradients and the optimizer.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        settings: RunSettings,
        *,
        scheduler: Any = None,
        place: Path | None = None,
        is_scaled: Callable[[], bool] = bool,
    ):
        self.policy = settings.policy()
        self.guard = Guard(self._report_failure)
        """The one door: no exception comes out of what is done inside, and the time counts as overhead."""
        self.sinks = Sinks(settings.sinks, self.guard)
        self.episodes = Episodes(self.policy.rules, self.guard.caught, self.policy.recover > 0)
        self.coverage = Coverage()
        run = RunInfo(
            adapters=(),
            max_steps=settings.max_steps,
            config=dict(settings.config or {}),
            rules=tuple(rule.describe() for rule in self.policy.rules),
            muted=tuple(rule.id for rule in catalogue() if not any(each.id == rule.id for each in self.policy.rules)),
            peak_lr=tuple(settings.peak_lr or peaks(scheduler)),
            kept_rate=kept_rate(optimizer, scheduler, (settings.config or {}).get("learning_rate")),
            notes=tuple(dict.fromkeys(settings.notes)),
            meant=settings.meant,
            run_id=uuid.uuid4().hex,
        )
        self.recorder = Recorder(
            MonitoredAdapters(model, optimizer, run),
            Instruments(model, self.guard, output_ratio=settings.output_ratio),
            Cadence(settings.every, settings.full_every),
            self.guard,
            settings.lr_fraction,
            settings.judge_loss,
            is_scaled,
        )
        self.ranks = Ranks()
        """Alone, until the driver knows of others."""
        self.steps = 0
        self.last: StepRecord | None = None
        """The record of the latest step that has been judged."""
        self.place: object = object() if place is None else place.resolve()
        self.may_break_off = False
        """It is ended on purpose before its time, as a sweep is, and counts all the same."""
        self._started = False
        self._first_step = 0
        self._pending: PendingRecord | None = None
        """The latest step, while its numbers are still on their way."""
        self._coming: StepRecord | None = None
        """What is known of a step whose update has not been applied yet."""
        self._made = False
        """Its update has been made before anybody could refuse it (DeepSpeed)."""
        self._looked = False
        """In this step it is known already how the adapters are: a plain one asks them once."""
        self._exchanged = False
        """Other adapters were found after the step's pass had begun, which was to be seen."""
        self._rates: tuple[float, ...] = ()
        """Of the parameter groups, for the coming update: a trainer's schedule may move on before the step is over."""
        self._announced: RunInfo | None = None
        """What the sinks know of the run and its adapters."""
        self._unwritten: list[Alert] = []
        self._since: dict[str, Any] = {}
        """What has happened since the latest record, as fields of the next one: an evaluation, a row."""
        self._eval_loss, self._eval_from = "", 0
        """The name of the first set's evaluation loss, and since which step."""
        self._probe: dict[str, Any] | None = None
        self._probe_base: dict[str, float] = {}
        """``probe_base_loss``: that of the probe without the adapters, once it is known."""
        self._checkpoint: tuple[int, dict[str, float]] = (0, {})
        """The step of the checkpoint from which this session goes on, and ‖ΔW‖ of each adapter then."""
        self._open_before: set[str] = set()
        """The rules of the alerts that were open when the checkpoint was saved."""
        self._gathered: StepRecord | None = None
        """The norms of adapters that are spread over ranks, when all have last measured them together."""
        self.ended_for: list[Alert] = []
        """What all ranks have agreed to end the run for, worst first. It is not decided again from this rank's own."""
        self._ended_with: LoraWatchError | None = None
        self._ending: tuple[Verdict, str | None] | None = None
        """How a run was ended that did not end by itself, and why."""
        self._replicas = Replicas()
        parts = self.policy, self.recorder, self.episodes, self.guard, self._unwritten.extend
        self.recovery = Recovery(model, optimizer, *parts, settings.recover_memory)

    # -- the course of a run -------------------------------------------------------------------------------------------
    @guarded("starting")
    def start(self, step: int | None = None, updated: bool = False) -> None:
        """Find the adapters and judge what can be judged before the first step. ``step``: steps done before; None for
        those of the checkpoint, where one was loaded. ``updated``: the first update has been made already, and hides
        the beginning."""
        step = self._checkpoint[0] if step is None else step
        self._started = True
        with self.guard("starting"):
            process.count_start(self)
            self.steps = self._first_step = step
            self.recorder.cadence.first = step
        with self.guard("listening to what ends the process", aside=True):
            process.listen(self)
        with self.guard("preparing to recover"):
            self.recovery.prepare()
        with self.guard("looking for adapters"):
            self.recorder.find(step)
        with self.guard("starting"):
            self._take_over(self.sinks.session_before() if step else ())
            self._announce()
            self.sinks.updated(step)
        with self.guard("judging what there is before the first step"):
            self._judge_the_start(updated)
        with self.guard("copying what a run may go back to"):
            self.recovery.start(step)
        with self.guard("planning the first step"):
            self.recorder.plan(step)
            self.recorder.instruments.place_hooks()
        self.coverage.failures = self.guard.failures  # which have cost no step
        self.guard.start_clock()

    @guarded("placing hooks")
    def place_hooks(self) -> None:
        """See the coming pass, where there is something to be seen or heard. ``start`` and ``after_update`` place them
        too. A driver that knows when passes begin and end takes them off in between."""
        if self.recorder.instruments.is_armed:
            self._look_again()  # these are the adapters that the pass goes through
        self.recorder.instruments.place_hooks()

    @guarded("taking hooks off the model")
    def take_hooks_off(self) -> None:
        """Nothing of ours is in the model, until ``place_hooks``."""
        self.recorder.instruments.take_hooks_off()

    def use(self, optimizer: Any, scheduler: Any = None) -> None:
        """What the coming update is made by, and its schedule: those of the update before, or others from now on."""
        if not self._started or optimizer is None or optimizer is self.recorder.monitored.optimizer:
            return
        with self.guard("taking over another optimizer"):
            self._judge_pending()
            self.recorder.use(optimizer, peaks(scheduler))
            self.recovery.use(optimizer)
            self._looked = False

    @guarded("reading gradients")
    def before_clipping(self) -> None:
        """See which gradients are finite before they are clipped, which may spread one NaN to all. Optional."""
        if not self.recorder.monitored.has_changed():
            self.recorder.instruments.gradients.see_unclipped()
            self._looked = self.run.searched

    @guarded("looking at the loss and the gradients", list)
    def before_update(self, loss: Loss, made: bool = False, **seen: Tensor | int | None) -> list[Alert]:
        """Look at the loss and the gradients that the optimizer is about to use, or has used where it is ``made``.

        Optional, for loops that want to stop before a non-finite update. Returns what the policy is to act on and the
        rules call ``urgent``. Waits for an accelerator only if something may act (``fail_on``, ``recover``).

        ``seen``: see ``Recorder.measure``.
        """
        urgent: list[Alert] = []
        if not self._started:
            return urgent
        self._made = made
        with self.guard("looking for adapters"):
            if not self._looked:
                self._exchanged |= self._look_again(coming=False)
            self._looked = True
            self._rates = self.recorder.monitored.lr
            if made:  # what is there now is not what the step before has left
                self.sinks.updated(self.steps + 1)
        with self.guard("reading gradients"):  # whatever has failed: where they are sharded other ranks come here, too
            if not self.recorder.read_gradients(loss) or self.policy.can_act:
                self._judge_pending()
                self._coming = self.recorder.before_update(self.steps + 1, loss, self.policy.can_act, **seen)
            if self._coming is not None:
                self._unwritten += self.episodes.check(self._coming, urgent=True)
                urgent = [alert for alert in self._acute if alert.rule in self.policy.urgent]
                if urgent:  # else it is written when the step is done
                    self._write(self._coming)
        if self.policy.recover:
            self.recovery.before_update(loss, self.ranks)
        return urgent

    @guarded("measuring", list)
    def after_update(
        self, loss: Loss, step: int | None = None, *, updated: bool = True, **seen: Tensor | int | None
    ) -> list[Alert]:
        """Measure, judge and write one finished optimizer step. Returns what the policy is to act on.

        With adapters on an accelerator it measures this step, and judges and writes the one before.

        ``updated``: False when the optimizer skipped the step. ``seen``: see ``Recorder.measure``.
        """
        if not self._started:
            return []
        self.steps = self.steps + 1 if step is None else step
        self.coverage.done += 1
        self._coming = None
        looked, self._looked = self._looked, False
        # What other ranks come to, too, stands behind a door of its own: this one comes there, whatever has failed.
        if self._pending is not None:
            with self.guard("measuring"):
                self._judge_pending()
        recorder, rates, switched, dropped = self.recorder, self._rates, False, False
        if self.policy.recover:
            with self.guard("counting dropped updates"):
                dropped = self.recovery.after_update(self.steps)
        with self.guard("looking for adapters"):
            if not dropped:
                self.sinks.updated(self.steps)
            due, self._rates = recorder.cadence.due, ()
            # What was trained in this step is measured, although a callback may have switched to others already: those
            # are looked for afterwards, or when the next step looks.
            if not looked or not recorder.monitored.is_whole:
                self._exchanged |= self._look_again(coming=False)
            elif due.full:
                switched = self._have_changed()
            elif due.norms:
                recorder.monitored.live.follow()  # the update may have put numbers elsewhere in memory
            rates = rates or recorder.monitored.lr
            self.coverage.exchanged += self._exchanged and due.full
            self._exchanged = False
        with self.guard("measuring"):
            made = updated and not dropped
            pending = recorder.measure(self.steps, loss, lr=rates, updated=made, **seen)
            self._pending = pending
            self._announce()
            if switched:
                recorder.find(self.steps)
                pending.known["retired"] = recorder.monitored.retired
            if dropped or not pending.numbers.late:
                self._judge_pending(dropped)
        with self.guard("planning the next step"):
            if self.policy.patience:
                recorder.cadence.called |= self.policy.is_out(self.episodes.open, self.steps + 1)
            recorder.plan(self.steps, self.episodes.wanted, len(self.episodes.alerts))
        return self._acute

    def decide(self, alerts: Sequence[Alert] | None = None) -> list[Alert]:
        """Those for which the run ends: on any rank the policy acts on ``alerts`` (``failures`` if None), and the run
        does not recover from them. Every rank calls it at the same step, and gets the same answer."""
        alerts = self._own_failures() if alerts is None else alerts
        agreed = self._agree(alerts) if alerts or self.ranks.together else []
        if agreed and self.policy.recover:
            with self.guard("recovering"):
                self._judge_pending()
            recovered = self.recovery.recover(agreed, self._coming, self.ranks)
            if recovered or not self.policy.can_end_a_run:  # alike on every rank, which its own alerts are not
                agreed = []
        self.ended_for = agreed
        return agreed

    def raise_for(self, alerts: Sequence[Alert] | None = None) -> None:
        """``decide``, and end the training now, on every rank, where the answer is to end it."""
        if self.decide(alerts):
            self._fail()

    def end(self, step: int | None = None) -> None:
        """The training has come to its end, the planned one or not: judge it as a whole, and complete its files.

        Raises the exception of a run that has failed on any rank, again when asked again. ``step``: see ``conclude``.
        """
        if not self._started:
            self.finish()
            if self._ended_with is not None:
                raise self._ended_with
            return
        self.conclude(step)
        with self.guard("measuring what the run leaves"):
            self._gather()  # the best checkpoint may have been loaded
        # Nothing is trained any more that could recover. What was agreed on at the last step stays so.
        self.ended_for = self.ended_for or self._agree(self._own_failures())
        if self.ended_for:
            self._fail()
        self.finish("ok")

    @guarded("measuring", list)
    def flush(self) -> list[Alert]:
        """Judge the latest step now, where its numbers are still on their way from an accelerator: waits for them.
        Returns what the policy is to act on if there was such a step, nothing otherwise."""
        if self._pending is None:
            return []
        self._judge_pending()
        return self._acute

    @guarded("judging the whole run")
    def conclude(self, step: int | None = None) -> None:
        """Ask the rules for their last word on a run that has ended by itself; a second call does nothing. A run that
        the policy has ended is not asked about. ``step``: steps done, as the driver has counted them, whatever of it
        has been seen."""
        if step is not None:
            self.coverage.done = max(self.coverage.done, step - self._first_step)
        self.flush()
        self.recovery.conclude()
        over = self.coverage.concluded or self.failures
        if over or self.last is None or self.last.step == self._first_step:
            return
        alerts: list[Alert] = []
        if (now := self.recorder.at_the_end(self.last)) is not None:  # the weights as they stand
            alerts = self.episodes.conclude(now, "at_the_end")
        last = self.last.amended(**{"evaluations": {}, "logged": None, **self._since})
        alerts += [alert for alert in self.episodes.conclude(last) if alert not in alerts]
        self.coverage.concluded = True
        rewarded = "reward_flat" in last.scalars or last.run.learns_preferences
        if rewarded and "reward_rows" not in last.scalars and last.step >= FEWEST_STEPS:
            self.note("the log's rows are too few to judge the reward or margin (LW104): set logging_steps to 1")
        if alerts:
            self._write(self.last, alerts)
        for late in self._acute[:1]:
            self.recovery.give_up(f"{late.rule} was certain only after the last step, when nothing is trained any more")

    @guarded("ending")
    def finish(self, verdict: Verdict = "ok", message: str | None = None) -> None:
        """Close every sink with ``ok``, ``failed`` or ``interrupted``. A second call does nothing.

        What has ended by itself with an ERROR was not ok: it is ``unhealthy``, and the message says why. What was not
        measured, or not judged to its end, is ``unknown``: ``ok`` is decided from steps judged of steps done.
        """
        if not self._started:
            self.recorder.instruments.close()
            return
        if verdict == "ok":
            self.conclude()
        else:
            self.flush()
            self._ending = verdict, message
        self._started = False
        with self.guard("taking the hooks off the model", aside=True):
            self.recorder.instruments.close()
        with self.guard("listening to what ends the process", aside=True):
            process.stop_listening(self)
        if verdict == "ok":
            verdict, message = "unknown", "lora_watch failed while it judged the whole run"
            with self.guard("judging the whole run"):
                verdict, message = self._verdict()
        if self._unwritten:
            self._write(self.last or StepRecord(self.run, self.steps, {}))
        self._announce()
        self.sinks.finish(verdict, message)
        process.count_end(self, verdict)
        with self.guard("letting go of the model", aside=True):  # whoever keeps a run keeps no model alive
            self.recovery.let_go()
            self.recorder.let_go()

    def finish_for(self, error: BaseException) -> None:
        """Close every sink, since ``error`` has ended the training."""
        if isinstance(error, RuntimeError):  # as torch's of a loss without a gradient
            self._explain()
        failed = isinstance(error, LoraWatchError)
        self.finish("failed" if failed else "interrupted", error.message if failed else process.in_words(error))

    # -- questions, also after the end ---------------------------------------------------------------------------------
    @property
    def run(self) -> RunInfo:
        return self.recorder.monitored.run

    @property
    def alerts(self) -> list[Alert]:
        return self.episodes.alerts

    @property
    def next_run(self) -> Prescription | None:
        """What to change for the next run, relative to the settings that this one was started with."""
        return self.episodes.prescription

    @property
    def failures(self) -> list[Alert]:
        """The alerts for which the policy ends the run, worst first: those of all ranks, once they have agreed."""
        return self.ended_for or self.policy.failures(self.episodes.open)

    def note(self, text: str) -> None:
        """Add to the report's notes, once."""
        self.recorder.monitored.note(text)

    def error(self) -> LoraWatchError:
        """The exception that says why the policy ends the run."""
        bad = self.failures
        lines = [alert.brief for alert in self._prescribed(bad[:1])] + [alert.title for alert in bad[1:]]
        lines += [NOT_MADE] * (self._refused is not None)
        return LoraWatchError("\n".join([*self._does_not_go_on, *lines, *self.recovery.story]), bad)

    @property
    def _does_not_go_on(self) -> list[str]:
        """Why a session that was to go on from a checkpoint has not begun, in words; empty of any other."""
        then = " and ".join(f"{alert.rule} {alert.name}" for alert in self.failures if alert.rule in self._open_before)
        if not then or self.last is not None:  # a step has been judged
            return []
        why = f"The run does not go on from step {self._first_step}: {then} was open when it was saved."
        return [f"{why} Resume from an earlier checkpoint, or begin anew."]

    @guarded("noting an evaluation", aside=True)
    def evaluated(
        self,
        metrics: Mapping[str, float],
        step: int | None = None,
        samples: int | None = None,
        checkpoints: tuple[int, ...] | None = None,
    ) -> None:
        """Note in the report how good the model is: ``{"eval_loss": 1.2}``. Also after ``finish``. ``samples``: on how
        many examples. ``checkpoints``: the steps of those that are there."""
        step = self.steps if step is None else step
        name = "eval_loss" if "eval_loss" in metrics else next(iter(eval_losses(metrics)), "")
        if name == "eval_loss" or not self._eval_loss or (name and self._eval_from == 0 < step):
            self._eval_loss, self._eval_from = name, step  # of several sets the first after the start
        first, probed = bool(name) and name == self._eval_loss, dict[str, float]()
        loss = float(metrics[name]) if name else math.nan  # a loop may give a tensor
        if self._started and first:
            self.flush()  # a step is written before what is logged after it
            if self._probe is not None:
                with self.guard("measuring the loss of probe=", aside=True):
                    probed = self._probe_losses()
            self.sinks.logged(step, {"eval_loss": loss, **probed})
        self.sinks.evaluated(step, {**metrics, **probed})
        if name:
            pair = (probed["probe_loss"], probed["probe_base_loss"]) if probed else None
            shares = (f"{name.removesuffix('loss')}{share}" for share in ("accuracy", "rewards/accuracies"))
            right = next((metrics[share] for share in shares if share in metrics), None)
            seen = {name: Evaluation(step, loss, samples, checkpoints, pair, right, name)}
            self._since["evaluations"] = (seen if first else {}) | self._since.get("evaluations", {}) | seen

    def probe(self, batch: dict[str, Any]) -> None:
        """Compute the loss of ``batch``, which the model is given with its ``labels``, at each evaluation."""
        self._probe = batch

    def _probe_losses(self) -> dict[str, float]:
        instrument, wanted = self.recorder.instruments.scaled_loss, {"probe_loss": 1.0}
        if not self._probe_base:
            wanted["probe_base_loss"] = 0.0
        if why_not := "" if instrument.why_not == OTHER else instrument.why_not:
            self.note(f"the loss of probe= is unknown: {why_not}")
            return {}
        losses = instrument.of(wanted, (), self._probe or {})
        self._probe_base = self._probe_base or {name: losses[name] for name in losses if name != "probe_loss"}
        return losses and losses | self._probe_base

    @guarded("reading what is logged of a policy", aside=True)
    def logged(self, row: Mapping[str, Any], step: int) -> None:
        """A trainer has logged ``row`` after ``step`` optimizer steps: if it is of a policy, rules and sinks see it."""
        if numbers := numbers_of(row):
            self.flush()  # whoever logs has waited for the step already
            numbers = self.recorder.read_row(numbers, self.last)
            self.sinks.logged(step, numbers)
            self._since["logged"] = Logged(step, numbers)

    @guarded("reading back what was saved", aside=True)
    def saved(self, folder: Path, model: nn.Module | None = None) -> None:
        """PEFT has saved the adapters of ``model`` into ``folder``, as they are after the latest step: read them back.
        Also after the end, when the rank that saves raises LoraWatchError, alone, for what the policy fails on."""
        self.flush()
        last = self.last
        if self._ended_with is not None or last is None or last.step != self.steps:
            return
        from lora_watch.snapshots.receipt import norms_of, read_back  # the core needs no safetensors

        def now() -> dict[str, float]:  # unknown where that takes other ranks
            norms = {} if model is None else norms_of(model)
            return {name: norm for name, norm in norms.items() if math.isfinite(norm) or name not in trained}

        trained = dict.fromkeys(last.run.names, math.nan)  # which are only looked for
        trained |= self._norms_by_name("delta_norm")
        if not self._started:  # the best checkpoint may have been loaded
            trained |= now()
        receipt = read_back(folder, self.steps, trained)
        if receipt is not None and receipt.differing:  # a callback may have put other weights in place since the step
            receipt = read_back(folder, self.steps, trained | now())
        if receipt is None:
            return
        alerts = self.episodes.conclude(last.amended(receipt=receipt), "saved")
        if self._started:
            self._unwritten += alerts
        elif alerts:
            self.sinks.amend(last, alerts, *(self._ending or self._verdict()))
            if self.policy.failures(alerts):
                raise self.error()

    @guarded("keeping the rules' state for a checkpoint, so that a resumed run starts them anew", dict, aside=True)
    def state_dict(self, together: bool = False) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for a checkpoint. Waits for the latest step, and until it is on disk.
        ``together``: every rank calls it, which measures adapters that are spread over them."""
        self.flush()
        self.sinks.flush()
        parts = {"episodes": self.episodes, "coverage": self.coverage, "recovery": self.recovery}
        states = {name: part.state_dict() for name, part in parts.items()}
        if together:
            self._gather()
        gone = any(self.steps in stretch for stretch in discarded(self.alerts))  # it was measured before it went back
        norms = {} if gone else self._norms_by_name("delta_norm")
        # A scale that the script moves comes back as the script sets it, whenever that is.
        begun, scales = {a.name: a.scale for a in self.run.adapters}, self._norms_by_name("scale")
        norms = {name: norm for name, norm in norms.items() if scales.get(name) in (None, begun.get(name))}
        evaluations = {name: list(seen) for name, seen in self._since.get("evaluations", {}).items()}
        here = {"step": self.steps, "delta_norms": norms, "evaluations": evaluations}
        return states | self.recorder.state_dict() | here

    @guarded("taking over a checkpoint's state, so that what it does not tell starts anew")
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Call it before ``start``."""
        self.episodes.load_state_dict(state.get("episodes", {}), state.get("step", 0))
        self._open_before = {alert.rule for alert in self.episodes.open}
        self.coverage.load_state_dict(state.get("coverage", {}))
        self._unwritten[:] = self.episodes.alerts  # else the files of this session would not know of them
        self.recorder.load_state_dict(state)
        self._checkpoint = state.get("step", 0), dict(state.get("delta_norms", {}))
        self._since["evaluations"] = {name: Evaluation(*it) for name, it in state.get("evaluations", {}).items()}
        self.recovery.load_state_dict(state.get("recovery", {}))

    # -- parts of a step -----------------------------------------------------------------------------------------------
    def _take_over(self, before: Sequence[Alert]) -> None:
        """Open alerts of the session before. A checkpoint's state lacks that about itself: it is read back later."""
        for alert in before:
            itself = alert.step == self.steps and f"checkpoint-{self.steps}" in alert.details  # not a later save
            if alert.rule == SavedAdapterDiffers.id and itself:
                self._unwritten += self.episodes.adopt(alert)
                self._open_before.add(alert.rule)
        for first in in_order(alert for alert in before if alert.severity is Severity.ERROR)[:1]:
            if first.rule not in self._open_before:
                what = f"{first.when}: {first.message} ({first.rule})"
                self.note(f"the session before this one ended with an ERROR {what}")

    def _judge_the_start(self, updated: bool) -> None:
        if self.steps == 0:
            record = self.recorder.complete(self.recorder.measure(0, None))
            self._judge(record)
            if not updated:
                self.recorder.note_the_start(record)
        else:  # a resumed run was judged before its first step already, and has what was found since then
            step, norms = self._checkpoint
            losses = self.recorder.losses
            record = StepRecord(self.run, self.steps, {}, checkpoint=norms if step == self.steps else {}, losses=losses)
            now = self.recorder.norms_now(record, together=True)  # whatever this rank knows of a checkpoint
            found = self.episodes.conclude(replace(record, metrics=now or {}, updated=updated), "resumed")
            self._write(record)  # alerts of the session before are this one's story, too: they come first, and alone
            if found:
                self._write(record, found)

    def _judge_pending(self, dropped: bool = False) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        since = {} if dropped else self._since  # no rule is asked then, and the next record has it
        record = self.recorder.complete(pending, dropped, **since)
        if since:
            self._since = {}
        if self.recorder.ranks and self.recorder.monitored.replicated:
            with self.guard("comparing the adapters of ranks", aside=True):
                record = self._replicas.compared(record)
        self._judge(record, dropped)

    def _judge(self, record: StepRecord, dropped: bool = False) -> None:
        """Ask all rules, but none of a step whose update was taken back, and write what has come of it."""
        alerts: list[Alert] = []
        self.last = record
        with self.guard("asking the rules"):
            alerts = [] if dropped else self.episodes.check(record)
            self.last = self.episodes.place(record)
        if record.step > self._first_step:
            self.coverage.judged(self.last, self.guard.failures)
            if self.policy.recover:
                self.recovery.judged(self.last)
        self._write(self.last, alerts)

    def _write(self, record: StepRecord, alerts: Sequence[Alert] = ()) -> None:
        told, self._unwritten[:] = [*self._unwritten, *alerts], []
        self.sinks.write(record, told)

    def _announce(self) -> None:
        if self.run is not self._announced:  # other adapters, or a note
            self._announced = self.run
            self.sinks.start(self.run, self.steps)

    def _have_changed(self) -> bool:
        """Adapters have come, gone or been switched since they were looked for, or that has failed."""
        unknown = not self.run.searched and world_size() == 1  # several ranks stay alike
        return unknown or self.recorder.monitored.has_changed()

    def _look_again(self, coming: bool = True) -> bool:
        """Look for the adapters anew if they ``_have_changed``; whether they have. ``coming``: the pass of the coming
        step has not begun."""
        changed = self._have_changed()
        if changed:
            self.recorder.find(self.steps, coming)
        return changed

    def _gather(self) -> None:
        """Measure adapters that are spread over ranks: all ranks come here."""
        if self._started and self.recorder.monitored.collective:
            record = StepRecord(self.run, self.steps, {})
            self._gathered = replace(record, metrics=self.recorder.norms_now(record, together=True) or {})

    def _norms_by_name(self, metric: str) -> dict[str, float]:
        """After the latest step, those that are known. They are measured now of AdaLoRA, whose ranks may be cut after
        the step, and where ``every`` has left them out; those that are spread over ranks where all ``_gather``."""
        known = self._gathered if self._gathered and self._gathered.step == self.steps else self.last
        if known is None or known.step != self.steps:
            return {}
        there = known.metrics
        cut = any(adapter.variant == "adalora" for adapter in self.recorder.monitored.adapters)
        if self._started and (cut or metric not in there):
            there = {**there, **(self.recorder.norms_now(known) or {})}
        norms = known.run.by_name(there[metric].measured) if metric in there else {}
        return {name: norm for name, norm in norms.items() if math.isfinite(norm)}

    # -- what ends a run -----------------------------------------------------------------------------------------------
    @property
    def _refused(self) -> StepRecord | None:
        """The coming step, where what ends the run now keeps its update from being made."""
        return None if self._made else self._coming

    @property
    def _acute(self) -> list[Alert]:
        """``failures``, and where the run is to recover although nothing may end it what it is to recover from."""
        policy = self.policy.recovering if self.policy.recover else self.policy
        return policy.failures(self.episodes.open)

    @guarded("looking for what ends the run", list)
    def _own_failures(self) -> list[Alert]:
        """``failures``; none where they cannot be told, for the other ranks wait for an answer."""
        return self.failures

    def _agree(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Where ranks cannot agree any more none ends the run: those that go on would wait for it."""
        with self.guard("adding the prescription"):  # whatever fails, the other ranks wait for an answer
            alerts = self._prescribed(alerts)
        agreed = [] if self.ranks.together else alerts
        if self.policy.can_act:
            with self.guard("agreeing with the other ranks"):
                agreed = self.ranks.agree(alerts)
        if agreed:
            with self.guard("taking over alerts of another rank"):
                new = [alert for theirs in agreed for alert in self.episodes.adopt(theirs)]
                if new and self.last is not None:
                    self._write(self.last, new)
        return agreed

    def _fail(self) -> NoReturn:
        """Raise the exception of a run that its ranks have agreed to end: this one ends it, whatever fails in here."""
        error = LoraWatchError("", self.ended_for)
        with self.guard("saying what has ended the run"):
            if self._refused is not None:
                spoiled = [alert for alert in self.episodes.open if alert.rule in self.policy.urgent]
                for alert in spoiled:
                    alert.details = f"{alert.details} {NOT_MADE}".lstrip()
                self._write(self._refused, spoiled)
            error = self.error()
            for why in self._does_not_go_on:
                self.note(why)
        self._ended_with = error
        self.finish("failed", error.message)
        self.ranks.any(False)  # all come here before one raises: as soon as one has ended a launcher ends the others
        raise error

    def _prescribed(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Copies of ``alerts`` that carry the run's prescription, whichever alert has made it."""
        return [replace(alert, next_run=self.next_run) for alert in alerts]

    def _verdict(self) -> tuple[Verdict, str | None]:
        """What a run is called that has ended by itself, and why it is not ``ok``, or what it has recovered from."""
        if errors := in_order(alert for alert in self.alerts if alert.severity >= Severity.ERROR):
            return "unhealthy", self._prescribed(errors[:1])[0].brief
        recovered = [a.recovery for a in self.alerts if a.recovery and a.step > self._first_step]
        gap = self.coverage.gap(self.guard.failures, sum(each.discarded + each.dropped for each in recovered))
        return ("ok", last_recovery(self.alerts, self.steps, self.run.config)) if gap is None else ("unknown", gap)

    @guarded("looking for what has ended the run", aside=True)
    def _explain(self) -> None:
        """Open the alert that explains an exception of the pass: adapters no longer train since the last step."""
        if not self._started or world_size() > 1:
            return
        self._judge_pending()
        if self._look_again() or self.run is not self._announced:  # found before the pass
            monitored = self.recorder.monitored
            wiring = monitored.wiring(readable=False, base_trainable=None)
            record = StepRecord(self.run, self.steps, {}, wiring=wiring, retired=monitored.retired)
            self._unwritten += self.episodes.explain(record)

    def _report_failure(self, message: str, remedy: str) -> None:
        """A failure of the monitor itself becomes a finding."""
        alert = Alert(MONITOR_FAILURE, "monitor-failure", Severity.WARNING, self.steps, message, remedies=[remedy])
        self._unwritten += self.episodes.add(alert)
