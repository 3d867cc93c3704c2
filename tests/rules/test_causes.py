"""The cause comes before its consequences: which rule speaks, which layer it names, and what is shown first."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.base.alerts import Alert, Severity, in_order
from lora_watch.base.records import StepRecord
from lora_watch.measurement.signals.loss import LossSignals
from lora_watch.rules import Episodes, LossDivergence, NormExplosion, Rule
from lora_watch.rules.remedies import why_strong
from tests.rules.runs import everywhere, healthy, ids, run, the, trainer_with_loss
from tests.support import build_trainer, few, stdlib_blocks

LAYER = "model.layers.1.self_attn.q_proj"


def test_behind_a_loss_that_is_no_number_nothing_else_speaks() -> None:
    without_targets = [{**row, "labels": [-100] * len(row["labels"])} for row in stdlib_blocks()]
    monitor = run(steps=12, dataset=without_targets)
    assert ids(monitor) == ["LW204", "LW201"], "two batches without a target may be an accident"
    assert the("LW201", monitor).closed_step is None


def test_a_broken_weight_is_named_with_its_layer() -> None:
    model = few()
    with torch.no_grad():
        model.get_submodule(f"base_model.model.{LAYER}").base_layer.weight[0, 0] = torch.nan
    monitor = run(model, steps=3)
    assert ids(monitor) == ["LW201"]
    assert [name for name, _ in the("LW201", monitor).adapters] == [LAYER]


def test_a_nan_that_is_written_into_one_adapter_is_named_with_its_layer_and_not_blamed_on_the_batch() -> None:
    class Between(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step == 4:  # after a step has been judged
                model.get_submodule(f"base_model.model.{LAYER}").lora_B["default"].weight.data[0, 0] = torch.nan

    monitor = run(steps=8, before=(Between(),))
    assert ids(monitor) == ["LW101"]
    found = the("LW101", monitor)
    assert ([name for name, _ in found.adapters], found.step, found.closed_step) == ([LAYER], 5, None)
    assert found.explains == ["LW201"]
    assert found.settings == {}
    assert not any("batch" in text for text in (*found.causes, *found.remedies))


def nan_from(first: int) -> Any:
    return trainer_with_loss(lambda step, loss: loss * torch.nan if step >= first else loss)


def test_an_explosion_that_ends_in_a_nan_keeps_the_headline_and_the_prescription() -> None:
    monitor = run(few(alpha=256), steps=20, lr=2e-2, trainer_class=nan_from(9))
    first, second = in_order(monitor.alerts)[0], the("LW201", monitor)
    assert (first.rule, first.closed_step) == ("LW102", None), "nothing says that it is over"
    assert "LW201" in first.explains
    assert second.settings == {}, "the explosion's alert has the prescription"
    assert second.remedies == first.remedies
    assert second.closed_step is None


def test_a_single_update_that_is_too_large_comes_before_the_batch() -> None:
    alert = the("LW201", run(few(alpha=256), steps=3, lr=2e-2, trainer_class=nan_from(2)))
    assert set(alert.settings) == {"learning_rate", "lora_alpha"}


@pytest.mark.parametrize("clipping", [1.0, 0.0, 1e-3])
def test_a_gradient_is_named_by_its_own_layer_though_clipping_spreads_it(clipping: float) -> None:
    model = few()
    factor = model.get_submodule(f"base_model.model.{LAYER}").lora_B["default"].weight
    factor.register_hook(lambda grad: grad * torch.nan)
    callback = LoraWatchCallback(fail_on="error", console=False, tensorboard=False)
    trainer = build_trainer(model, callbacks=[callback], max_grad_norm=clipping)
    with pytest.raises(LoraWatchError) as caught:
        trainer.train()
    (alert,) = caught.value.alerts
    assert (alert.rule, alert.step, [name for name, _ in alert.adapters]) == ("LW101", 1, [LAYER])
    assert "clip_grad_norm_" not in vars(trainer.accelerator), "and it is put back"


# -- the one to show first ---------------------------------------------------------------------------------------------


def test_the_first_is_the_earliest_of_the_worst_that_none_as_grave_explains_and_a_forecast_comes_late() -> None:
    error, steps = Severity.ERROR, {"LW202": 2, "LW309": 9, "LW102": 5}
    alerts = [Alert("LW401", "x", Severity.WARNING, 0, "said"), Alert("LW206", "x", Severity.INFO, 0, "said")]
    alerts += [Alert("LW204", "x", Severity.WARNING, 1, "said", explains=["LW102"])]
    alerts += [Alert(rule, "x", error, step, "said", explains=["LW202"]) for rule, step in steps.items()]
    assert [a.rule for a in in_order(alerts)] == ["LW102", "LW309", "LW204", "LW401", "LW206", "LW202"]


# -- what is suspected first, and what is advised ----------------------------------------------------------------------


def step(number: int, ratio: float, loss: float, improved: bool, lr: float = 1e-3, **scalars: float) -> StepRecord:
    """A step of the packaged model's run: every layer with this output ratio, a loss that began at 4."""
    run = replace(healthy().run, config={})
    known = {"loss_start": 4.0, "loss_recent": loss, "loss_noise": 0.01, "loss_improved": float(improved)}
    sizes = everywhere(np.full(len(run.adapters), ratio))
    metrics = dict.fromkeys(("output_ratio", "relative_spectral_norm"), sizes)
    return StepRecord(run, number, metrics, loss=loss, lr=(lr,), scalars=known | scalars)


