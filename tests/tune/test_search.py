"""A search: it remembers what is done, gives up what fails, finds a rate for each rank, and says what to use."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lora_watch.base.alerts import Alert, LoraWatchError, Severity
from lora_watch.tune.search import (
    Attempt,
    Configuration,
    Outcome,
    SearchResult,
    Strategy,
    decide,
    gain,
    search,
    smallest_good,
)
from lora_watch.tune.suggestion import Curve, Suggestion
from tests.processes import Python
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

STRATEGY = Strategy(learning_rate=1e-3, ranks=(2, 4, 8, 16), alphas=(16, 32), seeds=2)
CURVE = {2: 3.0, 4: 2.0, 8: 1.999, 16: 1.999}
ALERT = Alert("LW102", "norm-explosion", Severity.ERROR, 3, "The adapters have exploded.")


def metric(attempt: Attempt) -> float:
    run = attempt.configuration
    return CURVE[run.r] + 0.01 * run.seed + 0.0001 * (run.r + run.seed) % 0.0003


def searched(train: Any, folder: Path, strategy: Strategy = STRATEGY) -> SearchResult:
    return search(train, strategy, path=folder / "a.json", show=False)


def values_of(result: SearchResult) -> dict[Configuration, float | None]:
    return {each: outcome.value for each, outcome in result.outcomes.items()}


def expected() -> dict[Configuration, float | None]:
    values: dict[Configuration, float | None] = {}
    decide(STRATEGY, lambda each: Outcome(values.setdefault(each, metric(Attempt(each)))))
    return values


# -- the file ----------------------------------------------------------------------------------------------------------
def test_an_exception_ends_the_search_and_the_same_call_continues(tmp_path: Path) -> None:
    def broken(attempt: Attempt) -> float:
        if attempt.configuration.r == 4:
            raise KeyError("mistake")
        return metric(attempt)

    with pytest.raises(KeyError, match="mistake"):
        searched(broken, tmp_path)
    asked: list[Configuration] = []
    result = searched(lambda attempt: (asked.append(attempt.configuration), metric(attempt))[1], tmp_path)
    assert values_of(result) == expected()
    assert not any(each.r == 2 and each.seed < 2 for each in asked)
    assert str(searched(lambda attempt: pytest.fail("nothing is left to do"), tmp_path)) == str(result)


def test_a_killed_search_loses_only_the_run_that_it_was_in(python: Python, tmp_path: Path) -> None:
    (script := tmp_path / "script.py").write_text(
        "import os\n"
        "from tests.tune.test_search import metric, searched\n"
        "from pathlib import Path\n"
        "def train(attempt):\n"
        "    os._exit(9) if attempt.configuration.r == 8 else None\n"
        "    return metric(attempt)\n"
        f"searched(train, Path({str(tmp_path)!r}))\n"
    )
    assert python(script).returncode == 9
    begun = json.loads((tmp_path / "a.json").read_text())
    assert {run["configuration"]["r"] for run in begun["runs"]} == {2, 4}
    assert values_of(searched(metric, tmp_path)) == expected()


def test_more_seeds_make_those_that_are_missing_and_another_file_is_one_clear_error(tmp_path: Path) -> None:
    known = set(searched(metric, tmp_path).outcomes)
    asked: list[Configuration] = []
    searched(lambda each: (asked.append(each.configuration), metric(each))[1], tmp_path, replace(STRATEGY, seeds=3))
    assert asked
    assert not known & set(asked)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.json is not the file of a search"):
        searched(metric, tmp_path)


# -- runs --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("end", "why"), [(LoraWatchError(str(ALERT), [ALERT]), "(LW102)"), (float("nan"), "nan")])
def test_what_failed_gets_no_more_runs(tmp_path: Path, end: Any, why: str) -> None:
    asked: list[Configuration] = []

    def train(attempt: Attempt) -> float:
        asked.append(attempt.configuration)
        if attempt.configuration.r < 8:
            return metric(attempt)
        if isinstance(end, Exception):
            raise end
        return end

    result = searched(train, tmp_path)
    assert [each.seed for each in asked if each.r == 8] == [0]
    assert not any(each.r == 16 for each in asked)
    assert result.best is not None
    assert (result.best.r, result.plateau) == (4, False)
    assert any(why in sentence for sentence in result.story)
    assert any(line.split()[-1] == "failed" for line in str(result).splitlines())


def test_a_search_whose_first_rank_fails_says_what_to_lower(tmp_path: Path) -> None:
    result = searched(lambda attempt: math.nan, tmp_path)
    assert result.best is None
    assert "learning rate" in result.story[0]


def test_seeds_are_set(tmp_path: Path) -> None:
    drawn: dict[Configuration, tuple[float, ...]] = {}

    def train(attempt: Attempt) -> float:
        drawn[attempt.configuration] = (random.random(), float(np.random.rand()), float(torch.rand(())))
        return metric(attempt)

    searched(train, tmp_path)
    by_seed = {seed: {d for c, d in drawn.items() if c.seed == seed} for seed in (0, 1)}
    assert len(by_seed[0]) == len(by_seed[1]) == 1
    assert by_seed[0] != by_seed[1]


def test_higher_may_be_better(tmp_path: Path) -> None:
    strategy = Strategy(1e-3, ranks=(2, 4, 8), alphas=(), seeds=2, higher_is_better=True)
    best = searched(lambda attempt: 5 - metric(attempt), tmp_path, strategy).best
    assert best is not None
    assert best.r == 4


# -- real runs ---------------------------------------------------------------------------------------------------------
def trainer_of(attempt: Attempt, folder: Path, steps: int = 4) -> Any:
    rest = attempt.arguments()
    return build_trainer(
        lora(tiny_model(), attempt.lora()["r"], attempt.lora()["lora_alpha"]),
        stdlib_blocks(64),
        steps,
        [attempt.callback(console=False, tensorboard=False)],
        lr=rest.pop("learning_rate", 5e-5),
        eval_dataset=stdlib_blocks(80)[64:],
        output_dir=str(folder / attempt.name),
        **rest,
    )


def answer(rate: float | None, low: float | None = None, high: float | None = None) -> Suggestion:
    return Suggestion(rate, None, Curve(np.ones(1), np.ones(1), np.ones(1)), low, high, why="Nothing falls.")


def test_the_learning_rate_is_found_once_for_each_alpha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a sweep that tells for the first alpha, and leaves a range for the second."""
    swept: list[Any] = []
    answers = [answer(0.01), answer(None, 0.002, 0.008)]
    sweep_of = lambda trainer, *_: swept.append(trainer) or answers[len(swept) - 1]  # noqa: E731
    monkeypatch.setattr("lora_watch.tune.find_lr.sweep_of", sweep_of)
    used: list[tuple[int, float, float]] = []

    def train(attempt: Attempt) -> float:
        trainer = trainer_of(attempt, tmp_path)
        trainer.train()
        report = json.loads((tmp_path / attempt.name / "lora_watch" / "report.json").read_text())
        run = attempt.configuration
        used.append((run.r, run.lora_alpha, report["config"]["learning_rate"]))
        return 1.0 - 0.1 * (run.r == 4) - 0.01 * run.seed

    result = searched(train, tmp_path, Strategy(ranks=(2, 4), alpha=4, alphas=(8,), seeds=2))
    assert used == [(2, 4, 0.01)] * 2 + [(4, 4, 0.01)] * 2 + [(4, 8, 0.004)] * 2
    assert len(swept) == 2
    assert result.best == Configuration(4, 4, 0.01)
    assert "Use r=4, lora_alpha=4, learning_rate=0.01." in str(result)


