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
from lora_watch.rules.remedies import nearest
from lora_watch.tune.advise import ADVICE_VERSION, lora_code
from lora_watch.tune.reference import reference_of
from lora_watch.tune.remarks import nearest_rank
from lora_watch.tune.settings import demand_positive, planned_run
from lora_watch.tune.skeleton import skeleton


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

    def reasons(self) -> list[str]:
        """One sentence each: rank, scale, learning rate, and what does not carry over."""
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
        return "\n".join([f"{self.from_model} → {self.to_model}", *self.reasons(), "", self.code()])


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

    def planned(model: nn.Module | str | Path, r: int) -> RunInfo:
        """The run at the scale that ``alpha`` has at ``rank``."""
        bare = skeleton(model)
        growth = r / rank
        kept = float(f"{(alpha or rank) * (math.sqrt(growth) if use_rslora else growth):.4g}")
        settings: dict[str, Any] = {"r": r, "lora_alpha": int(kept) if kept.is_integer() else kept}
        settings |= ({"use_rslora": True} if use_rslora else {}) | bare.settings_for(target_modules)
        adapters = find_adapters(bare.adapted(settings))
        return planned_run(adapters, bare.base_norms(adapters), settings, learning_rate, model=bare.name)

    old, other = planned(from_model, rank), planned(to_model, rank)
    before, width = reference_of(old), reference_of(other).width
    new = planned(to_model, nearest_rank(rank * math.sqrt(width / before.width)))
    after = reference_of(new)
    factor = first_step_of(at_rate(new, 1.0)) / first_step_of(at_rate(old, 1.0))
    known, rates = math.isfinite(factor), None
    if known and learning_rate is not None:
        rates = (learning_rate, nearest(learning_rate / factor, (1, 2, 3, 5), 10))
    return Transfer(
        from_model=before.model,
        to_model=after.model,
        widths=(before.width, width),
        ranks=(rank, after.r),
        lora=dict(new.config["lora"]["default"]),
        scale=before.scale,
        step_factor=factor if known else None,
        learning_rates=rates,
    )
