"""The Trainer's events: what is done at each of them."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_watch.alerts import Alert, LoraWatchError
from lora_watch.policy import FailOn, policy
from lora_watch.rules import Rule
from lora_watch.rules.reference import load_reference
from lora_watch.rules.tasks import find_task
from lora_watch.sinks import Sink, TensorBoardSink, Verdict
from lora_watch.sinks.standard import own_run, standard_sinks
from lora_watch.trainer import facts
from lora_watch.trainer.loss_tap import LossTap
from lora_watch.trainer.ranks import agree, any_rank
from lora_watch.trainer.schedule import read_schedule
from lora_watch.watch.guard import log
from lora_watch.watch.monitor import Monitor

_KEY = "lora_watch"


class LoraWatchCallback(TrainerCallback):
    """Watches every LoRA adapter of a Trainer's run. Add it, and nothing else changes::

        trainer = Trainer(model, args, train_dataset=data, callbacks=[LoraWatchCallback()])
        trainer.train()

    Training with it is bit for bit the training without it. At every optimizer step it measures ‖B·A‖ and its kin
    for every adapter, the live scale and the true loss; it writes them to TensorBoard and to
    ``<output_dir>/lora_watch/``, and says in words when the run goes wrong.

    Args:
        fail_on: ``never``, ``warning`` or ``error``. An alert at least that severe stops the run, saves and logs,
            and lets ``trainer.train()`` raise LoraWatchError, so that the process exits with 1. Rule by rule:
            ``{"default": "error", "LW202": "never"}``. Default: the environment variable ``LORA_WATCH_FAIL_ON``
            (``error,LW202=never``), else ``never``.
        patience: optimizer steps that an alert must have lasted to end the run; what cannot pass, and what is not
            finite, does not wait. Default: ``LORA_WATCH_PATIENCE``, else 0.
        every: optimizer steps between two measurements of the norms. The loss is judged at every step.
        max_overhead: share of the wall time that watching may take; beyond it the spectrum and ``output_ratio`` are
            measured less often after the first 10 steps (down to every 16th; where adapters are sharded, at every 16th
            at once). The norms are not. Of methods that are not LoRA all is measured as often as this allows, and after
            1, 2, 4, 8 … steps.
        drift: also measure ``drift_norm`` and ``step_norm``. Holds two copies of the adapters, and takes some six times
            as long as the other norms together.
        rules: rules with other limits (``NormExplosion(loss_factor=1.2)``) or of your own, beside the catalogue.
        mute: ids or names of rules to leave out. Default: ``LORA_WATCH_MUTE`` (``LW203,LW401``), else none.
        report_dir: folder of report.json and alerts.jsonl; default ``<output_dir>/lora_watch``.
        tensorboard: write TensorBoard events, into the Trainer's own run where it has one, else below
            ``<output_dir>/runs``; ``"all"``: every metric as plain scalars, too, for viewers without the LoRA tab.
        console: print alerts to standard error.
        record_batches: have the SHA-256 of each step's batch in incident.json, to find what a run choked on. Waits for
            batches that are on an accelerator.
        task: what the fine-tuning is for, to judge the rank by (LW405): ``classification``, ``domain-adaptation``,
            ``instruction-tuning`` or ``continued-pretraining``.
        reference: report.json, or its folder, of the run that the settings come from, to judge by it whether they carry
            over to this model (LW406).

    Raises:
        ValueError: for a ``fail_on``, ``patience``, ``mute``, ``every``, ``task`` or ``reference`` that makes no sense.
    """

    def __init__(
        self,
        fail_on: FailOn | None = None,
        patience: int | None = None,
        every: int = 1,
        max_overhead: float = 0.01,
        drift: bool = False,
        rules: Iterable[Rule] | None = None,
        mute: Sequence[str] | None = None,
        report_dir: str | os.PathLike[str] | None = None,
        tensorboard: bool | Literal["all"] = True,
        console: bool = True,
        record_batches: bool = False,
        task: str | None = None,
        reference: str | os.PathLike[str] | None = None,
    ):
        self.fail_on, self.patience, self.mute = fail_on, patience, mute
        self.policy = policy(fail_on, patience, mute, rules)  # a typo is an error here, not in the middle of a run
        if every < 1:
            raise ValueError(f"every={every}: measure every 1, 2, … optimizer steps")
        self.every, self.max_overhead, self.drift = every, max_overhead, drift
        self.report_dir, self.tensorboard, self.console = report_dir, tensorboard, console
        self._purpose: dict[str, Any] = {"task": find_task(task).name} if task is not None else {}
        if reference is not None:
            self._purpose["reference"] = load_reference(os.fspath(reference)).plain()
        self.monitor: Monitor | None = None
        """The monitor of the latest ``train()``: ``monitor.alerts``, ``monitor.last``, ``monitor.overhead``."""
        self.record_batches = record_batches
        self._tap = LossTap(record_batches)
        self._rates: tuple[float, ...] = ()
        self._output = Path(".")
        self._trainer: weakref.ref[Trainer] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy, pickled or not, has the arguments and what was found, and belongs to no Trainer yet."""
        return {**vars(self), "_trainer": None, "_tap": LossTap(self.record_batches)}

    # -- the Trainer's events, in their order --------------------------------------------------------------------------
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.monitor is not None:  # a run before this one that broke off: on_train_end was not called
            self.monitor.finish("interrupted", "training ended by an exception of its own")
        self.monitor = None
        try:
            self.monitor = self._build(args, state, kwargs)
        except Exception:  # a monitor does no harm
            log.exception("lora_watch could not start; training goes on without it")
        # Ranks that wait for one that does not watch hang.
        if any_rank(self.monitor is None, True, args.device) or self.monitor is None:
            self._tap.detach()
            self.monitor = None
            return
        self.monitor.start(state.global_step)
        if self.monitor.failures:  # nothing has been trained yet: nothing to save
            self._fail(self.monitor)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._tap.reset()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.monitor is None:
            return
        optimizer = kwargs.get("optimizer")
        self._tap.reduce()
        self._rates = tuple(float(group["lr"]) for group in getattr(optimizer, "param_groups", ()))
        if self._agree(self.monitor, self.monitor.before_update(self._tap.loss)):
            self._fail(self.monitor)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.monitor is None:
            return
        skipped = bool(getattr(kwargs.get("optimizer"), "step_was_skipped", False))
        failures = self.monitor.after_update(self._tap.loss, state.global_step, lr=self._rates, updated=not skipped)
        if control.should_save:  # nothing that has not been judged is saved
            failures = self.monitor.flush() or failures
        if control.should_save or failures:
            self._remember(state)
        failures = self._agree(self.monitor, failures)
        if not failures:
            return
        control.should_training_stop = True
        control.should_log = True
        control.should_evaluate = False
        # What cannot wait has spoiled the weights: they must not take the place of a good checkpoint.
        control.should_save = not any(alert.rule in self.policy.urgent for alert in failures)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # The Trainer's last word. At on_train_end its TensorBoard writer may be closed before we are asked.
        if self.monitor is None or "train_runtime" not in (kwargs.get("logs") or {}):
            return
        self.monitor.conclude()
        if self._agree(self.monitor, self.monitor.failures):
            self.monitor.finish("failed", str(self.monitor.error()))
        else:
            self.monitor.finish("ok")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._tap.detach()
        if self.monitor is None:
            return
        self.monitor.conclude()
        if self._agree(self.monitor, self.monitor.failures):
            self._fail(self.monitor)
        self.monitor.finish("ok")  # also where training has stopped itself before the planned steps

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.monitor is not None:
            self.monitor.evaluated(facts.quality(kwargs.get("metrics") or {}), state.global_step)

    def attach(self, trainer: Trainer) -> None:
        """Say which Trainer this is for, instead of letting the callback look for it."""
        self._trainer = weakref.ref(trainer)

    # -- for subclasses -----------------------------------------------------------------------------------------------
    def exception(self, error: LoraWatchError) -> Exception:
        """What ``train()`` raises where the policy ends the run with ``error``."""
        return error

    def close(self, verdict: Verdict, message: str | None = None) -> None:
        """This training is over: nothing of ours stays in the Trainer, and every file is complete."""
        self._tap.detach()
        if self.monitor is not None:
            self.monitor.finish(verdict, message)

    # -- helpers -------------------------------------------------------------------------------------------------------
    def _build(self, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> Monitor:
        trainer = (self._trainer and self._trainer()) or facts.trainer_that_holds(self)
        self._tap.attach(trainer)
        self._output = facts.output_dir(args, trainer)
        model = kwargs["model"]
        schedule = read_schedule(kwargs.get("lr_scheduler"), state.max_steps)
        monitor = Monitor(
            model,
            kwargs.get("optimizer"),
            fail_on=self.fail_on,
            patience=self.patience,
            every=self.every,
            max_overhead=self.max_overhead,
            output_ratio=not facts.is_compiled(args),
            drift=self.drift,
            rules=self.policy.rules,
            mute=self.mute,
            sinks=self._sinks(trainer, model) if state.is_world_process_zero else (),
            max_steps=state.max_steps if state.max_steps > 0 else None,
            lr_fraction=schedule.fraction if schedule else None,
            peak_lr=schedule.peaks if schedule else None,
            config=facts.config_of(args, model) | facts.classes_of(trainer, model) | self._purpose,
            judge_loss=not facts.is_policy_gradient(trainer),
            notes=facts.notes_on(args, trainer),
        )
        if earlier := (getattr(state, "stateful_callbacks", None) or {}).get(_KEY):
            monitor.load_state_dict(earlier)
        return monitor

    def _remember(self, state: TrainerState) -> None:
        """Leave the monitor's state where the Trainer's next checkpoint picks it up."""
        saved: Any = getattr(state, "stateful_callbacks", None)
        if saved is None or self.monitor is None:
            return
        try:
            saved[_KEY] = json.loads(json.dumps(self.monitor.state_dict()))
        except (TypeError, ValueError):
            log.exception("a rule's state is not plain data; a resumed run will start its rules anew")

    def _fail(self, monitor: Monitor) -> None:
        error = monitor.error()
        self.close("failed", str(error))
        raised = self.exception(error)
        raise raised from (error if raised is not error else None)

    def _agree(self, monitor: Monitor, failures: list[Alert]) -> list[Alert]:
        failures = agree(failures, self.policy.can_end_a_run, self._tap.device)
        monitor.adopt(failures)
        return failures

    def _sinks(self, trainer: Trainer | None, model: Any) -> list[Sink]:
        folder = Path(self.report_dir) if self.report_dir is not None else self._output / "lora_watch"
        batch = (lambda: self._tap.batch_sha256) if self.record_batches else None
        return standard_sinks(folder, model, self.policy, self._events(trainer), self.console, batch)

    def _events(self, trainer: Trainer | None) -> TensorBoardSink | None:
        if not self.tensorboard:
            return None
        all_scalars = self.tensorboard == "all"
        # The Trainer's callback may open its writer after us; a second one in the same run would spoil both.
        if any(hasattr(known, "tb_writer") for known in facts.callbacks_of(trainer)):
            return TensorBoardSink(facts.shared_writer(trainer), all_scalars=all_scalars)
        return TensorBoardSink(directory=own_run(self._output), all_scalars=all_scalars)


def watch(trainer: Trainer, **settings: Any) -> LoraWatchCallback:
    """Add a LoraWatchCallback to a Trainer that is already built, and return it. Takes the callback's arguments."""
    callback = LoraWatchCallback(**settings)
    callback.attach(trainer)
    trainer.add_callback(callback)
    return callback
