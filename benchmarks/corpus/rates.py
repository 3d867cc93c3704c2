"""Would a lower or a higher rate than the advised one be better? Read off the stored runs; nothing is trained.

    python -m benchmarks.corpus.rates     prints the section of SCORES.md

A grid is all runs that differ in the rate alone. Between two of them the gain is read off the line over log(rate).
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.corpus.cures import NEAR_BEST
from benchmarks.corpus.generate import load_all
from benchmarks.corpus.labels import gain
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import HELD_OUT_SEED, Spec, everyday, fresh, grid, larger
from lora_watch.rules.forecast import SHORT_RUN, at_steps, by_weights, has_new_head

FACTORS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25)
SWEEPS = Path(__file__).with_name("find_lr.json")
LENGTHS = Path(__file__).parents[1] / "lengths.json"
NEAR = 5.0
"""Rates of two runs by at most this factor apart tell of those between them."""
SAME = 1e-6
"""Logarithms of rates as far apart as this are one."""
ERROR = math.log(2.0)
"""Standard deviation of the logarithm of a rate that is predicted for a model that nothing was tuned on."""
ABOUT = (
    "The table multiplies the rate by the weights, for the run's length, by a factor, and reads the gain off each grid "
    "of three rates or more. A gain is a share of the best in the same grid. "
    "Grids that have no run near a rate are left out there, but for the mean with an error. "
    "The rule was written down first: the factor with the highest mean gain on the tuning seeds, under a further "
    "log-normal error of a factor of 2. It is followed if that gain exceeds the gain at 1 by two standard errors and "
    "held-out seeds lose nothing. At {top:g} it differs from that at 1 by {more:+.4f}, with a standard error of "
    "{error:.4f} over models, texts and modules. So the rate stays. "
    "Too high costs more than too low: at half the best rate the tuning seeds keep {half:.2f} of the best gain, at "
    "twice the best {twice:.2f}. The advised rate allows for that already: in grids that show their best rate it is "
    "{tuned:.2f} of it on the tuning seeds, {held:.2f} on the others. Gemma's grids want 0.3 to 0.4 of it, which would "
    "cost the small models most of their best runs."
)
BY_LENGTH = "The runs of `LENGTHS.md`, at half and at twice the best rate of their grid, where both were tried:"
MODELS = {"tiny": "packaged Llama", "smollm2": "SmolLM2", "minilm": "MiniLM"}


class Grid(NamedTuple):
    """Runs that differ in the rate alone."""

    group: tuple[str, str, str]
    """Model, text and modules."""
    held_out: bool
    advised: float
    """Logarithm of the rate that the weights say."""
    rates: np.ndarray
    """Logarithms, rising."""
    gains: np.ndarray
    """As a share of the best one, from 0 on."""

    def at(self, rate: float) -> float:
        """The gain at the logarithm of a rate; NaN outside the grid, and between runs that are not ``NEAR``."""
        above = int(np.searchsorted(self.rates, rate - SAME))
        if rate < self.rates[0] - SAME or above == len(self.rates):
            return math.nan
        apart = self.rates[above] - self.rates[max(above - 1, 0)]
        near = abs(self.rates[above] - rate) <= SAME or apart <= math.log(NEAR) + SAME
        return float(np.interp(rate, self.rates, self.gains)) if near else math.nan

    def beyond(self, rate: float) -> float:
        """The same at any rate: below the grid in proportion to the rate; above it nothing, once the gain falls."""
        if rate < self.rates[0]:
            return float(self.gains[0]) * math.exp(rate - self.rates[0])
        if rate > self.rates[-1] and self.gains[-1] < self.gains[-2]:
            return 0.0
        return float(np.interp(rate, self.rates, self.gains))

    def expected(self, factor: float) -> float:
        """The mean gain at ``factor`` times the advised rate, under ``ERROR``."""
        errors = np.linspace(-3.0, 3.0, 61)
        found = [self.beyond(self.advised + math.log(factor) + ERROR * each) for each in errors]
        return float(np.average(found, weights=np.exp(-(errors**2) / 2)))

    @property
    def best(self) -> float:
        """Logarithm of the best rate, at the top of a parabola; NaN where the runs next to it are not ``NEAR``."""
        top = int(np.argmax(self.gains))
        around = self.rates[max(top - 1, 0) : top + 2]
        if len(around) < 3 or np.diff(around).max() > math.log(NEAR) + SAME:
            return math.nan
        square, slope, _ = np.polyfit(around - around[1], self.gains[top - 1 : top + 2], 2)
        return float(around[1] - slope / (2 * square))


def _grid(
    group: tuple[str, str, str], held_out: bool, advised: float, before: float, after: dict[float, float]
) -> Grid:
    rates, lowest = sorted(after), min(filter(math.isfinite, after.values()))
    gains = [np.nan_to_num(gain(before, after[rate], lowest)).clip(0.0) for rate in rates]
    return Grid(group, held_out, math.log(advised), np.log(rates), np.array(gains))


def grids(specs: Sequence[Spec]) -> Iterator[Grid]:
    """Of three rates or more, by optimizers whose steps follow the rate."""
    runs, alike = load_all(specs), defaultdict(list)
    for spec in runs:
        if spec.optimizer != "sgd":
            alike[replace(spec, lr=1.0)].append(spec)
    for spec, some in alike.items():
        run = runs[some[0]].records[0].run
        if len(some) < 3 or (rates := by_weights(run)) is None:
            continue
        advised = at_steps(rates.best, SHORT_RUN, spec.steps, has_new_head(run))
        group = spec.base, spec.task, spec.targets
        yield _grid(group, spec.held_out, advised, runs[some[0]].before, {s.lr: runs[s].after for s in some})


def of_sweeps() -> Iterator[Grid]:
    """Those that ``find_lr.py`` has kept."""
    for kept in json.loads(SWEEPS.read_text(encoding="utf-8")).values():
        case, sweep = kept["case"], kept["sweep"]
        if case["optimizer"] == "sgd" or sweep["predicted"] is None:
            continue
        advised = at_steps(sweep["predicted"], SHORT_RUN, sweep["steps"], case["base"] == "minilm")
        after = {float(rate): math.nan if loss is None else loss for rate, loss in kept["runs"].items()}
        held_out = case["seed"] == HELD_OUT_SEED or case["base"] == "smollm2"
        yield _grid((case["base"], case["task"], "linear"), held_out, advised, kept["before"], after)


def by_length() -> Iterator[list[object]]:
    """What half and twice the best rate cost in shorter and longer runs."""
    after: dict[tuple[str, int], dict[float, float]] = defaultdict(dict)
    before, found = {}, defaultdict(list)
    for name, kept in json.loads(LENGTHS.read_text(encoding="utf-8")).items():
        family = re.sub(r" lr\S+", "", name)
        before[family] = kept["before"]
        for steps, loss in kept["after"].items():
            after[family, int(steps)][kept["rate"]] = math.nan if loss is None else loss
    for (family, steps), losses in after.items():
        one = _grid(("", "", ""), False, 1.0, before[family], losses)
        top = one.rates[np.argmax(one.gains)]
        beside = [one.at(top + math.log(factor)) for factor in (0.5, 2.0)]
        if all(map(math.isfinite, beside)):
            found[family.partition(" ")[0], steps].append(beside)
    for (base, steps), gains in sorted(found.items()):
        yield [MODELS[base], steps, len(gains), *(f"{mean:.2f}" for mean in np.mean(gains, axis=0))]


def _cells(some: Sequence[Grid], factor: float) -> list[str]:
    known = [found for each in some if not math.isnan(found := each.at(each.advised + math.log(factor)))]
    good = sum(found >= NEAR_BEST - 1e-9 for found in known)
    return [share(good, len(known)), f"{np.mean(known):.2f}" if known else "–"]


def standard_error(some: Sequence[Grid], values: np.ndarray) -> float:
    """Of the mean of ``values``, whole groups drawn again."""
    groups = defaultdict(list)
    for each, value in zip(some, values):
        groups[each.group].append(value)
    drawn, generator = list(groups.values()), np.random.default_rng(0)
    picks = generator.integers(len(drawn), size=(2000, len(drawn)))
    return float(np.std([np.concatenate([drawn[i] for i in pick]).mean() for pick in picks]))


def report() -> str:
    """The table, and what follows from it."""
    small = [*grids([*grid(), *fresh(), *everyday(False), *everyday(True)]), *of_sweeps()]
    tuning, held_out = ([each for each in small if each.held_out == side] for side in (False, True))
    large = list(grids(list(larger())))
    gemma, qwen = ([each for each in large if (each.group[0] == "gemma3") == side] for side in (True, False))
    expected = {factor: np.array([each.expected(factor) for each in tuning]) for factor in FACTORS}
    top = max((f for f in FACTORS if f != 1.0), key=lambda factor: expected[factor].mean())
    shown = [[each for each in side if not math.isnan(each.best)] for side in (tuning, held_out)]
    beside = [np.nanmean([each.at(each.best + math.log(by)) for each in shown[0]]) for by in (0.5, 2.0)]
    ratios = [math.exp(np.mean([each.advised - each.best for each in side])) for side in shown]
    more = expected[top] - expected[1.0]
    about = ABOUT.format(
        top=top,
        more=more.mean(),
        error=standard_error(tuning, more),
        half=beside[0],
        twice=beside[1],
        tuned=ratios[0],
        held=ratios[1],
    )
    heads = ["times the advised rate", "tuning seeds: 0.9 of the best gain", "mean gain", "with an error of 2"]
    heads += [f"{name}{what}" for name in ("held-out seeds", "Gemma", "Qwen") for what in (": 0.9", ", mean gain")]
    rows = [
        [
            *(f"{factor:g}", *_cells(tuning, factor), f"{expected[factor].mean():.3f}"),
            *(cell for some in (held_out, gemma, qwen) for cell in _cells(some, factor)),
        ]
        for factor in FACTORS
    ]
    of_lengths = ["model", "steps", "grids", "gain at half the best rate", "at twice"]
    return f"{about}\n\n{table(heads, rows)}\n\n{BY_LENGTH}\n\n{table(of_lengths, by_length())}"


if __name__ == "__main__":
    print(report())
