"""What a search says of its runs: as much as they prove."""

from __future__ import annotations

import re

import pytest

from lora_watch.tune.strategy import Configuration, Decision, Outcome, Strategy, decide

STRATEGY = Strategy(learning_rate=1e-3, ranks=(2, 8), scales=(2,), seeds=2, most_seeds=2)


def searched(values: dict[tuple[int, float], tuple[float, float]]) -> Decision:
    """The end of a search in which rank and scale have these ``values``, one a seed."""
    known: dict[Configuration, Outcome] = {}
    while wanted := (decision := decide(STRATEGY, known)).wanted:
        known |= {each: Outcome(values[each.r, each.scale][each.seed]) for each in wanted}
    return decision


@pytest.mark.parametrize(("noise", "proven"), [(0.1, False), (0.0001, True)])
def test_a_step_within_the_noise_makes_no_rank_the_best(noise: float, proven: bool) -> None:
    said = searched({(2, 1): (4.31, 4.31 + noise), (8, 1): (4.21, 4.21), (8, 2): (5.0, 5.0)}).story
    assert ("open" in said[0], "is proven" in said[1]) == (not proven, True)
    assert said[2].startswith("Rank 8 ")
    assert ("so far" in said[2]) == (not proven)


@pytest.mark.parametrize(
    ("turned", "scale", "ending"),
    [
        ((4.240, 4.254), 1, r"s = 1 .*so far .*of 2\."),  # a stranger's runs: 0.6 ± 1.3 %
        ((4.408, 4.439), 1, r"s = 1 is the best .*2\."),
        ((4.200, 4.230), 1, r"within .*s = 1 stays\."),
        ((4.000, 4.130), 2, r"so far .*best\."),
        ((4.000, 4.030), 2, r"better\."),
    ],
)
def test_a_scale_is_the_best_where_the_interval_says_so(turned: tuple[float, float], scale: float, ending: str) -> None:
    found = searched({(2, 1): (5.0, 5.0), (8, 1): (4.208, 4.238), (8, 2): turned})
    assert found.best is not None
    assert found.best.scale == scale
    assert re.fullmatch(rf"s = 2 instead of 1: \S+ ± \S+ % over 2 seeds[,:] {ending}", found.story[-1])
