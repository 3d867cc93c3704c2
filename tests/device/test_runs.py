"""Runs the device's tests in a process of their own: whoever has registered a device has it to the end."""

import pytest

from tests.device import strict
from tests.processes import Python

pytestmark = pytest.mark.skipif(strict.why_not() is not None, reason=str(strict.why_not()))


def test_on_the_strict_device(python: Python) -> None:
    strict.build()
    options = ("-o", "addopts=", "-q", "-p", "no:cacheprovider")
    # No hub to fetch kernels from, which transformers does for any accelerator.
    done = python("-m", "pytest", *options, "tests/device", TEST_DEVICE=strict.NAME, USE_HUB_KERNELS="0")
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-4_000:]
