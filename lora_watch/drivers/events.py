"""The Trainer's events, translated into those of a run."""

from __future__ import annotations

import itertools
import json
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_watch.adapters.sharding.zero import is_deepspeeds
from lora_watch.base.alerts import Alert, LoraWatchError, Verdict
from lora_watch.drivers import facts
from lora_watch.drivers.checkpoints import Checkpoints
from lora_watch.drivers.loop import Monitor
from lora_watch.drivers.schedule import follows_a_metric, read_schedule
from lora_watch.drivers.step_tap import StepTap
from lora_watch.drivers.trackers import LastWord, LogRows
from lora_watch.format.files import WaitingMark
from lora_watch.run.guard import Guard, event, guarded
from lora_watch.run.ranks import Ranks, any_rank
from lora_watch.run.standard import standard_sinks
from lora_watch.settings import CallbackSettings, takes
from lora_watch.sinks import Sink
from lora_watch.tensorboard_plugin.page.sink import PageSink

if TYPE_CHECKING:
    from lora_watch.tune.suggestion import Suggestion

_KEY = "lora_watch"
_OF_ONE_TRAINER = ("_trainer", "_tap", "_rows", "_last_word", "_mark", "monitors", "guard")


class TrainerEvents(TrainerCallback):
    """Translates a Trainer's events into those of a ``Monitor``. Arguments: those of ``LoraWatchCallback``."""

    @takes(CallbackSettings)
    def __init__(self, settings: CallbackSettings):
        self.settings = settings
        self.policy = settings.policy()
        self.find_lr = settings.find_lr
        self.found: Suggestion | None = None
        self._swept: dict[str, Any] = {}
        """What the sweep of ``find_lr`` has found, for the configuration of the run."""
        self.meant = False
        """Adapters are to be trained, whatever the model shows: ``lora-watch run`` says so."""
        self.monitor: Monitor | None = None
        """The monitor of the latest ``train()``: ``monitor.alerts``, ``monitor.last``, ``monitor.overhead``."""
        self._output = Path(".")
        self._checkpoints = Checkpoints(self._output)
        self._trial_pruned: type[Exception] | None = None
        self._belong_to_nobody()

    def _belong_to_nobody(self) -> None:
        self._trainer: weakref.ref[Trainer] | None = None
        self._mark = WaitingMark()
        self.monitors: list[Monitor] | None = None
        """Those of all trainings, where somebody wants to know of them."""
        self.guard = Guard()
        """The monitor's, where there is one. What is done inside a training is done in it: no exception comes out."""
        self._tap = StepTap(self._broke_off)
        self._rows, self._last_word = LogRows(), LastWord()

    def __getstate__(self) -> dict[str, Any]:
        """A copy, pickled or not, has the arguments and what was found, and belongs to no Trainer yet."""
        return vars(self) | dict.fromkeys(_OF_ONE_TRAINER)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._belong_to_nobody()

    # -- before training -----------------------------------------------------------------------------------------------
    @guarded("marking the report of an earlier run", aside=True)
    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A Trainer may die before its training begins, while it loads or maps its data."""
        if facts.is_first(state):
            self._mark.leave(self._report_folder(Path(args.output_dir or ".")))

    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.waits_no_longer()

    @guarded("taking a mark off a report", aside=True)
    def waits_no_longer(self) -> None:
        self._mark.take_off()

    # -- the Trainer's events, in their order: each returns the exception that is to end the training ------------------
    @event
    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        self.close("interrupted", "training ended by an exception of its own")  # if the run before broke off
        self.monitor = monitor = None
        self.guard = Guard()
        self.on_init_end(args, state, control)  # the next training of a Trainer may fail to begin, too
        if self.find_lr:
            kwargs |= self.sweep(state)
        with self.guard("starting"):
            monitor = _build(self, args, state, kwargs)
        # Ranks that wait for one that does not monitor hang.
        if any_rank(monitor is None, args.device) or monitor is None:
            self._detach()
            return None
        monitor.ranks = self._tap.ranks = Ranks(args.device, together=True)
        self.monitor, self.guard = monitor, monitor.guard
        if self.monitors is not None:
            self.monitors.append(monitor)
        monitor.start(state.global_step)
        monitor.take_hooks_off()
        self.waits_no_longer()
        return self._ending(monitor.end_for())  # nothing has been trained yet: nothing to save

    @event
    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.monitor is not None:
            self._tap.open()
            if not self._tap.follows:  # nobody says when a pass begins
                self.monitor.place_hooks()

    @event
    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.monitor is None:
            return None
        failures: list[Alert] = []
        with self.guard("leaving the Trainer's step"):
            self._tap.close()
            self.monitor.take_hooks_off()
        with self.guard("averaging the loss over ranks"):  # all come here, also one that has none
            self._tap.reduce()
        with self.guard("looking at the loss and the gradients"):
            trainer = self._tap.followed  # whose optimizer a script may have replaced without telling its events
            optimizer = getattr(trainer, "optimizer", None) or kwargs.get("optimizer")
            self.monitor.use(optimizer, getattr(trainer, "lr_scheduler", None) or kwargs.get("lr_scheduler"))
            failures = self.monitor.before_update(self._tap.loss, is_deepspeeds(optimizer), self._tap.targets)
        return self._ending(self.monitor.end_for(failures))

    @event
    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.monitor is None:
            return
        failures: list[Alert] = []
        made, seen = not getattr(kwargs.get("optimizer"), "step_was_skipped", False), {"loss": None}
        with self.guard("taking the loss of a step"):
            seen = self._tap.take()
        with self.guard("judging a step"):
            failures = self.monitor.after_update(**seen, step=state.global_step, updated=made)
            self.monitor.take_hooks_off()  # evaluations come next, and callbacks: whatever they raise finds none
            last = bool(self.policy.recover) and state.global_step >= state.max_steps  # it is saved by the user
            if control.should_save or last:  # nothing that has not been judged is saved
                failures = self.monitor.flush() or failures
        failures = self.monitor.unresolved(failures)
        if control.should_save or failures:
            with self.guard("keeping the rules' state for a checkpoint", aside=True):
                _remember(self.monitor, state)
        if failures:
            control.should_training_stop = True
            control.should_log = True
            control.should_evaluate = False
            # What cannot wait has spoiled the weights: they must not take the place of a good checkpoint.
            control.should_save = not any(alert.rule in self.policy.urgent for alert in failures)
        if control.should_log:
            self._rows.open()

    @event
    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if control.should_log:
            self._rows.open()

    @event
    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        self._rows.close()

    @event
    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        with self.guard("leaving the Trainer", aside=True):
            self._detach()
        return self._ending(self.monitor.end(state.global_step)) if self.monitor is not None else None

    @event
    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.monitor is not None:
            self.monitor.evaluated(facts.quality(kwargs.get("metrics") or {}), state.global_step)

    @event
    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.monitor is not None and args.should_save:
            self._checkpoints.saved(state.global_step)

    def attach(self, trainer: Trainer) -> None:
        """Say which Trainer this is for, instead of letting the callback look for it."""
        self._trainer = weakref.ref(trainer)

    # -- for subclasses -----------------------------------------------------------------------------------------------
    def exception(self, error: LoraWatchError) -> Exception:
        """The exception that ``train()`` raises if the policy ends the run with ``error``. In a hyperparameter search
        on Optuna it ends the trial, not the search."""
        return self._trial_pruned(str(error)) if self._trial_pruned is not None else error

    def sweep(self, state: TrainerState) -> dict[str, Any]:
        """With ``find_lr``: set the Trainer to the rate that is found. Returns what of the event's arguments is new."""
        return {}

    def close(self, verdict: Verdict, message: str | None = None) -> None:
        """This training is over: nothing of ours stays in the Trainer, and every file is complete."""
        self._detach()
        if self.monitor is not None:
            self.monitor.finish(verdict, message)

    @guarded("ending")
    def _broke_off(self, error: BaseException) -> None:
        self._detach()
        if self.monitor is not None:
            self.monitor.finish_for(error)

    # -- helpers -------------------------------------------------------------------------------------------------------
    def _detach(self) -> None:
        """Nothing of ours stays in the Trainer; what fails there keeps no run from its verdict."""
        for tap in (self._tap, self._rows, self._last_word):
            with self.guard("leaving the Trainer", aside=True):
                tap.detach()

    def _ending(self, error: LoraWatchError | None) -> Exception | None:
        """What comes out of the Trainer for ``error``, of which the monitor has ended the run."""
        if error is None:
            return None
        ending: Exception = error
        with self.guard("ending"):  # the other ranks end: so does this one
            self._detach()
            ending = self.exception(error)
            ending.__cause__ = None if ending is error else error
        return ending

    def _report_folder(self, output: Path) -> Path:
        return Path(self.settings.report_dir or output / "lora_watch")

    def _sinks(self, trainer: Trainer | None, model: Any) -> list[Sink]:
        settings, folder = self.settings, self._report_folder(self._output)
        events = facts.events_sink(trainer, self._output) if settings.tensorboard else None
        page = PageSink if settings.value("html") and settings.tensorboard else None
        own = standard_sinks(folder, model, self.policy, events, settings.console, page)
        return [*own, self._checkpoints, *settings.sinks]


