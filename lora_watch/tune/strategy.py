"""The strategy of a search: the rank at a held scale until it no longer pays, then the scale at that rank.

The next runs follow from those that are done, by a pure function.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lora_watch.base.plateau import WORTH, gain, per_look, smallest_good, the_best


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
    """The knowledge so far, and the next runs."""

    wanted: list[Configuration] = field(default_factory=list)
    """Runs without which nothing more can be said, in their order; empty when the search is over."""
    story: list[str] = field(default_factory=list)
    """The conclusions, one sentence a step."""
    rank: int | None = None
    """The rank that was found; None while it is being searched, or where none is sound."""
    best: Configuration | None = None
    """The configuration that was found, with seed 0; None while it is being searched, or where none is sound."""
    plateau: bool = False
    """The rank stage ended because the curve is flat, not because the ranks ran out."""


def decide(strategy: Strategy, known: Mapping[Configuration, Outcome]) -> Decision:
    """The next runs after ``known``, or the end of the search."""
    return _Decider(strategy, known).decide()


class _Decider:
    def __init__(self, strategy: Strategy, known: Mapping[Configuration, Outcome]):
        self.strategy = strategy
        self.says = Decision()
        self.values: dict[Configuration, dict[int, float]] = defaultdict(dict)
        """The metric by seed, of each configuration with seed 0 in its seed's stead."""
        self.failed: dict[Configuration, str] = {}
        """Why; one failed run is enough to give up its configuration."""
        self.open = False
        """Whether a step of the rank stage was left open: too much noise, and no more seeds."""
        for each, outcome in known.items():
            if outcome.value is None:
                self.failed[each.with_seed(0)] = outcome.why or "failed"
            else:
                self.values[each.with_seed(0)][each.seed] = outcome.value

    def decide(self) -> Decision:
        reached = self._climb()
        if reached and not self.says.wanted:
            by_rank = {each.r: self.values[each] for each in reached}
            rank, best = smallest_good(by_rank, self.strategy.worth, self.strategy.higher_is_better)
            self.says.rank = rank
            as_good = f"the smallest that is as good as {best}"
            self._tell(f"Rank {rank} is {the_best(not self.open) if rank == best else as_good}.")
            self._turn(rank)
        return self.says

    # -- the rank ------------------------------------------------------------------------------------------------------
    def _climb(self) -> list[Configuration]:
        """One rank after the other, until the next one no longer pays; the sound ones that were reached."""
        ranks = [self.strategy.at(r) for r in self.strategy.ranks]
        first = ranks[0]
        if len(ranks) == 1:
            self._lacks(first, self.strategy.seeds)
        if first in self.failed:
            self._tell(f"Rank {first.r} is not sound: {self.failed[first]} Lower the learning rate or s.")
            return []
        reached = [first]
        for smaller, larger in itertools.pairwise(ranks):
            verdict = self._compare(smaller, larger)
            if verdict == "waiting":
                return []
            if larger in self.failed:
                self._tell(f"Rank {larger.r} is not sound: {self.failed[larger]} Larger ones would not be either.")
                return reached
            reached.append(larger)
            if verdict == "flat":
                self.says.plateau = True
                return reached
        self._tell(f"No plateau is proven up to rank {ranks[-1].r}.")
        return reached

    def _compare(self, smaller: Configuration, larger: Configuration) -> str:
        """``flat``, ``climbs``, ``open``, or ``waiting`` for the runs that are now wanted."""
        strategy = self.strategy
        confidence = per_look(strategy.confidence, strategy.most_seeds - strategy.seeds + 1)
        seeds = strategy.seeds
        while True:
            if self._lacks(smaller, seeds) | self._lacks(larger, seeds):
                return "waiting"
            if larger in self.failed:
                return "open"
            before, after = (
                {seed: value for seed, value in self.values[each].items() if seed < seeds} for each in (smaller, larger)
            )
            found = gain(before, after, confidence, strategy.higher_is_better)
            verdict = found.verdict(strategy.worth)
            if verdict != "open" or seeds == strategy.most_seeds:
                self.open |= verdict == "open"
                self._tell(f"{smaller.r} → {larger.r}: {found} over {seeds} seeds, {found.because(strategy.worth)}.")
                return verdict
            seeds += 1

    # -- the scale -----------------------------------------------------------------------------------------------------
    def _turn(self, rank: int) -> None:
        """The scales at the rank that was found; the one of the rank stage stays unless another is better."""
        strategy, base = self.strategy, self.strategy.at(rank)
        others = []
        for scale in sorted(strategy.scales):
            here = strategy.at(rank, scale)
            if here == base:
                continue
            self._lacks(here, strategy.seeds)
            if here in self.failed:
                self._tell(f"s = {scale:g} is not sound: {self.failed[here]} Larger ones would not be either.")
                break
            others.append(here)
        if self.says.wanted:
            return
        self.says.best = base
        if not others:
            return
        sign = 1 if strategy.higher_is_better else -1
        rival = max(others, key=lambda each: sign * statistics.fmean(self.values[each].values()))
        gains = {each: gain(self.values[base], self.values[each], strategy.confidence, sign > 0) for each in others}
        found = gains[rival]
        says = f"s = {rival.scale:g} instead of {base.scale:g}: {found} over {found.pairs} seeds"
        if found.mean > max(strategy.worth, found.error):
            self.says.best = rival
            self._tell(f"{says}, {'better' if found.low > 0 else the_best(False)}.")
        elif found.mean > 0:
            self._tell(f"{says}, within the noise or less than it must gain: s = {base.scale:g} stays.")
        else:
            best = the_best(all(each.high < 0 for each in gains.values()))
            self._tell(f"{says}: s = {base.scale:g} is {best} of {len(others) + 1}.")

    # -- helpers -------------------------------------------------------------------------------------------------------
    def _lacks(self, configuration: Configuration, seeds: int) -> bool:
        """Whether it has fewer runs than that; those that are missing become wanted. A failed one has enough."""
        if configuration in self.failed:
            return False
        missing = [seed for seed in range(seeds) if seed not in self.values[configuration]]
        self.says.wanted += [configuration.with_seed(seed) for seed in missing]
        return bool(missing)

    def _tell(self, sentence: str) -> None:
        self.says.story.append(sentence)


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
