"""DoRA's magnitude vectors: norms and drift against numpy, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lora_watch.base.records import Due
from lora_watch.measurement.norms.drift import Magnitudes
from tests.norms.factors import Bare, pair


class Dora(Bare):
    """An adapter that is nothing but its factors and a magnitude."""

    m: Tensor | None = None

    @property
    def magnitude_parameter(self) -> Tensor | None:
        return self.m

    @property
    def magnitude(self) -> Tensor | None:
        return self.m


def dora(name: str, *m: float, dtype: torch.dtype = torch.float32) -> Dora:
    adapter = Dora(pair(4, 4, 2))
    adapter.name, adapter.m = name, torch.tensor(m, dtype=dtype) if m else None
    return adapter


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_norm_and_drift_of_those_that_have_one(dtype: torch.dtype, size: float) -> None:
    plain, change = dora("plain"), dora("moved", size, 2 * size, -4 * size, dtype=dtype)
    held = Magnitudes()
    held.watch([plain, change])
    start = change.m.double().numpy() if change.m is not None else np.zeros(0)
    change.m = torch.tensor([size, 2.5 * size, -3 * size], dtype=dtype)
    readings = held.begin(Due(1)).now()
    assert readings["magnitude_norm"].known.tolist() == [False, True]
    assert np.isnan(readings["magnitude_norm"].values[0])
    assert np.isnan(readings["magnitude_drift"].values[0])
    now = change.m.double().numpy()
    assert readings["magnitude_norm"].values[1] == pytest.approx(np.linalg.norm(now / size) * size, rel=1e-6)
    assert readings["magnitude_drift"].values[1] == pytest.approx(np.abs(now / start - 1).max(), rel=1e-6)


def test_it_counts_from_where_it_was_first_seen_and_a_change_in_place_is_seen() -> None:
    adapter, held = dora("one", 1.0, 1.0), Magnitudes()
    held.watch([adapter])
    assert held.begin(Due(1)).now()["magnitude_drift"].values[0] == 0
    assert adapter.m is not None
    adapter.m += 0.5
    held.watch([adapter])
    assert held.begin(Due(1)).now()["magnitude_drift"].values[0] == pytest.approx(0.5)


def test_an_output_that_began_at_zero_is_passed_over_and_nan_is_not() -> None:
    adapter, held = dora("one", 0.0, 1.0), Magnitudes()
    held.watch([adapter])
    adapter.m = torch.tensor([5.0, 1.1])
    assert held.begin(Due(1)).now()["magnitude_drift"].values[0] == pytest.approx(0.1, rel=1e-6)
    adapter.m = torch.tensor([np.nan, 1.1])
    assert np.isnan(held.begin(Due(1)).now()["magnitude_drift"].values[0])


def test_without_any_there_is_nothing() -> None:
    held = Magnitudes()
    held.watch([dora("plain")])
    assert held.begin(Due(1)).now() == {}