def _build(callback: TrainerEvents, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> Monitor:
    """The monitor of the training that begins, with everything of ``callback`` in its place."""
    trainer = (callback._trainer and callback._trainer()) or facts.trainer_that_holds(callback)
    model = kwargs["model"]
    callback._trial_pruned = facts.trial_pruned(trainer)
    callback._output = facts.output_dir(args, trainer)
    place = callback._report_folder(callback._output).resolve()
    for other in itertools.takewhile(lambda one: one is not callback, facts.callbacks_of(trainer)):
        if isinstance(other, TrainerEvents) and other.monitor is not None and other.monitor.place == place:
            raise ValueError(
                f"another callback of lora_watch on this Trainer writes into {place}: this one does nothing. Keep "
                "one of the two, or give this one a report_dir of its own and tensorboard=False"
            )
    callback._checkpoints = Checkpoints(callback._output)
    schedule = read_schedule(kwargs.get("lr_scheduler"), state.max_steps)
    settings = callback.settings.of_a_run(
        sinks=callback._sinks(trainer, model) if facts.is_first(state) else (),
        console=False,  # it is one of the sinks
        output_ratio=not facts.is_compiled(args, trainer),
        max_steps=state.max_steps if state.max_steps > 0 else None,
        lr_fraction=schedule.fraction if schedule else None,
        peak_lr=schedule.peaks if schedule else None,
        config=facts.config_of(args, model)
        | {"train_data": facts.data_of(trainer)}
        | facts.classes_of(trainer, model)
        | ({"lr_follows_a_metric": True} if follows_a_metric(kwargs.get("lr_scheduler")) else {})
        | ({"sweepable": True} if trainer is not None and facts.no_sweep(trainer) is None else {})
        | ({"preference": True} if facts.is_preference(trainer) else {})
        | callback._swept,
        judge_loss=not facts.is_policy_gradient(trainer),
        notes=[*facts.notes_on(args, trainer), *callback._checkpoints.notes(state.global_step)],
        meant=callback.meant,
    )
    monitor = Monitor(model, kwargs.get("optimizer"), scheduler=kwargs.get("lr_scheduler"), **settings)
    monitor.place = place
    callback._tap.attach(trainer, monitor, facts.labels_of(trainer, model))
    callback._rows.attach(trainer, monitor)
    callback._last_word.attach(trainer, partial(_before_trackers_end, callback, monitor))
    saved: Any = state.stateful_callbacks
    if earlier := saved.get(_KEY):
        monitor.load_state_dict(earlier)
    return monitor


def _before_trackers_end(callback: TrainerEvents, monitor: Monitor, state: TrainerState) -> None:
    """Training has ended, and what a tracker is about to close (the TensorBoard writer) is still open."""
    with monitor.guard("ending"):
        callback._detach()
        monitor.end(state.global_step)


def _remember(monitor: Monitor, state: TrainerState) -> None:
    """Leave the monitor's state where the Trainer's next checkpoint picks it up."""
    saved: Any = state.stateful_callbacks
    saved.pop(_KEY, None)  # rather none than that of an earlier step
    saved[_KEY] = json.loads(json.dumps(monitor.state_dict()))
