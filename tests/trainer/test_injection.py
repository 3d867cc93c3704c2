"""An exception in any callable of ours leaves training as it was, and no exploding run green: a sample.

``python -m tests.trainer.injection`` tries all.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.trainer.injection import WAYS, Injection, Setting

SAMPLE = 2
NAMED = {
    Setting("trainer", explodes=True): (
        "rules.size.began_with",
        "rules.size._size_of",
        "rules.base.known_values",
        "norms.bank.Portion.__init__",
        "norms.bank.Portion.add_to",
        "TrainerEvents.on_step_end",
        "Recorder.complete",
        "begin_pass",
        "_ask",
    ),
    Setting("trainer", explodes=True, policy="fail_on"): ("open", "judged", "write", "failures"),
    Setting("trainer", explodes=False, policy="recover"): (
        "Recorder.find",
        "LiveSettings.begin",
        "Recovery.prepare",
        "adapters.tensors.local",
        "Run.start",
        "_Door.__init__",
        "_QuietDoor.__enter__",
        "_QuietDoor.__exit__",
    ),
    Setting("loop", explodes=False, policy="fail_on"): (
        "Recorder.find",
        "find_adapters",
        "PeftAdapter.active",
        "Run.start",
        "_Door.__init__",
        "_QuietDoor.__enter__",
        "Monitor.step",
        "_before_step",
        "_begin",
    ),
    Setting("loop", explodes=True, policy="recover"): ("treat", "memory", "settle", "load_state_dict"),
}
"""Ways of training, and callables that are always tried in them, from a call on, by the end of their names."""


@pytest.mark.parametrize("setting", NAMED, ids=str)
def test_an_exception_of_ours_neither_reaches_training_nor_hides_an_explosion(setting: Setting, tmp_path: Path) -> None:
    injection = Injection(tmp_path, setting)
    assert (injection.plain.ruined, injection.unharmed.check) == (setting.explodes, int(setting.explodes)) or (
        setting.policy == "recover"
    )
    rooms = {target.name.split(".")[0] for target in injection.targets}
    assert {"adapters", "measurement", "monitor", "rules", "sinks"} <= rooms
    assert len(injection.targets) > 300
    drawn = random.Random(str(setting))
    named = {end: [t for t in injection.targets if f".{t.name}".endswith(f".{end}")] for end in NAMED[setting]}
    assert all(named.values()), "a callable has another name now"
    rows = [(drawn.choice(found), drawn.random() < 0.5, False) for found in named.values()]
    rows += [(target, *drawn.choice(WAYS)) for target in drawn.sample(injection.targets, SAMPLE)]
    rows = [(target, later and injection.calls[target.name] > 1, once) for target, later, once in rows]
    assert {str(row): harm for row in rows if (harm := injection.harm(*row)) is not None} == {}
