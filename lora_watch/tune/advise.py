"""A rank, an alpha and a learning rate to start from for a model and a task, and why."""

import json
import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from lora_watch.base.prescription import typed
from lora_watch.base.records import RunInfo
from lora_watch.base.text import meant, percent
from lora_watch.rules.forecast import LENGTH_LAW, Rates, has_new_head
from lora_watch.rules.remedies import round_alpha, useful_rates
from lora_watch.tune.base_model import read_model
from lora_watch.tune.preflight import planned_run, positive

HIGH_RANK = 64
"""From this rank on rsLoRA is advised."""
BIDERMAN = "Biderman et al. 2024, arXiv:2405.09673"
MEASURE = "lora-watch run --find-lr measures it"


class Task(NamedTuple):
    """A kind of fine-tuning, and the ranks that are worth trying first for it."""

    name: str
    ranks: tuple[int, int]
    """Lowest and highest of the usual range. A place to start from, not a bound."""
    why: str
    """With the source."""


TASKS = (
    Task("classification", (4, 8), "its intrinsic dimension is very low (Aghajanyan et al. 2021, arXiv:2012.13255)"),
    Task("domain-adaptation", (8, 16), "words and style change (rule of thumb; Hu et al. 2021, arXiv:2106.09685)"),
    Task("instruction-tuning", (16, 64), f"it changes many behaviours at once (rule of thumb; {BIDERMAN})"),
    Task(
        "continued-pretraining",
        (64, 256),
        "new knowledge needs room: full fine-tuning changes weights at 10 to 100 times the rank of a usual adapter, "
        f"and LoRA reaches less here; consider full fine-tuning ({BIDERMAN})",
    ),
)
_UNKNOWN_TASK = Task("no task named, no new head", (8, 128), "double it until that no longer pays (rule of thumb)")


@dataclass(frozen=True)
class Advice:
    """Settings to start from, with reasons. ``print`` it."""

    title: str
    lora: dict[str, Any]
    """Keyword arguments of ``peft.LoraConfig``."""
    scale: float
    """s, the factor on B·A, that this makes."""
    learning_rate: float | None
    reasons: tuple[str, ...]
    """One line each: rank, alpha, learning rate, and what else there is to know."""
    rates: Rates | None = None
    """The range in which the best rate is expected by the weights alone; None without them."""
    parameters: int | None = None
    """Of the adapters; None where the layers are not known."""

    def code(self) -> str:
        """Python to paste: the import, the ``LoraConfig`` and the learning rate."""
        literals = {name: json.dumps(v) if isinstance(v, (str, list)) else repr(v) for name, v in self.lora.items()}
        config = ", ".join(f"{name}={literal}" for name, literal in literals.items())
        rate = "" if self.learning_rate is None else f"learning_rate = {self.learning_rate:g}  # of TrainingArguments\n"
        return f"from peft import LoraConfig\n\nconfig = LoraConfig({config})\n{rate}"

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"- {reason}" for reason in self.reasons), "", self.code()])


def advise(model: nn.Module | str | Path, task: str | None = None, *, steps: int | None = None) -> Advice:
    """Settings to start from, for adapters in all linear layers. Nothing is trained, and the model is not changed.

    Args:
        model: a folder with a ``config.json``, or a loaded model. A learning rate is advised where its weights are.
        task: ``classification``, ``domain-adaptation``, ``instruction-tuning`` or ``continued-pretraining``.
        steps: optimizer steps of the run; without, the rate is that of a short one.

    Raises:
        ValueError: for a folder without a model, and a name of no task.
    """
    positive("steps", steps)
    kind_of = find_task(task) if task is not None else _UNKNOWN_TASK
    base = read_model(model)
    reads_texts = base.task_type in (None, "CAUSAL_LM") and "vocab_size" in base.config
    kind = "SEQ_CLS" if kind_of.name == "classification" and reads_texts else base.task_type
    where = {"target_modules": "all-linear"} | ({"task_type": kind} if kind else {})

    layers, (r, high) = base.adapted(where), kind_of.ranks
    if layers:  # most of them: a router or a head may be far narrower than all that matters
        width = statistics.median_low(min(layer.d_out, layer.d_in) for layer in layers)
        r, high = min(r, width), min(high, width)
    # Scale 1, or about 1; with rsLoRA where α/r would fade, so that a higher rank needs no other α.
    alpha = (
        {"lora_alpha": typed(round_alpha(math.sqrt(r))), "use_rslora": True} if r >= HIGH_RANK else {"lora_alpha": r}
    )
    lora = {"r": r, **alpha, **where}

    run = planned_run(lora, base, max_steps=steps)
    rates, scale = useful_rates(run), run.adapters[0].scale
    formula = "α/√r" if "use_rslora" in lora else "α/r"
    reasons = [
        f"Rank {r} of {r} to {high}: {kind_of.why}.",
        f"lora_alpha {lora['lora_alpha']:g}: the scale {formula} is {scale:.3g}.",
        _on_the_rate(run, rates),
    ]
    parameters = r * sum(layer.d_out + layer.d_in for layer in layers) if layers else None
    if parameters is not None:
        share = percent(parameters / (base.parameters + parameters))
        reasons.append(f"{parameters:,} trainable parameters, {share} of all.")
    if any(".experts." in name for name in base.shapes):
        reasons.append("Experts of MoE layers are left out: LoraConfig(target_parameters=[…]) reaches them.")
    elif kind_of.name == "classification" and base.task_type == "CAUSAL_LM":
        reasons.append("Load the model with AutoModelForSequenceClassification. Its new head is trained as well.")
    return Advice(
        title=f"{base.name}: {kind_of.name}",
        lora=lora,
        scale=scale,
        learning_rate=None if rates is None else rates.best,
        reasons=tuple(reasons),
        rates=rates,
        parameters=parameters,
    )


def _on_the_rate(run: RunInfo, rates: Rates | None) -> str:
    if rates is None:
        return f"Learning rate unknown: the model's weights are not there. {MEASURE}."
    *_, long = LENGTH_LAW[has_new_head(run)]
    lowered, more = useful_rates(replace(run, max_steps=long)), ""
    if lowered is not None and run.max_steps is None:
        more = f"; {lowered.best:g} for {long:,} steps or more"
    return f"Learning rate {rates.best:g} ({rates}, estimated from the model's weights){more}. {MEASURE}."


def find_task(name: str) -> Task:
    """The task of that name, in any case, with blanks or underscores for hyphens.

    Raises ValueError, which lists the names and says which one is nearest, for any other.
    """
    known = {task.name: task for task in TASKS}
    plain = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    if plain in known:
        return known[plain]
    raise ValueError(f"task {name!r} is none of {', '.join(known)}{meant(plain, known)}")
