"""An exception in any callable of ours leaves training as it would have been: a sample; ``injection.py`` tries all."""

from __future__ import annotations

import random

import pytest

from tests.trainer.injection import Injection

SAMPLE = 12


@pytest.fixture(scope="module")
def injection(tmp_path_factory: pytest.TempPathFactory) -> Injection:
    return Injection(tmp_path_factory.mktemp("injection"))


def test_training_reaches_the_package_everywhere(injection: Injection) -> None:
    rooms = {target.name.split(".")[0] for target in injection.targets}
    assert {"adapters", "monitor", "norms", "rules", "signals", "sinks", "trainer"} <= rooms
    assert len(injection.targets) > 200


@pytest.mark.parametrize("later", [False, True], ids=["first call", "later call"])
def test_an_exception_of_ours_does_not_reach_training(injection: Injection, later: bool) -> None:
    reached = [target for target in injection.targets if injection.calls[target.name] > later]
    chosen = random.Random(later).sample(reached, SAMPLE)
    # What stands closest to the Trainer is always there.
    chosen += [t for t in reached if t.key in ("on_step_end", "_add", "reduce", "state_dict") and t not in chosen][:6]
    harmed = {target.name: harm for target in chosen if (harm := injection.harm(target, later)) is not None}
    assert harmed == {}
