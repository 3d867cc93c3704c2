"""The strategy of a search: the rank at a held scale until it no longer pays, then the scale at that rank.

It asks for one run after the other, and for none without need.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from lora_watch.tune.plateau import WORTH, Gain, gain, per_look, smallest_good, the_best


@dataclass(frozen=True)
class Configuration:
    """One run."""

    r: int
    scale: float
    """s = α/r, the factor on B·A."""
    learning_rate: float | None
    """None: a sweep finds it."""
    seed: int = 0

    @property
    def lora_alpha(self) -> float:
        """s·r, to eight digits: a whole number where it is one."""
        alpha = float(f"{self.scale * self.r:.8g}")
        return int(alpha) if alpha.is_integer() else alpha

    @property
    def name(self) -> str:
        """Good for the name of a folder: ``r16-s1-seed0``."""
        return f"r{self.r}-s{self.scale:.4g}-seed{self.seed}"

    def with_seed(self, seed: int) -> Configuration:
        """The same, for another run of it. With seed 0 it stands for all of them."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Strategy:
    """First the ranks, each twice the one before, with the scale s held (α = r for s = 1); then, at the rank where the
    curve flattens, the scales. The learning rate is found by a sweep, once for each rank and each scale: each is judged
    at a rate that suits it.

    Raises:
        ValueError: for values that make no sense; the text names the argument.
    """

    learning_rate: float | None = None
    """None: found by a sweep (``lora_watch.find_learning_rate``), in some 60 steps for each rank and each scale. Else
    it is held."""
    ranks: tuple[int, ...] = (8, 16, 32, 64, 128)
    """In ascending order."""
    scale: float = 1.0
    """s while the rank is searched."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """s tried at the rank that was found; empty to leave the scale alone."""
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
            ("ranks", ascending, "whole numbers from 1 in ascending order, each once"),
            ("scale", _positive(self.scale), "a positive number"),
            ("scales", each_once, "positive numbers, each once"),
            ("seeds", self.seeds >= 2, "2 or more: one run says nothing about the noise"),
            ("most_seeds", self.most_seeds >= self.seeds, f"at least seeds, {self.seeds}"),
            ("worth", 0 < self.worth < 1, "a share between 0 and 1"),
            ("confidence", 0.5 < self.confidence < 1, "between 0.5 and 1"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)!r}: {wanted}")

    def at(self, r: int, scale: float | None = None, seed: int = 0) -> Configuration:
        """The run at rank ``r``, and at the held scale unless another is given."""
        return Configuration(r, float(self.scale if scale is None else scale), self.learning_rate, seed)


@dataclass(frozen=True)
class Outcome:
    """How one run ended."""

    value: float | None
    """The metric; None where the run failed."""
    why: str = ""
    """Why it failed, in words."""
    learning_rate: float | None = None
    """The one that it was trained at."""


@dataclass
class Decision:
    """What a search has found."""

    story: list[str] = field(default_factory=list)
    """The conclusions, one sentence a step."""
    rank: int | None = None
    """None where no rank is sound."""
    best: Configuration | None = None
    """With seed 0; None where no rank is sound."""
    plateau: bool = False
    """The rank stage ended because the curve is flat, not because the ranks ran out or a larger one failed."""


def decide(
    strategy: Strategy, run: Callable[[Configuration], Outcome], tell: Callable[[str], object] = lambda sentence: None
) -> Decision:
    """The search. ``run`` makes a run, or knows how it ended; ``tell`` is given each conclusion as it is drawn."""
    return _Search(strategy, run, tell).decide()


class _Search:
    def __init__(self, strategy: Strategy, run: Callable[[Configuration], Outcome], tell: Callable[[str], object]):
        self.strategy, self.run, self.tell = strategy, run, tell
        self.says = Decision()
        self.values: dict[Configuration, dict[int, float]] = {}
        """The metric by seed, of each configuration with seed 0 in its seed's stead."""
        self.failed: dict[Configuration, str] = {}
        """Why; one failed run is enough to give up its configuration."""
        self.open = False
        """A step of the rank stage was left open: too much noise, and no more seeds."""

    def decide(self) -> Decision:
        if reached := self._climb():
            by_rank = {each.r: self.values[each] for each in reached}
            rank, best = smallest_good(by_rank, self.strategy.worth, self.strategy.higher_is_better)
            self.says.rank = rank
            as_good = f"the smallest that is as good as {best}"
            self._say(f"Rank {rank} is {the_best(not self.open) if rank == best else as_good}.")
            self._turn(rank)
        return self.says

    def _climb(self) -> list[Configuration]:
        """One rank after the other, until the next one no longer pays; the sound ones that were reached."""
        reached: list[Configuration] = []
        for r in self.strategy.ranks:
            reached.append(self.strategy.at(r))
            self._runs(reached[-1], self.strategy.seeds)
            flat = len(reached) > 1 and self._is_flat(*reached[-2:])
            for place, each in enumerate(reached):
                if each in self.failed:
                    then = "Larger ones would not be either." if place else "Lower the learning rate or s."
                    self._say(f"Rank {each.r} is not sound: {self.failed[each]} {then}")
                    return reached[:place]
            if flat:
                self.says.plateau = True
                return reached
        self._say(f"No plateau is proven up to rank {reached[-1].r}.")
        return reached

    def _is_flat(self, smaller: Configuration, larger: Configuration) -> bool:
        """Whether the larger rank surely does not pay. Where the noise leaves it open, both get more seeds."""
        strategy = self.strategy
        confidence = per_look(strategy.confidence, strategy.most_seeds - strategy.seeds + 1)
        for seeds in range(strategy.seeds, strategy.most_seeds + 1):
            before, after = self._runs(smaller, seeds), self._runs(larger, seeds)
            if smaller in self.failed or larger in self.failed:
                return False
            found = gain(before, after, confidence, strategy.higher_is_better)
            verdict = found.verdict(strategy.worth)
            if verdict != "open" or seeds == strategy.most_seeds:
                self.open |= verdict == "open"
                self._say(f"{smaller.r} → {larger.r}: {found} over {seeds} seeds, {found.because(strategy.worth)}.")
                return verdict == "flat"
        return False

    def _turn(self, rank: int) -> None:
        """The scales at the rank that was found; the one of the rank stage stays unless another is better."""
        strategy, base = self.strategy, self.strategy.at(rank)
        self.says.best = base
        others: dict[Configuration, Gain] = {}
        for here in (strategy.at(rank, scale) for scale in sorted(strategy.scales) if scale != base.scale):
            values = self._runs(here, strategy.seeds)
            if here in self.failed:
                self._say(f"s = {here.scale:g} is not sound: {self.failed[here]} Larger ones would not be either.")
                break
            others[here] = gain(self.values[base], values, strategy.confidence, strategy.higher_is_better)
        if not others:
            return
        sign = 1 if strategy.higher_is_better else -1
        rival = max(others, key=lambda each: sign * statistics.fmean(self.values[each].values()))
        found = others[rival]
        says = f"s = {rival.scale:g} instead of {base.scale:g}: {found} over {found.pairs} seeds"
        if found.mean > max(strategy.worth, found.error):
            self.says.best = rival
            self._say(f"{says}, {'better' if found.low > 0 else the_best(False)}.")
        elif found.mean > 0:
            self._say(f"{says}, within the noise or less than it must gain: s = {base.scale:g} stays.")
        else:
            best = the_best(all(each.high < 0 for each in others.values()))
            self._say(f"{says}: s = {base.scale:g} is {best} of {len(others) + 1}.")

    def _runs(self, configuration: Configuration, seeds: int) -> dict[int, float]:
        """The metric of its runs with the first ``seeds`` seeds, by seed; fewer where one of them has failed."""
        values = self.values.setdefault(configuration, {})
        for seed in range(seeds):
            if seed in values or configuration in self.failed:
                continue
            outcome = self.run(configuration.with_seed(seed))
            if outcome.value is None:
                self.failed[configuration] = outcome.why or "failed"
            else:
                values[seed] = outcome.value
        return {seed: value for seed, value in values.items() if seed < seeds}

    def _say(self, sentence: str) -> None:
        self.says.story.append(sentence)
        self.tell(sentence)


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
