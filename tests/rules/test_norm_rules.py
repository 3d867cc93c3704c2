"""LW1xx on real runs: each must fire on the sick run, at the right step and layer, and stay silent on its twin."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.corpus.faults import FAULTS
from lora_watch.base.alerts import Severity
from lora_watch.drivers.loop import Monitor
from lora_watch.rules import BarelyMoves, Episodes, NonFiniteAdapter, NormExplosion
from lora_watch.rules.size import extent
from tests.monitor.test_monitor import loop
from tests.rules.runs import At, InOrder, by_difficulty, everywhere, healthy, ids, numbers, run, said, the
from tests.support import lora, stdlib_blocks, tiny_model, updates

# -- LW101 -------------------------------------------------------------------------------------------------------------


def spoil(layer: str, value: float) -> Any:
    def do(model: Any) -> None:
        next(p for n, p in model.named_parameters() if layer in n and "lora_A" in n)[0, 0] = value

    return do


def test_non_finite_adapter_names_the_first_layer_and_step() -> None:
    monitor = run(steps=8, before=(At(5, spoil("layers.2.self_attn.q_proj", float("nan"))),))
    alert = the("LW101", monitor)
    assert (alert.step, [name for name, _ in alert.adapters]) == (5, ["model.layers.2.self_attn.q_proj"])
    assert 8 in numbers(said(alert))
    assert "spreads the NaN to other layers" in alert.details
    assert ids(monitor) == ["LW101"], "the NaN loss that follows has the same cause"


def test_another_ranks_loss_is_blamed_in_a_loop_alone() -> None:
    """A Trainer's is the mean over ranks, which a NaN of one of them would have spoiled."""
    record = run(steps=1).last
    nan = dict.fromkeys(("a_grad_norm", "b_grad_norm"), everywhere(np.full(len(record.run.adapters), np.nan)))
    runs = [replace(record.run, config={"world_size": 2, **own}) for own in ({}, {"learning_rate": 2e-3})]
    found = [NonFiniteAdapter().check(record.amended(metrics=nan, run=each)) for each in runs]
    assert ["another rank" in each.causes[0] for each in found if each] == [True, False]
    assert not any("other layers" in each.details for each in found if each), "all have it"


@pytest.mark.parametrize(("lr", "eps", "found"), [(1e-4, 1e-8, "of 0"), (1e-4, 0, "of 0"), (1e3, 1e-8, "rate is")])
def test_half_precision_is_blamed_at_an_ordinary_rate_alone(lr: float, eps: float, found: str) -> None:
    model = lora(tiny_model()).to(torch.float16 if eps else torch.float32)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, eps=eps)
    words = torch.tensor([row["input_ids"] for row in stdlib_blocks()[:8]])
    with Monitor(model, optimizer, console=False) as monitor:
        updates(monitor, optimizer, (model(input_ids=words, labels=words).loss for _ in range(2)))
    assert found in the("LW101", monitor).causes[0]


def test_a_nan_in_one_adapter_of_a_model_that_has_exploded_is_the_explosions() -> None:
    later = At(9, spoil("layers.1.mlp.down_proj", torch.nan))
    monitor = run(lora(tiny_model(), alpha=256), 9, (later,), lr=2e-2)
    cause = the("LW101", monitor).causes[0]
    assert "(LW102, at step" in cause


def test_an_ordinary_run_learns_and_all_are_silent() -> None:
    assert ids(healthy()) == []
    last = healthy().last
    assert last.scalars["loss_recent"] < last.scalars["loss_start"]


def small_base() -> Any:
    """A tenth and more of the layers answer next to nothing by themselves, as in blocks that were inserted."""
    model = tiny_model()
    with torch.no_grad():
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            for block in (1, 2):
                model.get_submodule(f"model.layers.{block}.{name}").weight.mul_(1e-3)
    return model


# -- LW102 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "settings"), [(64, {"lr": 2e-2}), (128, {"lr": 1e-2, "per_device_train_batch_size": 1})]
)  # the first one's loss falls all the way
def test_norm_explosion(alpha: int, settings: dict[str, Any]) -> None:
    monitor = run(lora(tiny_model(), alpha=alpha), steps=12, **settings)
    alert = the("LW102", monitor)
    assert 2 <= alert.step <= 10
    assert alert.metric == "output_ratio"
    values = [value for _, value in alert.adapters]
    assert values == sorted(values, reverse=True)
    assert "lora_alpha" in alert.settings


@pytest.mark.parametrize(("alpha", "lr", "metrics"), [(128, 2e-2, ["relative_spectral_norm"]), (16, 2e-3, [])])
def test_without_output_ratio_the_weights_are_judged(alpha: float, lr: float, metrics: list[str]) -> None:
    model = lora(tiny_model(), alpha=alpha).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    with Monitor(model, optimizer, output_ratio=False, console=False) as monitor:
        loop(monitor, model, optimizer, 8)
    assert [alert.metric for alert in monitor.alerts if alert.rule == "LW102"] == metrics
    assert monitor.last.size == extent(monitor.last)  # thresholds and advice are in ``output_ratio``


