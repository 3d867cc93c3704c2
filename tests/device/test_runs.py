"""Runs the tests that can on the strict device: with float64, and without it as on MPS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device import strict

ROOT = Path(__file__).parents[2]
NORMS = ("tests/norms/test_measurement.py", "tests/norms/test_output_ratio.py", "tests/norms/test_sample.py")
LATE, OPERATIONS = "tests/monitor/test_late.py", "tests/monitor/test_operations.py"

pytestmark = pytest.mark.skipif(strict.why_not() is not None, reason=str(strict.why_not()))


@pytest.mark.parametrize(
    ("paths", "refuses"),
    [
        pytest.param(("tests/device", LATE), "", id="all-dtypes"),
        pytest.param(("tests/device/test_norms.py", *NORMS), "float64", id="no-float64", marks=pytest.mark.thorough),
        pytest.param((OPERATIONS, *NORMS), "", id="operations", marks=pytest.mark.thorough),
    ],
)
def test_on_the_strict_device(paths: tuple[str, ...], refuses: str) -> None:
    strict.build()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider", *paths],
        cwd=ROOT,
        env=os.environ | {"LORA_WATCH_TEST_DEVICE": strict.NAME, "LORA_WATCH_TEST_DEVICE_REFUSES": refuses},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-4_000:]
