"""What a merge keeps of an adapter: as PEFT's own merge has it, and as the arithmetic of rounding says."""

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_watch import find_adapters
from lora_watch.measurement.norms.base import dequantised
from lora_watch.measurement.norms.merging import kept_by_a_merge
from tests.rules.runs import run
from tests.stored.saving import command, random_lora
from tests.support import in_4_bits, lora, stdlib_blocks, tiny_model


def sized(model: Any, relative: float) -> Any:
    """``model`` whose every ‖ΔW‖/‖W₀‖ is ``relative``."""
    for module in model.modules():
        if hasattr(module, "lora_B") and "default" in module.lora_B:
            now = module.get_delta_weight("default").norm() / module.base_layer.weight.float().norm()
            with torch.no_grad():
                module.lora_B["default"].weight *= relative / now
    return model


def saved(model: Any, folder: Path) -> tuple[Path, Path]:
    """Folders of the adapter and of its base model, in the dtype in which it is."""
    model.save_pretrained(folder / "adapter")
    base = copy.deepcopy(model).unload()
    base.save_pretrained(folder / "base")
    return folder / "adapter", folder / "base"


def kept(adapter: Path, base: Path, precision: str) -> dict[str, float]:
    content = json.loads(command(adapter, "--base", base, "--merge", precision, "--json").output)["merge"]
    return {layer["name"]: layer["kept"] for layer in content["layers"]} | {"all": content["kept"]}


@pytest.mark.parametrize(("relative", "share"), [(1e-2, 1.0), (1e-3, 0.55), (1e-4, 0.06)])
def test_bfloat16_keeps_what_its_eight_bits_can_hold(tmp_path: Path, relative: float, share: float) -> None:
    """Shares of random weights and updates, computed apart from this program."""
    adapter, base = saved(sized(random_lora(tiny_model().bfloat16().float()), relative), tmp_path)
    shares = kept(adapter, base, "bfloat16")
    assert shares["all"] == pytest.approx(share, abs=0.08)
    assert kept(adapter, base, "float32")["all"] == pytest.approx(1, abs=1e-3)
    assert kept(adapter, base, "nf4")["all"] < 0.5 + 0.5 * (relative > 1e-3)


def test_the_share_is_that_of_pefts_own_merge(tmp_path: Path) -> None:
    model = sized(random_lora(tiny_model().bfloat16(), targets=["q_proj", "down_proj"]), 2e-3)
    adapter, base = saved(model, tmp_path)
    shares = kept(adapter, base, "bfloat16")
    layers: dict[str, Any] = {adapter.name: adapter.module for adapter in find_adapters(model)}
    before = {
        name: (layer.base_layer.weight.float().clone(), layer.get_delta_weight("default").float())
        for name, layer in layers.items()
    }
    merged: dict[str, Any] = dict(copy.deepcopy(model).merge_and_unload().named_modules())
    for name, (weight, delta) in before.items():
        change = merged[name].weight.float() - weight
        assert shares[name] == pytest.approx(float((change * delta).sum() / delta.square().sum()), abs=0.03)


def test_the_verdict_says_what_to_do_where_a_merge_loses_the_update_and_its_twin_does_not(tmp_path: Path) -> None:
    adapter, base = saved(sized(random_lora(tiny_model().bfloat16()), 1e-3), tmp_path)
    lost = command(adapter, "--base", base, "--merge", "bfloat16").output
    assert re.search(r"Merged in bfloat16, 5\d(\.\d)? % of the update is kept\. Least: .*Keep the adapter apart", lost)
    healthy = command(adapter, "--base", base, "--merge", "float32").output
    assert "Merged in float32, 100 % of the update is kept.\n" in healthy


def test_embeddings_and_transposed_weights_are_merged_the_way_round_that_they_are_kept(tmp_path: Path) -> None:
    adapter, base = saved(random_lora(targets=["embed_tokens", "q_proj"]), tmp_path)
    assert all(share == pytest.approx(1, abs=1e-3) for share in kept(adapter, base, "float32").values())


def test_dora_is_unknown(tmp_path: Path) -> None:
    model = lora(tiny_model(), use_dora=True, targets=["q_proj"])
    for adapter in find_adapters(model):
        nn.init.normal_(adapter.parameters[1])
    said = command(*saved(model, tmp_path)[:1], "--base", tmp_path / "base", "--merge", "bfloat16").output
    assert "unknown, no layer could be computed" in said
    assert "DoRA" in said