def test_a_layer_that_says_next_to_nothing_is_no_yardstick() -> None:
    assert "LW102" not in ids(run(lora(small_base()), steps=20, full_every=1))
    assert "LW102" in ids(run(lora(small_base(), alpha=128), steps=10, lr=5e-2))


TWINS = [
    pytest.param({"alpha": 16}, {"lr": 2e-3, "per_device_train_batch_size": 1, "steps": 60}, id="batch-size-one"),
    pytest.param({"targets": ["v_proj"], "layers_to_transform": [3]}, {"lr": 1e-2}, id="one-module-has-to-be-loud"),
]


@pytest.mark.parametrize(("config", "settings"), TWINS)
def test_norm_explosion_is_silent_on_runs_that_learn(config: dict[str, Any], settings: dict[str, Any]) -> None:
    monitor = run(lora(tiny_model(), **config), **{"steps": 40} | settings)
    assert "LW102" not in ids(monitor)
    assert monitor.last.scalars["loss_recent"] < monitor.last.scalars["loss_start"]


@pytest.mark.parametrize(("lr", "found"), [(3e-2, [("LW102", Severity.WARNING)]), (1e-2, [])])
def test_adapters_far_larger_than_useful_are_a_warning_although_they_help(lr: float, found: list[Any]) -> None:
    model = lora(tiny_model(), targets=["gate_proj", "up_proj", "down_proj"])
    monitor = run(model, 32, lr=lr, lr_scheduler_type="constant")
    assert [(alert.rule, alert.severity) for alert in monitor.alerts] == found
    assert monitor.last.scalars["loss_improved"]
    assert all(0.001 <= alert.settings["learning_rate"] <= 0.01 for alert in monitor.alerts)


def test_of_random_weights_nobody_knows_how_large_useful_adapters_are() -> None:
    """Of size 3800 they do no harm: at a third of the rate the loss ends as low."""
    blank = lora(type(tiny_model())(tiny_model().config), targets=["gate_proj", "up_proj", "down_proj"])
    monitor = run(blank, 20, lr=0.1, lr_scheduler_type="constant")
    assert (ids(monitor), (monitor.last.size or 0.0) > NormExplosion().beyond) == (["LW205"], True)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_a_spoiled_head_does_not_acquit_the_adapters() -> None:
    """Without the adapters the loss is even higher, for the head is trained along with them, and diverges, too."""
    ruined = run(lora(tiny_model(), alpha=64, modules_to_save=["lm_head"]), 12, lr=0.3)
    assert the("LW102", ruined).severity == Severity.ERROR
    sound = run(lora(tiny_model(), modules_to_save=["lm_head"]), 12, lr=1e-3)
    assert not {"LW102", "LW202"}.intersection(ids(sound))


def test_a_learning_rate_that_was_raised_half_way_is_blamed_and_put_back() -> None:
    monitor = run(steps=20, prepare=lambda trainer: FAULTS["lr-x100"].inject(trainer, 8), lr_scheduler_type="constant")
    alert = the("LW102", monitor)
    assert {0.2, 0.002} <= numbers(alert.causes[0])
    assert not alert.settings
    assert [(a.rule, a.step) for a in monitor.alerts[:1]] == [("LW306", 8)]
    assert alert.step <= 10
    assert "LW306" in alert.explains


@pytest.mark.parametrize(("alpha", "lr", "found"), [(16, 1e-2, []), (128, 5e-2, ["LW102"])])
def test_easy_examples_first_are_no_explosion(alpha: int, lr: float, found: list[str]) -> None:
    """The loss rises with the difficulty of the data. That of the frozen model says which of the two it is."""
    model = lora(tiny_model(), alpha=alpha, targets=["q_proj", "v_proj"])
    monitor = run(model, 30, dataset=by_difficulty(), lr=lr, trainer_class=InOrder)
    errors = [alert for alert in monitor.alerts if alert.severity is Severity.ERROR]
    assert [alert.rule for alert in errors] == found
    assert all(alert.step <= 10 for alert in errors)


def test_an_easy_first_batch_is_not_the_start() -> None:
    """One batch of an easy kind, then ordinary ones: a good run of q_proj and v_proj in batches of two."""
    examples = by_difficulty()
    data = [*examples[:2], *stdlib_blocks(200, 64)[:58]]
    model = lora(tiny_model(), targets=["q_proj", "v_proj"])
    monitor = run(model, 30, dataset=data, lr=5e-3, per_device_train_batch_size=2, trainer_class=InOrder)
    assert ids(monitor) == []
    assert monitor.last.scalars["loss_start"] > 5.5, "the mean of the steps before the adapters have grown"


# -- LW104 -------------------------------------------------------------------------------------------------------------


