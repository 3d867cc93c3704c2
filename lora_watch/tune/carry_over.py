"""Settings that were tuned on one model, carried over to a model of another size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lora_watch.adapters import find_adapters
from lora_watch.base.records import RunInfo
from lora_watch.rules.forecast import at_rate, first_step_of
from lora_watch.rules.reference import Reference, reference_of
from lora_watch.rules.remedies import nearest
from lora_watch.tune.advise import ADVICE_VERSION, lora_code
from lora_watch.tune.remarks import nearest_rank
from lora_watch.tune.settings import demand_positive, planned_run
from lora_watch.tune.skeleton import skeleton


@dataclass(frozen=True)
class Transfer:
    """What the settings become, and what does not carry over."""

    from_model: str
    to_model: str
    widths: tuple[int, int]
    """Hidden sizes: the most frequent d_in of the adapted layers."""
    blocks: tuple[int, int]
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
    does_not_transfer: tuple[str, ...]

    def code(self) -> str:
        """Python to paste: the import and the ``LoraConfig``."""
        return lora_code(self.lora)

    def reasons(self) -> list[str]:
        """One sentence each: rank, scale, learning rate."""
        (old_r, new_r), (old, new) = self.ranks, self.widths
        said = [
            f"Rank {old_r} → {new_r}: r·√({new}/{old}) = {old_r * math.sqrt(new / old):.3g}, a rule of thumb that was "
            "not measured here.",
            f"Scale {self.scale:.3g}, kept: lora_alpha is {self.lora['lora_alpha']:g}.",
        ]
        if self.learning_rates is not None:
            said.append(
                f"Learning rate {self.learning_rates[0]:g} → {self.learning_rates[1]:g}, with which the first full "
                "step relative to the base weights, summed over blocks, is about as large as it was."
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"version": ADVICE_VERSION, **asdict(self), "code": self.code()}

    def __str__(self) -> str:
        title = f"{self.from_model} → {self.to_model}"
        lacks = [f"Does not carry over: {each}" for each in self.does_not_transfer]
        return "\n".join([title, *self.reasons(), *lacks, "", self.code()])


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
    demand_positive(rank=rank, alpha=alpha, learning_rate=learning_rate)
    alpha = float(rank) if alpha is None else float(alpha)

    def planned(model: nn.Module | str | Path, r: int) -> tuple[RunInfo, Reference]:
        """The run at the scale that ``alpha`` has at ``rank``."""
        bare = skeleton(model)
        settings: dict[str, Any] = {"r": r, "lora_alpha": _alpha(alpha, rank, r, use_rslora)}
        settings |= {"use_rslora": True} if use_rslora else {}
        settings |= bare.settings_for(target_modules)
        adapters = find_adapters(bare.adapted(settings))
        run = planned_run(adapters, bare.base_norms(adapters), settings, learning_rate, model=bare.name)
        return run, reference_of(run)

    old, before = planned(from_model, rank)
    _, other = planned(to_model, rank)
    new_rank = nearest_rank(rank * math.sqrt(other.width / before.width))
    new, after = planned(to_model, new_rank)
    factor = first_step_of(at_rate(new, 1.0)) / first_step_of(at_rate(old, 1.0))
    known, rates = math.isfinite(factor), None
    if known and learning_rate is not None:
        rates = (learning_rate, nearest(learning_rate / factor, (1, 2, 3, 5), 10))
    return Transfer(
        from_model=before.model,
        to_model=after.model,
        widths=(before.width, other.width),
        blocks=(before.blocks, after.blocks),
        ranks=(rank, new_rank),
        lora=dict(new.config["lora"]["default"]),
        scale=before.scale,
        step_factor=factor if known else None,
        learning_rates=rates,
        does_not_transfer=tuple(_lost(old, new, factor)),
    )


def _alpha(alpha: float, old_r: int, r: int, use_rslora: bool) -> float:
    """The α that keeps the scale, to four digits."""
    value = float(f"{alpha * (math.sqrt(r / old_r) if use_rslora else r / old_r):.4g}")
    return int(value) if value.is_integer() else value


def _lost(old: RunInfo, new: RunInfo, factor: float) -> list[str]:
    said = [
        f"the learning rate: at the same one the first full step, summed over {new.blocks} blocks in place of "
        f"{old.blocks}, is {factor:.2g} times as large."
        if math.isfinite(factor)
        else "the learning rate: without the frozen weights of both models, the change of the first step is unknown. "
        "Compare a short run on each, or use reference= in the callback (LW406)."
    ]
    lost, added = (sorted(_kinds(a) - _kinds(b)) for a, b in ((old, new), (new, old)))
    if lost or added:
        said.append(
            f"names of modules: {', '.join(lost) or 'none'} on the first only, {', '.join(added) or 'none'} on the "
            "second only."
        )
    said.append("the plateau: the rank that a task needs depends on the model's knowledge. Search around this one.")
    return said


def _kinds(run: RunInfo) -> set[str]:
    return {adapter.name.rpartition(".")[2] for adapter in run.adapters}