@pytest.mark.parametrize("tied", [True, False])
def test_ends_that_share_one_weight_are_named(tmp_path: Path, tied: bool) -> None:
    adapter, base = saved(random_lora(targets=["embed_tokens"]), tmp_path)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": tied}))
    said = command(adapter, "--base", base, "--merge", "float32").output
    assert ("embed_tokens: the base model ties its input embeddings" in said) is tied


def test_wrong_arguments_are_one_clear_error(tmp_path: Path) -> None:
    adapter, base = saved(random_lora(targets=["q_proj"]), tmp_path)
    alone = command(adapter, "--merge", "bfloat16")
    assert (alone.exit_code, "--merge needs --base" in alone.output) == (2, True)
    unknown = command(adapter, "--base", base, "--merge", "int3")
    assert (unknown.exit_code, "one of float32, bfloat16, float16, nf4" in unknown.output) == (2, True)


def test_a_weight_that_is_kept_transposed_is_merged_as_it_is() -> None:
    net = nn.Sequential(Conv1D(64, 64)).bfloat16()
    with torch.no_grad():  # inputs of unlike size
        net[0].weight.mul_(torch.logspace(-3, 1, 64)[:, None])
    model = lora(net, targets=["0"], task_type=None, fan_in_fan_out=True, init_lora_weights=False)
    (adapter,) = find_adapters(model)
    (factors,) = adapter.factors()
    with torch.no_grad():  # and most of the update at the small ones
        factors.a.mul_(1e-2 * torch.logspace(0, -4, 64)[None])
        delta = (factors.b.float() * adapter.scale) @ factors.a.float()
        (weight,) = (matrix.float() for matrix in adapter.base_matrices())
        kept = (weight + delta).bfloat16().float() - weight
    assert kept_by_a_merge([adapter]) == pytest.approx(float((kept * delta).sum() / delta.square().sum()))


@pytest.mark.parametrize(("relative", "found"), [(1e-3, ["INFO"]), (1.0, [])], ids=["small", "as large as the weights"])
def test_a_run_on_4_bits_ends_with_what_a_merge_into_them_would_lose(relative: float, found: list[str]) -> None:
    model = lora(in_4_bits(tiny_model()), targets=["q_proj", "v_proj"], init_lora_weights=False)
    adapters = find_adapters(model)
    with torch.no_grad():
        for adapter in adapters:
            (factors,) = adapter.factors()
            delta = (factors.b.float() * adapter.scale) @ factors.a.float()
            weight = dequantised(adapter.base_layer)
            factors.b.mul_(relative * weight.norm() / delta.norm())
    share = kept_by_a_merge(adapters)
    layers: dict[str, Any] = {adapter.name: adapter.module for adapter in adapters}
    before: dict[str, Any] = {name: dequantised(layer.base_layer) for name, layer in layers.items()}
    deltas = {name: layer.get_delta_weight("default").float() for name, layer in layers.items()}
    monitor = run(model, steps=6, lr=1e-9)
    assert [alert.severity.name for alert in monitor.alerts if alert.rule == "LW316"] == found
    merged: dict[str, Any] = dict(copy.deepcopy(model).merge_and_unload().named_modules())
    along = sum(((dequantised(merged[name]) - before[name]) * delta).sum() for name, delta in deltas.items())
    of_peft = float(along / sum(delta.square().sum() for delta in deltas.values()))
    assert share == pytest.approx(of_peft, abs=0.05)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32"])
def test_a_run_ends_with_what_a_merge_would_lose(kind: str, tmp_path: Path) -> None:
    model = lora(tiny_model().to(getattr(torch, kind)))
    monitor = run(model, steps=6, lr=2e-5, dataset=stdlib_blocks(64, 16))  # a CPU takes long for half precision
    assert [alert.severity.name for alert in monitor.alerts if alert.rule == "LW316"] == ["INFO"] * (kind != "float32")
    share = kept_by_a_merge(find_adapters(model))
    if kind == "float32":
        assert math.isnan(share)
    else:
        assert share == pytest.approx(kept(*saved(model, tmp_path), kind)["all"], abs=0.05)
    assert kept_by_a_merge(find_adapters(sized(random_lora(tiny_model().bfloat16()), 2e-2))) > 0.95
