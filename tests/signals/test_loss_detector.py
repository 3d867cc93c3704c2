"""The loss detector on synthetic losses whose events are known."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.real_losses import load
from lora_watch.measurement.signals.loss import LossDetector
from lora_watch.rules.loss import LossDivergence, LossSpike

LIMITS = LossDivergence()
NOISE = {"low": 0.02, "mid": 0.08, "heavy": 0.25}


def clean(seed: int, steps: int, noise: float) -> np.ndarray:
    """A loss that decays from 3 to 1.5 with log-normal noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)
    return (1.5 + 1.5 * np.exp(-t / 100)) * np.exp(noise * rng.standard_normal(steps))


def alarms(losses: np.ndarray) -> list[int]:
    """Steps at which a sustained rise begins to be reported, with the limits of the rule."""
    detector, out, before = LossDetector(), [], False
    for step, loss in enumerate(losses):
        reading = detector.update(float(loss))
        now = reading.rise_score > LIMITS.score and reading.rise > LIMITS.rise
        if now and not before:
            out.append(step)
        before = now
    return out


@pytest.mark.parametrize(
    "noise", ["heavy", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("low", "mid"))]
)
def test_false_alarms_are_rare(noise: str) -> None:
    total = sum(len(alarms(clean(seed, 1000, NOISE[noise]))) for seed in range(20))
    assert total <= 1, f"{total} false alarms in 20,000 clean steps"


@pytest.mark.parametrize("name", sorted(name for name in load() if int(name.partition("seed")[2]) % 2 == 0))
def test_real_losses_are_clean(name: str) -> None:
    """Healthy runs at batch sizes 1 to 16; the classifier's loss comes close to 0, with an error now and then."""
    losses = load()[name]
    detector = LossDetector()
    spikes = [step for step, loss in enumerate(losses) if detector.update(float(loss)).spike_score > LossSpike().score]
    assert alarms(losses) + spikes == []


def test_a_fall_that_ends_is_no_alarm() -> None:
    t = np.arange(250)
    falls = np.maximum(4.0 - 0.02 * t, 1.0)
    found = 0
    for seed in range(20):
        found += len(alarms(falls * np.exp(NOISE["mid"] * np.random.default_rng(seed).standard_normal(250))))
    assert found <= 1, "20 ends, and 5,000 steps in which chance may have a say once"


@pytest.mark.parametrize(
    ("noise", "rise", "onset", "most"),
    [
        *[("low", lambda t: 1.5, 150, 2), ("mid", lambda t: 1.5, 150, 2)],
        *[("mid", lambda t: 1.005**t, 150, 45), ("mid", lambda t: 1.005**t, 500, 32)],
    ],
)
def test_a_rise_is_found(noise: str, rise: Callable[[np.ndarray], Any], onset: int, most: int) -> None:
    """A shift of the level, or +0.5 % a step: at step 150 beside a fall that would still be of 0.2 % a step."""
    delays = []
    for seed in range(20):
        losses = clean(seed, onset + 110, NOISE[noise])
        losses[onset:] *= rise(np.arange(110))
        found = [step for step in alarms(losses) if step >= onset]
        assert found, f"seed {seed}: the rise was missed"
        delays.append(found[0] - onset)
    assert np.median(delays) <= most


def test_a_sudden_fall_is_followed_at_once() -> None:
    """A quiet loss, as a classifier's before it learns, that becomes wild: its old noise must not bind it."""
    rng = np.random.default_rng(0)
    losses = np.concatenate([1.6 * np.exp(0.01 * rng.standard_normal(40)), 0.3 * np.exp(rng.standard_normal(60))])
    detector = LossDetector()
    readings = [detector.update(float(loss)) for loss in losses]
    assert readings[60].expected < 0.6
    assert alarms(losses) == []


def test_nothing_is_judged_during_warm_up_and_nan_changes_nothing() -> None:
    detector = LossDetector()
    readings = [detector.update(10.0**step) for step in range(20)]
    assert all(math.isnan(reading.before) for reading in readings)
    before = replace(detector)
    assert math.isnan(detector.update(math.nan).before)
    assert detector == before


@pytest.mark.parametrize("losses", [[-1.0], [0.0], [2.0, 1.0, -0.1]])
def test_losses_without_a_meaning_stand_it_down(losses: list[float]) -> None:
    detector = LossDetector()
    for loss in losses:
        detector.update(loss)
    assert all(math.isnan(detector.update(5.0 + step).before) for step in range(100))
