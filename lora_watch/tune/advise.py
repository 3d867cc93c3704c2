"""A rank, an alpha and a learning rate to start from for a model and a task, or from another model's, and why."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from lora_watch.adapters import Adapter, find_adapters
from lora_watch.adapters.peft_config import unmatched
from lora_watch.base.alerts import Alert
from lora_watch.base.records import RunInfo
from lora_watch.rules.forecast import SHORT_RUN, at_rate, at_steps, by_weights, classifies, first_step_of, length_law
from lora_watch.rules.remedies import nearest, round_alpha, typed_rate
from lora_watch.rules.settings import HIGH_RANK
from lora_watch.tune.preflight import foresee, planned_run, positive, preflight_rules
from lora_watch.tune.skeleton import Skeleton, skeleton
from lora_watch.tune.tasks import Task, find_task

ADVICE_VERSION = 2
CAPACITY = "Allen-Zhu & Li 2024, arXiv:2404.05405"
"""Measured that a language model holds about two bits of knowledge a parameter."""
_UNKNOWN_TASK = Task(
    "unknown",
    (8, 128),
    "no task was named: a search starts at 8 and doubles until it no longer pays",
    "rule of thumb",
)


@dataclass(frozen=True)
class Advice:
    """Settings to start from, with reasons. ``str()`` reads well; ``to_dict()`` is for programs."""

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
    learning_rate: float | None
    """The one given."""
    learning_rates: tuple[float, float, float] | None
    """The rate to start a search from, and the lowest and highest that may be best, by the weights alone; None without
    them. The first is what people would type."""
    first_step: float | None
    """‖ΔW‖/‖W₀‖ after one full step of Adam at the rate given, summed over ``blocks``; None where it is not known."""
    blocks: int
    adapter_parameters: int
    trainable_parameters: int
    """With what PEFT trains in addition to the adapters: a classifier's head."""
    model_parameters: int
    findings: tuple[Alert, ...]
    """Findings of the pre-flight rules for these settings."""
    notes: tuple[str, ...]
    """What else is to be known, and what is unknown."""

    def code(self) -> str:
        """Python to paste: the import and the ``LoraConfig``."""
        return lora_code(self.lora)

    def reasons(self) -> list[str]:
        """One sentence or two each: rank, alpha, learning rate, cost."""
        low, high = self.ranks
        r, alpha, s = self.lora["r"], self.lora["lora_alpha"], self.scale
        usual = f"{low} to {high}, starting at {r}" if low <= r <= high else f"{r}, where {low} to {high} is usual"
        formula, other = "α/r", f"{s * math.sqrt(r):.4g} with rsLoRA"
        if self.lora.get("use_rslora"):
            formula, other = "α/√r", f"{s * r:.4g} without rsLoRA"
        heads = self.trainable_parameters - self.adapter_parameters
        head = f", {heads:,} of them in parts trained whole (a head)" if heads else ""
        share = (
            f"{100 * self.trainable_parameters / self.model_parameters:.2g} % of the model's {self.model_parameters:,}"
        )
        return [
            f"Rank {usual}: {self.why} ({self.source}).",
            f"lora_alpha {alpha:g}: scale {formula} = {s:.3g}. The same scale is {other}.",
            *self._on_the_rate(),
            f"{self.trainable_parameters:,} trainable parameters{head}: {share}.",
        ]

    def _on_the_rate(self) -> list[str]:
        said = []
        if self.learning_rates is not None:
            start, low, high = self.learning_rates
            new_head = classifies(self.lora)
            *_, long = length_law(new_head)
            said.append(
                f"Learning rate {start:g}, between {low:.2g} and {high:.2g}, by the weights alone. A run of {long:,} "
                f"steps or more wants about {at_steps(start, SHORT_RUN, long, new_head):.2g}. lora-watch run --find-lr "
                "measures it, which counts more."
            )
        if self.first_step is not None:
            said.append(
                f"At learning rate {self.learning_rate:g} the first full step is {self.first_step:.2g} of the weights, "
                f"summed over {self.blocks} blocks."
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        findings = [alert.to_dict() for alert in self.findings]
        plain = asdict(replace(self, findings=()))
        return plain | {"version": ADVICE_VERSION, "findings": findings, "code": self.code()}

    @property
    def title(self) -> str:
        return f"{self.model}: {self.task}"

    def sentences(self) -> list[str]:
        """All that is said of the settings."""
        alerts = [str(alert).replace(" at step 0", "") for alert in self.findings]
        return [*self.reasons(), *alerts, *self.notes]

    def __str__(self) -> str:
        return "\n".join([self.title, *self.sentences(), "", self.code()])


def advise(
    model: nn.Module | str | Path,
    task: str | None = None,
    *,
    tokens: float | None = None,
    learning_rate: float | None = None,
    rank: int | None = None,
    target_modules: str | Sequence[str] = "all-linear",
) -> Advice:
    """Settings to start from. Nothing is trained, the model is not changed, and weights are not needed.

    Args:
        model: a folder with a ``config.json``, or a loaded model.
        task: ``classification``, ``domain-adaptation``, ``instruction-tuning`` or ``continued-pretraining``.
        tokens: how many tokens the loss is taken over in one pass through the data (for a classifier: its labels).
        learning_rate: peak of the schedule, where it is settled already.
        rank: the numbers for this rank, in place of a suggested one.
        target_modules: as in ``LoraConfig``.

    The learning rate is only advised where the frozen weights are there.

    Raises:
        ValueError: for a folder without a model, a name of no task, and settings that PEFT does not take.
    """
    for name, value in (("tokens", tokens), ("learning_rate", learning_rate), ("rank", rank)):
        positive(name, value)
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
    run = planned_run(adapters, bare.base_norms(adapters), lora, learning_rate, model=bare.name)
    step, rates = first_step_of(run), by_weights(at_rate(run, 1.0))
    if rates is None:
        notes.append("Without the frozen weights no learning rate is advised; lora-watch run --find-lr measures it.")
    notes += _left_out(bare, adapters)
    if meant.name == "classification" and bare.task_type == "CAUSAL_LM":
        notes.append(
            "The model is taken as the language model that it is, which writes the label. With "
            "AutoModelForSequenceClassification the task_type is SEQ_CLS, and a head is trained as well."
        )
    says = ("The model has no such module", "These layers are not adapted, so their own rank or alpha does nothing")
    notes += [f"{what}: {'; '.join(names)}." for what, names in zip(says, unmatched(adapted)) if names]
    return Advice(
        model=bare.name,
        task=meant.name,
        ranks=(low, high),
        why=meant.why,
        source=meant.source,
        lora=lora,
        scale=run.adapters[0].scale,
        learning_rate=learning_rate,
        learning_rates=None if rates is None else (typed_rate(rates.best), rates.low, rates.high),
        first_step=step if math.isfinite(step) else None,
        blocks=run.blocks,
        adapter_parameters=sum(map(_size, adapters)),
        trainable_parameters=sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        model_parameters=bare.parameters,
        findings=tuple(foresee(run, preflight_rules())),
        notes=tuple(notes),
    )


def lora_code(lora: dict[str, Any]) -> str:
    """``LoraConfig(…)`` with its import, one argument a line."""
    literals = {name: json.dumps(v) if isinstance(v, (str, list)) else repr(v) for name, v in lora.items()}
    arguments = "".join(f"    {name}={literal},\n" for name, literal in literals.items())
    return f"from peft import LoraConfig\n\nconfig = LoraConfig(\n{arguments})\n"


def _start(ranks: tuple[int, int], a_rank: int, tokens: float | None, notes: list[str]) -> int:
    """The lowest of the range; with ``tokens`` the highest whose adapter has no more numbers than there are tokens."""
    low, high = ranks
    if tokens is None:
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
    if r < HIGH_RANK:
        return {"lora_alpha": r}
    alpha = round_alpha(math.sqrt(r))
    return {"lora_alpha": int(alpha) if alpha.is_integer() else alpha, "use_rslora": True}


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


# -- from one model to another -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Transfer:
    """What the settings become."""

    from_model: str
    to_model: str
    widths: tuple[int, int]
    """Hidden sizes: the most frequent d_in of the adapted layers."""
    ranks: tuple[int, int]
    lora: dict[str, Any]
    """Keyword arguments of ``peft.LoraConfig`` for the second model."""
    scale: float
    """s on both."""
    step_factor: float | None
    """The second model's first full step, summed over its blocks, relative to the first's, at one learning rate; None
    where the weights of one of them are not there."""
    learning_rates: tuple[float, float] | None
    """The one given, and the one that makes that step as large as it was."""

    def code(self) -> str:
        """Python to paste: the import and the ``LoraConfig``."""
        return lora_code(self.lora)

    @property
    def title(self) -> str:
        return f"{self.from_model} → {self.to_model}"

    def sentences(self) -> list[str]:
        """One a fact: rank, scale, learning rate, and what does not carry over."""
        (old_r, new_r), (old, new) = self.ranks, self.widths
        rate = "Learning rate: unknown without the frozen weights of both models. lora-watch run --find-lr measures it."
        if self.learning_rates is not None:
            rate = (
                f"Learning rate {self.learning_rates[0]:g} → {self.learning_rates[1]:g}: the first full step relative "
                "to the weights, summed over blocks, is then about as large as it was."
            )
        elif self.step_factor is not None:
            rate = f"Learning rate: at the same one the first full step is {self.step_factor:.2g} times as large."
        return [
            f"Rank {old_r} → {new_r}: r·√({new}/{old}), a rule of thumb that was not measured here.",
            f"Scale {self.scale:.3g}, kept: lora_alpha is {self.lora['lora_alpha']:g}.",
            rate,
            "The rank that the task needs depends on the model's knowledge: search around this one.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"version": ADVICE_VERSION, **asdict(self), "code": self.code()}

    def __str__(self) -> str:
        return "\n".join([self.title, *self.sentences(), "", self.code()])


def transfer(
    from_model: nn.Module | str | Path,
    to_model: nn.Module | str | Path,
    rank: int,
    *,
    alpha: float | None = None,
    use_rslora: bool = False,
    learning_rate: float | None = None,
    target_modules: str | Sequence[str] = "all-linear",
) -> Transfer:
    """``rank`` and ``alpha`` (= ``rank`` if left out), which suited ``from_model``, for ``to_model``.

    The rank grows with the square root of the hidden size and the scale is kept. Models are given as to ``advise``, and
    it raises ValueError as that does.
    """
    for name, value in (("rank", rank), ("alpha", alpha), ("learning_rate", learning_rate)):
        positive(name, value)

    def planned(model: nn.Module | str | Path, r: int) -> RunInfo:
        """The run at the scale that ``alpha`` has at ``rank``."""
        bare = skeleton(model)
        growth = r / rank
        kept = float(f"{(alpha or rank) * (math.sqrt(growth) if use_rslora else growth):.4g}")
        settings: dict[str, Any] = {"r": r, "lora_alpha": int(kept) if kept.is_integer() else kept}
        settings |= ({"use_rslora": True} if use_rslora else {}) | bare.settings_for(target_modules)
        adapters = find_adapters(bare.adapted(settings))
        return planned_run(adapters, bare.base_norms(adapters), settings, learning_rate, model=bare.name)

    def width_of(run: RunInfo) -> int:
        return statistics.mode(adapter.d_in for adapter in run.adapters)

    old, other = planned(from_model, rank), planned(to_model, rank)
    widths = width_of(old), width_of(other)
    new_rank = max(int(nearest(rank * math.sqrt(widths[1] / widths[0]), (1, 3), 2)), 1)
    new = planned(to_model, new_rank)
    factor = first_step_of(at_rate(new, 1.0)) / first_step_of(at_rate(old, 1.0))
    known, rates = math.isfinite(factor), None
    if known and learning_rate is not None:
        rates = (learning_rate, nearest(learning_rate / factor, (1, 2, 3, 5), 10))
    return Transfer(
        from_model=old.config["model"],
        to_model=new.config["model"],
        widths=widths,
        ranks=(rank, new_rank),
        lora=dict(new.config["lora"]["default"]),
        scale=old.adapters[0].scale,
        step_factor=factor if known else None,
        learning_rates=rates,
    )
