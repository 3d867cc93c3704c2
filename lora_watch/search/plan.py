"""The runs of a search: the rank at a fixed scale until it no longer pays, then the scale at that rank."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from lora_watch.base.plateau import WORTH

PLAN_VERSION = 1


@dataclass(frozen=True)
class Configuration:
    """One run: what LoraConfig and TrainingArguments get."""

    r: int
    lora_alpha: float
    use_rslora: bool
    learning_rate: float | None
    """None: a sweep finds it."""
    seed: int = 0

    @property
    def scale(self) -> float:
        """s, the factor on B·A: α/r, or α/√r with rsLoRA."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)

    @property
    def effective_lr(self) -> float:
        """s · lr, which sets how fast ‖ΔW‖ grows under Adam; NaN where lr is to be found."""
        return math.nan if self.learning_rate is None else self.scale * self.learning_rate

    @property
    def first_step(self) -> float:
        """‖ΔW‖ after Adam's first step, up to a factor that is the same for all ranks and scales: s·lr·√r."""
        return self.effective_lr * math.sqrt(self.r)

    @property
    def name(self) -> str:
        """Good for the name of a folder: ``r16-s1-lr0.0002-seed0``."""
        rate = "" if self.learning_rate is None else f"-lr{self.learning_rate:.4g}"
        return f"r{self.r}-s{self.scale:.4g}{rate}-seed{self.seed}"

    def with_seed(self, seed: int) -> Configuration:
        """The same, for another run of it. With seed 0 it stands for all of them."""
        return replace(self, seed=seed)

    def lora(self) -> dict[str, Any]:
        """Keyword arguments of ``peft.LoraConfig``."""
        return {"r": self.r, "lora_alpha": self.lora_alpha, "use_rslora": self.use_rslora}

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``TrainingArguments``; without a learning rate where it is to be found."""
        return {"seed": self.seed} | ({} if self.learning_rate is None else {"learning_rate": self.learning_rate})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with what follows from it: ``name``, ``scale``, ``effective_lr``."""
        effective_lr = None if self.learning_rate is None else self.effective_lr
        return {"name": self.name, **asdict(self), "scale": self.scale, "effective_lr": effective_lr}

    @classmethod
    def from_dict(cls, serialised: Mapping[str, Any]) -> Configuration:
        """The configuration that ``to_dict`` wrote. Raises KeyError or TypeError for anything else."""
        return cls(**{field.name: serialised[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Plan:
    """The search, before anything has run.

    First the ranks, each twice the one before, with the scale s held (α = r for s = 1); then, at the rank where the
    curve flattens, the scales. The learning rate is found by a sweep, once for each rank and each scale: each is judged
    at a rate that suits it.

    With a ``learning_rate`` that one is held: s·lr does not change with the rank, which is all that does, and grows
    with the scale. Under Adam the first step's ‖ΔW‖ grows with s·lr·√r, so at a held s the larger ranks also start
    faster. To hold that step instead, use rsLoRA with a held ``alpha``. s·lr then falls as 1/√r.

    Raises:
        ValueError: for values that make no plan; the text names the argument.
    """

    learning_rate: float | None = None
    """None: found by a sweep (``lora_watch.find_learning_rate``), in some 60 steps for each rank and each scale."""
    ranks: tuple[int, ...] = (8, 16, 32, 64, 128)
    """In ascending order."""
    scale: float = 1.0
    """s while the rank is searched."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """s tried at the rank that was found; empty to leave the scale alone."""
    use_rslora: bool = False
    alpha: float | None = None
    """With rsLoRA: hold this α over the ranks instead of s."""
    keep_effective_lr: bool = False
    """Divide the learning rate by what s is multiplied with, so that s·lr is the same for all scales."""
    seeds: int = 3
    """Runs of each configuration, with the seeds 0, 1, …"""
    most_seeds: int = 5
    """As many where fewer leave open whether the next rank is better."""
    worth: float = WORTH
    """The least gain that twice the rank is worth, as a share of the metric."""
    confidence: float = 0.95
    """Of the statement that the next rank gains less than ``worth``."""
    higher_is_better: bool = False
    """The metric is an accuracy rather than a loss."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", tuple(self.ranks))
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        whole = bool(self.ranks) and all(isinstance(r, int) and r >= 1 for r in self.ranks)
        ascending = whole and list(self.ranks) == sorted(set(self.ranks))
        each_once = all(map(_positive, self.scales)) and len(set(self.scales)) == len(self.scales)
        for name, holds, wanted in (
            ("learning_rate", self.learning_rate is None or _positive(self.learning_rate), "a positive number"),
            ("keep_effective_lr", not self.keep_effective_lr or self.learning_rate, "it needs a learning_rate"),
            ("ranks", ascending, "whole numbers from 1 in ascending order, each once"),
            ("scale", _positive(self.scale), "a positive number"),
            ("scales", each_once, "positive numbers, each once"),
            ("seeds", self.seeds >= 2, "2 or more: one run says nothing about the noise"),
            ("most_seeds", self.most_seeds >= self.seeds, f"at least seeds, {self.seeds}"),
            ("worth", 0 < self.worth < 1, "a share between 0 and 1"),
            ("confidence", 0.5 < self.confidence < 1, "between 0.5 and 1"),
            ("alpha", self.alpha is None or _positive(self.alpha), "a positive number"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)!r}: {wanted}")
        if self.alpha is not None and not self.use_rslora:
            raise ValueError(
                f"alpha={self.alpha:g} without rsLoRA: α/r would fall as r grows, so rank and scale could "
                "not be told apart. Leave alpha out (α = s·r), or use rsLoRA"
            )

    def at_rank(self, r: int, seed: int = 0) -> Configuration:
        """The run at rank ``r`` while the rank is searched."""
        alpha = self.alpha if self.alpha is not None else self._alpha(r, self.scale)
        return Configuration(r, alpha, self.use_rslora, self.learning_rate, seed)

    def at_scale(self, r: int, scale: float, seed: int = 0) -> Configuration:
        """The run with s = ``scale`` at the rank ``r`` that was found."""
        base = self.at_rank(r, seed)
        if math.isclose(scale, base.scale):
            return base  # the same run: it need not be repeated
        lr = base.effective_lr / scale if self.keep_effective_lr else self.learning_rate
        return Configuration(r, self._alpha(r, scale), self.use_rslora, lr, seed)

    def configurations(self, rank: int | None = None) -> list[Configuration]:
        """The first stage, or with ``rank`` the second: every configuration with each of the first ``seeds``."""
        if rank is None:
            return [self.at_rank(r, seed) for r in self.ranks for seed in range(self.seeds)]
        return [self.at_scale(rank, scale, seed) for scale in self.scales for seed in range(self.seeds)]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ranks": list(self.ranks), "scales": list(self.scales)}

    def to_json(self, rank: int | None = None) -> str:
        """The plan and the configurations of its first stage, or with ``rank`` of its second."""
        content = {
            "version": PLAN_VERSION,
            "plan": self.to_dict(),
            "stage": "rank" if rank is None else "scale",
            "notes": self.notes(rank),
            "configurations": [each.to_dict() for each in self.configurations(rank)],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def notes(self, rank: int | None = None) -> list[str]:
        """The held and the changing settings, in words."""
        if self.learning_rate is None:
            held = f"rank {rank}" if rank is not None else f"s = {self.scale:g}" if self.alpha is None else "α"
            return [f"Held is {held}; a sweep finds the learning rate once for each rank and each scale."]
        if rank is not None:
            base = self.at_rank(rank)
            if self.keep_effective_lr:
                follows = f"The learning rate falls as s grows, so that s·lr stays {base.effective_lr:.3g}."
            else:
                follows = f"The learning rate stays {self.learning_rate:g}, so that s·lr grows with s."
            return [f"Rank {rank} is held. {follows}"]
        first, last = self.at_rank(self.ranks[0]), self.at_rank(self.ranks[-1])
        if self.alpha is not None:
            held = [
                f"α = {self.alpha:g} and the learning rate are held, with rsLoRA: s·lr falls from "
                f"{first.effective_lr:.3g} to {last.effective_lr:.3g} as 1/√r, and the first step's ‖ΔW‖ is the same "
                "at all ranks."
            ]
        else:
            held = [
                f"s = {self.scale:g} and the learning rate are held: s·lr is {first.effective_lr:.3g} throughout. "
                f"Under Adam the first step's ‖ΔW‖ still grows as √r, here by a factor of "
                f"{last.first_step / first.first_step:.3g}; what holds it instead is rsLoRA with a held α."
            ]
        if self.use_rslora and self.alpha is None:
            held.append("With s held, rsLoRA trains exactly as α = s·r does without it: only α is written differently.")
        if self.alpha is not None and first.scale > 4:
            held.append(
                f"At r = {first.r} the scale is {first.scale:.3g}: α/√r is steep at small ranks. Start at 8 or "
                "above, or take a smaller α."
            )
        return held

    def _alpha(self, r: int, scale: float) -> float:
        alpha = scale * (math.sqrt(r) if self.use_rslora else r)
        return int(alpha) if float(alpha).is_integer() else alpha


def numbers(text: str, kind: type[int] | type[float], option: str) -> tuple[Any, ...]:
    """``8,16,32`` as numbers. Raises ValueError, with the name of the option, for anything else."""
    try:
        return tuple(kind(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{option}={text!r}: {what} with commas between them, such as 8,16,32") from None


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
