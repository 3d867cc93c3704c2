"""LW2xx on real runs: each must fire on the spoiled run and stay silent on its healthy twin."""

from __future__ import annotations

import math
from collections.abc import Callable

from lora_watch.monitor import Monitor
from tests.rules.runs import healthy, ids, run, the, trainer_with_labels, trainer_with_loss


def nan_at_seven(step: int, loss):  # type: ignore[no-untyped-def]
    return loss * float("nan") if step == 7 else loss


def test_non_finite_loss() -> None:
    monitor = run(steps=9, trainer_class=trainer_with_loss(nan_at_seven), logging_steps=1)
    alert = the("LW201", monitor)
    assert alert.step == 7
    assert "logging_nan_inf_filter" in alert.message
    assert ids(monitor) == ["LW201"], "the NaN weights that follow have the same cause"


def test_an_infinite_loss_counts_too() -> None:
    monitor = run(steps=4, trainer_class=trainer_with_loss(lambda n, loss: loss * (math.inf if n == 2 else 1)))
    assert the("LW201", monitor).step == 2


def test_non_finite_loss_is_silent_on_the_twin() -> None:
    assert "LW201" not in ids(healthy())


def test_loss_divergence_when_the_data_turns_to_noise_for_good() -> None:
    monitor = run(steps=50, trainer_class=trainer_with_labels(lambda step: step > 30))
    alert = the("LW202", monitor)
    assert 31 <= alert.step <= 40
    assert alert.closed_step is None


def test_loss_spike_when_one_batch_is_noise() -> None:
    monitor = run(steps=50, trainer_class=trainer_with_labels(lambda step: step == 35))
    alert = the("LW203", monitor)
    assert (alert.step, alert.last_step) == (35, 35)
    assert ids(monitor) == ["LW203"], "one bad batch is no divergence"
    assert alert.closed_step is not None, "the episode ends by itself"


def test_loss_rules_are_silent_on_the_twin() -> None:
    assert ids(run(steps=50, trainer_class=trainer_with_labels(lambda step: False))) == []


def at_batch_size_one(spoiled: Callable[[int], bool]) -> Monitor:
    """120 steps, each on one block of 64 tokens: losses scatter by a sixth."""
    return run(steps=120, per_device_train_batch_size=1, lr=1e-3, trainer_class=trainer_with_labels(spoiled))


def test_corrupted_batches_are_found_at_batch_size_one() -> None:
    monitor = at_batch_size_one(lambda step: step > 100)
    alert = the("LW202", monitor)
    assert 101 <= alert.step <= 110
    assert "learning_rate" in alert.settings
    assert [alert.rule for alert in monitor.alerts if alert.closed_step is None] == ["LW202"], "one cause, one alert"


def test_loss_rules_are_silent_at_batch_size_one() -> None:
    assert ids(at_batch_size_one(lambda step: False)) == []
