"""``drift_norm`` and ``step_norm`` against explicit products, and against what real PEFT merges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, find_adapters
from lora_watch.measurement.norms import AdapterBank
from lora_watch.measurement.norms.drift import Snapshot
from tests.adapters.zoo import Net, adapted, linear
from tests.norms.factors import Bare, pair
from tests.support import needs_peft

PROMISE = 1e-6


def product(adapter: Adapter) -> Tensor:
    """s·B·diag(diagonal)·A, formed whole in float64."""
    diagonal = adapter.diagonal
    parts = [
        b.detach().double() * (1 if diagonal is None else diagonal.detach().double()) @ a.detach().double()
        for a, b in adapter.factors()
    ]
    return adapter.scale * torch.block_diag(*parts)


def distance(snapshot: Snapshot, adapter: Adapter) -> float:
    reading = snapshot.distance([adapter])
    values, known = reading.values, reading.known
    assert known.all()
    assert values.dtype == np.float64
    return float(values[0])


# -- made-up factors -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("eps", [1e-4, 1e-8, 1e-12])
def test_a_step_much_smaller_than_the_weights_keeps_its_digits(eps: float) -> None:
    a, b = (x.double() for x in pair(30, 20, 4))
    adapter = Bare((a, b))
    snapshot = Snapshot([adapter])
    b += eps * pair(30, 20, 4, seed=5)[1].double()
    change = b - pair(30, 20, 4)[1].double()  # what was added, after rounding
    assert distance(snapshot, adapter) == pytest.approx(float(torch.linalg.matrix_norm(change @ a)), rel=PROMISE)


def test_unknown_and_added_and_updated() -> None:
    first, later, hidden = Bare(pair(9, 8, 2)), Bare(pair(9, 8, 2)), Bare()
    first.name, later.name, hidden.name = "first", "later", "hidden"
    snapshot = Snapshot([first, hidden])
    reading = snapshot.distance([first, later, hidden])
    values, known = reading.values, reading.known
    assert known.tolist() == [True, False, False]
    assert np.isnan(values[1:]).all()
    first.factors()[0].b.mul_(2)
    change = distance(snapshot, first)
    snapshot.add([first, later])
    assert distance(snapshot, first) == change, "add must not touch what is held"
    assert distance(snapshot, later) == 0
    snapshot.update([first])
    assert distance(snapshot, first) == 0
    assert not snapshot.distance([later]).known.any(), "update holds nothing else"


def test_a_changed_rank_is_measured_and_another_layer_is_unknown() -> None:
    adapter = Bare(pair(30, 20, 6), scale=2.0)
    snapshot, before = Snapshot([adapter]), product(adapter)
    smaller = Bare(pair(30, 20, 3, seed=4), scale=1.5)
    expected = float((product(smaller) - before).norm())
    assert distance(snapshot, smaller) == pytest.approx(expected, rel=PROMISE)
    assert not snapshot.distance([Bare(pair(31, 20, 6))]).known.any()
    assert not snapshot.distance([Bare(pair(30, 20, 6), pair(30, 20, 6))]).known.any()
    snapshot.update([smaller])
    assert distance(snapshot, smaller) == 0


# -- real PEFT -------------------------------------------------------------------------------------------------------
def merged_weights(model: Any) -> Tensor:
    """What the layer's weight would be with the adapter merged into it."""
    layer = model.base_model.model.layer
    return layer.get_base_layer().weight.detach() + layer.get_delta_weight("default").detach()


def train(model: Any, steps: int) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    x = torch.randn(5, 7, dtype=torch.float64)
    for _ in range(steps):
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(
    "start", [True, False, "pissa", "olora", "gaussian", pytest.param("orthogonal", marks=needs_peft("0.16"))]
)
def test_drift_and_step_equal_what_merging_would_change(start: Any) -> None:
    torch.manual_seed(0)
    model = adapted(Net(linear()).float(), init_lora_weights=start).double()  # PiSSA and OLoRA refuse float64
    adapters = find_adapters(model)
    began, previous = Snapshot(adapters), Snapshot(adapters)
    at_start = merged_weights(model)
    for _ in range(3):
        before = merged_weights(model)
        previous.update(adapters)
        train(model, 2)
        now = merged_weights(model)
        assert distance(began, adapters[0]) == pytest.approx(float((now - at_start).norm()), rel=PROMISE)
        assert distance(previous, adapters[0]) == pytest.approx(float((now - before).norm()), rel=PROMISE)
    norm = AdapterBank(adapters).measure()["delta_norm"][0]
    starts_at_zero = start in (True, "gaussian", "orthogonal")
    assert math.isclose(distance(began, adapters[0]), norm, rel_tol=PROMISE) is starts_at_zero
    model.base_model.model.layer.set_scale("default", 3.0)
    change = float((merged_weights(model) - at_start).norm())
    assert distance(began, adapters[0]) == pytest.approx(change, rel=PROMISE)
