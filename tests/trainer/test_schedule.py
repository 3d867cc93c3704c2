"""What is read of a schedule before the run, for torch's and transformers' own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import AdamW, Optimizer
from torch.optim import lr_scheduler as torchs
from transformers import get_scheduler
from transformers.trainer_utils import SchedulerType

from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.measurement.signals.optimizer import ParameterGroups
from lora_watch.rules import OddRates
from lora_watch.run.rates import follows_a_metric, peaks, read_schedule

STEPS, LR = 60, 1e-3
TORCHS: dict[str, Callable[[Optimizer], Any]] = {
    "LambdaLR": lambda o: torchs.LambdaLR(o, lambda step: 1 / (1 + step)),
    "StepLR": lambda o: torchs.StepLR(o, 20),
    "MultiStepLR": lambda o: torchs.MultiStepLR(o, [20, 40]),
    "ConstantLR": lambda o: torchs.ConstantLR(o, 0.1, 10),
    "LinearLR": lambda o: torchs.LinearLR(o, 0.01, 1.0, 20),
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, 0.95),
    "PolynomialLR": lambda o: torchs.PolynomialLR(o, STEPS),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, STEPS),
    "CosineAnnealingWarmRestarts": lambda o: torchs.CosineAnnealingWarmRestarts(o, 15),
    "CyclicLR": lambda o: torchs.CyclicLR(o, LR / 100, LR, step_size_up=8, cycle_momentum=False),
    "OneCycleLR": lambda o: torchs.OneCycleLR(o, LR, total_steps=STEPS + 1),
    "SequentialLR": lambda o: torchs.SequentialLR(
        o, [torchs.LinearLR(o, 0.01, 1, 10), torchs.CosineAnnealingLR(o, 50)], [10]
    ),
    "ChainedScheduler": lambda o: torchs.ChainedScheduler([torchs.ConstantLR(o, 0.1, 5), torchs.ExponentialLR(o, 0.9)]),
    "ReduceLROnPlateau": lambda o: torchs.ReduceLROnPlateau(o, patience=2),
}
METRIC = ("ReduceLROnPlateau", "reduce_lr_on_plateau", "greedy")
NEEDS = {"cosine_with_min_lr": {"min_lr": 1e-5}, "warmup_stable_decay": {"num_decay_steps": 20}}
NEEDS["cosine_warmup_with_min_lr"] = NEEDS["cosine_with_min_lr"]
OTHERS = [kind.value for kind in SchedulerType]


@pytest.mark.parametrize("name", [*TORCHS, *OTHERS])
def test_the_highest_rate_is_known_before_a_run(name: str) -> None:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(2))], lr=LR)
    own = {"scheduler_specific_kwargs": NEEDS.get(name, {})}
    scheduler = TORCHS[name](optimizer) if name in TORCHS else get_scheduler(name, optimizer, 5, STEPS, **own)
    before = [{**group} for group in optimizer.param_groups], str(scheduler.state_dict())
    read = read_schedule(scheduler, STEPS)
    assert (optimizer.param_groups, str(scheduler.state_dict())) == before
    highest = read["peak_lr"] if read else peaks(scheduler) or ParameterGroups(optimizer, []).peak_lr
    config = {"learning_rate": LR} | ({"lr_follows_a_metric": True} if follows_a_metric(scheduler) else {})
    run = RunInfo((), config=config, peak_lr=highest)
    rates = []
    for step in range(1, STEPS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        assert OddRates().check(StepRecord(run, step, {}, lr=(rates[-1],))) is None
        optimizer.step()
        scheduler.step(*([1.0 / step] if name in METRIC else []))
    if name not in METRIC:
        assert highest[0] >= max(rates) * 0.999999
    if read:
        assert [read["lr_fraction"](n) for n in (0, 20, STEPS)] == pytest.approx(
            [0.0, sum(rates[:20]) / sum(rates), 1.0], abs=1e-6
        )
    assert (not read) == (name in METRIC or (name in TORCHS and name != "LambdaLR"))
