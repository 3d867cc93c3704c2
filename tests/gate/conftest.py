"""Real runs, trained once for all tests of the gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gate.runs import LR, train_into


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``output_dir`` of a run in which all is well."""
    return train_into(tmp_path_factory.mktemp("gate") / "healthy")


@pytest.fixture(scope="session")
def exploded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``output_dir`` of a run that its policy has ended."""
    return train_into(tmp_path_factory.mktemp("gate") / "exploded", lr=15 * LR, alpha=128, fail_on="error")
