"""The sweep of a Trainer: a short training on its own data, after which it is what it was."""

import copy
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerControl, TrainerState

from lora_watch.base.alerts import Severity
from lora_watch.base.text import say
from lora_watch.drivers import trainer_info
from lora_watch.drivers.events import TrainerEvents
from lora_watch.measurement.signals.optimizer import ParameterGroups, unwrapped
from lora_watch.rules.base import GROWN_TOO_LARGE
from lora_watch.rules.forecast import by_weights, has_new_head
from lora_watch.run.ranks import is_first, world_size
from lora_watch.sinks import Sink
from lora_watch.tune.restoring import restored
from lora_watch.tune.suggestion import Suggestion, suggestion
from lora_watch.tune.sweep import STEPS, Sweep, ends, monitor_settings, span_of

log = logging.getLogger("lora_watch")


def find_learning_rate(trainer: Trainer, *, steps: int = STEPS) -> Suggestion:
    """Find a learning rate for this model, this data and this optimizer by a range test of about 60 steps.

    The rate rises from step to step until the adapters explode or the loss diverges. The suggestion lies between two
    rates, well below the edge: that of the lowest smoothed loss, and that at which the depth-scaled output ratio passes
    1. Afterwards the training is what it was, bit for bit::

        found = find_learning_rate(trainer)
        print(found)
        trainer.args.learning_rate = found.rate or trainer.args.learning_rate
        trainer.train()

    Args:
        trainer: a Trainer that is not training.
        steps: optimizer steps of the sweep; it ends earlier at an ERROR.

    Raises:
        ValueError: a sweep is not possible, with the reason. No adapter is trained, or the optimizer makes its own
            rates. The loss is no measure of success (GRPO, DPO), FSDP or DeepSpeed hold the weights, or the training
            data are an iterator.
    """
    found = sweep_of(trainer, steps)
    for callback in trainer_info.callbacks_of(trainer):
        if isinstance(callback, TrainerEvents):
            note(callback, found)
    return found


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
    callback._swept.clear()
    try:
        trainer = (callback._trainer and callback._trainer()) or trainer_info.trainer_that_holds(callback)
        if trainer is None:
            raise ValueError("the Trainer was not found: use lora_watch.watch(trainer, find_lr=True)")
        if not only and trainer_info.has_own_schedule(trainer):
            raise ValueError(
                "a schedule of your own keeps its rates: build it with what `lora-watch run --find-lr` says"
            )
        shows = trainer_info.is_first(state) and (only or callback.settings.console)
        if shows and trainer_info.no_sweep(trainer) is None:
            say(f"lora_watch: trying learning rates, for about {STEPS} steps", sys.stderr)
        note(callback, found := sweep_of(trainer, folder=callback._report_folder(Path(trainer.args.output_dir or "."))))
        if shows:
            say(str(found) if only else f"lora_watch: {found}", sys.stdout if only else sys.stderr)
        if only:
            raise SystemExit(int(found.rate is None))
        if (rate := found.rate_or_middle) is None:
            log.warning("lora_watch trains at %.3g: the sweep tells of no better one", trainer.args.learning_rate)
            return {}
        if found.rate is None:
            log.warning("lora_watch trains at %.3g: the sweep leaves a range alone, and no more is known", rate)
        callback._swept |= {"own_learning_rate": trainer.args.learning_rate, "learning_rate": rate}
        apply(rate, trainer)
        if shows:
            say("lora_watch trains at this rate now.", sys.stderr)
        return {"lr_scheduler": trainer.lr_scheduler}
    except ValueError as error:
        log.warning("lora_watch found no learning rate: %s", error)
    except Exception:
        log.exception("lora_watch failed while finding the learning rate; training goes on at the one that is set")
    if only:
        raise SystemExit(1)
    return {}


def sweep_of(trainer: Trainer, steps: int = STEPS, folder: Path | None = None) -> Suggestion:
    """The sweep of ``trainer``, also inside its own ``on_train_begin``. ``find_lr.json`` is written to ``folder``, else
    where a report usually is, on the first process. Raises ValueError: see above."""
    if (why := trainer_info.no_sweep(trainer)) is not None:
        raise ValueError(why)
    sweeping, planned = _Sweeping(steps), trainer_info.planned_steps(trainer)
    model: Any = trainer.model
    accelerator: Any = trainer.accelerator
    scaler = getattr(accelerator, "scaler", None)
    owners = (trainer, trainer.state, accelerator, accelerator.gradient_state)
    try:
        with restored(model, trainer.optimizer, [] if scaler is None else [scaler], owners):
            _prepare(trainer, steps)
            trainer.callback_handler.callbacks = [sweeping]
            sweeping.attach(trainer)
            with torch.enable_grad():
                trainer.train()
    finally:
        sweeping.close("interrupted")
    found = sweeping.suggestion(planned)
    if trainer.args.should_save and is_first():
        try:
            found.save(folder or Path(trainer.args.output_dir or ".") / "lora_watch")
        except OSError as error:
            log.warning("the sweep's result could not be written: %s", error)
    return found


def apply(rate: float, trainer: Trainer) -> None:
    """Let ``trainer``, whose training is about to begin, train at ``rate``: arguments, optimizer, and its schedule made
    anew. The parameter groups keep their ratios to the first, whose highest rate it is."""
    optimizer: Any = trainer.optimizer
    trainer.args.learning_rate = rate
    ratios = ratios_of(optimizer)
    for group in optimizer.param_groups:
        group.pop("initial_lr", None)
    set_rates(optimizer, rate, ratios)
    if trainer.lr_scheduler is not None:
        trainer.lr_scheduler = None
        trainer.create_scheduler(num_training_steps=trainer.state.max_steps)
    handler: Any = trainer.callback_handler
    handler.lr_scheduler = trainer.lr_scheduler


