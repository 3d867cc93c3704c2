"""Runs the tests that can on the strict device: with float64, and without it as on MPS; and two ranks on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.device import strict
from tests.processes import Python

NORMS = ("tests/norms/test_measurement.py", "tests/norms/test_output_ratio.py", "tests/norms/test_sample.py")
LATE, OPERATIONS = "tests/monitor/test_late.py", "tests/monitor/test_operations.py"

pytestmark = pytest.mark.skipif(strict.why_not() is not None, reason=str(strict.why_not()))


@pytest.mark.parametrize(
    ("paths", "refuses"),
    [
        pytest.param(("tests/device",), "", id="all-dtypes"),
        pytest.param(("tests/device/test_norms.py", *NORMS), "float64", id="no-float64", marks=pytest.mark.thorough),
        # On a CPU, where these are taken for far, the plain suite has them; what is late is in tests/device, too.
        pytest.param((LATE, OPERATIONS, *NORMS), "", id="late", marks=pytest.mark.thorough),
    ],
)
def test_on_the_strict_device(python: Python, paths: tuple[str, ...], refuses: str) -> None:
    strict.build()
    options = ("-o", "addopts=", "-q", "-p", "no:cacheprovider")
    device = {"LORA_WATCH_TEST_DEVICE": strict.NAME, "LORA_WATCH_TEST_DEVICE_REFUSES": refuses}
    done = python("-m", "pytest", *options, *paths, **device)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-4_000:]


def test_two_ranks_train_alike_and_end_together(python: Python, tmp_path: Path) -> None:
    """DDP on the device: the bits of unwatched training, true norms, and one end for both."""
    strict.build()
    for done in python.ranks(2, "-m", "tests.device.ranks", tmp_path, LORA_WATCH_TEST_DEVICE=strict.NAME):
        assert done.returncode == 0, done.stderr[-3000:]
    zero, one = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert zero["watched"]["weights"] == one["watched"]["weights"] == zero["plain"]["weights"]
    assert zero["watched"]["norms"] == pytest.approx(one["watched"]["norms"], rel=1e-12)
    assert min(zero["watched"]["norms"]) > 0
    assert (zero["watched"]["rules"], zero["watched"]["steps"]) == ([], 4)
    for left in (zero["spoiled"], one["spoiled"]):
        assert left["ended"] == "LW201"
        assert left["steps"] == zero["spoiled"]["steps"] <= 3, "of the step after, at the latest"
