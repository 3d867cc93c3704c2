"""A file is measured as the loaded model is, in little memory; and what is no adapter is one clear error."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lora_watch import find_adapters, measure
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.measurement.norms import Measurement
from lora_watch.snapshots.weights import StoredError
from lora_watch.tune.inspect import inspect_adapter
from tests.adapters.zoo import Experts, Net, adapted
from tests.stored.saving import command, lose_a_layer, random_lora, rewrite
from tests.support import lora, needs_peft, tiny_model

COLUMNS = [field for field in Measurement.__dataclass_fields__ if field not in ("names", "methods", "r", "known")]


# -- the same as the loaded model --------------------------------------------------------------------------------------
KINDS: dict[str, Callable[[], Any]] = {
    "plain": random_lora,
    "rslora": lambda: random_lora(r=6, use_rslora=True),
    "patterns": lambda: random_lora(
        rank_pattern={"v_proj": 4, "layers.0.mlp.up_proj": 2},
        alpha_pattern={"layers.1.*": 3, "^model.layers.2.mlp.*": 5},
    ),
    "dora": lambda: random_lora(use_dora=True, targets=["q_proj", "up_proj"]),
    "embeddings": lambda: random_lora(targets=["embed_tokens", "q_proj"]),
    "bfloat16": lambda: random_lora(tiny_model().bfloat16(), targets=["q_proj"]),
    "bias": lambda: random_lora(targets=["q_proj"], lora_bias=True),
}
SINCE = {"patterns": "0.15", "bias": "0.14"}
"""The version of PEFT that each needs, where older ones are admitted."""


@pytest.mark.parametrize("kind", [pytest.param(k, marks=needs_peft(SINCE[k]) if k in SINCE else ()) for k in KINDS])
@pytest.mark.filterwarnings("ignore")
def test_a_file_is_measured_as_the_model_is(kind: str, tmp_path: Path) -> None:
    model = KINDS[kind]()
    model.save_pretrained(tmp_path)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    tiny_model().to(dtype).save_pretrained(tmp_path / "base")
    inspection, truth = inspect_adapter(tmp_path, tmp_path / "base"), measure(model)
    place = {name: i for i, name in enumerate(inspection.measurement.names)}
    order = [place[name] for name in truth.names]
    assert len(place) == len(truth.names)
    for column in COLUMNS:
        ours, theirs = getattr(inspection.measurement, column)[order], getattr(truth, column)
        assert np.isfinite(theirs).all()
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=column)
    assert [inspection.measurement.methods[i] for i in order] == list(truth.methods)
    adapters = {a.name: a for a in find_adapters(model)}
    for each in inspection.saved.adapters:
        live = adapters[each.name]
        assert (each.r, each.alpha, each.scale_formula, each.shape) == (
            live.r,
            live.alpha,
            live.scale_formula,
            live.shape,
        )


@pytest.mark.filterwarnings("ignore")
def test_convolutions_and_experts(tmp_path: Path) -> None:
    convolution = adapted(Net(nn.Conv2d(4, 6, 3)))
    experts = adapted(Net(Experts()), target_parameters=["layer.up", "layer.down"])
    for name, model in (("convolution", convolution), ("experts", experts)):
        model.save_pretrained(tmp_path / name)
        ours, truth = inspect_adapter(tmp_path / name).measurement, measure(model)
        for column in ("delta_norm", "spectral_norm", "effective_rank"):
            np.testing.assert_allclose(sorted(getattr(ours, column)), sorted(getattr(truth, column)), rtol=1e-6)


def test_a_sharded_base(saved: Path, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path, max_shard_size="1MB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    one, many = (inspect_adapter(saved, base).measurement.relative_norm for base in (TINY_LLAMA, tmp_path))
    assert np.isfinite(one).all()
    np.testing.assert_allclose(many, one, rtol=1e-3)  # that of the package is stored in 16 bits
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(StoredError, match=r"model-00002.*download"):
        inspect_adapter(saved, tmp_path)


def test_an_index_names_no_file_elsewhere(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    with pytest.raises(StoredError, match="next to"):
        inspect_adapter(saved, tmp_path)


def test_another_base_is_noticed(saved: Path, tmp_path: Path) -> None:
    weights = load_file(TINY_LLAMA / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    save_file({name: weights[name]}, tmp_path / "model.safetensors")
    assert any("27 of 28" in note for note in inspect_adapter(saved, tmp_path).notes)
    save_file({name: torch.ones(64, 64)}, tmp_path / "model.safetensors")
    with pytest.raises(StoredError, match="another model"):
        inspect_adapter(saved, tmp_path)
    with pytest.raises(StoredError, match=r"nowhere: .*model\.safetensors"):
        inspect_adapter(saved, tmp_path / "nowhere")


def test_a_large_adapter_takes_little_memory(tmp_path: Path) -> None:
    """Sixteen layers of 16 MiB: the peak holds a few of them, not all."""
    settings = {"peft_type": "LORA", "r": 64, "lora_alpha": 64}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    a, b = torch.randn(64, 32768), torch.randn(32768, 64)
    content = {}
    for i in range(16):
        content[f"base_model.model.layers.{i}.q.lora_A.weight"] = a + i
        content[f"base_model.model.layers.{i}.q.lora_B.weight"] = b + i
    save_file(content, tmp_path / "adapter_model.safetensors")
    size = (tmp_path / "adapter_model.safetensors").stat().st_size / 2**20
    code = (
        "import resource, sys\n"
        "from lora_watch.tune.inspect import inspect_adapter\n"
        "from lora_watch.measurement.norms import AdapterBank\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "inspection = inspect_adapter(sys.argv[1])\n"
        "print(len(inspection.energy), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    layers, grown = done.stdout.split()
    assert int(layers) == 16
    assert size > 250
    assert float(grown) < 64


# -- the command -------------------------------------------------------------------------------------------------------
def test_the_command_shows_the_layers_and_the_whole(saved: Path) -> None:
    shown = command(saved, "--base", TINY_LLAMA, "--rows", 3)
    assert shown.exit_code == 0, shown.output
    assert "/σ₁(W₀)  layer\n" in shown.output
    assert "… and 25 more" in shown.output
    assert "28 layers (lora), 78,848 parameters, rank 8, s = α/r" in shown.output
    for more in ((), ("--base", TINY_LLAMA)):
        content = json.loads(command(saved, "--json", *more).output)
        assert len(content["adapters"][0]["spectrum"]) == 8
        assert (content["adapters"][0]["relative_norm"] is None) == (not more), "null: it was not asked"


def test_a_nan_is_reported(tmp_path: Path) -> None:
    model = random_lora(targets=["q_proj"])
    find_adapters(model)[2].parameters[1].data[0, 0] = math.nan
    model.save_pretrained(tmp_path)
    shown = command(tmp_path)
    assert shown.exit_code == 1
    assert re.search(r"FINITE: model\.layers\.2\.self_attn\.q_proj:", shown.output)
    inspection = json.loads(command(tmp_path, "--json").output)
    assert inspection["not_finite"] == ["model.layers.2.self_attn.q_proj"]


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "up_proj"], r".*layers\.[13]\.mlp\.up_proj"])
def test_a_layer_that_the_file_lacks_is_named(targets: Any, tmp_path: Path) -> None:
    random_lora(targets=targets).save_pretrained(tmp_path)
    assert command(tmp_path, "--base", TINY_LLAMA).exit_code == 0
    rewrite(tmp_path, lose_a_layer)
    shown = command(tmp_path, "--base", TINY_LLAMA)
    assert (shown.exit_code, "MISSING: model.layers.1.mlp.up_proj: target" in shown.output) == (1, True), shown.output
    found = json.loads(command(tmp_path, "--base", TINY_LLAMA, "--json").output)
    assert found["missing"] == ["model.layers.1.mlp.up_proj"]


def test_a_kind_of_layer_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    random_lora(targets=["q_proj", "v_proj"]).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda content: [content.pop(name) for name in [*content] if "v_proj" in name])
    missing = inspect_adapter(tmp_path, TINY_LLAMA).missing
    assert missing == tuple(f"model.layers.{block}.self_attn.v_proj" for block in range(4))


def test_what_is_missing_is_unknown_without_a_config(tmp_path: Path) -> None:
    random_lora(targets=["q_proj"]).save_pretrained(tmp_path)
    weights = shutil.copy(TINY_LLAMA / "model.safetensors", tmp_path / "model.safetensors")
    found = inspect_adapter(tmp_path, Path(weights))
    assert (found.missing, any("missing is not known" in note for note in found.notes)) == ((), True)


def test_blocks_that_only_the_file_of_the_base_model_has_are_not_missed(tmp_path: Path) -> None:
    random_lora(targets=["q_proj"]).save_pretrained(tmp_path)
    shutil.copytree(TINY_LLAMA, tmp_path / "base")
    weights = load_file(TINY_LLAMA / "model.safetensors")
    further = {name.replace("layers.3.", "layers.4."): weight.clone() for name, weight in weights.items()}
    save_file(weights | further, tmp_path / "base" / "model.safetensors")
    assert inspect_adapter(tmp_path, tmp_path / "base").missing == ()


def test_an_untrained_adapter_is_zero(tmp_path: Path) -> None:
    lora(tiny_model(), targets=["q_proj"]).save_pretrained(tmp_path)
    inspection = inspect_adapter(tmp_path)
    assert inspection.delta_norm == 0
    assert (inspection.energy == 0).all()
    assert command(tmp_path).exit_code == 0
