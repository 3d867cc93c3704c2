"""Which runs make a curve, and what is said against it. Trials are plain data here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import pytest

from lora_watch.runs.comparison.comparing import of_trials
from lora_watch.runs.comparison.curves import QualityCurve, configurations, curves, differences
from lora_watch.runs.comparison.text import text
from lora_watch.runs.comparison.trials import Trial


@dataclass(frozen=True)
class Configuration:
    """A run's settings."""

    r: int
    lora_alpha: float
    use_rslora: bool
    learning_rate: float
    seed: int = 0

    @property
    def scale(self) -> float:
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)

    @property
    def name(self) -> str:
        return f"r{self.r}-s{self.scale:.4g}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """Runs along the rank, or along the scale at one rank."""

    learning_rate: float
    ranks: tuple[int, ...] = (8, 16, 32, 64, 128)
    scale: float = 1.0
    scales: tuple[float, ...] = (0.5, 1, 2, 4)
    use_rslora: bool = False
    alpha: float | None = None
    keep_effective_lr: bool = False
    seeds: int = 3

    def configurations(self, rank: int | None = None) -> list[Configuration]:
        places = [(r, self.scale) for r in self.ranks] if rank is None else [(rank, s) for s in self.scales]
        return [self._at(r, s, seed) for r, s in places for seed in range(self.seeds)]

    def _at(self, r: int, scale: float, seed: int) -> Configuration:
        alpha = self.alpha or scale * (math.sqrt(r) if self.use_rslora else r)
        rate = self.learning_rate / scale if self.keep_effective_lr else self.learning_rate
        return Configuration(r, alpha, self.use_rslora, rate, seed)


def trial(of: Configuration, value: float, seed: int | None = None, out: str | None = None, **settings: str) -> Trial:
    return Trial(
        of.name, of.r, of.lora_alpha, of.scale, of.learning_rate, of.seed if seed is None else seed,
        {"optim": "adamw", **settings}, {"eval_loss": value}, {"delta_norm": (1.0, 2.0)}, 1000, 20, {}, out,
    )  # fmt: skip


def curves_of(trials: list[Trial]) -> list[QualityCurve]:
    return curves(configurations(trials), "eval_loss", 0.01, False)


def made(plan: Plan, value: Any, rank: int | None = None) -> list[Trial]:
    """The runs of a stage of ``plan``, each with ``value(configuration)``, better by a little in the later seeds."""
    return [trial(each, value(each) - 0.001 * each.seed) for each in plan.configurations(rank)]


def test_both_stages_of_a_plan_in_one_folder() -> None:
    plan = Plan(2e-4)
    ranks = made(plan, lambda c: 1 + 4 / min(c.r, 32))
    scales = [t for t in made(plan, lambda c: 1.1 + abs(c.scale - 2), rank=32) if t.scale != 1]
    rank, scale = curves_of(ranks + scales)
    assert [c.r for c in rank.configurations] == [8, 16, 32, 64, 128]
    assert rank.plateau is not None
    assert (rank.plateau.r, rank.chosen.r, rank.confounds) == (32, 32, [])
    assert not rank.turns
    assert [c.scale for c in scale.configurations] == [0.5, 1, 2, 4]
    assert (scale.best.scale, scale.held(), scale.confounds) == (2, "r = 32, lr = 0.0002", [])


@pytest.mark.parametrize(("noise", "proven"), [(1.0, False), (0.001, True)])
def test_a_gain_within_the_noise_makes_no_scale_the_best(noise: float, proven: bool) -> None:
    stage = Plan(2e-4, ranks=(8,), scales=(1, 2, 4)).configurations(8)
    trials = [trial(each, abs(each.scale - 2) / 10 + 2 + noise * (each.seed - 1) * (each.scale - 2)) for each in stage]
    said = text(of_trials(trials, "eval_loss")).splitlines()
    assert f"  s = 2 is {'the' if proven else 'so far the'} best of 3." in said


def test_a_grid_makes_one_clean_curve_a_scale() -> None:
    grid = [t for s in (1, 2) for t in made(Plan(2e-4, ranks=(8, 16), scale=s), lambda c: c.scale + 1 / c.r)]
    found = curves_of(grid)
    assert [(c.along, c.held()) for c in found] == [
        ("r", "s = 1, lr = 0.0002"), ("r", "s = 2, lr = 0.0002"), ("scale", "r = 8, lr = 0.0002"),
        ("scale", "r = 16, lr = 0.0002"),
    ]  # fmt: skip
    assert not any(c.confounds for c in found)


def test_where_nothing_is_held_the_best_stands_for_its_rank() -> None:
    a, b, c = (Configuration(8, 8, False, 1e-4), Configuration(8, 32, False, 3e-4), Configuration(16, 8, False, 2e-4))
    (rank,) = curves_of([trial(a, 2.0), trial(b, 1.5), trial(c, 1.4)])
    assert [each.scale for each in rank.configurations] == [4, 0.5]
    assert any("(2 at 8)" in said for said in rank.confounds)
    assert any("learning rate" in said for said in rank.confounds)


def test_another_setting_makes_another_curve_or_a_confound() -> None:
    plan = Plan(2e-4, ranks=(8, 16))
    adam = made(plan, lambda c: 1.0)
    sgd = [trial(c, 2.0, optim="sgd") for c in plan.configurations()]
    assert [len(c.configurations) for c in curves_of(adam + sgd)] == [2, 2]
    assert list(differences(configurations(adam + sgd))) == ["optim"]
    (rank,) = curves_of([t for t in adam if t.r == 8] + [t for t in sgd if t.r == 16])
    (said,) = rank.confounds
    assert re.match(r"optim .*: adamw at r = 8; sgd at r = 16\.$", said)


def test_seeds_that_are_not_shared_are_paired_in_order_and_it_is_said() -> None:
    a, b = Configuration(8, 8, False, 1e-4), Configuration(16, 16, False, 1e-4)
    (rank,) = curves_of([trial(a, 2.0, 0), trial(a, 2.2, 1), trial(b, 1.0, 5), trial(b, 1.1, 6)])
    assert rank.pairs[0].gain.pairs == 2
    assert any("no seed" in said for said in rank.confounds)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_left_out_or_not_finite_has_no_quality(broken: float) -> None:
    runs = Plan(2e-4, ranks=(8, 16, 32), seeds=2).configurations()
    trials = [trial(c, broken if c.r == 32 else 1.0, out="ended" if c.r == 16 else None) for c in runs]
    assert curves_of(trials) == []
    assert len(configurations(trials)) == 3
