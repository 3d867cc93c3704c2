"""``Monitor.plot``: what was measured stands where it was measured, and long runs keep their worst steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from lora_watch import Monitor, StepRecord
from lora_watch.base.records import RunInfo
from lora_watch.sinks.curves import MOST_POINTS, Curves
from tests.monitor.test_monitor import built
from tests.support import stdlib_blocks

pytest.importorskip("matplotlib")

IDS = torch.tensor([block["input_ids"] for block in stdlib_blocks(4, 32)])


def points(axes: Any) -> dict[int, float]:
    steps, values = axes.lines[0].get_data()
    return dict(zip(np.asarray(steps, dtype=int).tolist(), np.asarray(values).tolist()))


def test_loss_size_adapters_and_alerts_of_a_run() -> None:
    model, optimizer = built()
    assert Monitor(model, optimizer, console=False).plot()._repr_png_().startswith(b"\x89PNG"), "before the first step"
    monitor = Monitor(model, optimizer, console=False)
    losses: list[float] = []
    with monitor:
        for step in range(1, 6):
            loss = model(input_ids=IDS, labels=IDS).loss
            loss.backward()
            optimizer.step()
            losses.append(math.nan if step == 4 else float(loss))
            monitor.step(loss=losses[-1])
            optimizer.zero_grad()
    picture = monitor.plot()  # the run is over
    loss, size, heat = picture.figure.axes[:3]
    assert points(loss) == {step: value for step, value in enumerate(losses, 1) if step != 4}
    assert points(size)[5] == pytest.approx(monitor.last.size)  # type: ignore[union-attr]
    values = heat.collections[0].get_array()
    ratio = monitor.last.metrics["output_ratio"].values  # type: ignore[union-attr]
    assert values.shape[0] == 4, "blocks"
    assert values.max() >= values[:, -1].max() == pytest.approx(ratio.max())
    assert "LW201" in {text.get_text() for text in loss.texts}
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_of_a_long_run_the_worst_step_stays() -> None:
    curves, run = Curves(), RunInfo(())
    for step in range(1, 2 * MOST_POINTS + 10):
        loss = {777: 9.0, 3001: math.nan}.get(step, 1.0)
        curves.write(StepRecord(run, step, {}, loss=loss, size=2.0 if step == 1234 else None), [])
    loss, size = curves.draw([]).figure.axes[:2]
    assert len(points(loss)) <= MOST_POINTS
    assert points(loss)[777] == max(points(loss).values()) == 9.0
    assert list(points(size).values()) == [2.0]
    (broken,) = loss.patches
    assert broken.get_x() == 3001, "the loss that is not finite"
