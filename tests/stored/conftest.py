"""A saved adapter that the tests of this folder share."""

from pathlib import Path

import pytest

from tests.stored.saving import random_lora


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    random_lora().save_pretrained(folder)
    return folder
