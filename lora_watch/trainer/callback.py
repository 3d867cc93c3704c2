"""The Trainer adapter: the one file that knows ``transformers.Trainer``."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_watch.adapters import walk
from lora_watch.alerts import Alert
from lora_watch.rules import Rule
from lora_watch.rules.reference import load_reference
from lora_watch.rules.tasks import find_task
from lora_watch.signals.batches import hash_batch
from lora_watch.sinks import ConsoleSink, FlightRecorder, ReportSink, Sink, TensorBoardSink
from lora_watch.watch.monitor import Monitor, log
from lora_watch.watch.policy import FailOn, policy

_KEY = "lora_watch"

_POLICY_GRADIENT = frozenset(
    {
        "A2POTrainer",
        "AsyncGRPOTrainer",
        "GRPOTrainer",
        "IWOPDTrainer",
        "OnlineDPOTrainer",
        "PPOTrainer",
        "RLOOTrainer",
        "SDPOTrainer",
    }
)
"""TRL's trainers whose loss is no measure of success; what is derived from them (GMPO, Nash-MD, XPO …) counts too."""


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
        rules: rules with other limits (``NormExplosion(loud=2.0)``) or of your own, beside the catalogue.
        mute: ids or names of rules to leave out. Default: ``LORA_WATCH_MUTE`` (``LW203,LW401``), else none.
        report_dir: folder of report.json and alerts.jsonl; default ``<output_dir>/lora_watch``.
        tensorboard: write TensorBoard events, into the Trainer's own run where it has one, else below
            ``<output_dir>/runs``.
        console: print alerts to standard error.
        record_batches: have the SHA-256 of each step's batch in incident.json, to find what a run choked on. Waits for
            batches that are on an accelerator.
        task: what the fine-tuning is for, to judge the rank by (LW405): ``classification``, ``domain-adaptation``,
            ``instruction-tuning``, ``continued-pretraining``, or words that say which of them.
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
        tensorboard: bool = True,
        console: bool = True,
        record_batches: bool = False,
        task: str | None = None,
        reference: str | os.PathLike[str] | None = None,
    ):
        self.rules = list(rules or ())
        self.fail_on, self.patience, self.mute = fail_on, patience, mute
        self.policy = policy(fail_on, patience, mute, self.rules)  # a typo is an error here, not in the middle of a run
        if every < 1:
            raise ValueError(f"every={every}: measure every 1, 2, … optimizer steps")
        self.every, self.max_overhead, self.drift = every, max_overhead, drift
        self.report_dir, self.tensorboard, self.console = report_dir, tensorboard, console
        self._purpose: dict[str, Any] = {"task": find_task(task)[0].name} if task is not None else {}
        if reference is not None:
            self._purpose["reference"] = load_reference(os.fspath(reference)).plain()
        self.monitor: Monitor | None = None
        """The monitor of the latest ``train()``: ``monitor.alerts``, ``monitor.last``, ``monitor.overhead``."""
        self.record_batches = record_batches
        self._tap = _LossTap(record_batches)
        self._rates: tuple[float, ...] = ()
        self._output = Path(".")
        self._trainer: weakref.ref[Trainer] | None = None

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
        if _any_rank(self.monitor is None, True, args.device) or self.monitor is None:
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
        # What a NaN has reached must not take the place of a good checkpoint.
        control.should_save = not any(alert.rule in ("LW101", "LW201") for alert in failures)

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
            self.monitor.evaluated(quality(kwargs.get("metrics") or {}), state.global_step)

    def attach(self, trainer: Trainer) -> None:
        """Say which Trainer this is for, instead of letting the callback look for it."""
        self._trainer = weakref.ref(trainer)

    # -- helpers -------------------------------------------------------------------------------------------------------
    def _build(self, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> Monitor:
        trainer = (self._trainer and self._trainer()) or trainer_that_holds(self)
        self._tap.attach(trainer)
        self._output = _output_dir(args, trainer)
        notes = []
        if trainer is None:
            notes.append(
                "the Trainer was not found: the loss is unknown and the loss rules are silent; "
                "use lora_watch.watch(trainer)"
            )
            log.warning("%s", notes[0])
        model, optimizer = kwargs["model"], kwargs.get("optimizer")
        # It is compiled later, and from outside: the model itself does not show it yet.
        compiled = bool(getattr(args, "torch_compile", False))
        if compiled:
            notes.append("output_ratio is unavailable: the model is compiled")
        judge_loss = not is_policy_gradient(trainer)
        if not judge_loss:
            notes.append(
                f"the loss of {type(trainer).__name__} does not fall as the model gets better: the rules that read it "
                "stand down (LW104, LW202 to LW206), all but LW201, NaN and infinity"
            )
        schedule = _read_schedule(kwargs.get("lr_scheduler"), state.max_steps)
        monitor = Monitor(
            model,
            optimizer,
            fail_on=self.fail_on,
            patience=self.patience,
            every=self.every,
            max_overhead=self.max_overhead,
            output_ratio=not compiled,
            drift=self.drift,
            rules=self.rules,
            mute=self.mute,
            sinks=self._sinks(trainer, model) if state.is_world_process_zero else (),
            max_steps=state.max_steps if state.max_steps > 0 else None,
            lr_fraction=schedule.fraction if schedule else None,
            peak_lr=schedule.peaks if schedule else None,
            config=_config(args, model) | _classes(trainer, model) | self._purpose,
            judge_loss=judge_loss,
            notes=notes,
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
        self._tap.detach()
        error = monitor.error()
        monitor.finish("failed", str(error))
        raise error

    def _agree(self, monitor: Monitor, failures: list[Alert]) -> list[Alert]:
        """The failures of all ranks. Each rank sees its own tokens, and one that saw nothing learns why it has to stop:
        all decide alike, and the one that writes can say why."""
        if not _any_rank(bool(failures), self.policy.can_end_a_run, self._tap.device):
            return []
        if _world_size() > 1:
            by_rank: list[Any] = [None] * _world_size()
            torch.distributed.all_gather_object(by_rank, failures)
            failures = [alert for theirs in by_rank for alert in theirs]
            monitor.adopt(failures)
        return failures

    def _folder(self) -> Path:
        return Path(self.report_dir) if self.report_dir is not None else self._output / "lora_watch"

    def _sinks(self, trainer: Trainer | None, model: Any) -> list[Sink]:
        sinks: list[Sink] = [ConsoleSink()] if self.console else []
        report = ReportSink(self._folder())
        batch = (lambda: self._tap.batch_sha256) if self.record_batches else None
        sinks += [report, FlightRecorder(report, model, self.policy, batch)]
        if self.tensorboard:
            # The Trainer's callback may open its writer after us; a second one in the same run would spoil both.
            if any(hasattr(known, "tb_writer") for known in callbacks_of(trainer)):
                sinks.append(TensorBoardSink(_shared_writer(trainer)))
            else:
                folder = time.strftime(f"%b%d_%H-%M-%S_{os.getpid()}_lora_watch")  # two may start in one second
                sinks.append(TensorBoardSink(directory=self._output / "runs" / folder))
        return sinks


def watch(trainer: Trainer, **settings: Any) -> LoraWatchCallback:
    """Add a LoraWatchCallback to a Trainer that is already built, and return it. Takes the callback's arguments."""
    callback = LoraWatchCallback(**settings)
    callback.attach(trainer)
    trainer.add_callback(callback)
    return callback


class _LossTap:
    """The true loss of every optimizer step, taken where the Trainer computes it.

    ``training_step`` returns each micro-batch's loss, already divided for accumulation, before the Trainer's NaN
    filter and logging see it; it is the same for label smoothing, ``compute_loss_func``, an overridden
    ``compute_loss`` and TRL's trainers. It is wrapped on the instance only and put back at the end.
    """

    def __init__(self, hash_batches: bool) -> None:
        self._sum: torch.Tensor | None = None
        self._hash_batches = hash_batches
        self._hash: Any = None
        self._trainer: weakref.ref[Trainer] | None = None

    def attach(self, trainer: Trainer | None) -> None:
        self.detach()
        if trainer is None:
            return
        self._trainer = weakref.ref(trainer)
        inner: Callable[..., Any] = trainer.training_step

        @functools.wraps(inner)
        def training_step(*args: Any, **kwargs: Any) -> Any:
            if self._hash_batches:  # before a loss takes the labels out of it
                self._add_batch(args[1] if len(args) > 1 else kwargs.get("inputs"))
            loss = inner(*args, **kwargs)
            self._add(loss)
            return loss

        training_step.lora_watch_tap = self  # type: ignore[attr-defined]
        trainer.training_step = training_step  # type: ignore[method-assign]

    def detach(self) -> None:
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is not None:
            wrapped = trainer.__dict__.get("training_step")
            if getattr(wrapped, "lora_watch_tap", None) is self:
                del trainer.__dict__["training_step"]
        self._trainer = None

    def _add(self, loss: Any) -> None:
        value = torch.as_tensor(loss).detach()
        value = value.to(torch.float32 if value.device.type == "mps" else torch.float64)  # MPS has no float64
        self._sum = value.clone() if self._sum is None else self._sum + value

    def reset(self) -> None:
        self._sum = self._hash = None

    def _add_batch(self, inputs: Any) -> None:
        try:
            self._hash = self._hash or hashlib.sha256()
            hash_batch(self._hash, inputs)
        except Exception:
            self._hash_batches, self._hash = False, None
            log.exception("batches cannot be hashed; training goes on without it")

    @property
    def batch_sha256(self) -> str | None:
        """Of the micro-batches since ``reset``, in order; None if there were none."""
        return self._hash.hexdigest() if self._hash is not None else None

    @property
    def device(self) -> torch.device:
        return self._sum.device if self._sum is not None else torch.device("cpu")

    def reduce(self) -> None:
        """Average over ranks; every rank must call it."""
        if self._sum is not None and _world_size() > 1:
            torch.distributed.all_reduce(self._sum)
            self._sum /= _world_size()

    @property
    def loss(self) -> torch.Tensor | None:
        """``[]``, on the device where it was computed: reading it there would wait."""
        return self._sum


def quality(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of ``Trainer.evaluate()`` that say how good the model is, without those on how long it took."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, (int, float))
        and name != "epoch"
        and not name.endswith(("_time", "_runtime", "_per_second"))
    }


def _world_size() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def _any_rank(flag: bool, may_stop: bool, device: torch.device) -> bool:
    """Whether any rank says so. A stop that only some ranks see hangs the job, so all decide alike."""
    if not may_stop or _world_size() == 1:
        return flag
    shared = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return bool(shared)


def trainer_that_holds(callback: TrainerCallback, depth: int = 20) -> Trainer | None:
    """The Trainer whose event is being handled: the caller up the stack that has this callback in its handler."""
    frame = sys._getframe(1)
    for _ in range(depth):
        owner = frame.f_locals.get("self")
        if any(known is callback for known in callbacks_of(owner)):
            return owner
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def _output_dir(args: TrainingArguments, trainer: Trainer | None) -> Path:
    """Where the run's files go. In a hyperparameter search each trial has a folder of its own."""
    own = getattr(trainer, "_get_output_dir", None)
    return Path((own(getattr(trainer, "_trial", None)) if own is not None else args.output_dir) or ".")


def callbacks_of(trainer: Trainer | None) -> Sequence[Any]:
    return getattr(getattr(trainer, "callback_handler", None), "callbacks", ())


def is_policy_gradient(trainer: Trainer | None) -> bool:
    """Whether the trainer's loss is a policy gradient's: its value hovers around 0 however well the training goes."""
    return any(base.__name__ in _POLICY_GRADIENT for base in type(trainer).__mro__)


def _classes(trainer: Trainer | None, model: Any) -> dict[str, int]:
    """``{"classes": n}`` where the loss is the usual cross-entropy over n classes, as far as anybody can see."""
    if trainer is None or getattr(trainer, "compute_loss_func", None) is not None:
        return {}
    owner = next((base for base in type(trainer).__mro__ if "compute_loss" in vars(base)), None)
    if owner is None or owner.__name__ not in ("Trainer", "SFTTrainer"):  # the loss is one of their own
        return {}
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    config, kind = getattr(bare, "config", None), type(bare).__name__
    if kind.endswith(("ForCausalLM", "ForMaskedLM", "LMHeadModel")):
        count = getattr(config, "vocab_size", None)
    elif kind.endswith("ForTokenClassification") or (
        kind.endswith("ForSequenceClassification")
        and getattr(config, "problem_type", None) in (None, "single_label_classification")
    ):
        count = getattr(config, "num_labels", None)
    else:
        count = None
    return {"classes": count} if isinstance(count, int) and count > 1 else {}


def _shared_writer(trainer: Trainer | None) -> Callable[[], Any]:
    """A function that finds the TensorBoard writer of the Trainer; None while there is none."""
    reference = weakref.ref(trainer) if trainer is not None else None

    def find() -> Any:
        owner = reference() if reference is not None else None
        writers = (getattr(known, "tb_writer", None) for known in callbacks_of(owner))
        return next((writer for writer in writers if writer is not None), None)

    return find


class _Schedule(NamedTuple):
    fraction: Callable[[int], float | None]
    """Share of Σ lr spent after n steps."""
    peaks: tuple[float, ...]
    """The highest learning rate of each parameter group."""


def _read_schedule(scheduler: Any, max_steps: int) -> _Schedule | None:
    """What a schedule holds, where it is a function of the step (LambdaLR) and says so."""
    scheduler = getattr(scheduler, "scheduler", scheduler)
    lambdas, base = getattr(scheduler, "lr_lambdas", None), getattr(scheduler, "base_lrs", ())
    if not lambdas or max_steps <= 0:
        return None
    # Long schedules are sampled: they are smooth, and the sum need not be exact.
    points = range(0, max_steps, max(1, max_steps // 2000))
    factors = {of: [max(float(of(t)), 0.0) for t in points] for of in dict.fromkeys(lambdas)}
    highest = {
        of: _highest(of, points[values.index(max(values))], points.step, max_steps) for of, values in factors.items()
    }
    rates = factors[lambdas[0]]
    total = sum(rates)
    if not total > 0:
        return None
    spent = [0.0]
    for rate in rates:
        spent.append(spent[-1] + rate / total)
    return _Schedule(
        lambda step: spent[min(-(-step // points.step), len(rates))],
        tuple(rate * highest[of] for rate, of in zip(base, lambdas)),
    )


def _highest(of: Callable[[int], float], around: int, reach: int, end: int) -> float:
    """The highest value of a schedule at the steps less than ``reach`` away from ``around``."""
    return max(float(of(t)) for t in range(max(around - reach + 1, 0), min(around + reach, end)))


def _config(args: TrainingArguments, model: Any) -> dict[str, Any]:
    """The settings worth comparing between runs, as plain data."""
    names = (
        "learning_rate",
        "lr_scheduler_type",
        "warmup_steps",
        "warmup_ratio",
        "max_steps",
        "num_train_epochs",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "weight_decay",
        "max_grad_norm",
        "optim",
        "bf16",
        "fp16",
        "seed",
    )
    out: dict[str, Any] = {name: _plain(getattr(args, name, None)) for name in names}
    out["world_size"] = _world_size()
    config = getattr(model, "config", None)
    out["model"] = getattr(config, "_name_or_path", None) or type(model).__name__
    out["model_type"] = getattr(config, "model_type", None)
    parameters = {id(p): p for _, m in walk(model) for p in m._parameters.values() if p is not None}.values()
    out["parameters"] = sum(p.numel() for p in parameters)
    out["trainable_parameters"] = sum(p.numel() for p in parameters if p.requires_grad)
    lora = getattr(model, "peft_config", None)
    if isinstance(lora, dict):
        out["lora"] = {
            name: {k: _plain(v) for k, v in sorted(c.to_dict().items()) if v is not None} for name, c in lora.items()
        }
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, type(None))):
        return getattr(value, "value", value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return sorted((_plain(v) for v in value), key=str)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return getattr(value, "value", str(value))
