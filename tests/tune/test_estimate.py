"""What a sweep's curve says, on curves that are made up: pure functions, no training."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lora_watch.rules.forecast import OF_WEIGHTS, Rates, at_steps
from lora_watch.tune.suggestion import (
    SAFE_FOR_A_FORECAST,
    SAFE_FROM_EDGE,
    Curve,
    Suggestion,
    estimate,
    lines,
    suggestion,
)
from lora_watch.tune.sweep import Sweep, smoothed
from tests.sinks.made_up import alert_of

LOWEST_AT, ONE_AT = 1e-2, 2e-3
RATES = np.geomspace(1e-5, 1e-1, 60)


def made(fall: float = 1.0, noise: float = 0.01, until: int = 60, measured: bool = True) -> Curve:
    """A loss that falls by ``fall`` up to ``LOWEST_AT`` and rises after it; an output ratio that is 1 at ``ONE_AT``."""
    away = np.abs(np.log(RATES / LOWEST_AT)) / math.log(10)
    losses = 5.0 - fall * np.exp(-(away**2)) + noise * np.random.default_rng(0).standard_normal(60)
    sizes = RATES / ONE_AT if measured else np.full(60, np.nan)
    return Curve(RATES[:until], losses[:until], sizes[:until])


def test_the_rate_is_between_the_lowest_loss_and_an_output_ratio_of_one() -> None:
    found = estimate(made(), 9e-2)
    assert found.lowest_loss_at == pytest.approx(LOWEST_AT, rel=0.5)
    assert found.ratio_one_at == pytest.approx(ONE_AT)
    assert found.rate == pytest.approx(math.sqrt(found.lowest_loss_at * found.ratio_one_at))
    assert found.low <= found.rate / 1.5 < found.rate * 1.5 <= found.high, "no sweep is surer than that"


def test_it_keeps_away_from_the_edge() -> None:
    assert estimate(made(), 8e-3).rate == pytest.approx(8e-3 / SAFE_FROM_EDGE)


def test_with_a_new_head_the_rate_is_the_forecast_of_the_weights() -> None:
    """Its batches are right or very wrong, and a few lucky ones move the lowest loss."""
    of_weights = Rates.around(3e-3, OF_WEIGHTS)
    found = estimate(made(), 9e-2, new_head=True, predicted=3e-3)
    assert (found.rate, found.low, found.high) == (of_weights.best, of_weights.low, of_weights.high)
    close = estimate(made(), 4e-3, new_head=True, predicted=3e-3)
    assert close.rate == close.high == pytest.approx(4e-3 / SAFE_FOR_A_FORECAST)
    assert estimate(made(fall=0.0, noise=0.4), None, new_head=True, predicted=3e-3).rate is None
    unknown = estimate(made(), 9e-2, new_head=True)
    assert unknown.rate is None
    assert unknown.low < unknown.high
    without = estimate(made(), 9e-2, predicted=3e-3)
    assert without.rate == estimate(made(), 9e-2).rate


def test_without_an_output_ratio_the_loss_is_all_there_is() -> None:
    found = estimate(made(measured=False), None)
    assert found.ratio_one_at is None
    assert found.rate == pytest.approx(found.lowest_loss_at / 2)  # type: ignore[operator]


@pytest.mark.parametrize(("fall", "batch"), [(0.45, True), (0.0, False)])
def test_noise_larger_than_the_fall_makes_no_suggestion_but_a_range(fall: float, batch: bool) -> None:
    found = estimate(made(fall=fall, noise=0.4), 9e-2)
    assert found.rate is None
    assert found.low < ONE_AT < found.high < 9e-2
    assert ("gradient_accumulation_steps" in found.why) is batch
    assert estimate(made(fall=fall, noise=0.4, measured=False), None).low is None


def test_a_sweep_that_ends_while_the_loss_falls_or_after_a_few_steps_says_so() -> None:
    assert "higher rate" in estimate(made(until=40), None).why
    assert estimate(made(), None).why == ""
    found = estimate(made(until=1), 2e-5)
    assert (found.rate, "at 1 step," in found.why) == (None, True)


def test_a_fall_where_the_adapters_hardly_move_is_chance() -> None:
    curve = made(fall=0.0, noise=0.01)
    curve.losses[10:15] -= 1.0
    assert estimate(curve, None).rate is None


def test_losses_that_are_not_finite_do_not_spread() -> None:
    losses = np.array([3.0, 2.0, 1.0, math.nan])
    assert smoothed(losses)[:3].tolist() == [3.0, 2.5, 2.0]
    curve = made()
    curve.losses[55] = math.inf
    curve.sizes[34] = math.nan  # next to where it is 1
    found = estimate(curve, float(RATES[55]))
    assert found.rate is not None
    assert found.ratio_one_at == pytest.approx(ONE_AT)


def swept(curve: Curve, **facts: Any) -> Suggestion:
    sweep = Sweep(1e-5, 1e-1, 60)
    for loss, size in zip(curve.losses, curve.sizes):
        sweep.add(float(loss), float(size), None)
    assert sweep.over
    assert sweep.curve.rates == pytest.approx(RATES)
    return suggestion(sweep, **facts)


def test_a_sweep_ends_with_the_first_error() -> None:
    sweep = Sweep(1e-3, 1.0, 4)
    sweep.add(2.0, 0.1, None)
    sweep.add(math.nan, None, None)  # a batch without a target
    assert (sweep.over, sweep.next_rate) == (False, pytest.approx(1e-2))
    sweep.add(math.nan, None, alert_of(3, "LW202"))
    assert (sweep.over, sweep.edge) == (True, sweep.rates[1])
    with pytest.raises(ValueError, match=r"1 to 0\.001"):
        Sweep(1.0, 1e-3)


def test_a_longer_run_wants_a_lower_rate() -> None:
    short, long, unknown = swept(made(), steps=40), swept(made(), steps=2000), swept(made())
    assert short.rate == unknown.rate == swept(made(), steps=6).rate
    assert long.rate == pytest.approx(at_steps(short.rate, 40, 2000), rel=0.02)
    assert long.low < short.low  # type: ignore[operator]
    assert long.low <= long.rate <= long.high  # type: ignore[operator]
    assert long.high == short.high
    assert long.at_steps(40) == pytest.approx(short.rate, rel=0.02)
    assert unknown.at_steps(2000) == pytest.approx(long.rate, rel=0.02)
    assert "of 2,000 steps" in long.sentences()[0]
    assert f"{unknown.at_steps(2000):g} for 2,000 steps or more" in unknown.sentences()[0]
    assert swept(made(fall=0.0, noise=0.4), steps=2000).at_steps(40) is None


def test_with_a_new_head_a_long_run_wants_much_less() -> None:
    short, long = (swept(made(), steps=steps, new_head=True, predicted=4e-3) for steps in (40, 600))
    assert long.rate == pytest.approx(at_steps(short.rate, 40, 600, new_head=True), rel=0.05)
    assert long.rate < at_steps(short.rate, 40, 600) / 2
    assert short.at_steps(2000) == short.at_steps(600) == long.rate
    shorter = swept(made(), steps=12, new_head=True, predicted=4e-3)
    assert shorter.rate == short.at_steps(12) == pytest.approx(at_steps(short.rate, 40, 12, new_head=True), rel=0.02)
    assert shorter.at_steps(600) == long.rate


def test_the_middle_of_a_range_is_what_to_take_where_the_loss_does_not_tell() -> None:
    clear, unclear = swept(made()), swept(made(fall=0.0, noise=0.4))
    assert clear.rate_or_middle == clear.rate
    assert unclear.low < unclear.rate_or_middle < unclear.high  # type: ignore[operator]
    assert re.search(rf"middle .* {unclear.rate_or_middle:g}\.", str(unclear))
    assert swept(made(fall=0.0, noise=0.4, measured=False)).rate_or_middle is None


@pytest.mark.parametrize("curve", [made(), made(fall=0.0, noise=0.5), made(measured=False)])
def test_every_face_says_the_same(curve: Curve, tmp_path: Path) -> None:
    found = swept(curve, scale=2.0, predicted=1e-3)
    answer = found.sentences()[0]
    assert answer in str(found)
    assert [said for said in found.sentences() if "too high" in said or "too low" in said] == [], "its range holds them"
    assert all(len(line) < 80 for line in lines(found))
    path = found.save(tmp_path)
    content = json.loads(path.read_text())
    assert content["rate"] == found.rate
    assert [f"{content[end]:g}" in answer for end in ("low", "high") if found.low] in ([True, True], [])
    assert len(content["curve"]["loss"]) == 60
