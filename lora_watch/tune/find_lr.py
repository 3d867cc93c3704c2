"""The sweep of a Trainer: a short training of its own kind on its own data, after which it is what it was."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerControl, TrainerState

from lora_watch.base.alerts import Verdict
from lora_watch.base.text import say
from lora_watch.measurement.signals.optimizer import ParameterGroups, unwrapped
from lora_watch.monitor.ranks import is_first
from lora_watch.monitor.rates import multiplied, peaks
from lora_watch.sinks import Sink
from lora_watch.trainer import facts
from lora_watch.trainer.events import TrainerEvents
from lora_watch.trainer.schedule import read_schedule
from lora_watch.tune.plain import SweepMonitor, find_in_loop, progress, ratios_of, set_rates
from lora_watch.tune.restoring import restored
from lora_watch.tune.suggestion import Suggestion
from lora_watch.tune.sweep import STEPS, monitor_settings

log = logging.getLogger("lora_watch")

ARGUMENTS = {"eval_on_start": False, "load_best_model_at_end": False, "push_to_hub": False, "save_total_limit": None}
"""TrainingArguments in a sweep, besides ``max_steps``: nothing is written or evaluated."""


def find_learning_rate(
    trainer: Trainer | Callable[[], float | Tensor],
    model: nn.Module | None = None,
    optimizer: Any = None,
    *,
    steps: int = STEPS,
    span: tuple[float, float] | None = None,
    others: Sequence[Any] = (),
) -> Suggestion:
    """Find a learning rate for this model, this data and this optimizer by a range test of about 60 steps.

    The rate rises from step to step until the adapters explode or the loss diverges. The suggestion lies between two
    rates, well below the edge: that of the lowest smoothed loss, and that at which the depth-scaled output ratio passes
    1. Afterwards the training is what it was, bit for bit. With a Trainer::

        found = find_learning_rate(trainer)
        print(found)
        trainer.args.learning_rate = found.rate or trainer.args.learning_rate
        trainer.train()

    With a loop of your own, give a function that makes one whole optimizer step on the next batch and returns its loss.
    It calls forward, backward, ``optimizer.step()`` and ``optimizer.zero_grad()``, and not the scheduler. It reads the
    batches from an iterator of its own, because yours cannot be wound back::

        found = find_learning_rate(one_step, model, optimizer)

    Args:
        trainer: a Trainer that is not training, or a step function.
        model: with a step function: the model with its adapters.
        optimizer: with a step function: its optimizer. The groups keep the ratio of their learning rates.
        steps: optimizer steps of the sweep; it ends earlier at an ERROR.
        span: lowest and highest rate of the sweep, of the first parameter group. By default from where one full step of
            Adam adds 0.0003 of the weights' norm (summed over blocks) to where it adds 10.
        others: further objects that the step function changes, to be restored: schedulers, scalers, loaders with a
            ``state_dict``, random generators.

    Raises:
        ValueError: a sweep is not possible, with the reason. No adapter is trained, or the optimizer makes its own
            rates. The loss is no measure of success (GRPO, DPO), FSDP or DeepSpeed hold the weights, or the training
            data are an iterator.
    """
    if not isinstance(trainer, Trainer):
        if model is None:
            raise ValueError(
                "a step function needs the model and its optimizer: find_learning_rate(step, model, optimizer)"
            )
        return find_in_loop(trainer, model, optimizer, steps=steps, span=span, others=others)
    found = sweep_of(trainer, steps, span)
    keep(found, trainer)
    for callback in facts.callbacks_of(trainer):
        if isinstance(callback, TrainerEvents):
            note(callback, found)
    return found


def keep(found: Suggestion, trainer: Trainer) -> None:
    """Write ``find_lr.json`` and its picture where the run's report will be, on the first process."""
    if not (trainer.args.should_save and is_first()):
        return
    folder = facts.output_dir(trainer.args, trainer) / "lora_watch"
    try:
        found.save(folder)
    except OSError as error:
        log.warning("the sweep's result could not be written: %s", error)


