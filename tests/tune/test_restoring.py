"""What a checkpoint holds is after a sweep as it was before; what it does not hold is the user's."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lora_watch.tune.restoring import restored
from tests.support import lora
from tests.tune.smaller import rows, tiny


class Layer(nn.Module):
    """Counts its passes, writes into one buffer, assigns another anew, and normalises."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.passes, self.seen = inner, 0, list[int]()
        self.written: Tensor
        self.assigned: Tensor
        self.register_buffer("written", torch.zeros(()))
        self.register_buffer("assigned", torch.zeros(()))
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        self.seen.append(self.passes)
        self.written.add_(1)
        self.assigned = 0.9 * self.assigned + x.detach().abs().mean()
        y = self.norm(self.inner(x).transpose(1, 2)).transpose(1, 2)
        return y * len(self.seen) * (1 + self.written) * (1 + self.assigned)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "tensor-rate": lambda p: torch.optim.AdamW(p, lr=torch.tensor(1e-2)),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
}


@pytest.mark.parametrize("begun", [False, True], ids=["fresh", "begun"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_steps_after_a_sweep_are_those_without_one(optimizer: str, begun: bool) -> None:
    def losses(sweeps: bool) -> list[float]:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        model, rng = lora(tiny(), r=2, targets=["q_proj", "v_proj"], lora_dropout=0.5), torch.Generator().manual_seed(0)
        for block in model.base_model.model.model.layers:
            block.mlp.down_proj = Layer(block.mlp.down_proj)
        steps = OPTIMIZERS[optimizer]([p for p in model.parameters() if p.requires_grad])
        schedule = torch.optim.lr_scheduler.OneCycleLR(steps, 0.05, total_steps=30)
        ids = torch.tensor([row["input_ids"] for row in rows()])

        def step() -> float:
            batch = ids[torch.randint(len(ids), (4,), generator=rng)]
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            steps.step()
            schedule.step()
            steps.zero_grad()
            return float(loss.detach())

        model.train()
        made = [step() for _ in range(2 if begun else 0)]
        if sweeps:
            drawn = rng.get_state()
            with restored(model, steps, [schedule]):
                for _ in range(3):
                    step()
            rng.set_state(drawn)
        return [*made, *(step() for _ in range(4)), *map(float, (torch.rand(()), np.random.rand(), random.random()))]

    assert losses(sweeps=True) == losses(sweeps=False)
