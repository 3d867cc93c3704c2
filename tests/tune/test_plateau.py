"""When a curve counts as flat: the statistics against tables, and how often it is wrong on noisy curves."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from lora_watch.tune.plateau import gain, smallest_good
from lora_watch.tune.strategy import Configuration, Decision, Outcome, Strategy, decide


def test_a_gain_is_paired_by_seed() -> None:
    # The seeds differ by far more than the ranks; the differences do not.
    small, large = {0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.9, 1: 1.9, 2: 2.9, 3: 9.0}
    found = gain(small, large, 0.95)
    assert found.mean == pytest.approx(0.05)  # 0.1 of a mean of 2
    assert found.pairs == 3
    assert found.low == pytest.approx(found.high)
    assert gain(small, large, 0.95, higher_is_better=True).mean == pytest.approx(-0.05)
    # By hand: differences .1, .2, .3 of a mean of 2: mean .1, error .05/√3, t(2) 2.92.
    by_hand = gain({0: 2.0, 1: 2.0, 2: 2.0}, {0: 1.9, 1: 1.8, 2: 1.7}, 0.95)
    assert (by_hand.low, by_hand.high) == pytest.approx(
        (0.1 - 2.92 * 0.05 / 3**0.5, 0.1 + 2.92 * 0.05 / 3**0.5), abs=1e-4
    )
    with pytest.raises(ValueError, match="no seed"):
        gain({0: 1.0}, {1: 1.0}, 0.95)


def test_one_pair_is_never_a_proof() -> None:
    assert gain({0: 1.0}, {0: 1.0}, 0.95).verdict(0.01) == "open"
    assert gain({0: 1.0}, {0: 0.1}, 0.95).verdict(0.01) == "open"


def test_the_smallest_rank_that_is_good_enough() -> None:
    curve = {8: {0: 2.0, 1: 2.1}, 16: {0: 1.8, 1: 1.9}, 32: {0: 1.79, 1: 1.89}}
    assert smallest_good(curve, worth=0.01) == (16, 32)
    assert smallest_good(curve, worth=0.001) == (32, 32)
    # One standard error: a difference that only one of two seeds shows.
    assert smallest_good({8: {0: 2.0, 1: 2.0}, 16: {0: 1.8, 1: 2.0}}, worth=0.001) == (8, 16)
    assert smallest_good({8: {0: 0.7}, 16: {0: 0.9}}, worth=0.01, higher_is_better=True) == (16, 16)


# -- on curves that are known ------------------------------------------------------------------------------------------


def searched(
    curve: Callable[[Configuration], float], noise: float, chance: random.Random, strategy: Strategy
) -> tuple[Decision, dict[Configuration, Outcome]]:
    """A whole search on ``curve``, with noise that a seed's runs share (2.5 %) and noise of each run (``noise``)."""
    known: dict[Configuration, Outcome] = {}
    shared = [chance.gauss(0, 0.05) for _ in range(strategy.most_seeds)]

    def run(each: Configuration) -> Outcome:
        return known.setdefault(each, Outcome(curve(each) + shared[each.seed] + chance.gauss(0, 2 * noise / 2**0.5)))

    return decide(strategy, run), known


def rates(
    curve: Callable[[int], float], noise: float, strategy: Strategy, n: int = 300
) -> tuple[dict[int, float], float]:
    """How often each rank was chosen, and the share of steps at which the climb stopped, up to the last but one."""
    chance = random.Random(0)
    chosen: dict[int, int] = {}
    steps = stops = 0
    for _ in range(n):
        decision, known = searched(lambda each: curve(each.r), noise, chance, strategy)
        assert decision.rank is not None
        chosen[decision.rank] = chosen.get(decision.rank, 0) + 1
        reached = len({each.r for each in known}) - 1
        steps, stops = steps + reached, stops + decision.plateau
    return {rank: count / n for rank, count in chosen.items()}, stops / steps


STRATEGY = Strategy(1e-3, scales=())
STEP = {8: 0, 16: 1, 32: 2, 64: 3, 128: 4}


@pytest.mark.parametrize(("noise", "right"), [(0.001, 0.99), (0.005, 0.97), (0.01, 0.88)])
def test_a_plateau_is_found_where_it_is(noise: float, right: float) -> None:
    chosen, _ = rates(lambda r: 2 - 0.1 * min(STEP[r], 2), noise, STRATEGY)
    assert chosen[32] >= right
    assert set(chosen) <= {32, 64, 128}  # never a rank that is too small


def test_noise_brings_more_seeds_and_then_goes_on() -> None:
    decision, known = searched(lambda each: 2.0, 0.05, random.Random(1), STRATEGY)
    assert {each.seed for each in known} == set(range(STRATEGY.most_seeds))
    assert any("noise" in sentence for sentence in decision.story)


# -- the order of runs -------------------------------------------------------------------------------------------------
def known_by(known: dict[Configuration, Outcome]) -> Callable[[Configuration], Outcome]:
    """Knows how these runs ended, and fails the test where another is asked for."""
    return lambda each: known[each]


def test_a_failed_rank_ends_the_climb() -> None:
    strategy = Strategy(1e-3, ranks=(8, 16, 32), scales=(), seeds=2)
    known = {strategy.at(8, seed=seed): Outcome(2.0 + seed) for seed in range(2)}
    known[strategy.at(16)] = Outcome(None, "LW102 norm-explosion.")
    decision = decide(strategy, known_by(known))  # and its second seed is not wanted
    assert (decision.rank, decision.plateau) == (8, False)
    assert re.match("Rank 16 .*LW102", decision.story[0])
    first = decide(strategy, known_by({strategy.at(8): Outcome(2.0), strategy.at(8, seed=1): Outcome(None, "NaN.")}))
    assert first.best is None
    assert "learning rate" in first.story[0]


def test_a_rank_that_fails_with_a_further_seed_is_not_taken() -> None:
    strategy = Strategy(1e-3, ranks=(8, 16, 32), scales=(), seeds=2, most_seeds=3)
    known = {strategy.at(r, seed=s): Outcome(2.0 + (-1) ** s * r / 16) for r in (8, 16) for s in range(3)}
    known[strategy.at(16, seed=2)] = Outcome(None, "NaN.")
    decision = decide(strategy, known_by(known))
    assert (decision.rank, decision.plateau) == (8, False)
    assert re.match("Rank 16 .*NaN", decision.story[0])


def test_the_scale_of_the_first_stage_stays_unless_another_is_better() -> None:
    def ending(better: float) -> Decision:
        strategy = Strategy(1e-3, ranks=(8, 16), most_seeds=3)
        curve = lambda each: 2.0 - (better if each.scale == 2 else 0) + (each.scale == 4)  # noqa: E731
        return searched(curve, 0.0005, random.Random(0), strategy)[0]

    assert ending(0.2).best == Strategy(1e-3).at(8, 2)
    assert ending(0.01).best == Strategy(1e-3).at(8, 1)


def test_a_failed_scale_ends_the_larger_ones() -> None:
    strategy = Strategy(1e-3, ranks=(8,), seeds=2)

    def run(each: Configuration) -> Outcome:
        assert each.scale < 4
        return Outcome(None, "too much.") if each.scale == 2 else Outcome(2.0 + each.seed)

    assert decide(strategy, run).best == strategy.at(8)
