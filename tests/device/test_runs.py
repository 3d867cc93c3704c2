"""Runs the device's tests in a process of their own: whoever has registered a device has it to the end."""

from __future__ import annotations

import pytest

from tests.device import strict
from tests.processes import Python

pytestmark = pytest.mark.skipif(strict.why_not() is not None, reason=str(strict.why_not()))


@pytest.mark.parametrize(
    "paths",
    [
        ("tests/device",),
        # On a CPU, where these are taken for far, the plain suite has them.
        pytest.param(
            ("tests/monitor/test_late.py", "tests/norms/test_measurement.py", "tests/norms/test_output_ratio.py"),
            marks=pytest.mark.thorough,
        ),
    ],
    ids=["device", "late"],
)
def test_on_the_strict_device(python: Python, paths: tuple[str, ...]) -> None:
    strict.build()
    options = ("-o", "addopts=", "-q", "-p", "no:cacheprovider")
    done = python("-m", "pytest", *options, *paths, LORA_WATCH_TEST_DEVICE=strict.NAME)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-4_000:]
