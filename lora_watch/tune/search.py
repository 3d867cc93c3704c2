"""Finds the rank and alpha: the rank is doubled while alpha stays until that no longer pays, then alpha is turned.

Two runs with the same seed see the same batches in the same order, so most of the noise cancels in their difference.
The interval of the differences is Student's, which is exact where they are normal. Stopping needs proof, going on needs
none: a curve too noisy to judge costs runs, not quality. What is known is kept in a file: the same call continues.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lora_watch.base.alerts import LoraWatchError
from lora_watch.base.strict_json import strict_json
from lora_watch.base.text import mean_and_spread, say, short, table
from lora_watch.base.untrusted import MISFITS, load_json
from lora_watch.format.files import replace_file

if TYPE_CHECKING:
    from lora_watch.drivers.callback import LoraWatchCallback

T_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833)
"""Student's t that 95 in 100 are below, for 1 degree of freedom to 9; for more the last is wide enough."""


@dataclass(frozen=True)
class Configuration:
    """One run."""

    r: int
    lora_alpha: float
    learning_rate: float | None
    """None: a sweep finds it."""
    seed: int = 0


@dataclass(frozen=True)
class Strategy:
    """First the ranks, each twice the one before, while alpha stays; then, at the rank where the curve flattens, other
    alphas. The learning rate is found by a sweep, once for each alpha: at one alpha one rate serves all ranks.

    Raises:
        ValueError: for values that make no sense; the text names the argument.
    """

    learning_rate: float | None = None
    """None: found by a sweep (``lora_watch.find_learning_rate``), in some 60 steps for each alpha. Else it is held."""
    ranks: tuple[int, ...] = (8, 16, 32, 64, 128)
    """In ascending order."""
    alpha: float = 16
    """While the rank is searched."""
    alphas: tuple[float, ...] = (8, 16, 32, 64)
    """Tried at the rank that was found; empty to leave alpha alone."""
    seeds: int = 3
    """Runs of each configuration, with the seeds 0, 1, … More of them tell smaller gains from noise."""
    worth: float = 0.01
    """The least gain that twice the rank is worth, as a share of the metric."""
    higher_is_better: bool = False
    """The metric is an accuracy rather than a loss."""

    def __post_init__(self) -> None:
        whole = bool(self.ranks) and all(isinstance(r, int) and r >= 1 for r in self.ranks)
        for name, holds, wanted in (
            ("learning_rate", self.learning_rate is None or self.learning_rate > 0, "a positive number"),
            ("ranks", whole and list(self.ranks) == sorted(set(self.ranks)), "whole numbers from 1, ascending"),
            ("alpha", self.alpha > 0, "a positive number"),
            ("alphas", all(alpha > 0 for alpha in self.alphas), "positive numbers"),
            ("seeds", self.seeds >= 2, "2 or more: one run says nothing about the noise"),
            ("worth", 0 < self.worth < 1, "a share between 0 and 1"),
        ):
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)!r}: {wanted}")

    def at(self, r: int, alpha: float | None = None, seed: int = 0) -> Configuration:
        """The run at rank ``r``, and at the alpha that stays unless another is given."""
        return Configuration(r, self.alpha if alpha is None else alpha, self.learning_rate, seed)


@dataclass(frozen=True)
class Outcome:
    """How one run ended."""

    value: float | None
    """The metric; None where the run failed."""
    why: str = ""
    """Why it failed, in words."""
    learning_rate: float | None = None
    """The one that it was trained at."""


