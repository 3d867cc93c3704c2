"""Lines runs up: configurations, and curves along which the rank or the scale changes, and what else does."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any, Literal

from lora_watch.base.plateau import Gain, gain, smallest_good
from lora_watch.base.text import count, short
from lora_watch.runs.comparison.trials import Trial

CONFIDENCE = 0.95
"""Of the statement that a larger rank gains less than it must."""


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in their seed alone."""

    r: int | None
    alpha: float | None
    scale: float | None
    lr: float | None
    settings: dict[str, str]
    trials: list[Trial]

    @property
    def effective_lr(self) -> float | None:
        """s · lr."""
        return None if self.scale is None or self.lr is None else self.scale * self.lr

    @property
    def label(self) -> str:
        """The folder of its run, or of the first of its runs and how many there are."""
        first = PurePath(self.trials[0].name).name or self.trials[0].name
        return first if len(self.trials) == 1 else f"{first} … ({len(self.trials)})"

    def values(self, metric: str) -> dict[int, float]:
        """``metric`` by seed of the runs that count; negative where nobody knows it. Repeats are averaged."""
        found: dict[int, list[float]] = defaultdict(list)
        for place, trial in enumerate(self.trials):
            value = trial.quality.get(metric)
            if trial.out is None and value is not None and math.isfinite(value):
                found[-1 - place if trial.seed is None else trial.seed].append(value)
        return {seed: statistics.fmean(values) for seed, values in found.items()}


@dataclass(frozen=True)
class Pair:
    """Two neighbours on a curve."""

    before: SeedGroup
    after: SeedGroup
    gain: Gain


@dataclass
class QualityCurve:
    """Configurations in the order of what changes between them."""

    along: Literal["r", "scale"]
    configurations: list[SeedGroup]
    """Each with a quality."""
    pairs: list[Pair]
    chosen: SeedGroup
    """The smallest that is as good as the best; with the scale, the best."""
    best: SeedGroup
    plateau: SeedGroup | None = None
    """From here on a larger rank gains less than it must; None where that is not proven, and along the scale."""
    turns: bool = False
    """Beyond it it is even worse."""
    confounds: list[str] = field(default_factory=list)
    """What keeps a difference from being put down to ``along`` alone."""

    def held(self) -> str:
        """What is the same all along, in words."""
        names = {"r": "r", "scale": "s", "alpha": "α", "lr": "lr"}
        same = {says: _only(self.configurations, name) for name, says in names.items() if name != self.along}
        return ", ".join(f"{says} = {short(value)}" for says, value in same.items() if value is not None)


def configurations(trials: Iterable[Trial]) -> list[SeedGroup]:
    """``trials`` by what was set, in the order of rank, scale and learning rate."""
    groups: dict[Any, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.r, trial.alpha, _key(trial.scale), trial.lr, _frozen(trial.settings)].append(trial)
    found = [SeedGroup(g[0].r, g[0].alpha, g[0].scale, g[0].lr, dict(g[0].settings), g) for g in groups.values()]
    return sorted(found, key=lambda c: tuple(-1 if v is None else v for v in (c.r, c.scale, c.lr)))


def differences(found: Sequence[SeedGroup]) -> dict[str, dict[str, list[SeedGroup]]]:
    """Every setting other than r, α, s and lr that is not the same in all: its values, and who has them."""
    out: dict[str, dict[str, list[SeedGroup]]] = {}
    for name in sorted({name for each in found for name in each.settings}):
        by_value: dict[str, list[SeedGroup]] = defaultdict(list)
        for each in found:
            by_value[each.settings.get(name, "not set")].append(each)
        if len(by_value) > 1:
            out[name] = dict(by_value)
    return out


def curves(found: Sequence[SeedGroup], metric: str, worth: float, higher_is_better: bool) -> list[QualityCurve]:
    """The curves that ``found`` makes, along the rank and along the scale, each as clean as there is one.

    Clean is what holds all else. Where no two configurations allow that, what is held is α, and then nothing: at each
    rank the best configuration stands for it, and the confounds say so.
    """
    known = [each for each in found if each.values(metric)]
    everything = lambda c: ()  # noqa: E731
    rest = lambda c: (_key(c.lr), _frozen(c.settings))  # noqa: E731
    along_rank = _first_of(
        known, "r", (lambda c: (_key(c.scale), *rest(c)), lambda c: (c.alpha, *rest(c)), rest, everything)
    )
    along_scale = _first_of(
        known, "scale", (lambda c: (c.r, *rest(c)), lambda c: (c.r, _key(c.effective_lr), _frozen(c.settings)))
    )
    of = partial(_curve, metric=metric, worth=worth, higher_is_better=higher_is_better)
    return [*(of("r", line) for line in along_rank), *(of("scale", line) for line in along_scale)]


def _first_of(
    found: Sequence[SeedGroup], along: str, keys: Sequence[Callable[[SeedGroup], Any]]
) -> list[list[SeedGroup]]:
    """The groups of the first of ``keys`` that makes any with two values of ``along`` or more, largest first."""
    for key in keys:
        groups: dict[Any, list[SeedGroup]] = defaultdict(list)
        for each in found:
            if getattr(each, along) is not None:
                groups[key(each)].append(each)
        lines = [group for group in groups.values() if len({_key(getattr(each, along)) for each in group}) > 1]
        if lines:
            return sorted(lines, key=len, reverse=True)
    return []


