"""A saved adapter is the one that was trained, or the receipt says what is not."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn

from lora_watch import find_adapters, measure
from lora_watch.base.records import Receipt
from lora_watch.snapshots.receipt import read_back
from lora_watch.tune.inspect import inspect_adapter
from tests.stored.saving import random_lora, rewrite
from tests.support import lora, tiny_model

LAYER = "base_model.model.model.layers.1.mlp.up_proj.lora_"
QUERY = "base_model.model.model.layers."
NAME = "model.layers.1.mlp.up_proj"


def norms(model: Any) -> dict[str, float]:
    measured = measure(model)
    return dict(zip(measured.names, measured.delta_norm.tolist()))


def receipt(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda content: None) -> Receipt:
    model = random_lora()
    model.save_pretrained(folder)
    rewrite(folder, change)
    found = read_back(folder, 7, norms(model))
    assert found is not None
    return found


def test_what_was_saved_as_it_was_trained_or_in_fewer_bits_names_nothing(tmp_path: Path) -> None:
    def rounded(content: dict[str, Any]) -> None:
        content.update({name: tensor.bfloat16() for name, tensor in content.items()})

    assert receipt(tmp_path).is_good
    assert receipt(tmp_path, rounded).is_good


def test_keys_that_peft_does_not_load_are_named(tmp_path: Path) -> None:
    def wrapped(content: dict[str, Any]) -> None:
        for part in "AB":
            tensor = content.pop(f"{LAYER}{part}.weight")
            content[f"{LAYER}{part}.weight".replace(".layers.1.", ".layers.1._fsdp_wrapped_module.")] = tensor

    assert receipt(tmp_path, wrapped).misnamed == (NAME,)


def test_an_empty_file_and_a_shard_are_told_in_words(tmp_path: Path) -> None:
    assert "no lora_A and lora_B in it" in receipt(tmp_path / "empty", lambda content: content.clear()).unreadable
    sharded = receipt(tmp_path / "shard", lambda c: c.update({f"{LAYER}A.weight": torch.zeros(0)}))
    assert "saved from one shard of FSDP or ZeRO-3" in sharded.unreadable


def test_several_sets_are_each_looked_for_where_peft_saves_them(tmp_path: Path) -> None:
    model = random_lora(targets=["q_proj"])
    model.add_adapter("other", model.peft_config["default"])
    trained = norms(model)
    assert len(trained) == 8
    model.save_pretrained(tmp_path / "both")
    assert read_back(tmp_path / "both", 7, trained) == Receipt(7, str(tmp_path / "both"))
    model.save_pretrained(tmp_path / "one", selected_adapters=["default"])
    assert read_back(tmp_path / "one", 7, trained) == Receipt(7, str(tmp_path / "one"))
    rewrite(tmp_path / "both" / "other", lambda content: [content.pop(name) for name in list(content)[:2]])
    found = read_back(tmp_path / "both", 7, trained)
    assert found.missing == ("model.layers.0.self_attn.q_proj.other",)


def test_where_peft_has_saved_nothing_nothing_is_said(tmp_path: Path) -> None:
    assert read_back(tmp_path, 7, norms(random_lora())) is None
    (tmp_path / "pytorch_model_fsdp_0").mkdir()
    assert read_back(tmp_path, 7, norms(random_lora())) is None


def test_the_kinds_of_lora_that_are_read_have_the_norms_that_were_measured(tmp_path: Path) -> None:
    kinds: tuple[dict[str, Any], ...] = (
        {"use_rslora": True},
        {"use_dora": True},
        {"targets": ["embed_tokens", "q_proj"]},
    )
    for i, options in enumerate(kinds):
        model = random_lora(tiny_model(), **options)
        model.save_pretrained(tmp_path / str(i))
        assert read_back(tmp_path / str(i), 7, norms(model)) == Receipt(7, str(tmp_path / str(i)))


def test_adalora_is_read_with_the_ranks_that_it_has_kept(tmp_path: Path) -> None:
    """Of the four layers the first has kept none of four, the last three."""
    config = peft.AdaLoraConfig(init_r=4, target_modules=["q_proj"], total_step=9, init_lora_weights=False)
    model: Any = peft.get_peft_model(tiny_model(), config)
    kept = {f"model.layers.{i}.self_attn.q_proj.lora_E": [j < i for j in range(4)] for i in range(4)}
    for adapter, ranks in zip(find_adapters(model), kept.values()):
        adapter.diagonal_parameter.data[~torch.tensor(ranks)] = 0.0  # pyright: ignore[reportOptionalMemberAccess]
    model.peft_config["default"].rank_pattern = kept
    model.save_pretrained(tmp_path)
    trained = norms(model)
    assert read_back(tmp_path, 7, trained) == Receipt(7, str(tmp_path))
    inspection = inspect_adapter(tmp_path)
    inspected = inspection.measurement
    assert inspected.r == (0, 1, 2, 3)
    assert dict(zip(inspected.names, inspected.delta_norm)) == pytest.approx(trained)
    assert [max(sigmas) for sigmas in inspection.spectra] == pytest.approx(inspected.spectral_norm)
    rewrite(tmp_path, lambda content: content.update({f"{QUERY}2.self_attn.q_proj.lora_E": torch.ones(3, 1)}))
    found = read_back(tmp_path, 7, trained)
    assert "do not multiply" in found.unreadable


def test_a_convolution_with_groups_is_not_compared(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv1d(8, 16, 3, groups=2), nn.Flatten(), nn.Linear(16, 4))
    adapted = lora(model, r=4, targets=["0", "2"], task_type=None)
    adapted.save_pretrained(tmp_path)
    trained = {"0": math.nan, "2": 0.0}
    assert read_back(tmp_path, 7, trained) is None
