"""``output_ratio`` equals the direct computation on the same tokens, and counts the right tokens once."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lora_watch import Monitor
from lora_watch.adapters import find_adapters
from lora_watch.base.records import BoolArray, Due, FloatArray
from lora_watch.measurement.norms.output_ratio import OutputRatioProbe, sampled
from tests.support import DEVICE, lora, stdlib_blocks, tiny_model


def trained(**config: Any) -> nn.Module:
    """A LoRA model whose B is not zero."""
    torch.manual_seed(0)
    model = lora(tiny_model(), **config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                parameter.normal_(std=0.02)
    return model.train()


def batch(n: int = 2, length: int = 24) -> dict[str, torch.Tensor]:
    ids = torch.tensor([example["input_ids"][:length] for example in stdlib_blocks(n, 32)], device=DEVICE)
    return {"input_ids": ids, "labels": ids}


def direct(model: nn.Module, inputs: dict[str, torch.Tensor], keep: torch.Tensor | None = None) -> np.ndarray:
    """The definition: ‖s·B·A·x‖ / ‖W₀·x‖ over all rows (those in ``keep``), in float64, from the layer's own input."""
    seen: dict[int, torch.Tensor] = {}
    adapters = find_adapters(model)
    handles = [
        a.base_layer.register_forward_pre_hook(lambda m, args: seen.__setitem__(id(m), args[0].detach()))
        for a in adapters
        if a.base_layer is not None
    ]
    with torch.no_grad():
        model(**inputs)
    for handle in handles:
        handle.remove()
    out = []
    for a in adapters:
        x = seen[id(a.base_layer)].cpu()
        left, right = a.factors()[0].b.cpu().double(), a.factors()[0].a.cpu().double()
        weight = a.base_weight.cpu().double()
        if a.kind == "Embedding":
            x = torch.nn.functional.one_hot(x.flatten(), weight.shape[0]).double()
            weight = weight.T
        rows = x.reshape(-1, x.shape[-1]).double()
        rows = rows if keep is None else rows[keep.cpu()]
        spoken, own = abs(a.scale) * rows @ right.T @ left.T, rows @ weight.T
        out.append(float(spoken.norm() / own.norm()))
    return np.array(out)


def read(probe: OutputRatioProbe) -> tuple[FloatArray, BoolArray]:
    reading = probe.begin(Due(1)).now()["output_ratio"]
    return reading.values, reading.known


def probe_of(model: nn.Module, tokens: int = 10_000) -> OutputRatioProbe:
    return OutputRatioProbe(model, find_adapters(model), tokens)


def measured(model: nn.Module, *args: Any, **inputs: Any) -> tuple[FloatArray, BoolArray]:
    """Of one pass of the model in training."""
    probe = probe_of(model)
    probe.arm(0)
    model(*args, **inputs)
    return read(probe)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="linear"),
        pytest.param({"targets": ["embed_tokens", "q_proj"]}, id="embedding"),
        pytest.param({"use_rslora": True, "r": 4}, id="rslora"),
        pytest.param({"use_dora": True}, id="dora"),
        pytest.param({"targets": r".*layers\.0\..*q_proj", "lora_dropout": 0.5}, id="dropout-is-not-measured"),
    ],
)
def test_equals_the_direct_computation(config: dict[str, Any]) -> None:
    model, inputs = trained(**config), batch()
    expected = direct(model, inputs)
    ratio, known = measured(model, **inputs)
    assert known.all()
    assert ratio == pytest.approx(expected, rel=1e-4)


def test_a_bias_is_not_part_of_the_layers_own_voice() -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(nn.Sequential(nn.Linear(16, 8)), LoraConfig(target_modules=["0"], init_lora_weights=False))
    with torch.no_grad():
        model.base_model.model[0].base_layer.bias.fill_(100.0)
    x = torch.randn(5, 16)
    ratio, _ = measured(model.train(), x)
    a = find_adapters(model)[0]
    spoken = a.scale * x @ a.factors()[0].a.T @ a.factors()[0].b.T
    assert ratio[0] == pytest.approx(float(spoken.norm() / (x @ a.base_weight.T).norm()), rel=1e-4)


