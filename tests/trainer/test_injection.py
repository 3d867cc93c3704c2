"""An exception in any callable of ours leaves training as it would have been: a sample; ``injection.py`` tries all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.trainer.injection import Injection, Target, by_loop, by_trainer

SAMPLE = 6


@pytest.fixture(scope="module")
def injection(tmp_path_factory: pytest.TempPathFactory) -> Injection:
    return Injection(tmp_path_factory.mktemp("injection"), by_trainer)


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
    assert harmed(injection, chosen, later) == {}


def test_nor_a_loop_of_accelerates(tmp_path: Path) -> None:
    injection = Injection(tmp_path, by_loop)
    shells = [t for t in injection.targets if t.name.startswith(("monitor.monitor.Monitor.", "monitor.loop.Loop."))]
    assert len(shells) > 12
    assert harmed(injection, shells, False) == {}


def harmed(injection: Injection, targets: list[Target], later: bool) -> dict[str, str]:
    return {target.name: harm for target in targets if (harm := injection.harm(target, later)) is not None}
