"""Modules that have a state of their own: a model that holds one is trained bit for bit as without the callback."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from lora_watch import LoraWatchCallback
from tests.rules.runs import Curious
from tests.support import in_4_bits, lora, tiny_model, train


class Stateful(nn.Module):
    """Around a layer: each pass changes what the next one gives."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.begin()

    def begin(self) -> None: ...

    def factor(self, x: torch.Tensor) -> Any: ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * (1 + 0.01 * self.factor(x))


class TensorAttribute(Stateful):
    def begin(self) -> None:
        self.t = torch.zeros(())

    def factor(self, x: torch.Tensor) -> Any:
        return self.t.add_(1).clone()


class Generator(Stateful):
    def begin(self) -> None:
        self.generator = torch.Generator().manual_seed(3)

    def factor(self, x: torch.Tensor) -> Any:
        return torch.rand((), generator=self.generator)


class Hooked(nn.Module):
    """The state is that of a user's hook of a known module."""

    def __new__(cls, layer: Any) -> Any:
        counter = itertools.count()
        layer.register_forward_hook(lambda module, args, output: output * (1 + 0.01 * next(counter)))
        return layer


class FrozenParameter(Stateful):
    """As the codebook of a quantiser that follows its inputs."""

    def begin(self) -> None:
        self.code = nn.Parameter(torch.zeros(()), requires_grad=False)

    def factor(self, x: torch.Tensor) -> Any:
        with torch.no_grad():
            self.code.add_(1)
        return self.code.clone()


@pytest.mark.parametrize(
    ("kind", "accumulation"), [(Generator, 2), (TensorAttribute, 2), (Hooked, 1), (FrozenParameter, 2)]
)
def test_is_trained_as_without_the_callback(kind: Any, accumulation: int) -> None:
    def weights(callbacks: list[Any]) -> dict[str, torch.Tensor]:
        model = tiny_model()
        for block in model.model.layers[:2]:
            block.mlp.down_proj = kind(block.mlp.down_proj)
        torch.manual_seed(0)
        model = lora(model, targets=["q_proj", "v_proj"], alpha=64)
        train(model, steps=3, lr=2e-2, callbacks=callbacks, gradient_accumulation_steps=accumulation)
        return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    callback = LoraWatchCallback(console=False, tensorboard=False, rules=[Curious()])
    plain, monitored = weights([]), weights([callback])
    assert all(torch.equal(monitored[name], plain[name]) for name in plain)
    assert sum("down_proj" in note for note in callback.monitor.run.notes) == 1, "one note says so"


def test_an_evaluation_of_ours_does_not_rewrite_4_bit_weights() -> None:
    """bitsandbytes makes others of them in an evaluation on a CPU with AVX512-BF16; elsewhere this says less."""

    def weights(callbacks: list[Any]) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = lora(in_4_bits(tiny_model()), targets=["q_proj", "v_proj"])
        train(model, steps=6, lr=1e-3, callbacks=callbacks)
        return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    watched = weights([LoraWatchCallback(rules=[Curious()], console=False, tensorboard=False)])
    assert all(torch.equal(parameter, watched[name]) for name, parameter in weights([]).items())
