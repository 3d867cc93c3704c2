"""The tab for who uses no mouse, no sight or no colours: axe-core over every page, light and dark."""

from __future__ import annotations

import pytest

from tests.tensorboard_plugin.axe import findings
from tests.tensorboard_plugin.real_runs import EXPLODED, HEALTHY
from tests.tensorboard_plugin.tab import ONE_LOADER, VIEWS, Tab


@ONE_LOADER
@pytest.mark.parametrize("mode", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
def test_axe_finds_nothing(tab: Tab, mode: str) -> None:
    frame = tab.open(run=EXPLODED)
    if mode == "dark":
        tab.page.click("app-header-dark-mode-toggle button")
        tab.after(lambda: tab.page.locator(".cdk-overlay-container").get_by_text("Dark", exact=True).click())
    for i, view in enumerate(VIEWS):
        tab.press(str(i + 1))
        tab.shows(view)
        assert findings(frame) == [], view
    frame.click("#keys")
    assert findings(frame) == [], "the help"
    frame.click("#close")
    tab.press("4")
    tab.after(lambda: tab.choose_run(HEALTHY))
    assert findings(frame) == [], "the rules of a run without alerts"


@ONE_LOADER
def test_what_acts_as_a_button_is_pressed_by_space(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    tab.after(lambda: frame.press(".chart .mark >> nth=0", "Space"))
    tab.shows("alerts")
    chosen = lambda: frame.get_attribute("#alerts tr.chosen", "data-alert")  # noqa: E731
    before = chosen()
    frame.press("#alerts tr.chosen .open", "ArrowDown" if before.startswith("LW102") else "ArrowUp")
    tab.after(lambda: frame.press(":focus", "Space"))
    assert chosen() != before
