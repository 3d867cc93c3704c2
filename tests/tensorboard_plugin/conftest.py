"""A log directory that the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared import once
from tests.tensorboard_plugin.made_up import HOSTILE, write_broken_run
from tests.tensorboard_plugin.real_runs import RECOVERED, train_into, train_pair
from tests.tensorboard_plugin.serving import server
from tests.tensorboard_plugin.tab import SIZE, Tab

STEPS = 30


@pytest.fixture(scope="session")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy run, its exploding twin and one that recovers from that, all real, and a broken one that is made up."""

    def make(folder: Path) -> None:
        train_pair(folder, STEPS)
        train_into(folder / RECOVERED, STEPS, r=8, alpha=64, lr=2e-2, recover=3)
        write_broken_run(folder / f"broken {HOSTILE}")

    return once(tmp_path_factory, "logdir", make)


@pytest.fixture(scope="session")
def address(logdir: Path, browser: Any) -> Iterator[str]:
    with server(logdir) as found:
        yield found


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Iterator[Any]:
    """One for all tests of a module, as TensorBoard takes seconds to load."""
    page = browser.new_page(viewport=SIZE)
    yield page
    page.close()


@pytest.fixture
def tab(page: Any, address: str) -> Iterator[Tab]:
    tab = Tab(page, address)
    yield tab
    tab.leave()
    assert tab.errors == []
