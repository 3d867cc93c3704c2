"""What a recovery is made of: copies, dropped updates, lowered rates, what is done about what, and a plain loop."""

import copy
import functools
import itertools
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from torch import nn, optim
from torch.optim import lr_scheduler as schedules

from lora_watch import LoraWatchError, Monitor
from lora_watch.base.alerts import Alert, Recovered, Severity
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.records import AdapterInfo, RunInfo, StepRecord
from lora_watch.rules.episodes import Episodes
from lora_watch.run.guard import Guard
from lora_watch.run.monitored import MonitoredAdapters
from lora_watch.run.ranks import Ranks
from lora_watch.run.rates import LoweredRate
from lora_watch.run.recovery import TREATED, Treatment, alert_of, treatment, turned_down
from lora_watch.settings import Settings
from lora_watch.snapshots.copies import GoodCopies, Learned, take, why_not
from tests.support import Keeps, lora, stdlib_blocks, tiny_model

OPTIMIZERS: list[Callable[[list[nn.Parameter]], optim.Optimizer]] = [
    lambda p: optim.AdamW(p, lr=1e-2, fused=True),
    lambda p: optim.SGD(p, lr=1e-2, momentum=0.9),
    *([lambda p: optim.Adafactor(p, lr=1e-2)] if hasattr(optim, "Adafactor") else []),  # torch 2.5
    lambda p: optim.Adam([{"params": p[:1], "lr": 1e-1}, {"params": p[1:]}], lr=1e-2, amsgrad=True),
]


class ByName(optim.Optimizer):
    """Keeps momentum by name as PEFT's LoRA-FA does; with ``more`` also a count in its ``state_dict``."""

    def __init__(self, parameters: Any, more: bool):
        super().__init__(parameters, {"lr": 0.1})
        self.count, self.more = 0, more

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **({"count": self.count} if self.more else {})}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.count += 1
        for i, parameter in enumerate(self.param_groups[0]["params"]):
            states: Any = self.state
            state = states[f"lora.{i}"]
            state["average"] = state.get("average", torch.zeros_like(parameter)) * 0.9 + parameter
            parameter.sub_(state["average"], alpha=0.1)


def steps(model: nn.Module, optimizer: optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        model(x).pow(2).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("patience", "back_to"),
    [(0, {"LW101": 30, "LW202": 30, "LW102": 20, "LW207": 10}), (30, {"LW101": 25, "LW202": 0})],
)
def test_a_run_goes_back_to_before_the_evidence(patience: int, back_to: dict[str, int]) -> None:
    asked = Settings(fail_on="error", patience=patience).policy()
    states = GoodCopies(
        Learned(optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0)).content, max(map(asked.reach, TREATED))
    )
    states.start(0).monitor = "at 0"
    for step in range(1, 38):
        states.updated(step)
        states.judged(step, lambda step=step: f"at {step}")
    kept = {rule: states.before(37 - asked.reach(rule)) for rule in back_to}
    assert {rule: copy and (copy.step, copy.monitor) for rule, copy in kept.items()} == {
        rule: (step, f"at {step}") for rule, step in back_to.items()
    }


def test_no_more_copies_are_held_than_the_memory_was_reckoned_for() -> None:
    states = GoodCopies(Learned(optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0)).content, 5)
    beginning = weakref.ref(states.start(0))
    for step in range(1, 41):
        assert (beginning() is None) == (step > 30)
        states.updated(step)
    assert [kept.step for kept in map(states.before, (20, 30, 40)) if kept] == []
    for step in (20, 30, 40):
        states.judged(step, lambda: True)
    assert [kept.step for kept in (states.before(40, best) for best in (30, 12)) if kept] == [30, 20], "the oldest"


