"""One plain training loop, on the device or on the CPU, with a ``Monitor`` or without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch import Tensor, nn

from lora_watch import Alert, LoraWatchError, Monitor, StepRecord
from tests.device import strict
from tests.monitor.test_late import Sink
from tests.support import lora, stdlib_blocks, tiny_model

CPU = torch.device("cpu")


def llama(dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """The packaged model with LoRA, in one dtype."""
    return lora(tiny_model().cpu(), **config).to(dtype)


def adalora() -> Any:
    config = peft.AdaLoraConfig(init_r=4, target_r=2, total_step=100, target_modules=["q_proj", "down_proj"])
    return peft.get_peft_model(tiny_model().cpu(), config).double()


class Convolutions(nn.Module):
    """Tells which of four classes an image is of; answers as models of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=1), nn.Linear(8, 4)

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        images = (input_ids.reshape(len(input_ids), -1)[:, :27].to(self.head.weight.dtype) / 512 - 1).view(-1, 3, 3, 3)
        images = nn.functional.interpolate(images, size=(8, 8))
        logits = self.head(self.second(self.first(images).tanh()).tanh().mean((2, 3)))
        return SimpleNamespace(loss=nn.functional.cross_entropy(logits, labels[:, 0] % 4))


def convolutions() -> Any:
    config = peft.LoraConfig(r=4, target_modules=["first", "second", "head"])
    return peft.get_peft_model(Convolutions(), config).double()


@dataclass
class Outcome:
    weights: list[Tensor]
    records: list[StepRecord] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    waits: list[list[strict.Wait]] = field(default_factory=list)
    """Ours, of each step: from its forward pass to the end of ``Monitor.step``."""
    monitor: Any = None
    ended: str | None = None
    """By which rule."""

    @property
    def found(self) -> list[tuple[str, int]]:
        return [(alert.rule, alert.step) for alert in self.alerts]


def train(
    make: Callable[[], Any],
    device: torch.device,
    steps: int = 3,
    *,
    watch: bool = True,
    lr: float = 1e-3,
    half: torch.dtype | None = None,
    scaled: bool = False,
    **settings: Any,
) -> Outcome:
    """``half``: under autocast; ``scaled``: with a loss scaler, whose first two scales overflow."""
    torch.manual_seed(0)
    model = make().to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr)
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**40 if half else 1.0, enabled=scaled)
    sink = Sink()
    monitor = None
    if watch:
        scaling = {"scaler": scaler} if scaled else {}
        monitor = Monitor(model, optimizer, console=False, max_overhead=1.0, sinks=[sink], **scaling, **settings)
    outcome = Outcome(trained, sink.records, monitor=monitor)
    batches = torch.tensor([each["input_ids"] for each in stdlib_blocks(2 * steps, 32)]).split(2)
    try:
        with monitor or contextlib.nullcontext():
            for ids in batches:
                ids = ids.to(device)
                with strict.waits() as waits:
                    with torch.autocast(device.type, half) if half else contextlib.nullcontext():
                        loss = model(input_ids=ids, labels=ids).loss
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    if monitor is not None:
                        monitor.step(loss=loss)
                scaler.update()
                optimizer.zero_grad()
                outcome.waits.append([wait for wait in waits if wait.ours])
    except LoraWatchError as error:
        outcome.ended = error.alerts[0].rule
    outcome.alerts = monitor.alerts if monitor is not None else []
    outcome.weights = [p.detach().cpu() for p in trained]
    return outcome


def assert_same_bits(one: Outcome, other: Outcome) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


def assert_same_numbers(one: Outcome, other: Outcome, rel: float = 1e-6) -> None:
    assert [record.step for record in one.records] == [record.step for record in other.records]
    for ours, theirs in zip(one.records, other.records, strict=True):
        assert (ours.loss is None) == (theirs.loss is None)
        assert ours.loss is None or ours.loss == pytest.approx(theirs.loss, rel=rel)
        assert ours.metrics.keys() == theirs.metrics.keys()
        for name, reading in ours.metrics.items():
            np.testing.assert_array_equal(reading.known, theirs.metrics[name].known, name)
            values = theirs.metrics[name].values
            tiny = 1e-12 * np.nanmax(np.abs(values), initial=0.0)
            np.testing.assert_allclose(reading.values, values, rtol=rel, atol=tiny, err_msg=f"{name}, {ours.step}")
