"""``recover=N``: a failing run goes back and on inside the same ``trainer.train()``."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import optim
from torch.optim.lr_scheduler import OneCycleLR
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from benchmarks.corpus.faults import FAULTS
from lora_watch import Finding, LoraWatchCallback, LoraWatchError, Rule, Severity
from lora_watch.base.alerts import Alert, Recovered, discarded, first_to_show, last_recovery
from lora_watch.base.prescription import Evidence, Prescription, Setting
from lora_watch.base.records import StepRecord
from lora_watch.gate import judge
from lora_watch.gate.formats.text import text
from lora_watch.run.recovery import alert_of
from lora_watch.runs.run import latest_run
from tests.rules.runs import InOrder, numbers, schedule, trainer_with_labels, trainer_with_loss
from tests.support import FEW, Keeps, build_trainer, lora, on, report_of, stdlib_blocks, tiny_model

STRONG = {"alpha": 128, "lr": 1e-2}


def built(
    recover: int | None = 3,
    alpha: float = 16,
    lr: float = 2e-3,
    steps: int = 30,
    targets: Any = "all-linear",
    **more: Any,
) -> tuple[Trainer, LoraWatchCallback]:
    ours = ("console", "tensorboard", "fail_on", "every", "rules", "sinks")
    own = {"console": False, "tensorboard": False} | {name: more.pop(name) for name in ours if name in more}
    callback = LoraWatchCallback(recover=recover, **own)
    torch.manual_seed(0)
    model = lora(tiny_model(), alpha=alpha, targets=targets)
    callbacks = [callback, *more.pop("callbacks", ())]
    return build_trainer(model, stdlib_blocks(64, 32), steps, callbacks=callbacks, lr=lr, **more), callback


def said(callback: LoraWatchCallback) -> list[tuple[str, int, int | None]]:
    return [(a.rule, a.step, a.back_to) for a in callback.monitor.alerts if a.step > 0]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(("evaluated", "back_to"), [("steps", 10), ("no", 30)])
def test_it_goes_back_to_no_later_step_than_the_best_evaluation(evaluated: str, back_to: int) -> None:
    """That of step 15, of every fifth. The rate rises all the way."""
    held_out = {"eval_strategy": evaluated, "eval_steps": 5, "eval_dataset": stdlib_blocks(128)[100:116]}
    trainer, callback = built(lr=4.2e-3, steps=40, **held_out)
    schedule(lambda step: step / 4)(trainer)
    trainer.train()
    assert [alert.back_to for alert in callback.monitor.alerts if alert.rule == "LW910"] == [back_to]


def test_without_an_alert_training_is_bit_for_bit_the_same() -> None:
    ends = []
    for recover in (None, 3):
        trainer, callback = built(recover, steps=24)
        trainer.train()
        assert said(callback) == []
        ends.append((weights(trainer), trainer.optimizer.state_dict()["state"], torch.get_rng_state()))
    (plain, state, rng), (other, other_state, other_rng) = ends
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    assert all(torch.equal(state[i][key], other_state[i][key]) for i in state for key in state[i])
    assert torch.equal(rng, other_rng)


@pytest.fixture(scope="module")
def exploded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, LoraWatchCallback]:
    """30 steps whose scale and learning rate are too high, evaluated and saved; they would be stopped early."""
    trainer, callback = evaluated(tmp_path_factory.mktemp("exploded"), sinks=[Keeps()])
    trainer.train()
    return trainer, callback


def evaluated(folder: Path, **own: Any) -> tuple[Trainer, LoraWatchCallback]:
    regular = {"eval_strategy": "steps", "eval_steps": 8, "save_strategy": "steps", "save_steps": 8}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    stops, held_out = [EarlyStoppingCallback(early_stopping_patience=1)], stdlib_blocks(72, 32)[64:]
    own |= {"output_dir": str(folder), "callbacks": stops, "eval_dataset": held_out}
    return built(**STRONG, **regular, **best, **own)


def test_an_explosion_is_taken_back_and_the_run_goes_on_with_the_advised_settings(exploded: Any) -> None:
    trainer, callback = exploded
    (_, step, _), (_, recovered_at, _) = said(callback)
    (strong,) = [alert for alert in callback.monitor.alerts if alert.rule == "LW401"]
    assert (strong.closed_step, strong.recovered_from) == (step, True), "these settings are no longer the run's"
    assert first_to_show(callback.monitor.alerts).rule == "LW910"
    assert said(callback) == [("LW102", step, 0), ("LW910", recovered_at, 0)]
    assert step == recovered_at < 10
    assert trainer.state.global_step == 30, "not stopped early: what is evaluated gets better"
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert losses == sorted(losses, reverse=True)
    assert trainer.state.best_metric == losses[-1]
    adapter = callback.monitor.run.adapters[0]
    assert (adapter.alpha, adapter.scale, trainer.model.peft_config["default"].lora_alpha) == (128, 16.0, 128)
    (recovered,) = [alert for alert in callback.monitor.alerts if alert.rule == "LW910"]
    now = recovered.settings["learning_rate"]
    assert 1e-2 / 20 <= now <= 1e-2 / 4, "alpha 128 instead of 16 is in the rate"
    last = callback.monitor.last
    assert (last.run.peak_lr, last.lr) == (pytest.approx([now] * 2), pytest.approx([now / 30] * 2))
    assert trainer.lr_scheduler.base_lrs == [1e-2] * 2, "the script's schedule is the script's"
    before, slope = callback.monitor.recorder.state_dict()["turned_back"]
    spent = sum(range(31 - step, 31)) / sum(range(31))
    assert (before, slope, last.lr_fraction) == pytest.approx((-slope * spent, now / 1e-2, 1.0)), "forecasts begin anew"
    logged = {entry["step"]: entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry}
    assert logged == pytest.approx({step: 1e-2 * (31 - step) / 30 for step in logged})
    report = report_of(trainer)
    (recovery,) = report["recoveries"]
    assert recovery["changed"] == recovered.recovery.changed == {"learning_rate": [1e-2, now]}
    assert (recovery["back_to"], recovery["lost"]) == (0, step)
    kept = Path(trainer.args.output_dir) / "lora_watch" / "last_good"
    assert (report["last_good"]["folder"], kept.exists()) == (None, False), "its end is good"
    assert (report["verdict"], report["config"]["learning_rate"]) == ("ok", 1e-2)
    assert report["message"] == (
        f"recovered at step {step} (learning_rate 0.01 → {now}), then {30 - step} steps without an alert. "
        f"Put {now} into your script to begin anew. To resume this run keep 0.01 and recover."
    )
    assert report["loss"]["last"]["value"] < 0.8 * report["loss"]["start"]
    full = [record.step for record in callback.settings.sinks[0].records if "output_ratio" in record.metrics]
    assert [at for at in full if at > step] == [*range(step + 1, step + 21), 30], "the cadence of a start"
    judged = judge([Path(trainer.args.output_dir)])
    assert [a.rule for a in judged.runs[0].findings if a.severity.name == "WARNING"] == ["LW910"]
    assert f"learning_rate 0.01 → {now}" in text(judged)
    assert (judged.exit_code, judge([Path(trainer.args.output_dir)], fail_on="warning").exit_code) == (0, 1)


def test_a_recovered_run_resumes_with_the_recovered_settings(exploded: Any, tmp_path: Path) -> None:
    trainer, _ = exploded
    resumed, callback = evaluated(tmp_path)  # the script still says alpha 128 and 1e-2
    resumed.train(resume_from_checkpoint=str(Path(trainer.args.output_dir, "checkpoint-16")))
    whole, again = weights(trainer), weights(resumed)
    assert all(torch.equal(whole[name], again[name]) for name in whole), "as if nothing had broken off"
    assert [rule for rule, _, _ in said(callback)] == ["LW102", "LW910"]


@pytest.mark.parametrize("recover", [None, 3])
@pytest.mark.parametrize("script", ["as it was", "as advised"])
def test_without_recover_a_resumed_run_says_that_the_rate_of_before_is_used_again(
    recover: int | None, script: str, exploded: Any, tmp_path: Path
) -> None:
    trainer, callback = exploded
    told = callback.monitor.next_run
    now = told.values["learning_rate"]
    strong = STRONG if script == "as it was" else STRONG | {"lr": now}
    resumed, watch = built(recover, **strong, lr_scheduler_type="constant", output_dir=str(tmp_path))
    resumed.train(resume_from_checkpoint=str(Path(trainer.args.output_dir, "checkpoint-8")))
    report, last = report_of(resumed), [alert for alert in watch.monitor.alerts if alert.step > 0][2:]
    if recover:
        assert (last, report["lr_factor"]) == ([], callback.monitor.run.lr_factor), "with it nothing is to be said"
        assert report["message"].count(f"{now:g}") == (2 if script == "as it was" else 1)
        return
    rate, harm = last
    assert (rate.rule, rate.kind, rate.step, rate.severity) == ("LW314", "rate", 8, Severity.WARNING)
    assert {0.01, now} <= numbers(rate.message)
    assert "at the old rate again (LW314)" in watch.monitor.error().message
    assert (harm.rule, harm.next_run) == ("LW102", told), "whatever the script says, 0.01 has done the harm"


def test_the_last_word_on_a_recovered_run_says_no_less_than_its_alerts(exploded: Any, tmp_path: Path) -> None:
    trainer, _ = exploded
    resumed, _ = built(None, **STRONG, output_dir=str(tmp_path))
    resumed.train(resume_from_checkpoint=str(Path(trainer.args.output_dir, "checkpoint-16")))
    assert (report_of(resumed)["verdict"], "LW314" in report_of(resumed)["message"]) == ("ok", True)


@pytest.mark.parametrize(
    ("fault", "at", "rule", "lost", "went_back"),
    [
        pytest.param("nan-loss", 32, "LW201", 1, False, id="one-update-is-dropped"),
        pytest.param("nan-in-one-layer", 32, "LW101", 12, True, id="weights-go-back", marks=pytest.mark.thorough),
        pytest.param("nan-in-one-layer", 31, "LW101", 12, True, id="weights-of-a-step-without-measurement"),
        pytest.param("lr-x100", 26, "LW102", 14, True, id="a-raised-rate-is-the-planned-one-again"),
    ],
)
def test_a_late_fault_costs_a_few_steps(fault: str, at: int, rule: str, lost: int, went_back: bool) -> None:
    trainer, callback = built(steps=40, every=1 if at % 2 == 0 else 8)
    FAULTS[fault].inject(trainer, at)
    trainer.train()
    (recovery,) = report_of(trainer)["recoveries"]
    went = recovery["back_to"] < recovery["step"]
    assert (recovery["rule"], went, recovery["lost"] <= lost) == (rule, went_back, True)
    assert first_to_show(callback.monitor.alerts).rule == ("LW306" if fault == "lr-x100" else "LW910")
    assert recovery["changed"].get("learning_rate") in (None, [0.06, 0.00105]), "what it was raised to, and planned"
    run, last = callback.monitor.run, callback.monitor.last
    assert (run.learning_rate, run.peak_lr) == (2e-3, (2e-3, 2e-3)), "nothing was wrong with the settings"
    plan = 2e-3 / 40
    assert plan <= last.lr[0] * (1 + 1e-9) <= 1.8 * plan, "the plan's, or that of the step to which the run went back"
    assert all(torch.isfinite(values).all() for values in weights(trainer).values())
    assert report_of(trainer)["verdict"] == "ok"


def test_a_rise_of_the_rate_that_is_over_leaves_the_plan_alone() -> None:
    trainer, callback = built(steps=40)

    def raises(state: Any, optimizer: Any, **_: Any) -> None:
        for group in optimizer.param_groups if 24 <= state.global_step < 28 else ():
            group["lr"] = 0.1

    trainer.add_callback(on("step_begin", raises))
    trainer.train()
    (recovery,) = report_of(trainer)["recoveries"]
    assert recovery["changed"]["learning_rate"][0] == 0.1
    assert callback.monitor.last.lr[0] == pytest.approx(2e-3 / 40)


@pytest.mark.parametrize(("times", "warm_up"), [(60, 10), (300, 60)])
def test_of_a_schedule_that_multiplies_the_rate_peaks_are_told(times: int, warm_up: int) -> None:
    trainer, callback = built(steps=30)
    schedule(lambda step: times * min(1.0, (step + 1) / warm_up))(trainer)
    trainer.train()
    recovery = report_of(trainer)["recoveries"][0]
    (before, now) = recovery["changed"]["peak learning_rate"]
    assert before == pytest.approx(2e-3 * times * min(1.0, 30 / warm_up))
    said = text(judge([Path(trainer.args.output_dir)]))
    assert f"It went on with peak learning_rate {before:.3g} → {now:.3g}" in said
    assert f"Cause: the schedule multiplies the script's learning rate 0.002, up to {before:.3g}." in said
    assert f"Fix: let the schedule's factor end at {now / 2e-3:.3g}: min(" in said
    assert callback.monitor.next_run is None


@pytest.mark.parametrize("since", [25, 70])
def test_noise_in_the_data_is_waited_out(since: int) -> None:
    """Also of a young run, whose settings are ordinary."""
    noise, until = trainer_with_labels(lambda step: since < step <= until), since + 12
    trainer, callback = built(steps=since + 30, targets=FEW, trainer_class=noise)
    FAULTS["nan-loss"].inject(trainer, since + 10)
    trainer.train()
    (recovery,) = report_of(trainer)["recoveries"]
    assert (recovery["rule"], recovery["changed"], since <= recovery["step"] < until) == ("LW202", {}, True)
    assert recovery["step"] + recovery["dropped"] == until, "every update of the noise was dropped, and none after it"
    (details,) = [a.details for a in callback.monitor.alerts if a.rule == "LW910" and a.closed_step is not None]
    assert f"{recovery['dropped']} updates dropped" in details


class Masked(InOrder):
    """No batch has a target from step 12 on."""

    def __init__(self, *args: Any, train_dataset: Any, **kwargs: Any):
        sound, masked = list(train_dataset)[:44], {**train_dataset[0], "labels": [-100] * 32}
        super().__init__(*args, train_dataset=[*sound, *[masked] * 76], **kwargs)  # type: ignore[arg-type]


def test_what_does_not_end_is_waited_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_watch.run.recovery.MOST", 4)
    trainer, _ = built(targets=FEW, trainer_class=Masked)
    with pytest.raises(LoraWatchError, match=r"(?s)4 of the last 500.*LW201"):
        trainer.train()
    assert (trainer.state.global_step, report_of(trainer)["verdict"]) == (18, "failed")
    assert all(torch.isfinite(values).all() for values in weights(trainer).values()), "and yet nothing is spoiled"


@pytest.mark.parametrize(
    ("rule", "steps", "broken"), [("LW201", 30, Masked), ("LW202", 90, trainer_with_labels(lambda step: step > 70))]
)
def test_a_run_that_ends_while_updates_are_dropped_has_failed(rule: str, steps: int, broken: Any) -> None:
    """50 updates would be waited for."""
    trainer, _ = built(steps=steps, targets=FEW, trainer_class=broken, tensorboard=True)
    with pytest.raises(LoraWatchError, match=r"has ended while updates were dropped"):
        trainer.train()
    report = report_of(trainer)
    assert (report["verdict"], 0 < report["last_good"]["step"] <= (13 if rule == "LW201" else 70)) == ("failed", True)
    seen = latest_run(Path(trainer.args.output_dir)).data.episodes[0]  # by who opens the page
    assert [(a.rule, a.closed_step) for a in seen if a.severity is Severity.ERROR] == [(rule, None)]
    assert "before updates were dropped" in text(judge([Path(trainer.args.output_dir)]))


class Overflows(Trainer):
    """The gradient of one layer is NaN for as long as a rate of 2e-3 is used."""

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        loss, step = super().training_step(model, *args, **kwargs), self.state.global_step + 1
        turned_down = any(a.recovery and a.recovery.changed for a in self.callback_handler.callbacks[-1].monitor.alerts)
        if step >= 12 and not turned_down:
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(float("nan"))
        return loss


def test_gradients_that_stay_nan_are_no_bad_batch() -> None:
    trainer, callback = built(trainer_class=Overflows)
    trainer.train()
    dropped, back = report_of(trainer)["recoveries"]
    assert (dropped["rule"], dropped["changed"], dropped["dropped"]) == ("LW101", {}, 5)
    assert (back["rule"], back["step"], back["back_to"] < 11) == ("LW101", 17, True), "its update was dropped, too"
    assert {a.closed_step for a in callback.monitor.alerts if a.rule != "LW910"} == {17}, "none ends before it began"
    assert (now := back["changed"]["learning_rate"][1]) < 2e-3
    report = report_of(trainer)
    assert (report["verdict"], report["next_run"]) == ("ok", None), "nobody knows that the rate was the cause"
    assert report["message"].count(f"{now:g}") == 1, "what it went on with, and no advice"
    assert {alert.severity for alert in callback.monitor.alerts} == {Severity.WARNING}


def nan_at(*steps: int) -> type[Trainer]:
    """The loss is NaN at these steps."""
    return trainer_with_loss(lambda n, loss: loss * torch.nan if n in steps else loss)


def test_bad_batches_now_and_then_are_dropped_each_time() -> None:
    trainer, _ = built(trainer_class=nan_at(1, 5, 6, 10, 15, 22, 30))
    trainer.train()
    (recovery,) = report_of(trainer)["recoveries"]
    assert [recovery[of] for of in ("changed", "step", "dropped", "lost")] == [{}, 1, 7, 7], "and no sound step"
    report = report_of(trainer)
    assert (report["verdict"], report["loss"]["final"] < 6) == ("ok", True), "of the steps that count"
    assert "7 updates dropped, the last at step 30), then 0 steps" in report["message"]
    earlier = Alert("LW204", "", Severity.WARNING, 0, "a batch has no target")
    alerts = [earlier, *(Alert.from_dict(alert) for alert in report["alerts"])]
    said = "then 0 steps. Besides LW910: 1 warning. Worst: a batch has no target (LW204, before step 1)."
    assert said in str(last_recovery(alerts, 30, {}))
    ends = {alert["rule"]: (alert["step"], alert["last_step"], alert["closed_step"]) for alert in report["alerts"]}
    assert (ends, discarded(alerts)) == (dict.fromkeys(("LW201", "LW910"), (1, 30, 30)), [])
    assert "if all are sound, read" in text(judge([Path(trainer.args.output_dir)])), "its LW201 is not shown"
    fixes = [fix for alert in report["alerts"] for fix in alert["remedies"]]
    assert "print the batch whose loss is not finite" in fixes, "and no resume: the run has gone on"


@pytest.mark.parametrize(("every", "ends"), [(8, False), (4, True)])
def test_rare_bad_batches_use_up_no_recovery_and_frequent_ones_end_the_run(
    every: int, ends: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lora_watch.run.recovery.MOST", 4)
    monkeypatch.setattr("lora_watch.run.recovery.OF", 28)
    trainer, callback = built(steps=51, targets=FEW, console=True, trainer_class=nan_at(*range(every, 51, every)))
    with pytest.raises(LoraWatchError, match="more than 4 of the last 28") if ends else nullcontext():
        trainer.train()
    assert [each["dropped"] for each in report_of(trainer)["recoveries"]] == [5 if ends else 6]
    assert [rule for rule, *_ in said(callback)] == ["LW201", "LW910"]
    assert capsys.readouterr().err.count("(LW201)") == 1 + ends, "said once, and where it ends the run"
    assert ends or re.search(r"6 updates dropped, .* 48\), then 3 steps.* broken rows", report_of(trainer)["message"])


def test_a_loss_that_stays_nan_goes_back_and_ends_the_run() -> None:
    trainer, _ = built(targets=FEW, trainer_class=nan_at(1, 5, *range(15, 31)))
    with pytest.raises(LoraWatchError, match=r"went back to step \d+ because of LW201"):
        trainer.train()
    dropped, back, *_ = report_of(trainer)["recoveries"]
    assert (dropped["dropped"], back["back_to"] < back["step"], list(back["changed"])) == (7, True, ["learning_rate"])
    assert report_of(trainer)["verdict"] == "failed"


def test_an_explosion_between_bad_batches_is_seen() -> None:
    trainer, callback = built(**STRONG, trainer_class=nan_at(*range(1, 30, 2)))
    trainer.train()
    assert {"LW102", "LW201"} <= {rule for rule, *_ in said(callback)}


def test_a_run_saved_while_updates_were_dropped_resumes_sound(tmp_path: Path) -> None:
    saved = {"output_dir": str(tmp_path), "save_strategy": "steps", "save_steps": 8}
    built(**saved, steps=8, trainer_class=nan_at(5, 6))[0].train()
    trainer, callback = built(None, **saved, fail_on="error")
    trainer.train(resume_from_checkpoint=True)
    assert [alert.rule for alert in callback.monitor.alerts if alert.closed_step is None] == []


class Undoes(TrainerCallback):
    """Sets the rates by hand at each step: once they have been turned down, so much higher."""

    def __init__(self, watch: LoraWatchCallback | None):
        self.watch = watch

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        monitor = self.watch.monitor if self.watch is not None else None
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (monitor.state_dict()["recovery"]["factor"] if monitor is not None else 1.0)


def test_what_comes_back_at_once_ends_the_run_with_the_whole_story() -> None:
    trainer, callback = built(**STRONG, lr_scheduler_type="constant")
    trainer.add_callback(Undoes(callback))
    with pytest.raises(LoraWatchError) as ended:
        trainer.train()
    assert re.match(r"(?s)ERROR at step.*went back to step \d+ because of LW\d+.*not recover", str(ended.value))
    report = report_of(trainer)
    assert (report["verdict"], bool(report["recoveries"])) == ("failed", True)


def test_a_rate_that_is_set_by_hand_at_each_step_is_turned_down_too() -> None:
    trainer, callback = built(**STRONG, lr_scheduler_type="constant", callbacks=[Undoes(None)])
    trainer.train()
    assert ([rule for rule, *_ in said(callback)], report_of(trainer)["verdict"]) == (["LW102", "LW910"], "ok")


class Fires(Rule):
    """At two steps, with a tenth of the rate as its advice. The second takes back what the first one has, too."""

    id, name, severity = "LW102", "norm-explosion", Severity.ERROR

    def check(self, record: StepRecord) -> Finding | None:
        rate = record.run.learning_rate or 0.0
        told = Prescription({"learning_rate": Setting(rate, rate / 10)}, Evidence.HARM, record.step)
        return Finding("on purpose", next_run=told) if record.step in (14, 20) else None


def test_a_second_recovery_is_told_relative_to_the_script() -> None:
    trainer, callback = built(lr=1.0, targets=FEW, rules=[Fires()])
    trainer.train()
    report = report_of(trainer)
    assert [(*r["changed"]["learning_rate"], r["lost"]) for r in report["recoveries"]] == [(1, 0.1, 14), (1, 0.01, 6)]
    last = [alert for alert in callback.monitor.alerts if alert.rule == "LW910"][-1]  # type: ignore[union-attr]
    assert (last.recovery.changed, last.settings) == ({"learning_rate": [1.0, 0.01]}, {"learning_rate": 0.01})
    assert "6 steps discarded. It went on with learning_rate 1 → 0.01" in last.details
    assert report["message"].startswith("recovered at step 20 (learning_rate 1 → 0.01), then 10 steps")
    dropped = alert_of(Recovered(28, 28, "LW201", {}, dropped=1), None, 3, 3)
    for message in (report["message"], last_recovery([*callback.monitor.alerts, dropped], 30, {})):
        assert "Put 0.01 into your script" in str(message), "whatever came later"


def test_a_wiring_error_is_nothing_to_recover_from() -> None:
    trainer, _ = built()
    FAULTS["merged"].inject(trainer, 5)
    with pytest.raises(LoraWatchError, match=r"does not recover: .*going back .*LW301"):
        trainer.train()
    report = report_of(trainer)
    assert (report["recoveries"], "does not recover" in report["notes"][-1]) == ([], True)


def test_it_holds_with_accumulation_and_a_loss_scaler() -> None:
    """The scaler skips the NaN by itself, and the dropped update changes nothing in addition."""
    trainer, callback = built(steps=16, gradient_accumulation_steps=2, per_device_train_batch_size=2)
    FAULTS["skipped-steps"].inject(trainer, 100)  # a real scaler, and no overflow of its own
    FAULTS["nan-loss"].inject(trainer, 8)
    trainer.train()
    assert ([rule for rule, _, _ in said(callback)], trainer.state.global_step) == (["LW201", "LW910"], 16)
    assert all(torch.isfinite(values).all() for values in weights(trainer).values())


def with_a_rate_of_0(model: Any) -> tuple[Any, None]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    sides = [[p for name, p in named if ("lora_B" in name) == b] for b in (False, True)]
    return optim.AdamW([{"params": side, "lr": lr} for side, lr in zip(sides, (0.0, 1e-2))], weight_decay=0.0), None


def in_one_cycle(model: Any) -> tuple[Any, Any]:
    optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    return optimizer, OneCycleLR(optimizer, 2e-2, total_steps=12)


PLATEAU: dict[str, Any] = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 2}


@pytest.mark.thorough
@pytest.mark.parametrize("make", [with_a_rate_of_0, in_one_cycle, None])
def test_the_rate_of_any_optimizer_and_schedule_is_turned_down(make: Any) -> None:
    more = {} if make else {**PLATEAU, "eval_dataset": stdlib_blocks(68, 16)[64:]}
    trainer, _ = built(**STRONG, steps=12, **more)
    if make is not None:
        trainer.optimizer, trainer.lr_scheduler = make(trainer.model)
    trainer.train()
    assert {bool(recovery["changed"]) for recovery in report_of(trainer)["recoveries"]} == {True}


def test_a_recovery_at_the_last_step_is_no_rescue() -> None:
    """What is left is sound, and nobody has trained it on: the run does not end well."""
    constant: dict[str, Any] = {**STRONG, "lr_scheduler_type": "constant"}
    first, _ = built(None, **constant, fail_on="error")
    with pytest.raises(LoraWatchError):
        first.train()
    trainer, _ = built(**constant, steps=first.state.global_step)
    with pytest.raises(LoraWatchError, match=r"the last\b.*trained"):
        trainer.train()
    report = report_of(trainer)
    assert (report["verdict"], len(report["recoveries"])) == ("failed", 1)
    assert judge([Path(trainer.args.output_dir)]).exit_code == 1
