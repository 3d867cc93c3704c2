"""A CPU in the place of an accelerator."""

import pytest

from lora_watch.base import deferred
from tests.support import DEVICE


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every device is taken for an accelerator, unless there is a real one."""
    if DEVICE.type == "cpu":
        monkeypatch.setattr(deferred, "_NEAR", frozenset())
