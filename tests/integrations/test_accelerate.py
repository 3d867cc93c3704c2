"""A loop of accelerate's: the optimizer steps are counted, not the micro-batches."""

import pytest
import torch
from accelerate import Accelerator

from lora_watch import Monitor
from tests.support import lora, stdlib_blocks, tiny_model


def test_accumulated_micro_batches_are_one_step() -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    torch.manual_seed(0)
    model = lora(tiny_model())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    rows = torch.tensor([block["input_ids"] for block in stdlib_blocks(48, 64)])
    data = torch.utils.data.DataLoader(rows, batch_size=4)  # type: ignore[arg-type]
    model, optimizer, data = accelerator.prepare(model, optimizer, data)
    losses, steps = [], []
    with Monitor(model, optimizer, fail_on="error") as monitor:
        for batch in data:
            with accelerator.accumulate(model):
                loss = model(input_ids=batch, labels=batch).loss
                accelerator.backward(loss)
                optimizer.step()
                record = monitor.step(loss=loss)
                optimizer.zero_grad()
            losses.append(float(loss.detach()))
            steps.append(record.step if record is not None else None)
    assert steps == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert monitor.last.loss == pytest.approx(sum(losses[-2:]) / 2)
    assert "LW303" not in {alert.rule for alert in monitor.alerts}  # the weights stood still at micro-batches
