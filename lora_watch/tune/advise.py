"""A rank, an alpha and a scale to start from for a model and a task, and their cost."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_watch.adapters import Adapter, find_adapters
from lora_watch.adapters.peft_config import unmatched
from lora_watch.base.alerts import Alert
from lora_watch.base.records import RunInfo
from lora_watch.rules.forecast import SHORT_RUN, at_rate, at_steps, by_weights, classifies, first_step_of, length_law
from lora_watch.rules.remedies import round_alpha, typed_rate
from lora_watch.rules.scaling import FadingScale
from lora_watch.rules.tasks import Task, find_task
from lora_watch.tune.settings import demand_positive, foresee, planned_run, preflight_rules
from lora_watch.tune.skeleton import Skeleton, skeleton

ADVICE_VERSION = 1
CAPACITY = "Allen-Zhu & Li 2024, arXiv:2404.05405"
"""Measured that a language model holds about two bits of knowledge a parameter."""
CUSTOMARY_RATES = (
    "QLoRA trained language models of up to 13 B at 2e-4 and larger ones at 1e-4 under Adam (Dettmers et al. 2023, "
    "arXiv:2305.14314): a place to start, not measured here"
)
INITIAL_TOO_SMALL = (2.3, 9.5)
"""How many times larger than at initialisation the median layer's ‖W₀‖_F was in three pretrained models: the tiny
Llama 2.3, MiniLM 3.2, SmolLM2 9.5."""
_UNKNOWN_TASK = Task(
    "unknown",
    (8, 128),
    "no task was named: a search starts at 8 and doubles until it no longer pays",
    "rule of thumb",
)


@dataclass(frozen=True)
class LayerKind:
    """Adapted layers that are alike: one kind of projection over all blocks."""

    name: str
    """Path with ``*`` for numbers: ``model.layers.*.self_attn.q_proj``."""
    count: int
    d_out: int
    d_in: int
    parameters: int
    """Trainable parameters of one: r·(d_out + d_in) for a linear layer."""
    share: float
    """The same as a share of the frozen weight's d_out·d_in."""


@dataclass(frozen=True)
class Memory:
    """Bytes. Activations, and what libraries take for themselves, are not in it."""

    frozen: int
    frozen_dtype: str
    adapters: int
    """In float32, in which PEFT keeps them also over 16-bit weights."""
    gradients: int
    optimizer: int
    """Adam's two moments, in float32."""

    @property
    def total(self) -> int:
        return self.frozen + self.adapters + self.gradients + self.optimizer


