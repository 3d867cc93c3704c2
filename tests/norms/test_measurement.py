"""``measure(model)`` on a real PEFT model."""

from __future__ import annotations

import json
import random
from typing import Any
from xml.etree import ElementTree

import numpy as np
import peft
import pytest
import torch
from torch import nn

from lora_watch import NoAdaptersError, measure
from lora_watch.base.deferred import on_host
from lora_watch.measurement.norms import Measurement
from tests.support import DEVICE, lora, needs_peft, tiny_model, train

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
        a, b = (on_host(layer.lora_A["default"].weight), on_host(layer.lora_B["default"].weight))
        sigma = torch.linalg.svdvals(4.0 * b @ a)
        weight = on_host(layer.base_layer.weight)
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
    ids = torch.arange(8, device=DEVICE)[None]
    model(input_ids=ids, labels=ids).loss.backward()
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
    with pytest.raises(NoAdaptersError, match="No LoRA"):
        measure(nn.Linear(3, 3))


@pytest.mark.parametrize("name", ["LoHa", "LoKr", "Vera"])
def test_other_tuners_are_measured_by_what_they_add(name: str) -> None:
    torch.manual_seed(0)
    config = getattr(peft, f"{name}Config")(target_modules=["q_proj", "up_proj"], r=4, init_weights=False)
    model = peft.get_peft_model(tiny_model(), config)
    got = measure(model)
    assert len(got.names) == 8
    assert got.methods == (name,) * 8
    assert got.r == (0,) * 8
    assert got.known.all()
    modules = dict(model.named_modules())
    before = {n: on_host(modules[f"base_model.model.{n}"].base_layer.weight) for n in got.names}
    model.merge_adapter()
    for i, n in enumerate(got.names):
        weight = before[n]
        change = on_host(modules[f"base_model.model.{n}"].base_layer.weight) - weight
        sigma = torch.linalg.svdvals(change)
        p = sigma / sigma.sum()
        want = {
            "delta_norm": sigma.norm(),
            "spectral_norm": sigma[0],
            "stable_rank": (sigma.norm() / sigma[0]) ** 2,
            "relative_norm": sigma.norm() / weight.norm(),
            "relative_spectral_norm": sigma[0] / torch.linalg.matrix_norm(weight, ord=2),
        }
        for metric, value in want.items():  # the merged weight is in float32
            assert getattr(got, metric)[i] == pytest.approx(float(value), rel=1e-4), (n, metric)
        assert got.effective_rank[i] == pytest.approx(float(torch.exp(-(p * p.log()).sum())), rel=1e-2)
    assert np.isnan([got.scale, got.product_norm, got.a_norm, got.b_norm]).all()
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert plain["a_norm"] == [None] * 8
    assert plain["delta_norm"] == got.delta_norm.tolist()
    row = next(line for line in repr(got).splitlines() if line.startswith(f"{got.names[0]} ({name})"))
    assert row.split()[2:4] == ["-", "unknown"]


def test_spectrum_of_a_large_dense_change_is_unknown() -> None:
    model = peft.get_peft_model(nn.ModuleDict({"layer": nn.Linear(513, 514)}), loha(init_weights=False))
    got = measure(model)
    assert got.known.all()
    plain = got.to_dict()
    assert plain["effective_rank"] == [None]
    assert plain["stable_rank"][0] >= 1


def test_dense_changes_of_nothing_and_of_nonsense() -> None:
    model = peft.get_peft_model(nn.ModuleDict({"layer": nn.Linear(12, 10)}), loha())
    plain = measure(model).to_dict()
    for metric in ("delta_norm", "spectral_norm", "stable_rank", "effective_rank", "relative_norm"):
        assert plain[metric] == [0.0], metric
    model.base_model.model["layer"].hada_w1_a["default"].data.fill_(np.nan)
    plain = measure(model).to_dict()
    for metric in ("delta_norm", "spectral_norm", "stable_rank", "effective_rank", "relative_norm"):
        assert np.isnan(plain[metric][0]), metric
    assert plain["scale"] == [None]


@needs_peft("0.14")  # OFT was configured otherwise
def test_what_has_no_norm_is_listed_beside_what_has() -> None:
    model = nn.ModuleDict({"layer": nn.Linear(12, 10), "other": nn.Linear(12, 12)})
    mixed = peft.PeftMixedModel(model, loha(init_weights=False))
    mixed.add_adapter("turned", peft.OFTConfig(target_modules=["other"], r=0, oft_block_size=4))
    got = measure(mixed)
    assert dict(zip(got.names, got.methods)) == {"layer": "LoHa", "other.turned": "OFT"}
    assert got.known.tolist() == [True, False]
    assert got.to_dict()["delta_norm"][1] is None
    assert "other.turned (OFT)" in repr(got)


@needs_peft("0.14")
def test_only_what_has_no_norm_is_refused_with_the_reason() -> None:
    config = peft.OFTConfig(target_modules=["layer"], r=0, oft_block_size=4)
    with pytest.raises(NoAdaptersError, match=r"1 OFT: not measured, .*orthogonal"):
        measure(peft.get_peft_model(nn.ModuleDict({"layer": nn.Linear(12, 12)}), config))


def test_methods_of_lora_are_named() -> None:
    model = peft.get_peft_model(tiny_model(), peft.LoraConfig(target_modules=["q_proj"], use_dora=True))
    got = measure(model)
    assert set(got.methods) == {"dora"}
    assert f"{got.names[0]} (dora)" in repr(got)


def loha(**options: Any) -> peft.LoHaConfig:
    return peft.LoHaConfig(target_modules=["layer"], r=2, **options)


def test_to_dict_is_plain(model: Any) -> None:
    got = measure(model)
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert list(plain) == ["names", "methods", "r", *METRICS]
    assert plain["names"] == list(got.names)
    assert plain["r"] == [4] * 28
    assert plain["delta_norm"] == got.delta_norm.tolist()


def _by_hand(relative: list[float], known: list[bool] | None = None) -> Measurement:
    n = len(relative)
    values = {metric: np.full(n, 0.5) for metric in METRICS} | {"relative_norm": np.array(relative)}
    return Measurement(
        tuple(f"layer.{i}" for i in range(n)),
        ("lora",) * n,
        (8,) * n,
        np.array([True] * n if known is None else known),
        **values,
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


def test_a_notebook_gets_a_table() -> None:
    shown = _by_hand([0.25, np.nan], [True, False])._repr_html_()
    table = ElementTree.fromstring(shown[shown.index("<table>") : shown.index("</table>") + len("</table>")])
    assert [[cell.text for cell in row] for row in table.iter("tr")][1][:2] == ["layer.0", "8"]
    assert "unknown" in shown
