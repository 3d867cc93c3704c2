"""Real runs of the packaged pretrained model: one that is healthy, and ways to spoil one."""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from lora_watch import Alert, LoraWatchCallback, Rule, Severity
from lora_watch.base.records import Reading, StepRecord
from lora_watch.drivers.loop import Monitor
from lora_watch.rules.size import HARM
from tests.support import build_trainer, few, lora, stdlib_blocks, tiny_model


@dataclass
class Curious(Rule):
    """Asks for a comparison of each batch, with the adapters and without."""

    id = "T001"
    severity = Severity.INFO

    def check(self, record: StepRecord) -> None:
        self.wants = HARM


def run(
    model: Any = None,
    steps: int = 40,
    before: tuple[TrainerCallback, ...] = (),
    prepare: Callable[[Trainer], None] | None = None,
    rules: Any = None,
    dataset: Any = None,
    mute: Sequence[str] = (),
    full_every: int = 16,
    recover: int = 0,
    **arguments: Any,
) -> Monitor:
    """Train ``model``, eight adapters by default, under a callback that never raises; the finished monitor. ``before``
    run ahead of it at each event."""
    watched = {"full_every": full_every, "rules": rules, "mute": mute, "recover": recover}
    callback = LoraWatchCallback(fail_on="never", **watched, console=False, tensorboard=False)
    trainer = build_trainer(
        few() if model is None else model, dataset, steps, callbacks=[*before, callback], **arguments
    )
    if prepare is not None:
        prepare(trainer)
    trainer.train()
    assert trainer.state.global_step == steps
    return callback.monitor


def schedule(factor: Callable[[int], float]) -> Callable[[Trainer], None]:
    """A learning rate of ``factor(updates so far)`` times the configured one."""

    def prepare(trainer: Trainer) -> None:
        trainer.create_optimizer()
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, factor)

    return prepare


@functools.cache
def healthy() -> Monitor:
    """28 adapters, r 8, alpha 16, lr 2e-3: the twin of most sick runs. Its loss falls from 6.4 to about 5."""
    return run(lora(tiny_model()))


def everywhere(values: np.ndarray) -> Reading:
    """A metric that was measured of every adapter."""
    return Reading(values, np.ones(len(values), dtype=bool))


def ids(monitor: Monitor) -> list[str]:
    return [alert.rule for alert in monitor.alerts]


def numbers(text: str) -> set[float]:
    """Every number in ``text``: what it says, however it is worded. Those in names (LW102, layers.2) are none."""
    return {float(found) for found in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?", text)}


def said(alert: Alert) -> str:
    """What is wrong and how bad, in words."""
    return f"{alert.message} {alert.details}"


def the(rule: str, monitor: Monitor) -> Alert:
    """The one alert of ``rule``."""
    found = [alert for alert in monitor.alerts if alert.rule == rule]
    assert len(found) == 1, [str(alert) for alert in monitor.alerts]
    return found[0]


class InOrder(Trainer):
    """Takes the examples in the order of the data set."""

    def _get_train_sampler(self, *args: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


@functools.cache
@torch.no_grad()
def by_difficulty() -> Sequence[Any]:
    """200 blocks of Python, those first that cost the pretrained model least."""
    examples, model = list(stdlib_blocks(200, 64)), tiny_model().eval()
    rows = [torch.tensor([example["input_ids"]]) for example in examples]
    losses = [float(model(input_ids=row, labels=row).loss) for row in rows]
    return [examples[i] for i in sorted(range(len(examples)), key=losses.__getitem__)]


class At(TrainerCallback):
    """Does something to the model in place of a fault, right after the optimizer's step ``step``."""

    def __init__(self, step: int, spoil: Callable[[Any], None]):
        self.step, self.spoil = step, spoil

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            with torch.no_grad():
                self.spoil(model)


def trainer_with_loss(change: Callable[[int, torch.Tensor], torch.Tensor]) -> type[Trainer]:
    """A Trainer whose loss at optimizer step n is ``change(n, loss)``."""

    class Changed(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            loss = change(self.state.global_step + 1, model(**inputs).loss)
            return (loss, None) if return_outputs else loss

    return Changed


def trainer_with_labels(spoiled: Callable[[int], bool]) -> type[Trainer]:
    """A Trainer that trains on shuffled tokens at the steps that ``spoiled`` names: a damaged data file."""

    class Spoiled(Trainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any, **kwargs: Any) -> Any:
            if spoiled(self.state.global_step + 1):
                ids = inputs["input_ids"]
                noise = torch.randint(ids.max() + 1, ids.shape, generator=torch.Generator().manual_seed(0))
                inputs = {"input_ids": noise, "labels": noise}
            return super().training_step(model, inputs, *rest, **kwargs)

    return Spoiled
