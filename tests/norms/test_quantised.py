"""Norms and ``output_ratio`` over really quantised layers under real PEFT."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lora_watch.adapters import find_adapters
from lora_watch.base.records import Due
from lora_watch.measurement.norms import base_norms, measure
from lora_watch.measurement.norms.base import dequantised
from lora_watch.measurement.norms.output_ratio import OutputRatioProbe

D_OUT, D_IN = 96, 128


def bnb_4bit(**options: Any) -> nn.Module:
    bnb = pytest.importorskip("bitsandbytes")
    return bnb.nn.Linear4bit(D_IN, D_OUT, **{"compute_dtype": torch.float32} | options)


def hqq() -> nn.Module:
    core = pytest.importorskip("hqq.core.quantize")
    config = core.BaseQuantizeConfig(nbits=4, group_size=64)
    return core.HQQLinear(nn.Linear(D_IN, D_OUT), config, compute_dtype=torch.float32, device="cpu")


def torchao() -> nn.Module:
    quantization = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(nn.Linear(D_IN, D_OUT))
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    return model[0]


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "nf4": lambda: bnb_4bit(quant_type="nf4", compress_statistics=False),
    "nf4 double": lambda: bnb_4bit(quant_type="nf4", compress_statistics=True),
    "fp4": lambda: bnb_4bit(quant_type="fp4", compress_statistics=False),
    "fp4 double": lambda: bnb_4bit(quant_type="fp4", compress_statistics=True),
    "nf4 in bfloat16": lambda: bnb_4bit(quant_type="nf4", quant_storage=torch.bfloat16),
    "int8": lambda: pytest.importorskip("bitsandbytes").nn.Linear8bitLt(D_IN, D_OUT, has_fp16_weights=False),
    "hqq": hqq,
    "torchao": torchao,
}


def made(name: str) -> tuple[Any, Tensor]:
    """A PEFT model around one quantised layer, B not zero, and the weight it was made of."""
    torch.manual_seed(0)
    layer: Any = LAYERS[name]()
    plain = layer.weight.dequantize() if name == "torchao" else layer.dequantize() if name == "hqq" else layer.weight
    original = plain.detach().clone().float()
    model: Any = nn.Sequential(layer).to("cpu")  # bitsandbytes quantises when it is moved
    # What transformers says of a model that it has quantised, and PEFT chooses its own layers by.
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = "Linear4bit" in type(layer).__name__, name == "int8"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, LoraConfig(target_modules=["0"], init_lora_weights=False)), original


@pytest.mark.parametrize("name", LAYERS)
def test_norms_are_those_of_the_weight_the_layer_uses(name: str) -> None:
    model, original = made(name)
    adapters = find_adapters(model)
    got = base_norms(adapters)
    layer: Any = adapters[0].base_layer
    used = (layer(torch.eye(D_IN)) - layer.bias).detach().double()  # W₀ᵀ as the layer itself multiplies with it
    # The unit vectors pass bitsandbytes' 8-bit layer in half precision.
    close = 1e-3 if name == "int8" else 1e-6
    assert got.norm[0] == pytest.approx(float(torch.linalg.matrix_norm(used)), rel=close)
    assert got.spectral_norm[0] == pytest.approx(float(torch.linalg.matrix_norm(used, ord=2)), rel=close)
    if name not in ("hqq", "torchao"):  # else the original is what was dequantised
        assert got.norm[0] != pytest.approx(float(original.norm()), rel=1e-6), "nothing was rounded"
    assert base_norms(adapters).norm[0] == got.norm[0], "the forward pass moves the scales of an 8-bit weight"


def test_plain_repacked_and_sharded_layers_have_no_numbers_here() -> None:
    assert dequantised(None) is None
    assert dequantised(nn.Linear(3, 4)) is None
    layer: Any = find_adapters(made("nf4")[0])[0].base_layer
    layer.weight.quant_state.packing_format_for_cpu = True
    assert dequantised(layer) is None
    layer.weight.quant_state.packing_format_for_cpu = False
    assert dequantised(layer) is not None
    layer.weight.data = layer.weight.data[:100]
    assert dequantised(layer) is None


def test_packed_numbers_are_not_taken_for_a_weight() -> None:
    """FSDP2 puts a plain tensor in the place of bitsandbytes' parameter; with floating-point storage it looks real."""
    model, _ = made("nf4 in bfloat16")
    adapters = find_adapters(model)
    layer: Any = adapters[0].base_layer
    layer.weight = nn.Parameter(layer.weight.data.clone(), requires_grad=False)
    assert layer.weight.is_floating_point()
    assert np.isnan(base_norms(adapters).norm).all()


@pytest.mark.parametrize("name", LAYERS)
def test_output_ratio_and_relative_norm(name: str) -> None:
    model, _ = made(name)
    adapter = find_adapters(model)[0]
    x = torch.randn(7, D_IN)
    probe = OutputRatioProbe(model, [adapter])
    probe.arm(0)
    model.train()(x)
    reading = probe.begin(Due(1)).now()["output_ratio"]
    ratio, known = reading.values, reading.known
    assert known.all()
    a, b = (factor.detach().double() for factor in adapter.factors()[0])
    layer: Any = adapter.base_layer
    own = (layer(x) - layer.bias).detach().double()
    spoken = adapter.scale * x.double() @ a.T @ b.T
    assert ratio[0] == pytest.approx(float(spoken.norm() / own.norm()), rel=1e-4)
    weight = dequantised(layer)
    measured = measure(model)
    change = adapter.scale * b @ a
    assert measured.relative_norm[0] == pytest.approx(float(change.norm() / weight.double().norm()), rel=1e-6)
    assert np.isfinite(measured.relative_spectral_norm[0])
