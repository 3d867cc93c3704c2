"""The next runs, decided from those that are done: a pure function, so all machines of a study agree."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from lora_watch.base.plateau import gain, per_look, smallest_good, the_best
from lora_watch.search.plan import Configuration, Plan


@dataclass(frozen=True)
class Outcome:
    """How one run ended."""

    value: float | None
    """The metric; None where the run failed."""
    why: str = ""
    """Why it failed, in words."""


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


def decide(plan: Plan, known: Mapping[Configuration, Outcome]) -> Decision:
    """The next runs of ``plan`` after ``known``, or its end."""
    return _Decider(plan, known).decide()


class _Decider:
    def __init__(self, plan: Plan, known: Mapping[Configuration, Outcome]):
        self.plan = plan
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
            rank, best = smallest_good(by_rank, self.plan.worth, self.plan.higher_is_better)
            self.says.rank = rank
            as_good = f"the smallest that is as good as {best}"
            self._tell(f"Rank {rank} is {the_best(not self.open) if rank == best else as_good}.")
            self._turn(rank)
        return self.says

    # -- the rank ------------------------------------------------------------------------------------------------------
    def _climb(self) -> list[Configuration]:
        """One rank after the other, until the next one no longer pays; the sound ones that were reached."""
        ranks = [self.plan.at_rank(r) for r in self.plan.ranks]
        first = ranks[0]
        if len(ranks) == 1:
            self._lacks(first, self.plan.seeds)
        if first in self.failed:
            self._tell(f"Rank {first.r} is not sound: {self.failed[first]} Lower the learning rate or s; plan anew.")
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
        plan = self.plan
        confidence = per_look(plan.confidence, plan.most_seeds - plan.seeds + 1)
        seeds = plan.seeds
        while True:
            if self._lacks(smaller, seeds) | self._lacks(larger, seeds):
                return "waiting"
            if larger in self.failed:
                return "open"
            before, after = (
                {seed: value for seed, value in self.values[each].items() if seed < seeds} for each in (smaller, larger)
            )
            found = gain(before, after, confidence, plan.higher_is_better)
            verdict = found.verdict(plan.worth)
            if verdict != "open" or seeds == plan.most_seeds:
                self.open |= verdict == "open"
                self._tell(f"{smaller.r} → {larger.r}: {found} over {seeds} seeds, {found.because(plan.worth)}.")
                return verdict
            seeds += 1

    # -- the scale -----------------------------------------------------------------------------------------------------
    def _turn(self, rank: int) -> None:
        """The scales at the rank that was found; the one of the rank stage stays unless another is better."""
        plan, base = self.plan, self.plan.at_rank(rank)
        tried = [base]
        for scale in sorted(plan.scales):
            here = plan.at_scale(rank, scale)
            self._lacks(here, plan.seeds)
            if here in self.failed:
                self._tell(f"s = {scale:g} is not sound: {self.failed[here]} Larger ones would not be either.")
                break
            tried.append(here)
        if self.says.wanted:
            return
        self.says.best = base
        others = [each for each in tried if each != base]
        if not others:
            return
        sign = 1 if plan.higher_is_better else -1
        rival = max(others, key=lambda each: sign * statistics.fmean(self.values[each].values()))
        gains = {each: gain(self.values[base], self.values[each], plan.confidence, sign > 0) for each in others}
        found = gains[rival]
        says = f"s = {rival.scale:g} instead of {base.scale:g}: {found} over {found.pairs} seeds"
        if found.mean > max(plan.worth, found.error):
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