class Attempt:
    """One run of a search: what ``train`` is given."""

    def __init__(self, configuration: Configuration):
        self.configuration = configuration
        """With the learning rate, as soon as it is known."""
        self._callback: LoraWatchCallback | None = None

    @property
    def name(self) -> str:
        """Good for the name of a folder: ``r16-alpha16-seed0``."""
        run = self.configuration
        return f"r{run.r}-alpha{run.lora_alpha:g}-seed{run.seed}"

    def lora(self) -> dict[str, Any]:
        """Keyword arguments of ``peft.LoraConfig``."""
        return {"r": self.configuration.r, "lora_alpha": self.configuration.lora_alpha}

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``TrainingArguments``; without a learning rate where it is to be found."""
        rate = self.configuration.learning_rate
        return {"seed": self.configuration.seed} | ({} if rate is None else {"learning_rate": rate})

    def callback(self, **settings: Any) -> LoraWatchCallback:
        """A LoraWatchCallback for the Trainer of this run: an error ends the configuration within a few steps.

        Where the learning rate is not known it sweeps before the first step, and trains at what it finds. ``settings``
        are those of LoraWatchCallback.
        """
        from lora_watch.drivers.callback import LoraWatchCallback

        find_lr = self.configuration.learning_rate is None
        self._callback = LoraWatchCallback(**{"fail_on": "error", "find_lr": find_lr, **settings})
        return self._callback

    @property
    def learning_rate(self) -> float | None:
        """Given, or found in this run."""
        swept = None if self._callback is None else self._callback.found
        return self.configuration.learning_rate or (None if swept is None else swept.rate_or_middle)


@dataclass
class SearchResult:
    """The result of a search. ``print(result)`` shows the runs, and what follows from them."""

    story: list[str] = field(default_factory=list)
    """The conclusions, one sentence a step."""
    best: Configuration | None = None
    """What to use, with seed 0 and the learning rate that it was trained at; None where no rank is sound."""
    plateau: bool = False
    """The ranks ended because the curve is flat, not because they ran out or a larger one failed."""
    outcomes: Mapping[Configuration, Outcome] = field(default_factory=dict, repr=False)
    """Every run that came to its end, or failed."""

    def __str__(self) -> str:
        found, best = "No rank is sound.", self.best
        if best is not None:
            rate = short(best.learning_rate)
            found = f"Use r={best.r}, lora_alpha={best.lora_alpha:.4g}, learning_rate={rate}."
        return "\n".join([*self._table(), "", *self.story, found])

    def _table(self) -> list[str]:
        best = self.best
        groups: dict[Configuration, list[Outcome]] = {}
        for each, outcome in sorted(self.outcomes.items(), key=lambda item: (item[0].r, item[0].lora_alpha)):
            groups.setdefault(replace(each, seed=0), []).append(outcome)
        rows = []
        for each, runs in groups.items():
            values = [run.value for run in runs if run.value is not None]
            mark = "← use" if best and (each.r, each.lora_alpha) == (best.r, best.lora_alpha) else ""
            numbers = map(short, (each.lora_alpha, runs[0].learning_rate))
            metric = mean_and_spread(values) if len(values) == len(runs) else "failed"
            rows.append([str(each.r), *numbers, str(len(runs)), metric, mark])
        return table(["r", "alpha", "learning rate", "runs", "metric", ""], rows, left=(5,))


def search(
    train: Callable[[Attempt], float],
    strategy: Strategy | None = None,
    *,
    path: str | os.PathLike[str] = "lora_search.json",
    show: bool = True,
) -> SearchResult:
    """Find the rank and alpha: double the rank while alpha stays, until it no longer pays, then turn alpha.

    ::

        def train(attempt):
            model = get_peft_model(base_model(), LoraConfig(**attempt.lora(), target_modules="all-linear"))
            args = TrainingArguments(f"runs/{attempt.name}", **attempt.arguments())
            trainer = Trainer(model, args, train_dataset=data, eval_dataset=held_out, callbacks=[attempt.callback()])
            trainer.train()
            return trainer.evaluate()["eval_loss"]

        print(search(train))

    Every run that ends is noted in the file ``path``. After an interruption, even a kill, the same call continues, and
    a call with more seeds or ranks makes those that are missing.

    Python's, numpy's and torch's random states are set to the configuration's seed before each run, so that two ranks
    with one seed differ in the rank alone.

    A run has failed by LoraWatchError or a metric that is not finite; its configuration gets no further seeds, and the
    larger ranks or alphas none at all. Any other exception ends the search and is raised; the run counts as not done.

    Args:
        train: trains the run that it is given, and returns the metric on held-out data.
        strategy: what to try, and when the curve counts as flat.
        path: the file that keeps what is known. One process at a time, one model, task and metric.
        show: write a line about each run to standard error.

    Raises:
        ValueError: the file is none of a search; or no learning rate was found.
    """
    strategy, path = strategy or Strategy(), Path(path)
    known = _read(path)

    def tell(text: str) -> None:
        if show:
            say(text, sys.stderr)

    def run(configuration: Configuration) -> Outcome:
        if configuration in known:
            return known[configuration]
        attempt = Attempt(replace(configuration, learning_rate=_rate(configuration, known)))
        number = len(known) + 1
        tell(f"run {number}: {attempt.name} …")
        outcome = known[configuration] = _outcome(train, attempt)
        tell(f"run {number}: {f'failed: {outcome.why}' if outcome.value is None else f'{outcome.value:.5g}'}")
        runs = [{"configuration": asdict(each), "outcome": asdict(outcome)} for each, outcome in known.items()]
        replace_file(path, strict_json({"runs": runs}))
        return outcome

    result = decide(strategy, run, tell)
    result.outcomes = known
    if result.best is not None:
        result.best = replace(result.best, learning_rate=_rate(result.best, known))
    return result


def _outcome(train: Callable[[Attempt], float], attempt: Attempt) -> Outcome:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(attempt.configuration.seed)
    try:
        value = float(train(attempt))
    except LoraWatchError as error:
        return Outcome(None, str(error).partition("\n")[0], attempt.learning_rate)
    if not math.isfinite(value):
        return Outcome(None, f"its metric is {value}.", attempt.learning_rate)
    if attempt.learning_rate is None:
        raise ValueError(
            f"{attempt.name} was trained without finding its learning rate. What finds it is attempt.callback() in the "
            "Trainer. Or give it: Strategy(learning_rate=…)"
        )
    return Outcome(value, "", attempt.learning_rate)


def _rate(configuration: Configuration, known: Mapping[Configuration, Outcome]) -> float | None:
    """The learning rate that was given, or that an earlier run of the same alpha has found."""
    if configuration.learning_rate is not None:
        return configuration.learning_rate
    same = (each for each in known if each.lora_alpha == configuration.lora_alpha and each.learning_rate is None)
    return next((rate for each in same if (rate := known[each].learning_rate) is not None), None)


def _read(path: Path) -> dict[Configuration, Outcome]:
    """The runs that are done."""
    if not path.exists():
        return {}
    try:
        runs = load_json(path)["runs"]
        return {Configuration(**run["configuration"]): Outcome(**run["outcome"]) for run in runs}
    except (OSError, *MISFITS) as error:
        raise ValueError(f"{path} is not the file of a search: {error!r}") from None


# -- what follows from the runs ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Gain:
    """What one configuration gains over another, positive where it is better, as a share of the metric."""

    mean: float
    error: float
    """Standard error of ``mean``."""
    low: float
    high: float
    """The interval in which the gain lies, each end by itself with a confidence of 95 %."""

    def is_flat(self, worth: float) -> bool:
        """The whole interval is below ``worth`` (one of the two one-sided tests of Schuirmann 1987)."""
        return self.high < worth

    def because(self, worth: float) -> str:
        """What follows, in words."""
        if self.high < 0:
            return "worse"
        if self.is_flat(worth):
            return f"flat, less than the {100 * worth:g} % that the larger rank must gain"
        sure = self.low > 0 and self.mean >= worth
        return "it pays" if sure else "open: there is too much noise to call it flat"

    def __str__(self) -> str:
        return f"{100 * self.mean:+.2g} ± {50 * (self.high - self.low):.2g} %"


def gain(before: Sequence[float], after: Sequence[float], higher_is_better: bool = False) -> Gain:
    """The gain from ``before`` to ``after``: metrics of two runs or more, seed by seed."""
    sign = 1 if higher_is_better else -1
    size = abs(statistics.fmean(before)) or 1.0  # a metric of 0 has no shares
    differences = [sign * (b - a) / size for a, b in zip(before, after, strict=True)]
    mean, n = statistics.fmean(differences), len(differences)
    error = statistics.stdev(differences) / math.sqrt(n)
    reach = T_95[min(n - 1, len(T_95)) - 1] * error
    return Gain(mean, error, mean - reach, mean + reach)


def smallest_good(by_rank: Mapping[int, Sequence[float]], worth: float, higher_is_better: bool = False) -> int:
    """The smallest rank that is good enough: Breiman's rule (Breiman et al. 1984, 3.4.3; Hastie et al. 2009, 7.10).
    Good enough: the best one's gain over it is within that gain's standard error, or ``worth``."""
    sign = 1 if higher_is_better else -1
    best = max(sorted(by_rank), key=lambda r: sign * statistics.fmean(by_rank[r]))
    for r in sorted(r for r in by_rank if r < best):
        left = gain(by_rank[r], by_rank[best], higher_is_better)
        if left.mean <= max(worth, left.error):
            return r
    return best


def decide(
    strategy: Strategy, run: Callable[[Configuration], Outcome], tell: Callable[[str], object] = lambda sentence: None
) -> SearchResult:
    """The search. ``run`` makes a run, or knows how it ended; ``tell`` is given each conclusion as it is drawn."""
    result = SearchResult()

    def conclude(sentence: str) -> None:
        result.story.append(sentence)
        tell(sentence)

    def values_of(configuration: Configuration, otherwise: str) -> list[float] | None:
        """The metric of its runs, seed by seed; None where one of them has failed."""
        values = []
        for seed in range(strategy.seeds):
            outcome = run(replace(configuration, seed=seed))
            if outcome.value is None:
                conclude(otherwise.format(outcome.why or "failed."))
                return None
            values.append(outcome.value)
        return values

    by_rank: dict[int, list[float]] = {}
    for r in strategy.ranks:
        then = "Larger ones would not be either." if by_rank else "Lower the learning rate or alpha."
        values = values_of(strategy.at(r), f"Rank {r} is not sound: {{}} {then}")
        if values is None:
            break
        before = next(reversed(by_rank), None)
        by_rank[r] = values
        if before is not None:
            found = gain(by_rank[before], values, strategy.higher_is_better)
            conclude(f"{before} → {r}: {found} over {len(values)} seeds, {found.because(strategy.worth)}.")
            if found.is_flat(strategy.worth):
                result.plateau = True
                break
    else:
        conclude(f"No plateau is proven up to rank {strategy.ranks[-1]}.")
    if not by_rank:
        return result
    rank = smallest_good(by_rank, strategy.worth, strategy.higher_is_better)
    conclude(f"Rank {rank} is {'' if result.plateau else 'so far '}the smallest that is good enough.")

    result.best = base = strategy.at(rank)  # its alpha stays unless another is better
    gains: dict[Configuration, Gain] = {}
    for here in (strategy.at(rank, alpha) for alpha in sorted(strategy.alphas) if alpha != strategy.alpha):
        said = f"alpha {here.lora_alpha:g} is not sound: {{}} Larger ones would not be either."
        if (values := values_of(here, said)) is None:
            break
        gains[here] = gain(by_rank[rank], values, strategy.higher_is_better)
    if gains:
        rival = max(gains, key=lambda each: gains[each].mean)
        found, then = gains[rival], f"alpha {base.lora_alpha:g} stays"
        if found.mean > max(strategy.worth, found.error):
            result.best, then = rival, "better" if found.low > 0 else "so far the best"
        seeds = f"over {strategy.seeds} seeds"
        conclude(f"alpha {rival.lora_alpha:g} instead of {base.lora_alpha:g}: {found} {seeds}, {then}.")
    return result