def note(callback: TrainerEvents, found: Suggestion) -> None:
    """Have the run that ``callback`` watches say what was found before it, to its rules and to the LoRA tab."""
    callback.found = found
    callback._swept["find_lr"] = found.to_dict()


def at_the_start(callback: TrainerEvents, state: TrainerState) -> dict[str, Any]:
    """The sweep of ``callback`` when its training begins: the Trainer is then set to what was found.

    Returns what of the event's arguments is new, the schedule. Raises nothing but SystemExit, for ``find_lr="only"``.
    """
    only = callback.find_lr == "only"
    if only:  # nothing will be trained: the report of an earlier run stays valid
        callback.waits_no_longer()
    callback.found = None
    callback._swept.pop("find_lr", None)
    try:
        trainer = (callback._trainer and callback._trainer()) or facts.trainer_that_holds(callback)
        if trainer is None:
            raise ValueError("the Trainer was not found: use lora_watch.watch(trainer, find_lr=True)")
        note(callback, found := sweep_of(trainer))
        shows = facts.is_first(state) and (only or callback.console)
        if shows:
            say(str(found), sys.stdout if only else sys.stderr)
        keep(found, trainer)
        if only:
            raise SystemExit(int(found.rate is None))
        if (rate := found.rate_or_middle) is None:
            log.warning("lora_watch trains at %g: the sweep tells of no better one", trainer.args.learning_rate)
            return {}
        if found.rate is None:
            log.warning("lora_watch trains at %g: the sweep leaves a range alone, and no more is known", rate)
        apply(rate, trainer)
        if shows:
            say(f"lora_watch found learning rate {rate:g}{found.spread} and trains at it now.", sys.stderr)
        return {"lr_scheduler": trainer.lr_scheduler}
    except ValueError as error:
        log.warning("lora_watch found no learning rate: %s", error)
    except Exception:
        log.exception("lora_watch failed while finding the learning rate; training goes on at the one that is set")
    if only:
        raise SystemExit(1)
    return {}


def sweep_of(trainer: Trainer, steps: int = STEPS, span: tuple[float, float] | None = None) -> Suggestion:
    """The sweep of ``trainer``, also from inside its own ``on_train_begin``. Raises ValueError: see above."""
    if (why := facts.no_sweep(trainer)) is not None:
        raise ValueError(why)
    sweeping, planned = _Sweeping(steps, span), facts.planned_steps(trainer)
    model: Any = trainer.model
    accelerator: Any = trainer.accelerator
    scaler = getattr(accelerator, "scaler", None)
    owners = (trainer, trainer.state, accelerator, accelerator.gradient_state)
    try:
        with restored(model, trainer.optimizer, [] if scaler is None else [scaler], owners):
            _prepare(trainer, steps, planned)
            trainer.callback_handler.callbacks = [sweeping]
            sweeping.attach(trainer)
            with torch.enable_grad():
                trainer.train()
    finally:
        sweeping.close("interrupted")
    return sweeping.suggestion(planned)


def apply(rate: float, trainer: Trainer) -> None:
    """Let ``trainer``, whose training is about to begin, train at ``rate``: arguments, optimizer and schedule. The
    parameter groups keep their ratios to the first, whose highest rate it is."""
    optimizer: Any = trainer.optimizer
    schedule = _own_schedule(trainer)
    trainer.args.learning_rate = rate
    if optimizer is None:
        return
    if schedule is not None:
        peak = _peaks(schedule, optimizer, facts.planned_steps(trainer))[0]
        multiplied(optimizer, schedule, [rate / peak] * len(optimizer.param_groups))
        return
    ratios = ratios_of(optimizer)
    for group in optimizer.param_groups:
        group.pop("initial_lr", None)
    set_rates(optimizer, rate, ratios)
    if trainer.lr_scheduler is not None:  # made anew, it is what it would have been from the start
        trainer.lr_scheduler = None
        trainer.create_scheduler(num_training_steps=trainer.state.max_steps)
    handler: Any = trainer.callback_handler
    handler.lr_scheduler = trainer.lr_scheduler


