"""``measure(model)`` on a real PEFT model."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lora_watch import NoAdaptersError, measure
from lora_watch.norms import Measurement
from tests.support import lora, tiny_model, train

METRICS = [
    "scale",
    "product_norm",
    "delta_norm",
    "spectral_norm",
    "stable_rank",
    "effective_rank",
    "a_norm",
    "b_norm",
    "relative_norm",
    "relative_spectral_norm",
]


@pytest.fixture(scope="module")
def model() -> Any:
    return train(lora(tiny_model(), r=4, alpha=16), steps=3).model


def test_numbers_of_a_trained_model(model: Any) -> None:
    got = measure(model)
    modules = dict(model.named_modules())
    assert len(got.names) == 28
    for i, name in enumerate(got.names):
        layer = modules[f"base_model.model.{name}"]
        a, b = (layer.lora_A["default"].weight.detach().double(), layer.lora_B["default"].weight.detach().double())
        sigma = torch.linalg.svdvals(4.0 * b @ a)
        weight = layer.base_layer.weight.double()
        p = sigma[:4] / sigma[:4].sum()
        want = {
            "scale": 4.0,
            "product_norm": sigma.norm() / 4,
            "delta_norm": sigma.norm(),
            "spectral_norm": sigma[0],
            "stable_rank": (sigma.norm() / sigma[0]) ** 2,
            "effective_rank": torch.exp(-(p * p.log()).sum()),
            "a_norm": a.norm(),
            "b_norm": b.norm(),
            "relative_norm": sigma.norm() / weight.norm(),
            "relative_spectral_norm": sigma[0] / torch.linalg.matrix_norm(weight, ord=2),
        }
        for metric, value in want.items():
            assert getattr(got, metric)[i] == pytest.approx(float(value), rel=1e-6), (name, metric)


@pytest.mark.parametrize("training", [True, False])
def test_changes_nothing(training: bool) -> None:
    model = lora(tiny_model())
    model.train(training)
    model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    before = {name: (p.detach().clone(), p.grad, p.requires_grad, p._version) for name, p in model.named_parameters()}
    grads = {name: grad.clone() for name, (_, grad, _, _) in before.items() if grad is not None}
    assert grads
    modes = [m.training for m in model.modules()]
    states = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    measure(model)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (str(np.random.get_state()), random.getstate())
    assert modes == [m.training for m in model.modules()]
    for name, p in model.named_parameters():
        value, grad, requires_grad, version = before[name]
        assert torch.equal(value, p)
        assert p.grad is grad
        assert grad is None or torch.equal(grad, grads[name])
        assert (p.requires_grad, p._version) == (requires_grad, version)
    assert torch.is_grad_enabled()


def test_plain_model_is_refused() -> None:
    with pytest.raises(NoAdaptersError, match="No LoRA adapter found"):
        measure(nn.Linear(3, 3))


def test_to_dict_is_plain(model: Any) -> None:
    got = measure(model)
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert list(plain) == ["names", "r", *METRICS]
    assert plain["names"] == list(got.names)
    assert plain["r"] == [4] * 28
    assert plain["delta_norm"] == got.delta_norm.tolist()


def _by_hand(relative: list[float], known: list[bool] | None = None) -> Measurement:
    n = len(relative)
    values = {metric: np.full(n, 0.5) for metric in METRICS} | {"relative_norm": np.array(relative)}
    return Measurement(
        tuple(f"layer.{i}" for i in range(n)), (8,) * n, np.array([True] * n if known is None else known), **values
    )


def test_unknown_is_none_and_nan_is_nan() -> None:
    plain = _by_hand([1.0, np.nan, np.nan], [True, True, False]).to_dict()
    assert plain["relative_norm"][0] == 1.0
    assert np.isnan(plain["relative_norm"][1])
    assert plain["relative_norm"][2] is None


def test_repr_is_a_table_worst_first() -> None:
    lines = repr(_by_hand([0.25, 0.75, np.nan, 0.5, np.nan], [True, True, True, True, False])).splitlines()
    assert lines[0] == "Measurement of 5 adapters"
    assert lines[1].split()[:2] == ["adapter", "r"]
    assert [line.split()[0] for line in lines[2:]] == ["layer.2", "layer.1", "layer.3", "layer.0", "layer.4"]
    assert lines[3].split() == ["layer.1", "8", "0.5", "0.5", "0.5", "0.5", "0.5", "0.75"]
    assert "unknown" in lines[-1]
    assert len(set(map(len, lines[1:]))) == 1


def test_long_repr_is_cut() -> None:
    lines = repr(_by_hand([0.1] * 100)).splitlines()
    assert len(lines) < 30
    assert lines[-1] == "… and 80 more"
