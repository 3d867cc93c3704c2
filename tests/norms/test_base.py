"""Norms of frozen weights against a full SVD in float64."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lora_watch.measurement.norms import base, base_norms
from lora_watch.measurement.norms.base import matrix_norms
from tests.norms.factors import Bare


def _draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _with_spectrum(sigma: Tensor, d_out: int, d_in: int) -> Tensor:
    left, _ = torch.linalg.qr(_draw(d_out, len(sigma)).double())
    right, _ = torch.linalg.qr(_draw(d_in, len(sigma)).double())
    return (left * sigma) @ right.T


MATRICES = {
    "tall": _draw(300, 120),
    "wide": _draw(120, 300),
    "transposed": _draw(120, 300).T,
    "one row": _draw(1, 150),
    "one column": _draw(150, 1),
    "one number": torch.tensor([[-3.0]]),
    "rank one": torch.outer(_draw(140), torch.arange(1.0, 31)),
    "all alike": torch.eye(160),
    "outlier": _draw(200, 200) + 5,
    "half": _draw(200, 100).half(),
    "bfloat": _draw(200, 100).bfloat16(),
    "double": _draw(200, 100).double(),
    "huge": _draw(200, 100) * 1e30,
    "tiny": _draw(200, 100) * 1e-30,
    "not initialised": _draw(200, 100).clamp(-3, 3) * 1e38,
    "power law": _with_spectrum(torch.arange(1.0, 151).double() ** -0.5, 200, 150),
    "twin peaks": _with_spectrum(torch.tensor([1.0, 1.0 - 1e-9, 0.5, 0.1]).double(), 160, 80),
    "near twins": _with_spectrum(torch.tensor([1.0, 1.0 - 1e-4, 1.0 - 2e-4, 0.5]).double().float(), 160, 80),
}


@pytest.mark.parametrize("name", MATRICES)
def test_both_norms_are_true(name: str) -> None:
    """Of a matrix that is narrow one way, and iterated upon the other way."""
    for weight in (MATRICES[name], MATRICES[name].T.contiguous()):
        norm, top = matrix_norms(weight)
        assert norm == pytest.approx(torch.linalg.matrix_norm(weight.double()).item(), rel=1e-9)
        assert top == pytest.approx(torch.linalg.matrix_norm(weight.double(), ord=2).item(), rel=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_weight_is_nan_and_zero_has_zero_norms(bad: float) -> None:
    assert matrix_norms(torch.zeros(20, 30)) == (0.0, 0.0)
    weight = _draw(20, 30)
    weight[3, 4] = bad
    assert all(map(math.isnan, matrix_norms(weight)))


def test_unknown_blocks_and_shared_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [_draw(20, 30), 2 * _draw(10, 8)]
    read = []
    real = base.matrix_norms
    monkeypatch.setattr(base, "matrix_norms", lambda w: read.append(w) or real(w))
    adapters = [Bare(base=parts), Bare(), Bare(base=parts[:1])]
    got = base_norms(adapters)
    whole = torch.block_diag(*parts).double()
    assert got.norm[0] == pytest.approx(torch.linalg.matrix_norm(whole).item(), rel=1e-9)
    assert got.spectral_norm[0] == pytest.approx(torch.linalg.matrix_norm(whole, ord=2).item(), rel=1e-7)
    assert np.isnan([got.norm[1], got.spectral_norm[1]]).all()
    assert got.norm[2] == pytest.approx(parts[0].double().norm().item())
    assert len(read) == 2  # the weight that two adapters share was read once


def test_reproducible_and_draws_no_random_number() -> None:
    weight = _draw(180, 160)
    states = torch.get_rng_state(), str(np.random.get_state())
    first = matrix_norms(weight)
    assert matrix_norms(weight) == first
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == str(np.random.get_state())
