"""Facts about a Trainer and its run: settings, classes, folders, what its loss means, what an evaluation says."""

import hashlib
import inspect
import math
import traceback
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lora_watch.adapters import walk
from lora_watch.adapters.sharding.zero import chain
from lora_watch.base.alerts import Severity
from lora_watch.base.text import short
from lora_watch.format.files import is_claimed_elsewhere
from lora_watch.measurement.signals import labels
from lora_watch.measurement.signals.optimizer import ParameterGroups, unwrapped
from lora_watch.rules.reward import BARE
from lora_watch.run import ranks
from lora_watch.run.rates import follows_a_metric, peaks, warm_up
from lora_watch.sinks.report import Before
from lora_watch.sinks.standard import own_run
from lora_watch.sinks.tensorboard import TensorBoardSink

_POLICY_GRADIENT = {f"{of}Trainer" for of in ("A2PO", "AsyncGRPO", "GRPO", "IWOPD", "OnlineDPO", "PPO", "RLOO", "SDPO")}
"""TRL's trainers whose loss is no measure of success; what is derived from them (GMPO, Nash-MD, XPO …) counts too."""
_PREFERENCE = {f"{of}Trainer" for of in ("BCO", "CPO", "DPO", "KTO", "ORPO", "Reward")}
"""TRL's trainers whose loss compares answers: it can be brought to 0 by a model that is worth nothing."""
ADDS_UP = (
    "the Trainer leaves it to the model to divide by num_items_in_batch, and the model does not. Gradients and logged "
    "losses are sums over micro-batches and ranks; lora_watch judges the mean. To train on the mean, set "
    "trainer.model_accepts_loss_kwargs = False"
)
"""What the user is told where losses of micro-batches are means, and are added up."""


def trainer_that_holds(callback: TrainerCallback) -> Trainer | None:
    """The Trainer whose event is being handled: the caller up the stack that has this callback in its handler. No
    version of transformers from 4.46 to 5 passes the Trainer, or what knows it, to a callback."""
    owners = (frame.f_locals.get("self") for frame, _ in traceback.walk_stack(inspect.currentframe()))
    return next((o for o in owners if any(known is callback for known in callbacks_of(o))), None)


def callbacks_of(trainer: Any) -> Sequence[Any]:
    return getattr(getattr(trainer, "callback_handler", None), "callbacks", ())


def is_first(state: TrainerState) -> bool:
    """This process writes: accelerate calls each the first of its own where it was not told to use the CPU."""
    return state.is_world_process_zero and ranks.is_first()


def planned_steps(trainer: Trainer) -> int | None:
    """Optimizer steps of the training that has begun or would begin; None for data of unknown length. Before it has
    begun, epochs count as if no example were left out."""
    if trainer.is_in_train or trainer.args.max_steps > 0:
        return (trainer.state if trainer.is_in_train else trainer.args).max_steps
    try:
        examples = len(trainer.train_dataset)  # type: ignore[arg-type]
    except TypeError:
        return None
    at_once = trainer.args.train_batch_size * ranks.world_size() * trainer.args.gradient_accumulation_steps
    return math.ceil(trainer.args.num_train_epochs * max(math.ceil(examples / at_once), 1))


def checkpoints_in(output: Path | None) -> tuple[int, ...]:
    """The steps of the checkpoints that are there; none without a folder."""
    there = () if output is None else output.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    ends = (folder.name.rpartition("-")[2] for folder in there)
    return tuple(sorted(int(end) for end in ends if end.isdecimal()))