@dataclass(frozen=True)
class Advice:
    """Settings to start from, with reasons and cost. ``str()`` reads well; ``to_dict()`` is for programs."""

    model: str
    task: str
    ranks: tuple[int, int]
    """Lowest and highest of the range worth searching."""
    why: str
    source: str
    lora: dict[str, Any]
    """Keyword arguments of ``peft.LoraConfig``."""
    scale: float
    """s, the factor on B·A, that this makes."""
    same_scale: dict[str, float]
    """The α that makes this scale under either formula: ``alpha/r`` and ``alpha/sqrt(r)``."""
    learning_rate: float | None
    first_step: float | None
    """‖ΔW‖/‖W₀‖ after one full step of Adam, summed over ``blocks``; None where it is not known."""
    first_step_relative_norm: float | None
    """The same of the median layer alone."""
    base_norms_from: str | None
    """The source of ‖W₀‖: ``weights``, ``initializer``, or None if it is unknown. With ``initializer`` the real first
    steps are smaller, because trained weights are larger."""
    learning_rates: tuple[float, float, float] | None
    """The rate to start a search from, and the lowest and highest that may be best, by the weights alone; None without
    them. The first is what people would type."""
    blocks: int
    layers: tuple[LayerKind, ...]
    adapter_parameters: int
    trainable_parameters: int
    """With what PEFT trains in addition to the adapters: a classifier's head."""
    model_parameters: int
    memory: Memory
    findings: tuple[Alert, ...]
    """Findings of the pre-flight rules for these settings."""
    notes: tuple[str, ...]
    """Unknown facts."""

    @property
    def share(self) -> float:
        """Trainable parameters and the model's."""
        return self.trainable_parameters / self.model_parameters

    def code(self) -> str:
        """Python to paste: the import and the ``LoraConfig``."""
        return lora_code(self.lora)

    def reasons(self) -> list[str]:
        """One sentence each: rank, scale, first step, learning rate."""
        low, high = self.ranks
        r, alpha, s = self.lora["r"], self.lora["lora_alpha"], self.scale
        plain, rooted = self.same_scale["alpha/r"], self.same_scale["alpha/sqrt(r)"]
        formula, other = ("α/√r", alpha / r) if self.lora.get("use_rslora") else ("α/r", alpha / math.sqrt(r))
        usual = low <= r <= high
        where = f"Rank {low} to {high}, starting at {r}" if usual else f"Rank {r}, where {low} to {high} is usual"
        said = [
            f"{where}: {self.why} ({self.source}).",
            f"Scale {formula} = {s:.3g}. The same scale is α = {plain:.4g} without rsLoRA, α = {rooted:.4g} with it; "
            f"α = {alpha:g} read the other way would be {other:.3g}.",
        ]
        if self.first_step is not None and self.first_step_relative_norm is not None:
            most = "at most " if self.base_norms_from == "initializer" else ""
            said.append(
                f"First full step at learning rate {self.learning_rate:g}: {most}‖ΔW‖/‖W₀‖ = "
                f"{self.first_step_relative_norm:.2g} in the median layer, {most}{self.first_step:.2g} summed over "
                f"{self.blocks} blocks (s·lr·√(d_out·r/3) under Adam)."
            )
        if self.learning_rates is not None:
            start, low, high = self.learning_rates
            new_head = classifies(self.lora)
            *_, long = length_law(new_head)
            said.append(
                f"By the weights alone the best learning rate is about {start:g}, between {low:.2g} and {high:.2g}. "
                "That held on three models with 1 M to 135 M parameters, in runs of 25 to 120 steps. A run of "
                f"{long:,} steps or more wants about {at_steps(start, SHORT_RUN, long, new_head):.2g}."
            )
        return said

    def cost(self) -> list[str]:
        """One sentence each: parameters, memory."""
        heads = self.trainable_parameters - self.adapter_parameters
        head = f", {heads:,} of them in parts trained whole (a head)" if heads else ""
        share = f"{100 * self.share:.2g} % of the model's {self.model_parameters:,}"
        memory = self.memory
        return [
            f"{self.trainable_parameters:,} trainable parameters{head}: {share}.",
            f"Memory: {_size_text(memory.frozen)} frozen ({memory.frozen_dtype}); in float32 "
            f"{_size_text(memory.adapters)} adapters, {_size_text(memory.gradients)} gradients, "
            f"{_size_text(memory.optimizer)} Adam; {_size_text(memory.total)} in all, without activations.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        out = {**asdict(replace(self, findings=())), "version": ADVICE_VERSION, "share": self.share}
        return out | {
            "memory": asdict(self.memory) | {"total": self.memory.total},
            "findings": [alert.to_dict() for alert in self.findings],
            "code": self.code(),
        }

    def __str__(self) -> str:
        parts = [f"{self.model}: {self.task}", *self.reasons(), *self.cost(), *map(str, self.findings), *self.notes]
        return "\n".join([*parts, "", self.code()])


def advise(
    model: nn.Module | str | Path,
    task: str | None = None,
    *,
    tokens: float | None = None,
    learning_rate: float | None = None,
    rank: int | None = None,
    target_modules: str | Sequence[str] = "all-linear",
    dtype: str | None = None,
) -> Advice:
    """Settings to start from. Nothing is trained, the model is not changed, and weights are not needed.

    Args:
        model: a folder with a ``config.json``, or a loaded model.
        task: ``classification``, ``domain-adaptation``, ``instruction-tuning`` or ``continued-pretraining``.
        tokens: how many tokens the loss is taken over in one pass through the data (for a classifier: its labels).
        learning_rate: peak of the schedule, where it is settled already.
        rank: the numbers for this rank, in place of a suggested one.
        target_modules: as in ``LoraConfig``.
        dtype: of the frozen weights, such as ``bfloat16``; that of the model where it is left out.

    The first step is only foretold with a learning rate, and exactly only where the frozen weights are there.

    Raises:
        ValueError: for a folder without a model, a name of no task, and settings that PEFT does not take.
    """
    demand_positive(tokens=tokens, learning_rate=learning_rate, rank=rank)
    notes: list[str] = []
    meant = find_task(task) if task is not None else _UNKNOWN_TASK
    bare = skeleton(model, classifies=meant.name == "classification")
    shape = bare.settings_for(target_modules)

    low, high = meant.ranks
    # r·(d_out + d_in) for every layer: what one rank costs.
    probe = find_adapters(bare.adapted({**shape, "r": 1, "lora_alpha": 1}))
    # Of most layers: a router or a head may be far narrower than all that matters.
    width = statistics.median_low(min(adapter.shape) for adapter in probe)
    if high > width:
        low, high = min(low, width), width
        notes.append(f"Ranks end at {width}, the smaller side of the median adapted layer.")
    r = rank or _start((low, high), sum(map(_size, probe)), tokens, notes)
    lora = {"r": r, **_alpha(r), **shape}

    adapted = bare.adapted(lora)
    adapters = find_adapters(adapted)
    purpose = {} if task is None else {"task": meant.name}
    run = planned_run(adapters, bare.base_norms(adapters), lora, learning_rate, model=bare.name, **purpose)
    scale = run.adapters[0].scale
    known, source = _with_norms(run, bare, notes)
    relative, rates = None, by_weights(at_rate(known, 1.0)) if source == "weights" else None
    if learning_rate is not None and source is not None:
        relative = first_step_of(at_rate(known, learning_rate)) / run.blocks
    notes += _left_out(bare, adapters)
    if meant.name == "classification" and bare.task_type == "CAUSAL_LM":
        notes.append(
            "The model is taken as the language model that it is, which writes the label. With "
            "AutoModelForSequenceClassification the task_type is SEQ_CLS, and a head is trained as well."
        )
    says = ("The model has no such module", "These layers are not adapted, so their own rank or alpha does nothing")
    notes += [f"{what}: {'; '.join(names)}." for what, names in zip(says, unmatched(adapted)) if names]
    quantised = getattr(getattr(bare.model, "config", None), "quantization_config", None)
    if quantised and not isinstance(model, nn.Module):
        notes.append(f"The model is stored quantised and takes less than is said here, which counts {bare.dtype}.")
    if learning_rate is None:
        notes.append(f"No learning rate was given, and the first step grows in proportion to it. {CUSTOMARY_RATES}.")
        notes.append("lora-watch run --find-lr measures the rate that the data can take: what is measured counts.")
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    return Advice(
        model=bare.name,
        task=meant.name,
        ranks=(low, high),
        why=meant.why,
        source=meant.source,
        lora=lora,
        scale=scale,
        same_scale={"alpha/r": scale * r, "alpha/sqrt(r)": scale * math.sqrt(r)},
        learning_rate=learning_rate,
        first_step=None if relative is None else relative * run.blocks,
        first_step_relative_norm=relative,
        base_norms_from=source,
        learning_rates=None if rates is None else (typed_rate(rates.best), rates.low, rates.high),
        blocks=run.blocks,
        layers=_kinds(adapters),
        adapter_parameters=sum(map(_size, adapters)),
        trainable_parameters=trainable,
        model_parameters=bare.parameters,
        memory=_memory(bare, trainable, dtype),
        findings=tuple(foresee(run, preflight_rules())),
        notes=tuple(notes),
    )


def _size_text(size: int) -> str:
    """``1.5 GiB``, ``12 MiB``."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.3g} MiB"


def lora_code(lora: dict[str, Any]) -> str:
    """``LoraConfig(…)`` with its import, one argument a line."""
    literals = {name: json.dumps(v) if isinstance(v, (str, list)) else repr(v) for name, v in lora.items()}
    arguments = "".join(f"    {name}={literal},\n" for name, literal in literals.items())
    return f"from peft import LoraConfig\n\nconfig = LoraConfig(\n{arguments})\n"


def _start(ranks: tuple[int, int], a_rank: int, tokens: float | None, notes: list[str]) -> int:
    """The lowest of the range; with ``tokens`` the highest whose adapter has no more numbers than there are tokens."""
    low, high = ranks
    if tokens is None:
        notes.append("The amount of data is not known: the start is the lowest of the range.")
        return low
    steps = [low * 2**i for i in range(20) if low * 2**i <= high]
    fitting = [r for r in steps if r * a_rank <= tokens]
    r = max(fitting or [low])
    too_many = ", the lowest of the range too many: watch the held-out loss, and try a lower rank or fewer modules"
    notes.append(
        f"{tokens:,.0f} tokens cannot fill an adapter with more numbers than that ({CAPACITY}: about two bits a "
        f"parameter). Rank {r} has {r * a_rank:,}{'' if fitting else too_many}."
    )
    return r


def _alpha(r: int) -> dict[str, Any]:
    """Scale 1, or about 1; with rsLoRA where α/r would fade, so that a higher rank needs no other α."""
    if r < FadingScale().rank:
        return {"lora_alpha": r}
    alpha = round_alpha(math.sqrt(r))
    return {"lora_alpha": int(alpha) if alpha.is_integer() else alpha, "use_rslora": True}


def _with_norms(run: RunInfo, bare: Skeleton, notes: list[str]) -> tuple[RunInfo, str | None]:
    """The run with ‖W₀‖ and where that was taken from; says what is not known in ``notes``."""
    if math.isfinite(first_step_of(at_rate(run, 1.0))):
        return run, "weights"
    if bare.initializer_range is None:
        notes.append("The size of the base weights is not known, and so neither is the first step relative to them.")
        return run, None
    as_made = tuple(
        replace(adapter, base_norm=bare.initializer_range * math.sqrt(adapter.d_out * adapter.d_in))
        for adapter in run.adapters
    )
    low, high = INITIAL_TOO_SMALL
    notes.append(
        f"The frozen weights are not there: their size is taken from initializer_range {bare.initializer_range:g}. "
        f"Trained weights are larger ({low:g} to {high:g} times in three models here), and the first step is smaller."
    )
    return replace(run, adapters=as_made), "initializer"


def _left_out(bare: Skeleton, adapters: Sequence[Adapter]) -> list[str]:
    """Weights of three dimensions are experts, which are parameters and not layers: few target_modules reach them."""
    experts = sum(p.numel() for p in bare.model.parameters() if p.ndim == 3)
    if experts <= bare.parameters // 10 or any(adapter.kind == "Experts" for adapter in adapters):
        return []
    return [
        f"{experts:,} parameters are experts of an MoE layer, which target_modules does not reach: "
        "LoraConfig(target_parameters=[…]) does."
    ]


def _size(adapter: Adapter) -> int:
    return sum(p.numel() for p in adapter.parameters)


def _kinds(adapters: Sequence[Adapter]) -> tuple[LayerKind, ...]:
    found = Counter((re.sub(r"\b\d+\b", "*", each.name), *each.shape, _size(each)) for each in adapters)
    return tuple(
        LayerKind(name, count, d_out, d_in, size, size / (d_out * d_in))
        for (name, d_out, d_in, size), count in found.items()
    )


def _memory(bare: Skeleton, trainable: int, dtype: str | None) -> Memory:
    kind = getattr(torch, dtype, None) if dtype is not None else None
    if dtype is not None and not (isinstance(kind, torch.dtype) and kind.is_floating_point):
        raise ValueError(f"dtype={dtype!r}: a floating-point type such as bfloat16 or float32")
    frozen = bare.bytes if kind is None else bare.parameters * kind.itemsize
    return Memory(frozen, dtype or bare.dtype, 4 * trainable, 4 * trainable, 8 * trainable)
