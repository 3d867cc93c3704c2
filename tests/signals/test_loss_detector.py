"""The loss detector on synthetic losses whose events are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lora_watch.rules.loss import LossDivergence
from lora_watch.signals.loss import SPIKE, LossDetector, LossProgress

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


@pytest.mark.parametrize("noise", NOISE)
def test_false_alarms_are_rare(noise: str) -> None:
    total = sum(len(alarms(clean(seed, 1000, NOISE[noise]))) for seed in range(20))
    assert total <= 1, f"{total} false alarms in 20,000 clean steps"


@pytest.mark.parametrize(("noise", "most"), [("low", 3), ("mid", 4)])
def test_a_level_shift_is_found_within_a_few_steps(noise: str, most: int) -> None:
    delays = []
    for seed in range(20):
        losses = clean(seed, 200, NOISE[noise])
        losses[150:] *= 1.5
        found = [step for step in alarms(losses) if step >= 150]
        assert found, f"seed {seed}: the shift was missed"
        delays.append(found[0] - 150 + 1)
    assert np.median(delays) <= most


def test_a_slow_rise_is_found() -> None:
    delays = []
    for seed in range(20):
        losses = clean(seed, 260, NOISE["mid"])
        losses[150:] *= 1.005 ** np.arange(110)
        found = [step for step in alarms(losses) if step >= 150]
        assert found, f"seed {seed}: the rise was missed"
        delays.append(found[0] - 150)
    assert np.median(delays) <= 45


def test_an_outlier_scores_and_does_not_join_the_baseline() -> None:
    losses = clean(0, 100, NOISE["mid"])
    detector = LossDetector()
    for loss in losses[:60]:
        detector.update(float(loss))
    assert detector.update(float(losses[60]) * 10).spike_score > SPIKE
    after = detector.update(float(losses[61]))
    assert after.expected == pytest.approx(float(losses[44:60].mean()), rel=0.05)
    assert after.spike_score < 4


def test_nothing_is_judged_during_warm_up_and_nan_changes_nothing() -> None:
    detector = LossDetector()
    readings = [detector.update(10.0**step) for step in range(20)]
    assert not any(reading.ready for reading in readings)
    state = detector.state_dict()
    assert not detector.update(math.nan).ready
    assert detector.state_dict() == state


def test_losses_without_a_logarithm_stand_it_down() -> None:
    detector = LossDetector()
    detector.update(-1.0)
    assert not any(detector.update(5.0 + step).ready for step in range(100))


def test_state_survives_json() -> None:
    losses = clean(3, 120, NOISE["mid"])
    one, two = LossDetector(), LossDetector()
    for loss in losses[:60]:
        one.update(float(loss))
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert [one.update(float(x)) for x in losses[60:]] == [two.update(float(x)) for x in losses[60:]]


def test_progress_asks_for_more_than_noise() -> None:
    rng = np.random.default_rng(0)
    still, falling = LossProgress(), LossProgress()
    claims = 0
    for step in range(200):
        noise = 0.3 * rng.standard_normal()
        verdict = still.update(3.0 + noise)
        claims += bool(verdict and verdict.improved)
        last = falling.update(3.0 - 0.02 * step + noise)
    assert last is not None
    assert last.improved
    assert claims < 100, "the start is one noisy number: claims may come, but not as a rule"