def _own_schedule(trainer: Trainer) -> Any:
    """The user's; None where the Trainer makes one."""
    return None if getattr(trainer, "_created_lr_scheduler", False) else trainer.lr_scheduler


def _peaks(schedule: Any, optimizer: Any, steps: int | None) -> Sequence[float]:
    """The highest rate of each parameter group in a training of ``steps`` under ``schedule``."""
    read = read_schedule(schedule, steps or 0)
    return read.peaks if read is not None else peaks(schedule) or ParameterGroups(optimizer, ()).peak_lr


class _Sweeping(TrainerEvents):
    """The only callback of a sweep: paces it, and writes nothing."""

    def __init__(self, steps: int, span: tuple[float, float] | None):
        super().__init__(tensorboard=False, **monitor_settings())
        self._steps, self._span = steps, span
        self._seen: SweepMonitor | None = None
        self._bar = ExitStack()
        self._advance: Callable[[float], object] = lambda rate: None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        if self.monitor is None:
            raise ValueError("the adapters of this Trainer's model cannot be monitored: the log has the reason")
        self.monitor.may_break_off = True
        self._seen = SweepMonitor(self.monitor, kwargs.get("optimizer"), self._steps, self._span)
        hidden = bool(args.disable_tqdm) or not is_first()
        self._advance = self._bar.enter_context(progress(self._steps, hidden))

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._seen is not None:
            self._seen.set_rates()
        super().on_pre_optimizer_step(args, state, control, **kwargs)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_step_end(args, state, control, **kwargs)
        if self._seen is not None:
            self._advance(self._seen.add())
            control.should_training_stop = self._seen.sweep.over

    def close(self, verdict: Verdict, message: str | None = None) -> None:
        self._bar.close()
        super().close("interrupted", message)  # a sweep is no run, and has no verdict

    def suggestion(self, planned: int | None) -> Suggestion:
        """Once it is over. ``planned``: steps of the run that it is for."""
        if self._seen is None:
            raise ValueError("the sweep has not made a step")
        return self._seen.suggestion(planned)

    def _sinks(self, trainer: Trainer | None, model: Any) -> list[Sink]:
        return []


def _prepare(trainer: Trainer, steps: int, planned: int | None) -> None:
    """Settings of ``trainer`` for a sweep, in copies: what it holds itself is put back afterwards.

    Under a schedule of the user's the parameter groups have the ratios of their highest rates. A sweep makes no step of
    it: it may be shorter.
    """
    optimizer: Any = trainer.optimizer
    if optimizer is not None and (schedule := _own_schedule(trainer)) is not None:
        rates = _peaks(schedule, optimizer, planned)
        for group in optimizer.param_groups:
            for name in ("initial_lr", "max_lr"):
                group.pop(name, None)
        set_rates(optimizer, 1.0, rates)
    trainer.lr_scheduler = None
    vars(trainer)["create_scheduler"] = partial(_constant, trainer)
    trainer.callback_handler = copy.copy(trainer.callback_handler)
    trainer.control, trainer.args = copy.copy(trainer.control), copy.copy(trainer.args)
    for name, value in {**ARGUMENTS, "max_steps": steps}.items():
        setattr(trainer.args, name, value)
    trainer.model_init = None  # what is swept is the model that is there
    if trainer.is_in_train:  # its hook is on the model already
        trainer.neftune_noise_alpha = None


def _constant(trainer: Any, *_: Any, **__: Any) -> LambdaLR:
    """The schedule of a sweep, which sets the rates itself."""
    trainer.lr_scheduler = LambdaLR(unwrapped(trainer.optimizer), lambda step: 1.0)
    return trainer.lr_scheduler
