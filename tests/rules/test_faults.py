"""Every fault of the corpus, injected into a short real run, is named by the right rule, in few words; none is not."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.corpus.faults import FAULTS, Fault, victim
from benchmarks.corpus.score import most_open
from lora_watch.rules import catalogue
from tests.rules.runs import run
from tests.support import lora, tiny_model

STEPS, BEGINS = 40, 22
SETTINGS: dict[str, Any] = {"steps": STEPS, "lr_scheduler_type": "constant"}


def test_the_healthy_twin_is_silent() -> None:
    assert [str(alert) for alert in run(**SETTINGS).alerts] == []


QUICK = ("cut-graph", "nan-gradient", "nan-in-base-weight")
"""Faults of three kinds; the rules of the others have tests of their own."""
SOME = [
    pytest.param(fault, marks=() if fault.name in QUICK else pytest.mark.thorough, id=fault.name)
    for fault in FAULTS.values()
]


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_is_named_and_by_no_more_than_two_alerts_at_once(fault: Fault) -> None:
    model = lora(tiny_model())
    struck = victim(model).name
    if fault.prepare is not None:
        fault.prepare(model)
    arguments = dict(fault.arguments)
    if "learning_rate" in arguments:
        arguments["lr"] = arguments.pop("learning_rate")
    if fault.name == "noise-gradients":  # a loss that stays has to be told from its noise, whatever Python's text
        arguments["steps"] = 80
    monitor = run(model, prepare=lambda trainer: fault.inject(trainer, BEGINS), **SETTINGS | arguments)
    said = [str(alert) for alert in monitor.alerts]
    named = [alert for alert in monitor.alerts if alert.rule in fault.rules]
    assert named, said
    if fault.layer:
        assert named[0].adapters[0][0] == struck
    assert most_open(monitor.alerts) <= 2, said


def test_every_fault_has_a_rule() -> None:
    assert {*QUICK} <= {*FAULTS}
    assert {rule for fault in FAULTS.values() for rule in fault.rules} <= {rule.id for rule in catalogue()}
