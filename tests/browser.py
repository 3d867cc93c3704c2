"""The browser of all tests of a process: Playwright starts once in a thread."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
ARGUMENTS += ["--disable-component-update"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Where no browser can be started: a failure in CI, a skip elsewhere."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        _no_browser(f"Playwright is not installed: {error}")
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=ARGUMENTS,
                ignore_default_args=["--hide-scrollbars"],  # which take room, as on Windows and Linux
            )
        except Error as error:
            _no_browser(f"Chromium did not start from {CHROMIUM}: {error}")
        yield found
        found.close()


def _no_browser(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
