"""Real ranks (gloo): the same numbers as one process, or unknown, and never ok about nothing."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.fsdp

from lora_watch.gate.judging import judge
from tests.processes import Python
from tests.sharding.ways import FEW


def run(python: Python, folder: Path, *ways: str) -> dict[str, Any]:
    """The rows of ``ways``, from one start of two ranks."""
    for done in python.ranks(2, "-m", "tests.sharding.ways", folder, *ways, DS_ACCELERATOR="cpu"):
        assert done.returncode == 0, done.stderr[-3000:]
    return {way: json.loads((folder / f"{way}.json").read_text()) for way in ways}


@pytest.fixture(scope="module")
def torchs(python: Python, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    if not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("this torch has no fully_shard")
    folder = tmp_path_factory.mktemp("ways")
    ways = ("pieces", "drifted", "fsdp2", "fsdp2-dora-8", "fsdp2-recovers", "fsdp1-orig", "fsdp1-flat")
    ways += ("tensor-parallel", "context-parallel", "kept-fsdp2", "saved-fsdp2-trainer")
    return run(python, folder, *ways, "loop-fsdp2", "loop-tensor-parallel"), folder


def check_exactly(row: dict[str, Any], adapters: int = 28) -> None:
    assert row["same"], "watched or not, training is the same"
    assert row["alike"], "every rank has the same numbers"
    assert (row["verdict"], row["alerts"]) == ("ok", [])
    assert row["error"] < 1e-9
    assert row["known"]["relative_norm"] == row["known"]["effective_lr"] == adapters
    assert row["known"]["base_drift"] == (0 if row["way"] == "zero3" else adapters)
    assert "in_optimizer" in row["wiring"]


@pytest.mark.parametrize("way", ["fsdp2", "fsdp2-dora-8", "tensor-parallel", "context-parallel"])
def test_what_is_cut_into_dtensors_is_measured_as_in_one_process(torchs: Any, way: str) -> None:
    row, adapters = torchs[0][way], 8 if way in FEW else 28
    check_exactly(row, adapters)
    assert row["known"]["a_grad_norm"] == adapters
    seen = 16 if way == "tensor-parallel" else adapters  # the MLP's are in parts there
    assert row["known"]["output_ratio"] == seen


def test_pieces_are_put_together_to_the_same_bits(torchs: Any) -> None:
    pieces = torchs[0]["pieces"]
    assert len(pieces) == 4
    assert all(case["same"] and case["norms"] < 1e-12 for case in pieces.values())


def test_a_frozen_weight_that_moves_is_seen_by_the_rank_whose_part_moved(torchs: Any) -> None:
    """Without a word to another rank. While a weight is whole, for a pass, it is not what was there before."""
    drifted = torchs[0]["drifted"]
    assert drifted["known"] == 28
    assert drifted["by_rank"] == [[0.0, [], 0], [0.0, [3], 0]]


def test_sharded_adapters_are_read_at_the_same_steps_by_all_ranks(torchs: Any) -> None:
    """Each reading is a collective: one that a rank leaves out, for want of time, ends the training of all."""
    row = torchs[0]["fsdp2-dora-8"]
    assert row["full"] == [*range(1, 21), 22]


def test_sharded_adapters_go_back_on_all_ranks(torchs: Any) -> None:
    """Each rank puts back its own shard: the norms of what is gathered afterwards are alike, and true."""
    row = torchs[0]["fsdp2-recovers"]
    rules = [alert.split(maxsplit=1)[0] for alert in row["alerts"]]
    assert rules[-2:] == ["LW102", "LW910"]
    assert row["alike"]
    assert row["error"] < 1e-9
    assert row["verdict"] == "ok"
    ((after, at_first),) = row["back"]
    assert after == pytest.approx(at_first, rel=1e-6), "the adapters add nothing again"


def test_what_fsdp1_leaves_is_unknown(torchs: Any) -> None:
    """Parts of matrices are no matrices, and no storage is no zero: no gradient norm, no LW303, no crash (LW901)."""
    parts, nothing = torchs[0]["fsdp1-orig"], torchs[0]["fsdp1-flat"]
    assert parts["same"]
    assert nothing["same"]
    assert parts["alerts"] == nothing["alerts"] == []
    in_forward = {"output_ratio": 8, "effective_lr": 8, "predicted_norm": 8}
    assert {metric: n for metric, n in parts["known"].items() if n} == in_forward
    assert not any(nothing["known"].values())
    assert nothing["verdict"] == "unknown"
    assert "are unknown" in nothing["notes"][0]


def test_no_last_good_adapter_is_kept_where_it_is_spread_over_ranks(torchs: Any) -> None:
    for ending, rule in (("loss", "LW201"), ("gradient", "LW101")):
        left = torchs[0]["kept-fsdp2"][ending]
        assert (left["ended"], left["step"], left["left"]) == (rule, None, [])
        assert "spread over ranks" in left["why"]
    assert [note for note in torchs[0]["fsdp2"]["notes"] if "spread over ranks" in note]


def check_what_was_saved(row: dict[str, Any]) -> None:
    """Each checkpoint and the final save were read back, and each fault names its layer."""
    rules = {"healthy": [], "resumed": [], "dropped": ["LW314"], "damaged": ["LW313", "LW313"]}
    assert {name: run["alerts"] for name, run in row.items()} == {
        name: [[rule, "model.layers.1.mlp.up_proj"] for rule in found] for name, found in rules.items()
    }
    assert all({".", "checkpoint-2", "checkpoint-4"} <= {*run["files"]} for run in row.values())


@pytest.mark.parametrize("way", ["fsdp2", "tensor-parallel"])
def test_a_loop_that_saves_what_one_rank_holds_is_told_so_and_a_resume_is_compared(torchs: Any, way: str) -> None:
    found = torchs[0][f"loop-{way}"]
    assert (found["whole"], found["shards"], found["nothing"]) == ([], ["LW313"], ["LW313"])
    assert (found["resumed"], found["dropped"]) == ([], ["LW314"])


def test_what_fsdp2_saves_is_read_back_and_resumed_from(torchs: Any) -> None:
    check_what_was_saved(torchs[0]["saved-fsdp2-trainer"])


def test_check_is_not_green_on_what_was_not_measured(torchs: Any) -> None:
    judgement = judge([torchs[1] / "fsdp1-flat"])
    assert judgement.exit_code == 2
    assert re.search("none of 8 adapters .*6 steps", judgement.unreadable[0])


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed")
def test_zero(python: Python, tmp_path: Path) -> None:
    """The optimizer holds flat partitions (1, 2), and the model nothing at all (3)."""
    rows = run(python, tmp_path, "zero2", "zero3", "saved-zero3")
    check_what_was_saved(rows.pop("saved-zero3"))
    for row in rows.values():
        check_exactly(row)
        assert row["known"]["a_grad_norm"] == 0
        assert row["known"]["predicted_norm"] == 28
    assert [row["known"]["output_ratio"] for row in rows.values()] == [28, 0]
    notes = rows["zero3"]["notes"]
    assert any(re.search("output_ratio .*unknown .*28 of 28.*ZeRO-3", note) for note in notes)
    assert any(re.search("base_drift .*unknown", note) for note in notes)
