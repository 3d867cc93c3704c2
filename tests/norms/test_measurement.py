"""``measure(model)`` on a real PEFT model."""

import random
from typing import Any

import numpy as np
import peft
import pytest
import torch

from lora_watch import measure
from lora_watch.adapters import find_adapters
from tests.norms.factors import truth
from tests.support import DEVICE, lora, tiny_model, train


@pytest.fixture(scope="module")
def model() -> Any:
    return train(lora(tiny_model(), r=4, alpha=16), steps=3).model


def test_numbers_of_a_trained_model(model: Any) -> None:
    got = measure(model)
    adapters = find_adapters(model)
    assert got.names == tuple(adapter.name for adapter in adapters)
    assert len(adapters) == 28
    for i, adapter in enumerate(adapters):
        weight, want = adapter.base_matrices()[0].detach().cpu().double(), truth(adapter)
        want["relative_norm"] = want["delta_norm"] / float(weight.norm())
        want["relative_spectral_norm"] = want["spectral_norm"] / float(torch.linalg.matrix_norm(weight, ord=2))
        for metric, value in want.items():
            assert getattr(got, metric)[i] == pytest.approx(value, rel=1e-6), (adapter.name, metric)


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


def test_methods_of_lora_are_named() -> None:
    model = peft.get_peft_model(tiny_model(), peft.LoraConfig(target_modules=["q_proj"], use_dora=True))
    got = measure(model)
    assert set(got.methods) == {"dora"}
    assert f"{got.names[0]} (dora)" in repr(got)