def test_a_run_that_found_no_rate_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"attempt\.callback"):
        searched(lambda attempt: 1.0, tmp_path, Strategy())
    monkeypatch.setattr("lora_watch.tune.find_lr.sweep_of", lambda trainer, *_: answer(None))
    with pytest.raises(ValueError, match="without finding"):
        searched(lambda attempt: trainer_of(attempt, tmp_path).train() and 1.0, tmp_path, Strategy())


def test_what_explodes_is_given_up_within_a_few_steps(tmp_path: Path) -> None:
    steps: list[int] = []

    def train(attempt: Attempt) -> float:
        trainer = trainer_of(attempt, tmp_path, steps=50)
        try:
            trainer.train()
        finally:
            steps.append(trainer.state.global_step)
        return trainer.evaluate()["eval_loss"]

    result = searched(train, tmp_path, Strategy(learning_rate=0.5, ranks=(4, 8), alphas=(), seeds=2, alpha=32))
    assert result.best is None
    assert len(steps) == 1
    assert steps[0] <= 10
    assert "LW10" in result.story[0]
    assert json.loads(next(tmp_path.glob("*/lora_watch/report.json")).read_text())["verdict"] == "failed"


# -- when a curve counts as flat ---------------------------------------------------------------------------------------
def test_a_gain_is_paired_by_seed() -> None:
    # The seeds differ by far more than the ranks; the differences do not.
    small, large = [1.0, 2.0, 3.0], [0.9, 1.9, 2.9]
    found = gain(small, large)
    assert found.mean == pytest.approx(0.05)  # 0.1 of a mean of 2
    assert found.low == pytest.approx(found.high)
    assert gain(small, large, higher_is_better=True).mean == pytest.approx(-0.05)
    # By hand: differences .1, .2, .3 of a mean of 2: mean .1, error .05/√3, t(2) 2.92.
    by_hand = gain([2.0, 2.0, 2.0], [1.9, 1.8, 1.7])
    reach = 2.92 * 0.05 / 3**0.5
    assert (by_hand.low, by_hand.high) == pytest.approx((0.1 - reach, 0.1 + reach), abs=1e-4)