RISEN = {"loss_rise_score": 9.0, "loss_rise": 0.5, "loss_before": 2.0}


@pytest.mark.parametrize(("sound", "data_first"), [(60, True), (30, False)])
@pytest.mark.parametrize("rule", [LossDivergence, NormExplosion])
def test_settings_that_were_right_for_long_are_not_the_first_suspect(
    rule: Callable[[], Rule], sound: int, data_first: bool
) -> None:
    """LW102 too, which is asked only where output_ratio was measured: here once, 1,000 steps after the start."""
    finding = rule().check(step(1000, 13.0, 5.0, improved=False, loss_sound=sound, **RISEN))
    assert ("data" in finding.causes[0]) == data_first
    assert (finding.next_run is None) == data_first, "one message, one action"
    assert not data_first or "batches" in finding.remedies[0]
    assert not data_first or f"{sound} steps" in finding.causes[0]


def test_sound_steps_at_a_lower_rate_prove_nothing() -> None:
    """A schedule of the user's own raises the rate half-way, or warms up while the loss already falls."""
    signals, rising = LossSignals(), LossSignals()
    for n in range(60):
        loss = 2.0 if n else 4.0
        signals.update(loss, lr=(1e-4, 1e-3))
        rising.update(loss, lr=(n * 1e-4,))
    assert rising.progress.sound < 40 < 50 < signals.progress.sound
    assert signals.update(2.0, lr=(1e-4, 1e-2))["loss_sound"] == 1.0


def test_a_rate_that_something_has_raised_is_suspected_however_sound_the_run_was() -> None:
    raised = step(61, 4.0, 5.0, improved=False, lr=1.0, loss_sound=60, **RISEN)
    raised = replace(raised, run=replace(raised.run, config={"learning_rate": 2e-3}))
    finding = LossDivergence().check(raised)
    assert finding.causes[0] == why_strong(raised)
    assert finding.next_run is None


@pytest.mark.parametrize(("warm_up", "fires"), [(40, True), (5, False)])
def test_the_first_steps_are_counted_from_the_end_of_the_warm_up(warm_up: int, fires: bool) -> None:
    rule = NormExplosion()
    for number in range(1, 45):
        assert rule.check(step(number, 0.1, 4.0, False, lr=min(number / warm_up, 1.0) * 1e-2)) is None
    assert (rule.check(step(45, 1.0, 5.0, False, lr=1e-2)) is not None) == fires


@pytest.mark.parametrize(("sound", "fires"), [(3, True), (8, False)])
def test_a_run_that_has_learned_has_no_bad_start(sound: int, fires: bool) -> None:
    """A classifier on few examples a step: its loss was near 0, and three batches later above the start for a while."""
    late = step(sound + 1, 0.6, 5.0, improved=False, loss_sound=sound)
    assert (NormExplosion().check(late) is not None) == fires


@pytest.mark.parametrize(
    ("size", "ratio", "found"),
    [
        pytest.param(3.0, 1.2, [4], id="two clear comparisons"),
        pytest.param(13.0, 1.2, [3], id="one clear comparison at a far too large size"),
        pytest.param(3.0, 1.05, [5], id="three in a row"),
        pytest.param(3.0, 1.02, [], id="within what a batch leaves open"),
        pytest.param(3.0, 0.8, [], id="the adapters help, though the loss has risen"),
        pytest.param(1.4, 1.2, [], id="of an ordinary size"),
        pytest.param(3.0, math.nan, [4], id="not a number with the adapters"),
    ],
)
def test_a_loss_with_and_without_the_adapters_decides(size: float, ratio: float, found: list[int]) -> None:
    episodes, asked = Episodes([NormExplosion()]), []
    for number in range(1, 15):
        pair = {"adapted_loss": 5.0 * ratio, "base_loss": 5.0} if episodes.wanted else {}
        asked += [number] * bool(pair)
        grown = size / 4 if number > 1 else 0.0
        record = step(number, grown, 9.0, improved=False, **pair)
        episodes.check(replace(record, comparable=True))
    assert [alert.step for alert in episodes.alerts] == found
    assert found or size < 1.5 or asked == [3, 8, 13], "no harm: again after a pause"


def test_a_rise_of_the_loss_waits_for_the_comparison_and_can_become_an_error() -> None:
    episodes = Episodes([LossDivergence()])
    for number in range(30, 45):
        ratio = 0.8 if number < 38 else 1.3  # as long as the adapters help, the data are harder
        pair = {"adapted_loss": 5.0 * ratio, "base_loss": 5.0} if episodes.wanted else {}
        record = step(number, 0.1, 3.9, improved=False, **RISEN, **pair)
        episodes.check(replace(record, comparable=True))
        assert episodes.wanted or number != 30
    (alert,) = episodes.alerts
    assert (alert.rule, alert.severity) == ("LW202", Severity.ERROR)
    assert 38 <= alert.step <= 42
    assert "learning_rate" in alert.settings
