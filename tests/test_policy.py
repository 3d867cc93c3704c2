"""What ends a run: severity, patience and muted rules, from the argument, the environment or the default."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor
from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules import BarelyMoves, Finding, Rule
from lora_watch.rules.policy import Policy
from lora_watch.settings import Settings
from tests.support import build_trainer, few, lora, tiny_model

WARNING, ERROR = Severity.WARNING, Severity.ERROR


def alert(rule: str = "LW202", severity: Severity = ERROR, step: int = 10, lasted: int = 1) -> Alert:
    return Alert(rule, "x", severity, step, "said", last_step=step + lasted - 1)


def policy(fail_on: Any = None, default: Severity | None = None, **settings: Any) -> Policy:
    return Settings(fail_on=fail_on, **settings).policy(default)


def ends(judge: Policy, *alerts: Alert) -> list[str]:
    return [each.rule for each in judge.failures(alerts)]


# -- what it says ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fail_on", "error", "warning", "excepted"),
    [
        ("never", False, False, False),
        ("error", True, False, True),
        ("Warning", True, True, True),
        ("error,LW202=never", True, False, False),
        (" LW202 = error ", False, False, True),
        ("never, loss-divergence=error", False, False, True),
        ({"default": "error", "LW202": "never"}, True, False, False),
        ({"lw202": "warning"}, False, False, True),
        ({}, False, False, False),
    ],
)
def test_severities(fail_on: Any, error: bool, warning: bool, excepted: bool) -> None:
    judge = policy(fail_on)
    assert bool(ends(judge, alert("LW102"))) == error
    assert bool(ends(judge, alert("LW102", WARNING))) == warning
    assert bool(ends(judge, alert("LW202"))) == excepted
    assert judge.can_end_a_run == (error or warning or excepted)


@pytest.mark.parametrize(
    ("fail_on", "others"),
    [("LW203=never", ERROR), (",,,", ERROR), ("never,LW203=error", None), ("LW812=never,LW901=never", ERROR)],
)
def test_a_fail_on_that_names_rules_alone_leaves_the_others_their_default(fail_on: str, others: Any) -> None:
    assert policy(fail_on, default=ERROR).default == others
    assert policy(fail_on, recover=1).default == others


def test_findings_of_finished_runs_are_policies_too() -> None:
    assert policy("error,lw812=never,broke-off=never,LW901=never").by_rule == dict.fromkeys(("LW812", "LW801", "LW901"))
    for wrong, says in (("LW817=never", "LW816"), ("qq=never", "lists them"), ("LW203=info", "never, warning, error")):
        with pytest.raises(ValueError, match=says):
            policy(wrong)


def test_patience_waits_for_what_may_pass_and_for_nothing_else() -> None:
    judge = policy("warning", patience=3)
    assert ends(judge, alert("LW202", lasted=3)) == []
    assert ends(judge, alert("LW202", lasted=4)) == ["LW202"]
    for cannot_pass in ("LW101", "LW201", "LW104", "LW401"):
        assert ends(judge, alert(cannot_pass)) == [cannot_pass]


def test_muted_rules_are_not_asked() -> None:
    rules = {rule.id for rule in policy(mute=["LW203", "barely-moves"]).rules}
    assert not rules & {"LW203", "LW104"}
    assert "LW102" in rules
    assert policy(mute="LW203, LW104").rules == policy(mute=["LW104", "LW203"]).rules


# -- where it comes from -----------------------------------------------------------------------------------------------

VARIABLES = {"LORA_WATCH_FAIL_ON": "error,LW202=never", "LORA_WATCH_PATIENCE": "7", "LORA_WATCH_MUTE": "LW203,LW401"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def ids(judge: Policy) -> set[str]:
    return {rule.id for rule in judge.rules}


def test_without_anything_nothing_ends_a_run() -> None:
    assert not policy().can_end_a_run
    assert (policy().patience, "LW203" in ids(policy())) == (0, True)


@pytest.mark.usefixtures("environment")
def test_the_environment_counts_where_the_code_says_nothing() -> None:
    for judge in (policy(), LoraWatchCallback().policy, Monitor(torch.nn.Linear(2, 2)).engine.policy):
        assert (judge.default, judge.by_rule, judge.patience) == (ERROR, {"LW202": None}, 7)
        assert not ids(judge) & {"LW203", "LW401"}


@pytest.mark.usefixtures("environment")
def test_an_argument_counts_more_than_the_environment_one_by_one() -> None:
    only = LoraWatchCallback(fail_on="never").policy
    assert (only.can_end_a_run, only.patience, "LW203" in ids(only)) == (False, 7, False)
    judge = LoraWatchCallback(fail_on={"default": "warning"}, patience=0, mute=()).policy
    assert (judge.default, judge.by_rule, judge.patience, "LW203" in ids(judge)) == (WARNING, {}, 0, True)


# -- in a real run -----------------------------------------------------------------------------------------------------


def explode(**settings: Any) -> tuple[int, LoraWatchCallback]:
    """The step at which a run that explodes has ended, of 14."""
    callback = LoraWatchCallback(console=False, tensorboard=False, **settings)
    trainer = build_trainer(lora(tiny_model(), alpha=128), None, 14, callbacks=[callback], lr=0.03)
    with contextlib.suppress(LoraWatchError):
        trainer.train()
    return trainer.state.global_step, callback


def test_a_real_run_ends_as_the_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, callback = explode(fail_on={"default": "never", "LW102": "error"})
    (opened,) = (each.step for each in callback.monitor.alerts if each.rule == "LW102")
    assert at_once == opened
    assert explode(fail_on="error,LW102=never,LW202=never")[0] == 14
    monkeypatch.setenv("LORA_WATCH_PATIENCE", "4")
    assert explode(fail_on="error,LW202=never")[0] == opened + 4


# -- the rules of a run ------------------------------------------------------------------------------------------------


def test_each_run_works_on_its_own_copy_of_the_rules_it_is_given() -> None:
    mine = [BarelyMoves(reach=1e6)]
    for _ in range(2):
        callback = LoraWatchCallback(rules=mine, console=False, tensorboard=False)
        build_trainer(few(), steps=12, callbacks=[callback]).train()
        assert [a.rule for a in callback.monitor.alerts] == ["LW104"]
    assert mine == [BarelyMoves(reach=1e6)], "which the runs have not touched"


@dataclass
class LargeGradient(Rule):
    """A rule of one's own that must not wait."""

    id = "X1"
    name = "large-gradient"
    severity = Severity.ERROR
    urgent = True
    needs = "b_grad_norm"
    from_step: int = 3

    def check(self, record: StepRecord) -> Finding | None:
        return Finding("too large") if record.step >= self.from_step else None


def test_an_urgent_rule_is_asked_before_the_update_and_its_step_is_not_saved() -> None:
    callback = LoraWatchCallback(fail_on="error", rules=[LargeGradient()], console=False, tensorboard=False)
    model = few()
    trainer = build_trainer(model, callbacks=[callback], save_strategy="steps", save_steps=2)
    with pytest.raises(LoraWatchError, match="X1"):
        trainer.train()
    checkpoint = Path(trainer.args.output_dir) / "checkpoint-2"
    assert [p.name for p in checkpoint.parent.glob("checkpoint-*")] == [checkpoint.name]
    saved = load_file(checkpoint / "adapter_model.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in get_peft_model_state_dict(model).items())
