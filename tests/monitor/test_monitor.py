"""The monitor without a Trainer: plain torch loops, its budget, and its manners."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Adafactor

from lora_watch import LoraWatchError, Monitor, Severity, StepRecord
from lora_watch.sinks.report import ReportSink
from tests.rules.runs import numbers
from tests.rules.test_episodes import Whole
from tests.support import Keeps, lora, stdlib_blocks, tiny_model


def loop(
    monitor: Monitor,
    model: Any,
    optimizer: torch.optim.Optimizer,
    steps: int,
    nan_at: int | None = None,
    clears: bool = True,
) -> list[StepRecord]:
    """A plain loop. At step ``nan_at`` its backward pass makes NaNs of a loss that is a number. ``clears``: it calls
    ``zero_grad``."""
    data = torch.tensor([example["input_ids"] for example in stdlib_blocks(4 * steps, 32)]).split(4)
    records = []
    for step, ids in enumerate(data, start=1):
        ids = ids.to(model.device)
        loss = model(input_ids=ids, labels=ids).loss
        (loss * (torch.nan if step == nan_at else 1.0)).backward()
        optimizer.step()
        record = monitor.step(loss=loss)
        records.append(record)
        if clears:
            optimizer.zero_grad()
    return records


def built(alpha: float = 16, lr: float = 2e-3) -> tuple[Any, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = lora(tiny_model(), alpha=alpha).train()
    return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)


def of_rates(
    rates: Callable[[int], float], steps: int, scheduler: object = False, start: float = 5e-3, **policy: Any
) -> Monitor:
    """A loop that sets them by hand, by the number of steps done, or whose ``scheduler`` is "asked", or never."""
    model, optimizer = built(lr=start if scheduler else rates(0) or start)
    planned = torch.optim.lr_scheduler.LambdaLR(optimizer, rates) if scheduler else None
    with Monitor(model, optimizer, scheduler=planned, max_steps=steps, console=False, **policy) as monitor:
        for done in range(steps):
            if not scheduler:
                optimizer.param_groups[0]["lr"] = rates(done)
            loop(monitor, model, optimizer, 1)
            if scheduler == "asked":
                planned.step()  # type: ignore[union-attr]
    return monitor


@pytest.mark.parametrize("by", ["loop", "schedule"])
@pytest.mark.parametrize("rates", [lambda done: 5e-3 if done < 10 else 0.2, lambda done: 0.02 * (done + 1)])
def test_a_rate_that_the_loop_or_its_schedule_has_raised_is_the_one_to_blame(rates: Any, by: str) -> None:
    monitor = of_rates(rates if by == "loop" else lambda done: rates(done) / 5e-3, 16, "asked" * (by == "schedule"))
    alert = next(alert for alert in monitor.alerts if alert.rule == "LW102")
    now, (most,) = rates(alert.step - 1), numbers(alert.remedies[0])
    assert (now in numbers(alert.causes[0]), alert.next_run, most < now) == (True, None, True)
    assert f" (raised by the {by} from " in alert.causes[0]


def test_from_a_rate_that_the_loop_has_raised_recover_goes_back_to_the_one_before() -> None:
    monitor = of_rates(lambda done: 5e-3 if done < 25 else 0.1, 38, recover=3)
    (spike,) = of_rates(lambda done: 5e-3 if done < 25 else 0.05, 27).alerts
    assert (spike.rule, "0.05" in spike.causes[0]) == ("LW203", True), "before anything else is known"
    back = next(alert for alert in monitor.alerts if alert.rule == "LW910")
    assert ("learning_rate 0.1 → 0.005" in back.details, numbers(back.remedies[0])) == (True, {0.005})
    assert [monitor.run.peak_lr[0], *monitor.last.lr] == pytest.approx([5e-3, 5e-3])  # type: ignore[union-attr]


def test_a_later_session_knows_what_a_recovery_has_turned_down_and_the_rate_of_its_own_script() -> None:
    recovered = of_rates(lambda done: 0.05, 6, recover=3)
    state, now = recovered.state_dict(), recovered.run.peak_lr[0]
    for lr, recover, used in ((0.05, None, 0.05), (0.05, 3, now), (0.003, 3, now * 0.003 / 0.05)):
        model, optimizer = built(lr=lr)
        session = Monitor(model, optimizer, max_steps=40, recover=recover, mute=["LW314"], console=False)
        session.load_state_dict(state)
        loop(session, model, optimizer, 1)
        state, told = session.state_dict(), session.next_run.settings["learning_rate"]  # type: ignore[union-attr]
        assert (*session.last.lr, told.yours, told.ours) == pytest.approx((used, lr, now))  # type: ignore[union-attr]
    for recover in (None, 3):
        model, optimizer = built(lr=float(f"{now:g}"))  # as "Next run" says
        session = Monitor(model, optimizer, max_steps=40, recover=recover, console=False)
        session.load_state_dict(recovered.state_dict())
        loop(session, model, optimizer, 1)
        assert (session.last.lr, session.next_run) == (pytest.approx((now,)), None)  # type: ignore[union-attr]
        assert "rate" not in [alert.kind for alert in session.alerts if alert.rule == "LW314"]


def test_a_schedule_that_is_never_stepped_or_a_rate_of_zero_is_named() -> None:
    ended = of_rates(lambda done: done / 4, 6, scheduler=True)
    (alert,) = (alert for alert in ended.alerts if alert.rule == "LW306")
    assert (alert.severity, alert.step) == (Severity.ERROR, 3)
    assert "scheduler.step() is not called" in alert.causes[0]
    (alert,) = of_rates(lambda done: min((done + 1) / 20, 1.0), 40, scheduler=True, start=2e-3).alerts
    assert (alert.rule, alert.next_run, numbers(alert.causes[0])) == ("LW104", None, {1e-4, 2e-3})
    alert = next(alert for alert in of_rates(lambda done: 0.0, 4, start=0.0).alerts if alert.rule == "LW306")
    assert alert.remedies == ["set a learning rate, and look at what the schedule returns"]


def test_a_plain_loop_is_monitored(tmp_path: Path) -> None:
    model, optimizer = built()
    with Monitor(model, optimizer, sinks=[ReportSink(tmp_path)], max_steps=5) as monitor:
        records = loop(monitor, model, optimizer, 5)
    last = records[-1]
    assert [record.step for record in records] == [1, 2, 3, 4, 5]
    assert all(np.isfinite(record.metrics["output_ratio"].values).all() for record in records)
    assert np.isfinite(last.metrics["b_grad_norm"].values).all()
    assert (last.lr, last.lr_fraction) == ((2e-3,), 1.0)
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "ok"
    assert not any(module._forward_hooks for module in model.modules()), "no hook is left behind"


@pytest.mark.parametrize("cleared", [True, False], ids=["zero_grad before the step", "zero_grad after it"])
def test_gradients_that_are_gone_when_they_are_read_are_noted(cleared: bool) -> None:
    model, optimizer = built()
    with Monitor(model, optimizer) as monitor:
        for example in stdlib_blocks(4, 32):
            ids = torch.tensor([example["input_ids"]])
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            if cleared:
                optimizer.zero_grad()
            monitor.step()
            optimizer.zero_grad()
    assert any("before zero_grad()" in note for note in monitor.run.notes) == cleared


@pytest.mark.parametrize("done", [0, 100], ids=["from the start", "resumed"])
@pytest.mark.parametrize(("every", "severity"), [(None, Severity.ERROR), (1, None), (5, Severity.WARNING)])
def test_a_loop_that_never_sets_its_gradients_to_zero_is_told(
    every: int | None, severity: Severity | None, done: int
) -> None:
    """And its twin, which calls zero_grad after each update, is not. One that gathers the gradients of five batches for
    an update counts its steps wrongly, and ruins nothing."""
    model, optimizer = built()
    monitor = Monitor(model, optimizer, console=False)
    monitor.load_state_dict({"step": done})
    with monitor:
        for step, example in enumerate(stdlib_blocks(11, 32), start=1):
            ids = torch.tensor([example["input_ids"]])
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            if step % (every or 1) == 0:
                optimizer.step()
            monitor.step(loss)
            if every and step % every == 0:
                optimizer.zero_grad()
    found = [(alert.rule, alert.kind, alert.severity, alert.step) for alert in monitor.alerts if alert.rule == "LW306"]
    assert found == ([("LW306", "adds up", severity, done + 4)] if severity else [])
    assert not any(parameter._backward_hooks for parameter in model.parameters()), "no hook is left behind"


def test_arguments_in_the_wrong_order_are_named() -> None:
    model, optimizer = built()
    with pytest.raises(TypeError, match=r"this is AdamW: Monitor\(model, optimizer\)"):
        Monitor(optimizer, model)


def test_a_loop_that_breaks_by_itself_is_interrupted(tmp_path: Path) -> None:
    model, optimizer = built()
    monitor = Monitor(model, optimizer, rules=[Whole()], sinks=[ReportSink(tmp_path)])

    def broken() -> None:
        with monitor:
            loop(monitor, model, optimizer, 2)
            raise KeyError("theirs")

    with pytest.raises(KeyError):
        broken()
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], "KeyError" in report["message"]) == ("interrupted", True)
    assert monitor.alerts == [], "what broke off is not judged as a whole"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_infinite_learning_rate_is_reported_by_alerts_and_not_by_numpy() -> None:
    model, optimizer = built(lr=float("inf"))
    with Monitor(model, optimizer, max_steps=3) as monitor:
        loop(monitor, model, optimizer, 3)
    assert {alert.rule for alert in monitor.alerts} & {"LW101", "LW901"} == {"LW101"}


def test_a_rule_may_judge_the_whole_run_once_it_is_over(tmp_path: Path) -> None:
    model, optimizer = built()
    monitor = Monitor(model, optimizer, rules=[Whole()], fail_on="error", sinks=[ReportSink(tmp_path)])
    with pytest.raises(LoraWatchError, match=r"over at 2 \(X4\)"), monitor:
        loop(monitor, model, optimizer, 2)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], [alert["rule"] for alert in report["alerts"]]) == ("failed", ["X4"])
    monitor.engine.conclude()
    assert [alert.rule for alert in monitor.alerts] == ["X4"], "once"

    with Monitor(model, optimizer, rules=[Whole()]) as untrained:
        pass
    assert untrained.alerts == []


def test_an_optimizer_that_makes_its_own_rate_has_none_that_is_known() -> None:
    model = lora(tiny_model())
    optimizer = Adafactor([p for p in model.parameters() if p.requires_grad], lr=None, relative_step=True)
    with Monitor(model, optimizer, fail_on="error") as monitor:
        records = loop(monitor, model, optimizer, 4)
    assert (math.isnan(records[-1].lr[0]), monitor.alerts) == (True, [])
    assert (records[-1].metrics["b_norm"].values > 0).all()


# -- a resumed run -----------------------------------------------------------------------------------------------------


def test_a_resumed_run_tells_the_alerts_of_the_session_before_once() -> None:
    model, optimizer = built(alpha=2048)
    watch = Monitor(model, optimizer)
    watch.engine.start()
    assert watch.alerts
    sink = Keeps()
    resumed = Monitor(model, optimizer, sinks=[sink])
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    resumed.engine.start(step=1)
    assert [alert.rule for alert in sink.alerts] == [alert.rule for alert in watch.alerts]


@pytest.mark.parametrize("anew", [False, True])
def test_a_session_that_starts_with_its_first_step_has_only_what_is_wrong_with_it(anew: bool) -> None:
    """The one before never called ``zero_grad``. Without ``with`` an update has been made when weights are compared."""
    model, optimizer = built()
    before = Monitor(model, optimizer, console=False)
    loop(before, model, optimizer, 5, clears=False)
    assert [alert.last_step for alert in before.alerts] == [5]
    resumed = Monitor(*(built() if anew else (model, optimizer)), console=False)
    resumed.load_state_dict(json.loads(json.dumps(before.state_dict())))
    before.finish()
    optimizer.zero_grad()
    loop(resumed, resumed._model, resumed._optimizer, 1)
    found = {alert.rule: alert.last_step for alert in resumed.alerts}
    assert found == {"LW306": 5} | ({"LW314": 5} if anew else {})


@pytest.mark.parametrize("every", [1, 4])
def test_a_checkpoint_has_the_norms_of_the_last_step_also_after_the_end(every: int) -> None:
    """Those that ``every`` has left out are measured for it, while there is something to measure."""
    model, optimizer = built()
    with Monitor(model, optimizer, every=every) as monitor:
        records = loop(monitor, model, optimizer, 2)
        assert ("product_norm" in records[-1].metrics) == (every == 1)
        before = monitor.state_dict()["delta_norms"]
    assert len(before) == 28
    assert every > 1 or monitor.state_dict()["delta_norms"] == before
