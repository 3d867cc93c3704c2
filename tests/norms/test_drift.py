"""``drift_norm`` and ``step_norm`` of made-up factors; ``test_every_metric`` has those of real layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lora_watch.adapters import Adapter
from lora_watch.measurement.norms.drift import Snapshot
from tests.norms.factors import Bare, pair

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