def data_of(data: Any) -> str | None:
    """What two runs on the same data have in common: the number of examples and a hash of 1,000 of them, of longer ones
    of fewer, of wide ones (audio, images) of the first. None where they are not known: a dataset of one's own is not
    asked for any, which might draw random numbers."""

    def rows(n: int) -> str:
        n = min(n, len(data))
        places = [i * len(data) // n for i in range(n)]
        plain = isinstance(data, (list, tuple))  # else a datasets.Dataset, whose rows are read as they are stored
        return repr([data[place] for place in places] if plain else data.select(places).to_dict())

    if isinstance(data, Mapping):  # several sets
        return ", ".join(f"{name}: {data_of(each)}" for name, each in data.items())
    with suppress(Exception):  # somebody's objects
        wide = len(first := rows(1)) > 100_000  # many of these would take seconds, and so would many tensors
        most = 64 if "tensor(" in first or "array(" in first else 1000
        some = first if wide else rows(max(64, min(most, 1_000_000 // len(first))))
        return f"{len(data)} examples, rows {hashlib.sha256(some.encode()).hexdigest()[:8]}"
    return None


def given_up(args: TrainingArguments, before: Before, folder: Path) -> list[str]:
    """That a run which begins anew could have gone on from a checkpoint: the one ``before`` in ``folder`` broke off,
    and nothing has told it to begin anew."""
    broke_off = before.verdict == "interrupted" and not is_claimed_elsewhere(folder)
    broke_off &= not any(alert.severity >= Severity.ERROR or alert.next_run for alert in before.alerts)
    if not broke_off or getattr(args, "overwrite_output_dir", False):
        return []
    begins = "this run begins anew. The one before it in the folder broke off and left"
    latest = checkpoints_in(Path(args.output_dir or "."))[-1:]
    return [f"{begins} checkpoint-{at}, from which resume_from_checkpoint=True goes on" for at in latest]


def config_of(trainer: Trainer, model: Any, state: TrainerState, scheduler: Any) -> dict[str, Any]:
    """The settings worth comparing between runs, and what is known of the data and the loss, as plain data."""
    names = (
        "lr_scheduler_type",
        "warmup_steps",
        "warmup_ratio",
        "max_steps",
        "num_train_epochs",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "max_grad_norm",
        "label_smoothing_factor",
        "optim",
        "bf16",
        "fp16",
        "seed",
    )
    settings = {name: getattr(trainer.args, name, None) for name in names} | optimizer_of(trainer, state, scheduler)
    config = getattr(model, "config", None)
    parameters = {id(p): p for _, m in walk(model) for p in m.parameters(recurse=False)}.values()
    of_some_runs = {
        "classes": classes_of(trainer, model),
        "reward_funcs": rewards_of(trainer),
        "lr_follows_a_metric": follows_a_metric(scheduler),
        "preference": is_preference(trainer),
        "reference": reference_of(trainer, model),
        "best_model_by": trainer.args.load_best_model_at_end and trainer.args.metric_for_best_model,
    }
    return {
        **{name: getattr(value, "value", value) for name, value in settings.items()},
        "world_size": ranks.world_size(),
        "model": getattr(config, "name_or_path", None) or type(model).__name__,
        "model_type": getattr(config, "model_type", None),
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "train_data": data_of(trainer.train_dataset),
        "eval_data": data_of(trainer.eval_dataset),
        "epochs": state.num_train_epochs,
        **{name: value for name, value in of_some_runs.items() if value},
    }


def optimizer_of(trainer: Trainer, state: TrainerState, scheduler: Any) -> dict[str, Any]:
    """What the optimizer and its schedule are set to: those that the script has built itself take no notice of the
    arguments. A checkpoint brings its rates with it, and those are not the script's."""
    given, groups = trainer.args, ParameterGroups(unwrapped(trainer.optimizer), ())
    trains = {rate for rate in peaks(scheduler) or groups.peak_lr if rate > 0}
    built = getattr(groups.optimizer, "defaults", {}).get("lr")
    known = (given.learning_rate, built, *(trains if len(trains) == 1 and not state.global_step else ()))
    script = built if built and len(trains) == 1 and not peaks(scheduler) else given.learning_rate
    rate = next((float(rate) for rate in known if rate in trains), float(script))
    out = {"learning_rate": rate, "weight_decay": given.weight_decay, **groups.settings}
    if rate != given.learning_rate:
        out["unused_learning_rate"] = given.learning_rate
    with suppress(Exception):  # the arguments' own may be of a package that is not there, or ask for the model
        used, (kind, made_with) = [*chain(groups.optimizer)][-1], trainer.get_optimizer_cls_and_kwargs(given)
        if type(used) is not kind or used.defaults.get("fused") != made_with.get("fused"):
            out["optim"] = type(used).__name__
    if scheduler is not None and has_own_schedule(trainer):
        with suppress(Exception):  # a function of the step by the user
            own = unwrapped(scheduler)
            quarters = [n * state.max_steps // 4 for n in range(4)]
            shape = [f" (rate × {', '.join(short(of(n)) for n in quarters)})" for of in getattr(own, "lr_lambdas", ())]
            out["lr_scheduler_type"] = type(own).__name__ + "".join(shape[:1])
            out |= {"warmup_steps": warm_up(own), "warmup_ratio": None}
    return out


def has_own_schedule(trainer: Trainer) -> bool:
    """The user has brought it, and neither the Trainer nor DeepSpeed has made it."""
    is_made = trainer.lr_scheduler is None or getattr(trainer, "_created_lr_scheduler", False)
    return not (is_made or trainer.is_deepspeed_enabled)


def classes_of(trainer: Trainer, model: Any) -> int | None:
    """Over how many classes the loss is the usual cross-entropy, as far as anybody can see."""
    owner = next((base.__name__ for base in type(trainer).__mro__ if "compute_loss" in vars(base)), None)
    its_own = getattr(trainer, "compute_loss_func", None) is not None or owner not in ("Trainer", "SFTTrainer")
    # Smoothed, the loss of a language model that is sure may lie above what guessing costs.
    choose = labels.classes_of if trainer.args.label_smoothing_factor else labels.own_classes
    count = 0 if its_own else choose(model)
    return count if count > 1 else None


def rewards_of(trainer: Any) -> str:
    """Names of TRL's reward functions, with a fingerprint of what is written in Python."""
    functions, names = (getattr(trainer, name, None) or () for name in ("reward_funcs", "reward_func_names"))
    known = []
    for function, name in zip(functions, names):
        with suppress(Exception):  # a model, or typed into an interpreter
            name += " " + hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:8]
        known.append(name)
    return ", ".join(known)


def is_policy_gradient(trainer: Trainer) -> bool:
    """Whether the trainer's loss is a policy gradient's: its value hovers around 0 however well the training goes."""
    return any(base.__name__ in _POLICY_GRADIENT for base in type(trainer).__mro__)


def is_preference(trainer: Trainer) -> bool:
    """Whether the trainer's loss compares answers, which the loss of the model alone does not."""
    return any(base.__name__ in _PREFERENCE for base in type(trainer).__mro__)


def reference_of(trainer: Any, model: Any) -> str | None:
    """The reference model of a policy, in words: where TRL's DPO, KTO, or GRPO and RLOO with ``beta`` have one."""
    if not hasattr(trainer, "ref_model") or not getattr(trainer.args, "beta", 0.0):
        return None
    if trainer.ref_model is not None:
        return "a model of its own"
    name = getattr(trainer, "ref_adapter_name", None) or "ref"
    return f"the adapter {name}" if name in (getattr(model, "peft_config", None) or {}) else BARE


def no_sweep(trainer: Trainer) -> str | None:
    """Why the learning rate of this Trainer cannot be swept, in words; None where it can."""
    if is_policy_gradient(trainer) or is_preference(trainer):
        advised = "take the rate that `lora-watch advise` names, for DPO and KTO a tenth of it"
        return f"the loss of {type(trainer).__name__} is no measure of the model: {advised}"
    if getattr(trainer, "is_fsdp_enabled", False) or getattr(trainer, "is_deepspeed_enabled", False):
        return "a sweep cannot put back what FSDP or DeepSpeed hold: find the rate on one device first"
    data = trainer.train_dataset
    if data is not None and not hasattr(data, "__getitem__") and hasattr(data, "__next__"):
        return "the training data is an iterator, which cannot begin anew after a sweep: give a dataset"
    if trainer.is_in_train and trainer.state.global_step > 0:
        return "the run goes on from a checkpoint, whose rate stays"
    return None


def evaluated_samples(metrics: Mapping[str, Any]) -> int | None:
    """On about how many examples ``Trainer.evaluate()`` was; None where it does not say."""
    ends = ("_runtime", "_samples_per_second")  # of several sets each has its name before them
    seconds, rate = (next((metrics[name] for name in metrics if name.endswith(end)), None) for end in ends)
    return round(seconds * rate) if isinstance(seconds, float) and isinstance(rate, float) else None


def quality(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of ``Trainer.evaluate()`` that say how good the model is, without those on how long it took."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, (int, float))
        and name != "epoch"
        and not name.endswith(("_time", "_runtime", "_per_second"))
    }


def best_evaluation(args: Any, state: Any) -> tuple[int, dict[str, float]]:
    """The step and the numbers of the checkpoint that the Trainer has loaded at its end, if it has."""
    folder = Path(state.best_model_checkpoint or "") if args.load_best_model_at_end else Path()
    step = folder.name.removeprefix("checkpoint-")
    if not step.isdigit():
        return state.global_step, {}
    rows = [quality(row) for row in state.log_history if row.get("step") == int(step)]
    return int(step), {name: row[name] for row in rows for name in row if name.startswith("eval_")}


def events_sink(trainer: Trainer, output_dir: Path) -> TensorBoardSink:
    """Writes into the Trainer's own TensorBoard run, or below ``output_dir`` where it has none."""
    # The Trainer's callback may open its writer after us; a second one in the same run would spoil both.
    if not any(hasattr(known, "tb_writer") for known in callbacks_of(trainer)):
        return TensorBoardSink(own_run(output_dir))
    reference = weakref.ref(trainer)

    def shared_writer() -> Any:
        writers = (getattr(known, "tb_writer", None) for known in callbacks_of(reference()))
        return next((writer for writer in writers if writer is not None), None)

    return TensorBoardSink(shared_writer)


def adds_up(trainer: Trainer) -> int:
    """By what the Trainer multiplies the losses of micro-batches where they are means that it adds up, else 0: from
    transformers 4.46 on it leaves the division, by those of all ranks, to whoever takes ``num_items_in_batch``, and a
    model's loss for classes takes it and ignores it."""
    own, args = getattr(trainer.compute_loss, "__func__", None) is not Trainer.compute_loss, trainer.args
    devices = args.n_gpu if args.n_gpu > 1 else ranks.world_size() // getattr(trainer, "get_tp_size", lambda: 1)()
    times = devices if getattr(args, "average_tokens_across_devices", False) else 1
    counts = "labels" in (trainer.label_names or ["labels"])  # else there is no num_items_in_batch
    if own or not counts or trainer.compute_loss_func is not None or args.gradient_accumulation_steps * times == 1:
        return 0
    if not trainer.model_accepts_loss_kwargs or getattr(trainer, "loss_is_scaled_for_ga", None) is False:
        return 0
    smoother = trainer.label_smoother
    made_by = getattr(trainer.model, "loss_function", None) if smoother is None else smoother.__call__
    return times if callable(made_by) and "num_items_in_batch" not in inspect.signature(made_by).parameters else 0


def no_probe(texts: Sequence[Any], tokenizer: Any, args: TrainingArguments) -> str:
    """Why the loss of general ``texts`` cannot be measured, and what to do; empty where it can."""
    if not args.do_eval:
        return "probe= is measured at evaluations, and this run has none: set eval_strategy"
    if tokenizer is None and any(isinstance(row, str) or "input_ids" not in row for row in _first(texts)):
        return "probe= needs a tokenizer for its texts: give the Trainer processing_class=, or examples with input_ids"
    return ""


def _first(texts: Sequence[Any]) -> list[Any]:
    return [texts[i] for i in range(min(len(texts), 16))]


def fixed_batch(texts: Sequence[Any], tokenizer: Any, device: torch.device) -> dict[str, Tensor]:
    """256 tokens of each of the first 16 ``texts``, or of examples with ``input_ids`` or a ``text``, with labels."""
    plain = [row if isinstance(row, str) else row.get("input_ids", row.get("text")) for row in _first(texts)]
    tokens = [tokenizer(row)["input_ids"] if isinstance(row, str) else row for row in plain]
    cut = [torch.as_tensor(row)[:256] for row in tokens]
    labels = torch.nn.utils.rnn.pad_sequence(cut, batch_first=True, padding_value=-100).to(device)
    return {"input_ids": labels.clamp(min=0), "attention_mask": (labels != -100).long(), "labels": labels}


def is_compiled(args: TrainingArguments, trainer: Trainer) -> bool:
    """The model is compiled from outside, by the Trainer or as accelerate's settings say: it does not show it."""
    state = getattr(getattr(trainer, "accelerator", None), "state", None)
    backend = getattr(getattr(state, "dynamo_plugin", None), "backend", None)
    return bool(getattr(args, "torch_compile", False)) or getattr(backend, "value", "NO") != "NO"


def notes_on(args: TrainingArguments, trainer: Trainer, model: Any) -> list[str]:
    """What of this run cannot be known, in words."""
    notes = []
    if is_compiled(args, trainer):
        notes.append("output_ratio is unavailable: the model is compiled")
    if reference := reference_of(trainer, model):
        notes.append(f"the reference model of {type(trainer).__name__} is {reference}")
    if is_policy_gradient(trainer):
        notes.append(
            f"the loss of {type(trainer).__name__} does not fall as the model gets better: LW102, LW104 and LW206 go "
            "by the reward, and LW202 to LW205 and LW207, which judge a loss, are silent"
        )
    return notes