def _curve(
    along: Literal["r", "scale"], line: list[SeedGroup], metric: str, worth: float, higher_is_better: bool
) -> QualityCurve:
    values = {id(each): each.values(metric) for each in line}

    def quality(each: SeedGroup) -> float:
        return statistics.fmean(values[id(each)].values()) * (1 if higher_is_better else -1)

    at: dict[float, list[SeedGroup]] = defaultdict(list)
    for each in line:
        at[_key(getattr(each, along))].append(each)
    line = [max(at[place], key=quality) for place in sorted(at)]
    pairs = [
        Pair(a, b, gain(*_paired(values[id(a)], values[id(b)]), CONFIDENCE, higher_is_better))
        for a, b in itertools.pairwise(line)
    ]
    best = max(line, key=quality)
    curve = QualityCurve(along, line, pairs, best, best)
    if along == "r":
        flat = next((pair for pair in pairs if pair.gain.verdict(worth) == "flat"), None)
        if flat is not None:
            curve.plateau, curve.turns = flat.before, flat.gain.high < 0
        by_rank = {c.r: values[id(c)] for c in line if c.r is not None}
        small, _ = smallest_good(by_rank, worth, higher_is_better)
        curve.chosen = next(c for c in line if c.r == small)
    several = {place: len(there) for place, there in at.items() if len(there) > 1}
    curve.confounds = [*_what_else(curve), *_broken(curve), *_selection(along, several), *_seeds(pairs, values)]
    return curve


# -- confounds ---------------------------------------------------------------------------------------------------------
def _what_else(curve: QualityCurve) -> Iterable[str]:
    line = curve.configurations
    first, last = line[0], line[-1]
    lr_varies = len({_key(c.lr) for c in line}) > 1
    effective_varies = len({_key(c.effective_lr) for c in line}) > 1
    if curve.along == "r" and len({_key(c.scale) for c in line}) > 1:
        steps = ", ".join(f"{short(c.scale)} at r = {c.r}" for c in line)
        formula = _formula(line)
        held = f", because α stayed {short(first.alpha)}" if formula and len({c.alpha for c in line}) == 1 else ""
        yield (
            f"s changes together with r{held} ({steps}): a difference may be the scale's as well as the rank's. "
            f"To see the rank alone hold s: {formula or 'α = s·r, and with rsLoRA α = s·√r'}."
        )
    if lr_varies:
        steps = ", ".join(f"{short(c.lr)} at {_place(curve, c)}" for c in line)
        yield f"The learning rate is not the same ({steps})."
    if effective_varies and (curve.along == "r" or lr_varies):
        yield (
            f"s·lr is not constant, {short(first.effective_lr)} at {_place(curve, first)} and "
            f"{short(last.effective_lr)} at {_place(curve, last)}: under Adam it sets how fast ‖ΔW‖ grows."
        )
    for name, by_value in differences(line).items():
        values = "; ".join(
            f"{value} at {', '.join(_place(curve, c) for c in having)}" for value, having in by_value.items()
        )
        yield f"{name} is not the same: {values}."


def _formula(line: Sequence[SeedGroup]) -> str:
    """How alpha follows from s in all of ``line``; empty where some have rsLoRA and some do not."""
    for words, root in (("α = s·r", 1.0), ("α = s·√r", 0.5)):
        if all(c.alpha and c.r and c.scale and math.isclose(c.alpha, c.scale * c.r**root, rel_tol=1e-4) for c in line):
            return words
    return ""


def _broken(curve: QualityCurve) -> Iterable[str]:
    for each in curve.configurations:
        ended = [trial for trial in each.trials if trial.out is None]
        broken = sum(trial.alerts.get("error", 0) > 0 for trial in ended)
        if broken:
            yield (
                f"At {_place(curve, each)} {broken} of {count(len(ended), 'run')} had an alert that is an error: a "
                "broken run says little of its rank or scale. lora-watch check names the cause."
            )


def _selection(along: str, several: dict[float, int]) -> Iterable[str]:
    if several:
        what = "rank" if along == "r" else "scale"
        yield (
            f"At some {what}s the best of several configurations stands for it ("
            + ", ".join(f"{n} at {short(place)}" for place, n in sorted(several.items()))
            + "): the more were tried, the better the best looks."
        )


def _seeds(pairs: Sequence[Pair], values: dict[int, dict[int, float]]) -> Iterable[str]:
    if any(pair.gain.pairs == 1 for pair in pairs):
        yield "One pair of runs cannot tell a difference from noise: repeat it with other seeds."
    if any(not _share(values[id(pair.before)], values[id(pair.after)]) for pair in pairs):
        yield "Some runs share no seed, or it is unknown: they were paired in their order, which cancels no noise."


def _place(curve: QualityCurve, each: SeedGroup) -> str:
    return f"r = {each.r}" if curve.along == "r" else f"s = {short(each.scale)}"


# -- helpers -----------------------------------------------------------------------------------------------------------
def _paired(before: dict[int, float], after: dict[int, float]) -> tuple[dict[int, float], dict[int, float]]:
    """By shared seeds where there are two; else by order, which is as good as any for runs that are independent."""
    if _share(before, after):
        return before, after
    return dict(enumerate(before.values())), dict(enumerate(after.values()))


def _share(before: dict[int, float], after: dict[int, float]) -> bool:
    shared = [seed for seed in before.keys() & after.keys() if seed >= 0]
    return len(shared) >= min(2, len(before), len(after))


def _only(found: Sequence[SeedGroup], name: str) -> float | None:
    values = {_key(getattr(each, name)) for each in found}
    return values.pop() if len(values) == 1 else None


def _key(value: float | None) -> Any:
    """Equal for numbers that differ by rounding alone."""
    return None if value is None else float(f"{value:.6g}")


def _frozen(settings: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(settings.items()))