def test_barely_moves() -> None:
    monitor = run(steps=40, lr=1e-5, per_device_train_batch_size=1)
    alert = the("LW104", monitor)
    assert (alert.step <= 25, "hardly" in alert.message) == (True, True)
    assert alert.settings["learning_rate"] > 1e-5
    assert numbers(alert.causes[0]) == {1e-5}, "the prescription has the other number"
    assert ids(monitor) == ["LW104"]
    some = the("LW104", run(lora(small_base()), steps=16, lr=1e-5))
    assert (alert.details[:12], some.details[:17]) == ("All adapters", "24 of 28 adapters"), "of which layers that is"


def test_one_adapter_is_too_few_at_any_rate_that_it_could_be_advised() -> None:
    alone = lora(tiny_model(), targets=["q_proj"], layers_to_transform=[1])
    alert = the("LW104", run(alone, steps=16, lr=2e-4, per_device_train_batch_size=1))
    assert alert.causes == ["1 adapter can hardly change the model at any learning rate"]
    assert (alert.next_run, "adapt more layers" in alert.remedies[0]) == (None, True)


def test_barely_moves_where_the_loss_falls_and_larger_adapters_would_be_better() -> None:
    """It has learned by a quarter of the schedule, at a sixteenth of a useful rate."""
    monitor = run(lora(tiny_model()), steps=40, lr=5e-4)
    alert, record = the("LW104", monitor), monitor.last
    assert alert.step <= 13
    assert alert.threshold is None, "not by their size"
    assert alert.settings["learning_rate"] > 2e-3
    assert record.scalars["loss_recent"] < 0.95 * record.scalars["loss_start"]


@pytest.mark.parametrize(
    ("answers", "growth", "found", "asked", "start"),
    [
        pytest.param([0.1, 0.1, 0.1], 0.02, [13], 3, 5.3, id="three batches agree"),
        pytest.param([0.1, 0.1, -0.1], 0.02, [], 3, 5.0, id="the third does not"),
        pytest.param([-0.1], 0.02, [], 1, 5.0, id="a run that is fast enough is asked once"),
        pytest.param([0.1, None, 0.1, 0.1], 0.02, [14], 4, 5.0, id="a pass that was not seen"),
        pytest.param([], 0.02, [], 6, 5.0, id="no answer ever"),
        pytest.param([0.02, -0.01, 0.02], 0.001, [13], 3, 5.0, id="three batches of a slow run together"),
        pytest.param([0.02, -0.01, -0.02], 0.001, [], 3, 5.0, id="larger adapters are worse for a slow run"),
        pytest.param([0.1, 0.1, 0.1], 0.02, [], 1, 7.0, id="little next to what is gained"),
        pytest.param([0.001, 0.001, 0.001], 0.001, [], 3, 5.0, id="numbers in bf16 are no finer"),
    ],
)
def test_barely_moves_asks_batch_after_batch(
    answers: list[float | None], growth: float, found: list[int], asked: int, start: float
) -> None:
    """Larger adapters would lower the loss by ``answers``."""
    last = healthy().last
    episodes, steps = Episodes([BarelyMoves(reach=0.0)]), 0
    for step in range(1, 30):
        scalars: dict[str, float] = {}
        if wanted := episodes.wanted:
            end, twice = wanted.values()
            assert (round(end * step), twice) == (round(40 * step / (step - 1)), 2 * end), "from the step before"
            if (better := answers[steps] if steps < len(answers) else None) is not None:
                scalars = dict(zip(wanted, (5.0, 5.0 - better)))
            steps += 1
        scalars["loss_start"] = start
        metrics = {"output_ratio": everywhere(np.full(len(last.run.adapters), growth * step))}
        now = replace(last, step=step, lr=last.run.peak_lr, lr_fraction=step / 40, comparable=True)
        episodes.check(replace(now, metrics=metrics, scalars=scalars))
    assert ([alert.step for alert in episodes.alerts], steps) == (found, asked)
    for faster in (1.0, 2.0):
        metrics = {"output_ratio": everywhere(np.full(len(last.run.adapters), faster * growth * 40))}
        episodes.conclude(episodes.place(replace(now, metrics=metrics)))
        assert ["have come to" in alert.details for alert in episodes.alerts] == [faster > 1.0] * len(found)


def test_a_warm_up_beyond_the_end_is_the_cause_of_a_low_rate() -> None:
    monitor = run(steps=30, lr=2e-3, warmup_steps=4000)
    cause = the("LW409", monitor)
    assert "LW409" in the("LW104", monitor).causes[0]
    assert (cause.step, cause.severity, cause.explains) == (0, Severity.WARNING, ["LW104"])
    assert {30, 4000} <= numbers(cause.details)
    assert monitor.next_run.values == cause.settings == {"warmup_steps": 3}
    both = run(steps=30, lr=2e-6, warmup_steps=400)
    assert {*both.next_run.values} == {"warmup_steps", "learning_rate"}, "which does not explain so low a rate"
    assert run(steps=3, lr=0.2, warmup_steps=9).next_run.values["learning_rate"] < 0.015, "from 0.067, which is reached"