@pytest.mark.parametrize("make", [*OPTIMIZERS, lambda p: ByName(p, more=False)])
def test_after_going_back_training_is_as_if_the_rest_had_not_been(make: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = make(list(model.parameters()))
    learned = Learned(optimizer)
    start = take(learned.content(), 0)
    steps(model, optimizer, range(3))
    kept = take(learned.content(), 3)
    steps(model, optimizer, range(3, 6))
    end = [p.detach().clone() for p in model.parameters()]
    learned.put_back(kept)
    steps(model, optimizer, range(3, 6))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), end))
    learned.put_back(start)
    assert not optimizer.state, "there was none yet"
    steps(model, optimizer, range(6))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), end))


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_dropped_update_changes_nothing(make: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer, lowered = make(list(model.parameters())), LoweredRate()
    lowered.attach(optimizer, Guard())
    steps(model, optimizer, range(2))
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    lowered.drop()
    steps(model, optimizer, range(2, 3))
    assert str((model.state_dict(), optimizer.state_dict())) == str(before)
    assert lowered.end()
    assert all(p.grad is not None for p in model.parameters()), "which is there again after the step"
    steps(model, optimizer, range(3, 4))
    assert str(model.state_dict()) != str(before[0])


def test_what_cannot_be_put_back_is_said() -> None:
    model = nn.Linear(4, 4)
    optimizer = optim.AdamW(model.parameters())
    assert why_not(model, optimizer, 1e9) is None
    assert "not known" in str(why_not(model, None, 1e9))
    assert "recover_memory is" in str(why_not(model, optimizer, 10))
    ranks: dict[str, Any] = {"init_r": 6, "target_r": 3, "tinit": 1, "tfinal": 2, "deltaT": 2, "total_step": 12}
    adaptive = get_peft_model(tiny_model(), AdaLoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM", **ranks))
    assert "AdaLoRA" in str(why_not(adaptive, optim.AdamW(adaptive.parameters()), 1e9))
    assert "BatchNorm" in str(why_not(nn.Sequential(model, nn.BatchNorm1d(4)), optimizer, 1e9))
    of_deepspeed = type("DeepSpeedOptimizerWrapper", (), {"param_groups": optimizer.param_groups})()
    assert "DeepSpeed" in str(why_not(model, of_deepspeed, 1e9))
    assert why_not(model, ByName(model.parameters(), more=False), 1e9) is None
    assert "count" in str(why_not(model, ByName(model.parameters(), more=True), 1e9))


def test_each_alert_is_treated_for_what_it_is() -> None:
    def way(*rules: str, before: bool = False, grown: float = 1.0, sound: float = 60.0, **more: Any) -> Treatment:
        alerts = [Alert(rule, "", Severity.ERROR, 9, "", metric=more.pop("metric", None)) for rule in rules]
        size, run = more.pop("size", None), RunInfo((), config={"learning_rate": 1e-3}, peak_lr=(1e-3,))
        record = replace(StepRecord(run, 9, {}, scalars={"loss_sound": sound}), **more)
        record.derived["size before"] = size
        return treatment(alerts, record, before, grown, again=False)

    assert way("LW201", before=True) is way("LW202") is Treatment.DROP
    assert way("LW101", before=True, metric="a_norm") is way("LW101", metric="a_norm") is Treatment.GO_BACK
    assert way("LW201", before=True, size=13.0) is Treatment.GO_BACK, "large adapters, and not their batch"
    assert way("LW102") is way("LW202", sound=3) is way("LW202", grown=2.0) is Treatment.GO_BACK
    assert way("LW202", lr=(1e-1,)) is Treatment.GO_BACK
    assert way("LW201", before=True, broken=("lm_head.weight",)) is Treatment.NONE
    assert way("LW301") is way("LW102", "LW309") is Treatment.NONE


def test_alpha_and_rate_are_turned_down_in_the_rate_alone() -> None:
    adapter = AdapterInfo("q", "Linear", 0, 8, 8, 8, 128.0, 16.0, "alpha/r", 0, 128)

    def now(optimizer: str, **settings: float) -> float:
        run = RunInfo((adapter,), config={"learning_rate": 1e-2}, peak_lr=(1e-2,), optimizer=optimizer)
        told = Prescription({name: Setting(None, value) for name, value in settings.items()})
        return 1e-2 * turned_down(Alert("LW102", "", Severity.ERROR, 5, "", next_run=told), run)

    assert now("AdamW", lora_alpha=16.0, learning_rate=7e-3) == pytest.approx(1.5e-3), "7e-3 / 8^0.7, as people type it"
    assert now("SGD", lora_alpha=64.0) == pytest.approx(2.5e-3)
    assert now("AdamW") == pytest.approx(3.5e-3), "a third"
    assert now("AdamW", learning_rate=9e-3) == pytest.approx(9e-3), "what is prescribed is what is tried"


@pytest.mark.parametrize(("rate", "low", "high"), [(9e-3, 4e-3, 1e-2), (1.8e-3, 8e-4, 2e-3)])
def test_the_rate_that_a_recovery_tries_keeps_its_range(rate: float, low: float, high: float) -> None:
    before = Prescription({"learning_rate": Setting(1e-2, 9e-3, 4e-3, 1e-2)})
    told = alert_of(Recovered(5, 0, "LW102", {"learning_rate": [1e-2, rate]}), before, 1, 3).next_run
    assert told.settings == {"learning_rate": Setting(1e-2, rate, low, high)}


class Twice(optim.AdamW):
    """A step inside a step, as of a class that adds something to its parent's."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize(
    "make", [*OPTIMIZERS, lambda p: optim.AdamW(p, lr=torch.tensor(1e-2)), lambda p: Twice(p, 1e-2)]
)
def test_a_lowered_rate_trains_as_the_lower_rate_and_nobody_else_sees_it(make: Any) -> None:
    def trained(factor: float, by_us: bool) -> tuple[list[torch.Tensor], list[float], Any]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        optimizer, lowered = make(list(model.parameters())), LoweredRate()
        if by_us:
            lowered.attach(optimizer, Guard())
            lowered.factor = factor
        else:
            for group in optimizer.param_groups:
                group["lr"] *= factor
        schedule, seen = schedules.CosineAnnealingLR(optimizer, 6), []
        for step in range(4):
            steps(model, optimizer, range(step, step + 1))
            schedule.step()
            seen += [float(group["lr"]) / (1.0 if by_us else factor) for group in optimizer.param_groups]
        lowered.detach()
        return [p.detach().clone() for p in model.parameters()], seen, optimizer

    (ours, seen, optimizer), (theirs, wanted, _) = trained(0.25, True), trained(0.25, False)
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other)
    assert seen == pytest.approx(wanted)
    assert not optimizer._optimizer_step_pre_hooks


def test_only_groups_of_adapters_are_turned_down_and_a_step_that_raises_leaves_the_users_rate() -> None:
    head, adapter = (nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = optim.SGD([{"params": [head]}, {"params": [adapter]}], lr=1.0)
    lowered = LoweredRate()
    lowered.attach(optimizer, Guard())
    lowered.factor, lowered.others = 0.1, frozenset({0})
    head.grad = adapter.grad = torch.ones(1)
    optimizer.step()
    assert (head.item(), adapter.item()) == (0.0, pytest.approx(0.9))
    assert lowered.used((1.0, 1.0)) == (1.0, 0.1)
    lowered.of_raised = 0.5, (1.0, 1.0)
    assert [lowered.used((rate, rate)) for rate in (2.0, 1.0)] == [(2.0, 0.1), (1.0, 0.1)], "what is raised, alone"
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    lowered.give_back()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]


def loop(monitor_of: Callable[..., Monitor], spoil: int | None = None, lr: float = 2e-3, alpha: float = 16) -> Monitor:
    torch.manual_seed(0)
    model = lora(tiny_model(), alpha=alpha).train()
    optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    scheduler = schedules.CosineAnnealingLR(optimizer, 24)
    ids = torch.tensor([e["input_ids"] for e in stdlib_blocks(2 * 16, 32)])
    with monitor_of(model, optimizer, scheduler=scheduler, console=False) as monitor:
        for step, batch in enumerate(ids.split(2)):
            loss = model(input_ids=batch, labels=batch).loss
            (loss * float("nan") if step == spoil else loss).backward()
            optimizer.step()
            monitor.step(loss=loss)
            scheduler.step()
            optimizer.zero_grad()
    assert all(torch.isfinite(p).all() for p in model.parameters())
    return monitor


recovering = functools.partial(Monitor, recover=3)


def test_a_plain_loop_recovers() -> None:
    assert [a.rule for a in loop(recovering).alerts if a.step > 0] == []
    nan = loop(recovering, spoil=12)
    at_13 = (13, 13, Severity.WARNING)
    assert [(a.rule, a.step, a.back_to, a.severity) for a in nan.alerts] == [("LW101", *at_13), ("LW910", *at_13)]
    exploded = loop(recovering, alpha=128, lr=1e-2)
    assert [a.rule for a in exploded.alerts if a.step > 0] == ["LW102", "LW910"]
    assert exploded.run.adapters[0].scale == 16.0, "a scale is never changed"
    assert exploded.alerts[-1].settings == {"learning_rate": pytest.approx(2e-3)}


def test_what_is_wrong_before_the_first_step_is_named_as_the_reason() -> None:
    model = lora(tiny_model()).requires_grad_(False)
    optimizer = optim.AdamW([next(model.parameters()).requires_grad_()], lr=1e-3)
    engine = recovering(model, optimizer, console=False).engine
    engine.start()
    with pytest.raises(LoraWatchError, match="not recover: no step has been made"):
        engine.raise_for()


EXPLODES: dict[str, Any] = {"alpha": 128, "lr": 1e-2}


@pytest.mark.parametrize(
    ("owner", "name", "answer", "fault"),
    [
        pytest.param(Learned, "put_back", 1, EXPLODES, id="weights-and-optimizer"),
        pytest.param(MonitoredAdapters, "turn_down", 2, EXPLODES, id="rates"),
        pytest.param(Episodes, "rewind", 1, EXPLODES, id="rules"),
        pytest.param(Ranks, "any", 1, EXPLODES, id="another-rank"),
        pytest.param(LoweredRate, "drop", 1, {"spoil": 12}, id="an-update-that-is-dropped"),
    ],
)
def test_a_recovery_that_fails_half_way_is_never_ok(
    owner: Any, name: str, answer: int, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)
    works: Callable[..., Any] = getattr(owner, name)

    def at_its_turn(*args: Any) -> Any:
        if next(calls) != answer:
            return works(*args)
        if owner is Ranks:
            return True
        raise RuntimeError("on purpose")

    monkeypatch.setattr(owner, name, at_its_turn)
    sink = Keeps()
    with pytest.raises(LoraWatchError, match=r"(?s)half-way.*LW901"):
        loop(functools.partial(recovering, sinks=[sink]), **fault)
    assert sink.verdicts == ["failed"]
    assert [note for note in sink.runs[-1].notes if "half-way" in note]
    if "spoil" in fault:  # whose weights are NaN from there on
        return
    calls = itertools.count(1)
    monitor = loop(functools.partial(recovering, sinks=[sink], fail_on="never"), **fault)
    assert sink.verdicts[1:] == ["unhealthy"]
    # Where the weights had gone back and the rates had not, the adapters explode once more.
    assert {alert.rule for alert in monitor.alerts if alert.severity is Severity.ERROR} == {"LW102"}
