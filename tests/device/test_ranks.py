"""Two ranks under DDP on the device: the bits of unwatched training, true norms, and one end for both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.ranks import STEPS

ROOT = Path(__file__).parents[2]


def test_two_ranks_train_alike_and_end_together(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*start, "-m", "tests.device.ranks", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    zero, one = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert zero["watched"]["weights"] == one["watched"]["weights"] == zero["plain"]["weights"]
    assert zero["watched"]["norms"] == pytest.approx(one["watched"]["norms"], rel=1e-12)
    assert min(zero["watched"]["norms"]) > 0
    assert (zero["watched"]["rules"], zero["watched"]["steps"]) == ([], STEPS)
    for left in (zero["spoiled"], one["spoiled"]):
        assert left["ended"] == "LW201"
        assert left["steps"] == zero["spoiled"]["steps"] <= 3, "of the step after, at the latest"