def _prepare(trainer: Trainer, steps: int) -> None:
    """Settings of ``trainer`` for a sweep, in copies: what it holds itself is put back afterwards."""
    optimizer: Any = trainer.optimizer
    if optimizer is not None and trainer_info.has_own_schedule(
        trainer
    ):  # a sweep makes no step of it: it may be shorter
        rates = ParameterGroups(optimizer, ()).peak_lr
        for group in optimizer.param_groups:
            for name in ("initial_lr", "max_lr"):
                group.pop(name, None)
        set_rates(optimizer, 1.0, rates)
    trainer.lr_scheduler = None
    vars(trainer)["create_scheduler"] = partial(_constant, trainer)
    trainer.callback_handler = copy.copy(trainer.callback_handler)
    trainer.control, trainer.args = copy.copy(trainer.control), copy.copy(trainer.args)
    silent = {"eval_on_start": False, "load_best_model_at_end": False, "push_to_hub": False, "save_total_limit": None}
    for name, value in {**silent, "max_steps": steps}.items():  # nothing is written or evaluated
        setattr(trainer.args, name, value)
    trainer.model_init = None  # what is swept is the model that is there
    if trainer.is_in_train:  # its hook is on the model already
        trainer.neftune_noise_alpha = None


def _constant(trainer: Any, *_: Any, **__: Any) -> LambdaLR:
    """The schedule of a sweep, which sets the rates itself."""
    trainer.lr_scheduler = LambdaLR(unwrapped(trainer.optimizer), lambda step: 1.0)
    return trainer.lr_scheduler


class _Sweeping(TrainerEvents):
    """The only callback of a sweep: gives the optimizer its rates, notes what comes of them, and writes nothing."""

    def __init__(self, steps: int):
        super().__init__(tensorboard=False, **monitor_settings())
        self._steps = steps

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        if (engine := self.monitor) is None:
            raise ValueError("the adapters of this Trainer's model cannot be monitored: the log has the reason")
        engine.may_break_off = True
        if not any(adapter.trainable and adapter.group is not None for adapter in engine.run.adapters):
            why = [*map(str, engine.alerts)] or engine.run.notes or ["no adapter that trains is in the optimizer"]
            raise ValueError(f"there is no learning rate to find: {'; '.join(why)}")
        self._ratios = ratios_of(kwargs["optimizer"])
        self._sweep = Sweep(*span_of(engine.run, self._ratios), self._steps)
        # Where adapters begin with something in them (PiSSA, a run that goes on), their size is not the sweep's.
        norms = None if engine.last is None else engine.last.metrics.get("delta_norm")
        self._by_size = norms is None or not (norms.measured > 0).any()

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        set_rates(kwargs["optimizer"], self._sweep.next_rate, self._ratios)
        super().on_pre_optimizer_step(args, state, control, **kwargs)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_step_end(args, state, control, **kwargs)
        if (engine := self.monitor) is None:
            return
        engine.flush()
        loss = size = None
        if (record := engine.last) is not None:
            loss, size = record.loss, record.size if self._by_size and "output_ratio" in record.metrics else None
        seen: list[Any] = [loss, size, next(filter(ends, engine.alerts), None)]
        if world_size() > 1:  # what the first of several processes has seen: all go on, stop and conclude alike
            torch.distributed.broadcast_object_list(seen, src=0)
        self._sweep.add(*seen)
        if not args.disable_tqdm:
            show_progress(self._sweep)
        control.should_training_stop = self._sweep.over

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.close("interrupted")  # a sweep is no run, and no rule has a last word on it

    def suggestion(self, planned: int | None) -> Suggestion:
        """Once it is over. ``planned``: steps of the run that it is for."""
        assert self.monitor is not None
        run = self.monitor.run
        warned = (a for a in self.monitor.alerts if a.severity is Severity.WARNING and a.rule not in GROWN_TOO_LARGE)
        self._sweep.warnings = [f"{alert.title}." for alert in warned]
        scales = {adapter.scale for adapter in run.adapters}
        forecast = by_weights(replace(run, peak_lr=self._ratios)) if self._by_size else None
        return suggestion(
            self._sweep,
            planned,
            new_head=has_new_head(run),
            predicted=None if forecast is None else forecast.best / max(self._ratios),
            by_size=self._by_size,
            scale=scales.pop() if len(scales) == 1 else None,
        )

    def _sinks(self, trainer: Trainer | None, model: Any) -> list[Sink]:
        return []


def ratios_of(optimizer: Any) -> tuple[float, ...]:
    """Each parameter group's rate relative to the first group's. Raises ValueError where there is none: the optimizer
    makes its own rates, or its first group does not move."""
    highest = ParameterGroups(optimizer, ()).peak_lr
    if not highest or not all(0 <= rate < math.inf for rate in highest) or not highest[0] > 0:
        raise ValueError(
            "the learning rate cannot be swept: that of the optimizer's first parameter group is "
            f"{highest[0] if highest else 'unknown'}. Give it any positive rate (Adafactor: relative_step=False)"
        )
    return tuple(rate / highest[0] for rate in highest)


def set_rates(optimizer: Any, rate: float, ratios: Sequence[float]) -> None:
    for group, ratio in zip(optimizer.param_groups, ratios):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * ratio)
        else:
            group["lr"] = rate * ratio


def show_progress(sweep: Sweep) -> None:
    """A line on standard error that each step writes over; nothing where that is no terminal."""
    if is_first() and sys.stderr is not None and sys.stderr.isatty():
        said = f"\rfinding the learning rate: step {len(sweep.rates)} of {sweep.steps}, rate {sweep.next_rate:.2g}   "
        print(said, end="\n" if sweep.over else "", file=sys.stderr, flush=True)
