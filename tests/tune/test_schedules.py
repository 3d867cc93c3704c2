"""A sweep under a schedule of the user's own, and the training at its rate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as torchs
from transformers import Trainer, TrainerCallback, get_cosine_schedule_with_warmup

from lora_watch import LoraWatchCallback, find_learning_rate
from lora_watch.tune import find_lr
from lora_watch.tune.find_lr import apply
from tests.support import build_trainer, lora
from tests.tune.smaller import tiny

STEPS, RATE = 40, 3e-2
PEAKS = [1e-3, 4e-3]


def cyclic(optimizer: Any, **settings: Any) -> Any:
    return torchs.CyclicLR(optimizer, [1e-4, 1e-4], PEAKS, **{"step_size_up": 10, "cycle_momentum": False, **settings})


def one_cycle(optimizer: Any, steps: int = STEPS) -> Any:
    return torchs.OneCycleLR(optimizer, PEAKS, total_steps=steps)


def linear(optimizer: Any) -> Any:
    return torchs.LinearLR(optimizer, 0.1, total_iters=5)


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "cyclic": cyclic,
    "cyclic-halved": lambda o: cyclic(o, mode="triangular2"),
    "cyclic-shrinking": lambda o: cyclic(o, mode="exp_range", gamma=0.97),
    "cyclic-longer-than-the-run": lambda o: cyclic(o, step_size_up=2000),
    "cyclic-with-momentum": lambda o: cyclic(o, cycle_momentum=True),
    "one-cycle": one_cycle,
    "warm-up-then-cyclic": lambda o: torchs.SequentialLR(o, [linear(o), cyclic(o)], [5]),
    "warm-up-then-one-cycle": lambda o: torchs.SequentialLR(o, [linear(o), one_cycle(o)], [5]),
    "cyclic-then-one-cycle": lambda o: torchs.SequentialLR(o, [cyclic(o), one_cycle(o)], [20]),
    "chained-cyclic": lambda o: torchs.ChainedScheduler([cyclic(o), torchs.ConstantLR(o, 0.5, 3)]),
    "chained-one-cycle": lambda o: torchs.ChainedScheduler([one_cycle(o), torchs.ExponentialLR(o, 0.99)]),
    "function-above-one": lambda o: torchs.LambdaLR(o, lambda step: min(step, 2.0)),
    "cosine": lambda o: get_cosine_schedule_with_warmup(o, 5, STEPS),  # its peak is what it was built with
    "warm-up-then-decay": lambda o: torchs.SequentialLR(o, [linear(o), torchs.CosineAnnealingLR(o, 35)], [5]),
}


class Notes(TrainerCallback):
    """The rates that steps are made at. A sweep leaves callbacks alone, and would put back a list."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_pre_optimizer_step(self, *_: Any, optimizer: Any, **__: Any) -> None:
        self.note(optimizer)

    def note(self, optimizer: Any, *_: Any) -> None:
        self.rates.append([float(group["lr"]) for group in optimizer.param_groups])


def built(schedule: Callable[[Any], Any], steps: int = STEPS) -> Trainer:
    torch.manual_seed(0)
    trainer = build_trainer(lora(tiny()), steps=steps)
    named = [(n, p) for n, p in trainer.model.named_parameters() if p.requires_grad]  # type: ignore[union-attr]
    groups = [{"params": [p for n, p in named if part in n]} for part in ("lora_A", "lora_B")]
    trainer.optimizer = torch.optim.AdamW([groups[0], {**groups[1], "lr": PEAKS[1]}], lr=PEAKS[0])
    trainer.lr_scheduler = schedule(trainer.optimizer)
    return trainer


def rates(trainer: Any) -> torch.Tensor:
    """``[step, group]``, as the schedule will set them."""
    found = []
    for _ in range(STEPS):
        found.append([float(group["lr"]) for group in trainer.optimizer.param_groups])
        trainer.optimizer.step()
        if len(found) < STEPS:
            trainer.lr_scheduler.step()
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_is_the_highest_of_the_run_and_the_schedule_keeps_its_shape(name: str) -> None:
    before, trainer = rates(built(SCHEDULES[name])), built(SCHEDULES[name])
    apply(RATE, trainer)
    after = rates(trainer)
    assert trainer.args.learning_rate == RATE
    assert after[:, 0].max().item() == pytest.approx(RATE)
    assert torch.allclose(after, before * (RATE / before[:, 0].max()), rtol=1e-6)


@pytest.mark.parametrize("name", ["one-cycle", "cyclic", "warm-up-then-one-cycle"])
def test_a_sweep_longer_than_the_schedule_makes_no_step_of_it(name: str) -> None:
    schedule = (lambda o: one_cycle(o, 6)) if name == "one-cycle" else SCHEDULES[name]
    trainer, alone = built(schedule, 6), built(schedule, 6)
    own: Any = trainer.lr_scheduler
    optimizer: Any = trainer.optimizer
    before = repr((own.state_dict(), optimizer.state_dict(), vars(trainer).keys()))
    found = find_learning_rate(trainer, steps=12, span=(1e-5, 1e-3))
    assert len(found.curve) == 12
    assert trainer.lr_scheduler is own
    assert repr((own.state_dict(), optimizer.state_dict(), vars(trainer).keys())) == before
    for each in (trainer, alone):
        each.train()
    ours, theirs = (list(each.model.parameters()) for each in (trainer, alone))  # type: ignore[union-attr]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs))


@pytest.mark.parametrize(
    "name", ["cyclic", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("one-cycle", "cosine"))]
)
def test_a_run_that_sweeps_first_trains_at_most_at_the_rate_that_is_said(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(find_lr, "sweep_of", partial(find_lr.sweep_of, steps=STEPS + 5, span=(1e-5, 1e-2)))
    watch = LoraWatchCallback(find_lr=True, tensorboard=False)
    trainer = built(SCHEDULES[name])
    trainer.add_callback(watch)
    trainer.add_callback(notes := Notes())
    trainer.train()
    assert watch.found is not None
    assert (rate := watch.found.rate_or_middle) is not None
    assert f"found learning rate {rate:g}" in capsys.readouterr().err
    assert len(notes.rates) == STEPS
    assert max(slow for slow, _ in notes.rates) == pytest.approx(rate)
    assert watch.monitor is not None
    assert watch.monitor.run.peak_lr == pytest.approx((rate, 4 * rate))


@pytest.mark.parametrize("name", ["cyclic", "cyclic-then-one-cycle", "cosine"])
def test_the_groups_of_a_sweep_have_the_ratio_of_their_highest_rates(name: str) -> None:
    trainer, notes = built(SCHEDULES[name]), Notes()
    trainer.optimizer.register_step_pre_hook(notes.note)  # type: ignore[union-attr]
    find_learning_rate(trainer, steps=4, span=(1e-5, 1e-3))
    assert [fast / slow for slow, fast in notes.rates] == pytest.approx([4.0] * 4)
