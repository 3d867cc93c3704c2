"""``measure(model)`` on a real PEFT model."""

import random

import numpy as np
import peft
import pytest
import torch

from lora_watch import measure
from tests.support import DEVICE, lora, tiny_model


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
