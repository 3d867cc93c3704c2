"""Every norm of tensors on the device is what it is of the same tensors on the CPU, also where there is no float64."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lora_watch.base.deferred import has_float64
from lora_watch.base.records import Due
from lora_watch.measurement.norms import AdapterBank, base_norms, measure
from lora_watch.measurement.norms.drift import Magnitudes, Snapshot
from lora_watch.tune.restoring import restored
from tests.norms.factors import Bare, pair
from tests.norms.test_base import MATRICES
from tests.norms.test_magnitude import Dora
from tests.support import DEVICE, lora, tiny_model

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy on ``device``: on the host where it has no such dtype."""
    there = device if tensor.dtype != torch.float64 or has_float64(device) else "cpu"
    return tensor.detach().clone().to(there)


def zoo(device: torch.device) -> list[Bare]:
    def on(*factors: Tensor) -> tuple[Any, Any]:
        return tuple(placed(factor, device) for factor in factors)  # type: ignore[return-value]

    shapes = [(40, 30, 4), (40, 30, 4), (64, 30, 4), (40, 30, 8), (10, 300, 8), (3, 2, 4)]
    found = [Bare(on(*pair(*shape, i, dtype)), scale=2.0) for i, shape in enumerate(shapes) for dtype in DTYPES]
    found[5].diagonal = placed(torch.tensor([0.5, 2.0, 0.0, 1.0]), device)
    found.append(Bare(on(*pair(12, 9, 3)), on(*pair(7, 20, 3, 1))))
    a, b = pair(30, 20, 4)
    found.append(Bare(on(torch.cat((a, a * (1 + 1e-6))), torch.cat((b, -b), 1))))  # has to be redone from the factors
    a, b = pair(30, 20, 4)
    a[0, 0] = torch.nan
    found.append(Bare(on(a, b)))
    for i, each in enumerate(found):
        each.name = str(i)
    return found


def same(ours: np.ndarray, theirs: np.ndarray, name: str = "", rel: float = 1e-6) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=rel, atol=0, err_msg=name)


def test_norms_and_spectra() -> None:
    banks = [AdapterBank(zoo(device)) for device in (DEVICE, torch.device("cpu"))]
    ours, theirs = (bank.measure() for bank in banks)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        same(values, theirs[name], name)
    assert banks[0].redone == banks[1].redone > 0
    assert banks[0].known.all()
    assert banks[0].spectrum is not None
    assert banks[1].spectrum is not None
    np.testing.assert_allclose(banks[0].spectrum, banks[1].spectrum, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("turn", [False, True])
def test_drift(turn: bool) -> None:
    def change(device: torch.device) -> np.ndarray:
        adapters = zoo(device)
        snapshot = Snapshot(adapters)
        for each in adapters:
            for a, b in each.factors():
                if turn:  # the same product written in another way, in which the Grams see rounding alone
                    a.mul_(2.0)
                    b.mul_(0.5)
                b[0] += 1.0
        return snapshot.distance(adapters).values

    same(change(DEVICE), change(torch.device("cpu")), rel=2e-6)


def test_base_weights() -> None:
    def norms(device: torch.device) -> Sequence[np.ndarray]:
        found = base_norms([Bare(base=[placed(matrix, device)]) for matrix in MATRICES.values()])
        return found.norm, found.spectral_norm

    for ours, theirs in zip(norms(DEVICE), norms(torch.device("cpu"))):
        same(ours, theirs)


def test_magnitudes() -> None:
    def drifted(device: torch.device) -> dict[str, Any]:
        adapter = Dora(pair(4, 4, 2))
        adapter.m = placed(torch.tensor([1.0, 2.0, -4.0]), device)
        held = Magnitudes()
        held.watch([adapter])
        adapter.m = adapter.m * 1.5
        return {name: reading.values for name, reading in held.begin(Due(1)).now().items()}

    theirs = drifted(torch.device("cpu"))
    for name, values in drifted(DEVICE).items():
        same(values, theirs[name], name)


@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "embedding"])
def test_a_whole_model(method: str) -> None:
    options = {
        "dora": {"use_dora": True},
        "rslora": {"use_rslora": True},
        "embedding": {"targets": ["embed_tokens", "q_proj"]},
    }
    torch.manual_seed(0)
    base = tiny_model().cpu()
    model = lora(base, **options.get(method, {}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.normal_(std=0.02)
    there = copy.deepcopy(model).to(DEVICE)
    ours, theirs = measure(there), measure(model)
    assert ours.known.all()
    for name in ("delta_norm", "spectral_norm", "relative_norm", "effective_rank"):
        same(getattr(ours, name), getattr(theirs, name), name, rel=1e-5)


def test_a_sweep_puts_back_the_devices_random_numbers() -> None:
    model = lora(tiny_model(), lora_dropout=0.5)
    state = torch.strict.get_rng_state()  # type: ignore[attr-defined]
    with restored(model):
        torch.rand(3, device=DEVICE)
    assert torch.equal(state, torch.strict.get_rng_state())  # type: ignore[attr-defined]
