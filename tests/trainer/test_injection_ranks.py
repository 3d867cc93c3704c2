"""An exception in any callable of ours on one of two ranks: none hangs, none ends alone. A sample."""

import json
from pathlib import Path

import pytest

from tests.processes import Python
from tests.trainer.injection_ranks import WAYS

THOROUGH = 8
"""Parts in which the whole table is tried."""


def harmed(python: Python, folder: Path, first: int, step: int, *ways: str) -> list[object]:
    both = python.ranks(2, "-m", "tests.trainer.injection_ranks", folder, first, step, *ways)
    at = [f"rank {at.name[2:]} in {at.read_text()}" for at in sorted(folder.glob("at*"))]
    assert [done.returncode for done in both] == [0, 0], f"{at}: hung\n{both[0].stderr[-1000:]}"
    result = json.loads((folder / "0.json").read_text())
    assert result["tried"] > len(ways)
    return result["bad"]


def test_a_failure_on_one_rank_is_no_hang_and_no_end_of_one_alone(python: Python, tmp_path: Path) -> None:
    """What each way names, and a row or two of each."""
    assert harmed(python, tmp_path, 150, 500, *WAYS) == []


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(THOROUGH))
@pytest.mark.parametrize("way", WAYS)
def test_a_failure_of_any_callable(way: str, part: int, python: Python, tmp_path: Path) -> None:
    assert harmed(python, tmp_path, part, THOROUGH, way) == []
