"""The Trainer's events, translated into those of a run."""

import itertools
import json
import weakref
from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lora_watch.adapters.sharding.zero import is_deepspeeds
from lora_watch.base.alerts import Alert, LoraWatchError, Verdict
from lora_watch.base.generators import put_back
from lora_watch.drivers import trainer_info
from lora_watch.drivers.step_tap import StepTap, wrap
from lora_watch.drivers.trackers import Trackers
from lora_watch.format.files import WaitingMark
from lora_watch.rules.saving import SavedAdapterDiffers
from lora_watch.run.engine import Engine
from lora_watch.run.guard import Guard, event, guarded
from lora_watch.run.ranks import Ranks
from lora_watch.run.rates import read_schedule
from lora_watch.settings import CallbackSettings, takes
from lora_watch.sinks import Sink
from lora_watch.sinks.report import before_in
from lora_watch.sinks.standard import standard_sinks
from lora_watch.tensorboard_plugin.page.sink import PageSink

if TYPE_CHECKING:
    from lora_watch.tune.suggestion import Suggestion

_KEY = "lora_watch"


class TrainerEvents(TrainerCallback):
    """Translates a Trainer's events into those of an ``Engine``. Arguments: those of ``LoraWatchCallback``."""

    @takes(CallbackSettings)
    def __init__(self, settings: CallbackSettings):
        self.settings = settings
        self.policy = settings.policy()
        self.find_lr = settings.find_lr
        self.found: Suggestion | None = None
        self._swept: dict[str, Any] = {}
        """What the sweep of ``find_lr`` has found, and the script's own rate, for the configuration of the run."""
        self.meant = False
        """Adapters are to be trained, whatever the model shows: ``lora-watch run`` says so."""
        self._output = Path(".")
        self._trainer: weakref.ref[Trainer] | None = None
        self._mark = WaitingMark()
        self.monitor: Engine | None = None
        """That of the latest ``train()``: ``monitor.alerts``, ``monitor.last``."""
        self.monitors: list[Engine] | None = None
        """Those of all trainings, where somebody wants to know of them."""
        self.guard = Guard()
        """The monitor's, where there is one. What is done inside a training is done in it: no exception comes out."""
        self._tap = StepTap(self._broke_off)
        self._trackers = Trackers()
        self._saves = True
        """No failure is open that a checkpoint must not hold."""
        self._untrained: list[tuple[Any, ...]] = []
        """What each ``trainer.evaluate()`` has said before the training."""

    # -- before training -----------------------------------------------------------------------------------------------
    @guarded("marking the report of an earlier run", aside=True)
    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A Trainer may die before its training begins, while it loads or maps its data."""
        if trainer_info.is_first(state):
            self._mark.leave(self._report_folder(Path(args.output_dir or ".")))

    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.waits_no_longer()

    @guarded("taking a mark off a report", aside=True)
    def waits_no_longer(self, folders: Container[object] | None = None) -> None:
        """``folders``: there alone."""
        if folders is None or self._mark.folder in folders:
            self._mark.take_off()

    # -- the Trainer's events, in their order: out of them comes what ends the training, and nothing else --------------
    @event
    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.close("interrupted", "training ended by an exception of its own")  # if the run before broke off
        self.monitor = engine = None
        self._saves = True
        self.guard = Guard()
        self.on_init_end(args, state, control)  # the next training of a Trainer may fail to begin, too
        if self.find_lr:
            kwargs |= self.sweep(state)
        with self.guard("starting"):
            engine = self._build(args, state, kwargs)
        # Ranks that wait for one that does not monitor hang.
        ranks = Ranks(args.device, together=True)
        if ranks.any(engine is None) or engine is None:
            self._detach()
            return
        engine.ranks = ranks
        self.monitor, self.guard = engine, engine.guard
        if self.monitors is not None:
            self.monitors.append(engine)
        engine.start(state.global_step)
        engine.take_hooks_off()
        sets = getattr(self._tap.followed, "eval_dataset", None)
        judged = {f"eval_{name}_loss" for name in sets} if isinstance(sets, dict) else {"eval_loss"}
        for seen in self._untrained if state.global_step == 0 else ():
            if judged.intersection(seen[0]):  # another set's says nothing of these
                engine.evaluated(*seen)
        self._untrained = []
        self.waits_no_longer()
        self._raise_for(engine.raise_for)  # nothing has been trained yet: nothing to save

    @event
    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.monitor is not None:
            self._tap.open()

    @event
    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if (engine := self.monitor) is None:
            return
        failures, tap = list[Alert](), self._tap
        with self.guard("averaging the loss over ranks"):  # all come here, also one that has none
            tap.loss = engine.ranks.mean(tap.loss, tap.labels, engine.recorder.instruments.own_loss)
        with self.guard("looking at the loss and the gradients"):
            tap.close()
            trainer = tap.followed  # whose optimizer a script may have replaced without telling its events
            optimizer = getattr(trainer, "optimizer", None) or kwargs.get("optimizer")
            engine.use(optimizer, getattr(trainer, "lr_scheduler", None) or kwargs.get("lr_scheduler"))
            made = getattr(trainer, "is_deepspeed_enabled", True) and is_deepspeeds(optimizer)
            failures = engine.before_update(tap.loss, made, **tap.labels.seen)
        self._raise_for(engine.raise_for, failures)

    @event
    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if (engine := self.monitor) is None:
            return
        failures: list[Alert] = []
        made, seen = not getattr(kwargs.get("optimizer"), "step_was_skipped", False), {"loss": None}
        with self.guard("taking the loss of a step"):
            seen = self._tap.take()
        with self.guard("judging a step"):
            failures = engine.after_update(**seen, step=state.global_step, updated=made)
            engine.take_hooks_off()  # evaluations come next, and callbacks: whatever they raise finds none
            last = bool(self.policy.recover) and state.global_step >= state.max_steps  # it is saved by the user
            if control.should_save or last:  # nothing that has not been judged is saved
                failures = engine.flush() or failures
        failures = engine.decide(failures)
        if control.should_save or failures:
            self._remember(engine, state)
        if failures:
            control.should_training_stop = True
            control.should_log = True
            control.should_evaluate = False
            # What cannot wait has spoiled the weights, and a save that loses adapters loses them again: no good
            # checkpoint makes room for either. Else the state is saved to be looked at, where anything is saved.
            no_save = {*self.policy.urgent, SavedAdapterDiffers.id}
            self._saves = not any(alert.rule in no_save for alert in failures)
            control.should_save = self._saves and (control.should_save or args.save_strategy != "no")

    @event
    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        control.should_save = control.should_save and self._saves
        if control.should_save and self.monitor is not None:  # with save_strategy="epoch" it is known only now
            self._remember(self.monitor, state)

    @event
    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.monitor is not None:
            self.monitor.logged(kwargs.get("logs") or {}, state.global_step)

    @event
    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        trainer = self._tap.followed
        with self.guard("leaving the Trainer", aside=True):
            self._detach()
        if self.monitor is not None:
            with self.guard("looking what the loaded checkpoint was worth", aside=True):
                self.monitor.sinks.evaluated(*trainer_info.best_evaluation(args, state))
            self._raise_for(self.monitor.end, state.global_step)
            if trainer is not None and self._saves_in(state) is not None:
                self._await_final_save(trainer, self.monitor)

    @event
    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # TRL says what share of the pairs is right only where it logs, which comes before.
        row = state.log_history[-1] if state.log_history else {}
        metrics = {name: row[name] for name in row if name.endswith("rewards/accuracies")}
        metrics |= kwargs.get("metrics") or {}
        samples, kept = trainer_info.evaluated_samples(metrics), trainer_info.checkpoints_in(self._saves_in(state))
        seen = trainer_info.quality(metrics), state.global_step, samples, kept
        if self.monitor is None:
            self._untrained.append(seen)
        else:
            self.monitor.evaluated(*seen)
            if control.should_save or args.save_strategy == "best":  # the checkpoint comes after it
                self._remember(self.monitor, state)

    @event
    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.monitor is not None and args.should_save and (folder := self._saves_in(state)) is not None:
            self.monitor.saved(folder / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}", kwargs.get("model"))

    def attach(self, trainer: Trainer) -> None:
        """Say which Trainer this is for, instead of letting the callback look for it."""
        self._trainer = weakref.ref(trainer)

    # -- for subclasses -----------------------------------------------------------------------------------------------
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
        for tap in (self._tap, self._trackers):
            with self.guard("leaving the Trainer", aside=True):
                tap.detach()

    def _raise_for(self, ends: Callable[..., None], *arguments: Any) -> None:
        """Call what may end the run: then nothing of ours stays in the Trainer. A run that has been stopped raises,
        whatever fails here: its script must not go on as if it had been trained."""
        try:
            ends(*arguments)
        except LoraWatchError:
            self._detach()
            raise
        except Exception as error:
            self.guard.caught("ending the run", error)
            if self.monitor is not None and (alerts := self.monitor.ended_for):
                raise LoraWatchError(str(alerts[0]), alerts) from error

    @guarded("waiting for the final save", aside=True)
    def _await_final_save(self, trainer: Trainer, engine: Engine) -> None:
        """Read back what a script saves after training, of which no event tells: the first ``save_model`` alone."""

        def save_model(inner: Callable[..., Any], output_dir: Any = None, *args: Any, **kwargs: Any) -> Any:
            restore()
            saved = inner(output_dir, *args, **kwargs)
            if self.monitor is engine and trainer.args.should_save:  # no other training has begun
                engine.saved(Path(output_dir or trainer.args.output_dir or "."), trainer.model)
            return saved

        restore = wrap(trainer, "save_model", save_model)  # nobody else keeps it, and with it the model

    def _saves_in(self, state: TrainerState) -> Path | None:
        """Where the Trainer's checkpoints are. In a hyperparameter search each trial has a folder of its own, which is
        not looked for."""
        return None if state.is_hyper_param_search else self._output

    def _report_folder(self, output: Path) -> Path:
        return Path(self.settings.report_dir or output / "lora_watch")

    def _sinks(self, trainer: Trainer, model: Any) -> list[Sink]:
        settings, folder = self.settings, self._report_folder(self._output)
        events = trainer_info.events_sink(trainer, self._output) if settings.tensorboard else None
        page = PageSink if settings.value("html") and settings.tensorboard else None
        own = standard_sinks(folder, model, self.policy, events, settings.console, page)
        return [*own, *settings.sinks]

    def _build(self, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> Engine:
        """The engine of the training that begins, with everything of this callback in its place."""
        trainer = (self._trainer and self._trainer()) or trainer_info.trainer_that_holds(self)
        if trainer is None:
            raise ValueError("the Trainer was not found: use lora_watch.watch(trainer)")
        model, scheduler = kwargs["model"], kwargs.get("lr_scheduler")
        self._output = Path(args.output_dir or ".")
        place = self._report_folder(self._output).resolve()
        for other in itertools.takewhile(lambda one: one is not self, trainer_info.callbacks_of(trainer)):
            if isinstance(other, TrainerEvents) and other.monitor is not None and other.monitor.place == place:
                raise ValueError(
                    f"another callback of lora_watch on this Trainer writes into {place}: this one does nothing. Keep "
                    "one of the two, or give this one a report_dir of its own and tensorboard=False"
                )
        sinks = self._sinks(trainer, model) if trainer_info.is_first(state) else []
        saved: Any = state.stateful_callbacks
        earlier = saved.get(_KEY) or {}
        if self.find_lr:  # the rate of a checkpoint's sweep stays
            self._swept |= earlier.get("swept", {})
        settings = self.settings.of_a_run(
            sinks=sinks,
            output_ratio=not trainer_info.is_compiled(args, trainer),
            max_steps=state.max_steps if state.max_steps > 0 else None,
            **read_schedule(scheduler, state.max_steps),
            config=trainer_info.config_of(trainer, model, state, scheduler) | self._swept,
            judge_loss=not trainer_info.is_policy_gradient(trainer),
            notes=[
                *trainer_info.notes_on(args, trainer, model),
                *([] if state.global_step else trainer_info.given_up(args, before_in(sinks), place)),
            ],
            meant=self.meant,
        )
        engine = Engine(model, kwargs.get("optimizer"), settings, scheduler=scheduler, place=place)
        self._tap.attach(trainer, engine)
        self._trackers.attach(trainer, engine, partial(self._before_trackers_end, engine))
        if self.settings.probe is not None:
            with engine.guard("reading the texts of probe=", aside=True), put_back(model):
                tokenizer = kwargs.get("processing_class") or kwargs.get("tokenizer")
                if why := trainer_info.no_probe(self.settings.probe, tokenizer, args):
                    engine.note(why)
                else:
                    device = next(model.parameters()).device
                    engine.probe(trainer_info.fixed_batch(self.settings.probe, tokenizer, device))
        if earlier:
            engine.load_state_dict(earlier)
        return engine

    def _before_trackers_end(self, engine: Engine, state: TrainerState) -> None:
        """Training has ended, and what a tracker is about to close (the TensorBoard writer) is still open. What ends
        the run comes out of ``on_train_end``."""
        with suppress(LoraWatchError), engine.guard("ending"):
            self._detach()
            engine.end(state.global_step)

    @guarded("keeping the rules' state for a checkpoint", aside=True)
    def _remember(self, engine: Engine, state: TrainerState) -> None:
        """Leave the engine's state where the Trainer's next checkpoint picks it up."""
        saved: Any = state.stateful_callbacks
        saved.pop(_KEY, None)  # rather none than that of an earlier step
        saved[_KEY] = json.loads(json.dumps(engine.state_dict(together=True) | {"swept": self._swept}))