def test_the_smallest_rank_that_is_good_enough() -> None:
    curve = {8: [2.0, 2.1], 16: [1.8, 1.9], 32: [1.79, 1.89]}
    assert smallest_good(curve, worth=0.01) == 16
    assert smallest_good(curve, worth=0.001) == 32
    # One standard error: a difference that only one of two seeds shows.
    assert smallest_good({8: [2.0, 2.0], 16: [1.8, 2.0]}, worth=0.001) == 8
    assert smallest_good({8: [0.7, 0.7], 16: [0.9, 0.9]}, worth=0.01, higher_is_better=True) == 16


def decided(curve: Callable[[Configuration], float], noise: float, chance: random.Random, **more: Any) -> SearchResult:
    """A whole search on ``curve``, with noise that a seed's runs share (2.5 %) and noise of each run (``noise``)."""
    strategy = Strategy(1e-3, **{"alphas": (), **more})
    shared = [chance.gauss(0, 0.05) for _ in range(strategy.seeds)]
    known: dict[Configuration, Outcome] = {}

    def run(each: Configuration) -> Outcome:
        return known.setdefault(each, Outcome(curve(each) + shared[each.seed] + chance.gauss(0, 2 * noise / 2**0.5)))

    return decide(strategy, run)


@pytest.mark.parametrize(("noise", "right"), [(0.001, 0.99), (0.005, 0.95), (0.01, 0.8)])
def test_a_plateau_is_found_where_it_is(noise: float, right: float) -> None:
    chance, step = random.Random(0), {8: 0, 16: 1, 32: 2, 64: 3, 128: 4}
    chosen = []
    for _ in range(300):
        best = decided(lambda each: 2 - 0.1 * min(step[each.r], 2), noise, chance).best
        assert best is not None
        chosen.append(best.r)
    assert chosen.count(32) >= right * len(chosen)
    assert set(chosen) <= {32, 64, 128}  # never a rank that is too small


def test_noise_is_no_plateau() -> None:
    result = decided(lambda each: 2.0, 0.05, random.Random(1))
    assert any("noise" in sentence for sentence in result.story)
    assert not result.plateau


def test_the_alpha_of_the_ranks_stays_unless_another_is_better() -> None:
    def ending(better: float) -> Configuration | None:
        curve = lambda each: 2.0 - (better if each.lora_alpha == 32 else 0) + (each.lora_alpha == 64)  # noqa: E731
        return decided(curve, 0.0005, random.Random(0), ranks=(8, 16), alphas=(8, 16, 32, 64)).best

    assert ending(0.2) == Strategy(1e-3).at(8, 32)
    assert ending(0.01) == Strategy(1e-3).at(8, 16)


def test_a_failed_alpha_ends_the_larger_ones() -> None:
    strategy = Strategy(1e-3, ranks=(8,), seeds=2)

    def run(each: Configuration) -> Outcome:
        assert each.lora_alpha < 64
        return Outcome(None, "too much.") if each.lora_alpha == 32 else Outcome(2.0 + each.seed)

    assert decide(strategy, run).best == strategy.at(8)
