"""An exception in any callable of ours leaves training as it was, and no exploding run green: a sample.

``python -m tests.trainer.injection`` tries all.
"""

import random
from pathlib import Path

import pytest

from tests.trainer.injection import WAYS, Injection, Setting

SAMPLE = 6
SETTINGS = [
    pytest.param(Setting("trainer", explodes=True), marks=pytest.mark.thorough),
    Setting("trainer", explodes=True, policy="fail_on"),
    Setting("trainer", explodes=False, policy="recover"),
    Setting("loop", explodes=False, policy="fail_on"),
    Setting("loop", explodes=True, policy="recover"),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_an_exception_of_ours_neither_reaches_training_nor_hides_an_explosion(setting: Setting, tmp_path: Path) -> None:
    injection = Injection(tmp_path, setting)
    assert (injection.plain.ruined, injection.unharmed.check) == (setting.explodes, int(setting.explodes)) or (
        setting.policy == "recover"
    )
    rooms = {target.name.split(".")[0] for target in injection.targets}
    assert {"adapters", "measurement", "run", "rules", "sinks"} <= rooms
    assert len(injection.targets) > 300
    drawn = random.Random(str(setting))
    rows = [(target, *drawn.choice(WAYS)) for target in drawn.sample(injection.targets, SAMPLE)]
    rows = [(target, later and injection.calls[target.name] > 1, once) for target, later, once in rows]
    assert {str(row): harm for row in rows if (harm := injection.harm(*row)) is not None} == {}