def test_padding_does_not_count() -> None:
    model, inputs = trained(targets=["q_proj", "down_proj"]), batch()
    mask = torch.ones_like(inputs["input_ids"])
    mask[0, 9:] = 0
    inputs["attention_mask"] = mask
    kept, everything = direct(model, inputs, mask.flatten().bool()), direct(model, inputs)
    ratio, _ = measured(model, **inputs)
    assert ratio == pytest.approx(kept, rel=1e-4)
    assert np.abs(kept / everything - 1).max() > 1e-3, "padding must matter here, or the test says nothing"


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_counts_once(reentrant: bool) -> None:
    model, inputs = trained(), batch()
    expected = direct(model, inputs)
    model.enable_input_require_grads()
    model.base_model.model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    probe = probe_of(model)
    probe.arm(0)
    model(**inputs).loss.backward()
    ratio, known = read(probe)
    assert known.all()
    assert ratio == pytest.approx(expected, rel=1e-4)


def test_only_the_first_training_forward_after_arming_counts() -> None:
    model, first, second = trained(), batch(2), batch(4, 16)
    expected = direct(model, first)
    probe = probe_of(model)
    model(**second)  # not armed
    probe.arm(0)
    model.eval()(**second)
    model.train()
    with torch.no_grad():
        model(**second)
    model(**first)
    model(**second)
    ratio, _ = read(probe)
    assert ratio == pytest.approx(expected, rel=1e-4)
    assert not read(probe)[1].any(), "reading disarms"


@pytest.mark.parametrize("count", [1, 40, 64, 65, 127, 128, 255, 1000])
def test_every_position_of_a_batch_is_sampled_alike(count: int) -> None:
    seen, steps = np.zeros(count), 1000
    for step in range(steps):
        chosen = np.arange(count)[sampled(count, 64, step)]
        assert min(count, 32) <= len(chosen) <= 64
        seen[chosen] += 1
    assert seen == pytest.approx(np.full(count, seen.mean()), rel=0.05), "the last as often as the first"


def test_bf16_and_autocast_are_measured_in_single_precision() -> None:
    model, inputs = trained(), batch()
    with torch.autocast(DEVICE.type, torch.bfloat16):
        ratio, _ = measured(model, **inputs)
    assert ratio == pytest.approx(direct(model, inputs), rel=0.03)  # the inputs themselves are rounded


def test_what_cannot_be_measured_is_unknown_and_says_so() -> None:
    from peft import LoraConfig, get_peft_model

    conv = get_peft_model(nn.Sequential(nn.Conv2d(3, 4, 3)), LoraConfig(target_modules=["0"]))
    probe = probe_of(conv)
    probe.arm(0)
    conv.train()(torch.randn(1, 3, 5, 5))
    ratio, known = read(probe)
    assert not known.any()
    assert np.isnan(ratio).all()
    assert [*probe.never_seen().values()] == [1]

    compiled = trained()
    compiled.compile(backend="eager")
    ((why, many),) = probe_of(compiled).never_seen().items()
    assert "compiled" in why
    assert many == 28


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_hooks_are_there_from_arming_to_reading_and_at_no_other_time() -> None:
    model = trained()
    before = hooks(model)
    probe = probe_of(model)
    assert hooks(model) == before
    for end in (lambda: probe.begin(Due(1)), probe.close):
        probe.arm(0)
        probe.arm(1)
        assert hooks(model) == before + 28 + 1, "one a layer; the model's own for the mask"
        end()
        assert hooks(model) == before


def test_switched_off_it_is_in_no_record() -> None:
    """Nor at a loss that is not finite, whose source is looked for at once."""
    model = trained(targets=["q_proj"])
    monitor = Monitor(model, console=False, output_ratio=False)
    for loss in (1.0, float("nan")):
        model(**batch())
        record = monitor.step(loss=loss)
        assert "output_ratio" not in record.metrics
    assert "LW901" not in {alert.rule for alert in monitor.alerts}
