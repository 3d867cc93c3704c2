"""The tab in a real browser: addresses, servers that come and go, what is missing, widths, modes and growing runs.

And for who uses no mouse, no sight or no colours: axe-core over every page, light and dark.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.tensorboard_plugin.axe import findings
from tests.tensorboard_plugin.conftest import STEPS
from tests.tensorboard_plugin.made_up import record_of, run_of, write
from tests.tensorboard_plugin.real_runs import EXPLODED, HEALTHY
from tests.tensorboard_plugin.serving import server
from tests.tensorboard_plugin.tab import VIEWS, Tab


def test_back_leads_to_the_view_before_and_forward_on_again(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    tab.go("heatmap")
    tab.after(lambda: frame.select_option("#metric", "delta_norm"))  # no place of its own
    tab.go("alerts")
    tab.choose_run("exploded")
    for act, view, run in (
        ("go_back", "alerts", HEALTHY),
        ("go_back", "heatmap", HEALTHY),
        ("go_back", "overview", HEALTHY),
        ("go_forward", "heatmap", HEALTHY),
    ):
        tab.after(getattr(tab.page, act))
        tab.shows(view)
        assert frame.eval_on_selector("#run", "select => select.value") == run
    assert frame.input_value("#metric") == "delta_norm"


def test_the_address_belongs_to_the_tab_that_is_open(tab: Tab) -> None:
    tab.open(run=HEALTHY)
    tab.page.click("[data-plugin-id=scalars]")
    tab.until(lambda: tab.hash().startswith("#scalars"))


def test_a_link_to_a_run_that_is_not_there_says_so_and_waits_for_it(tmp_path: Path, browser: Any) -> None:
    run = run_of(4)
    runs = tmp_path / "runs"
    for folder in (runs / "here", tmp_path / "later"):
        write(folder, run, [record_of(run, step) for step in range(1, 6)])
    with server(runs) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        frame = tab.open(view="layer", run="later", adapter=run.adapters[2].name, step=3)
        assert "no run “later”" in frame.inner_text("#view .notes")
        assert frame.eval_on_selector("#run", "select => select.value") == "here"
        assert "run=later" in tab.hash()
        (tmp_path / "later").rename(runs / "later")

        def arrived() -> bool:  # TensorBoard may have read a part of its steps
            tab.after(lambda: frame.click("#refresh"))
            run_shown = frame.eval_on_selector("#run", "select => select.value")
            return (run_shown, frame.inner_text("#step")) == ("later", "3")

        tab.until(arrived)
        assert frame.eval_on_selector("#adapter", "select => select.value") == run.adapters[2].name
        assert frame.query_selector("#view .notes") is None

        frame = tab.open(view="layer", run="here", adapter="gone", step="many")
        assert "no adapter “gone”" in frame.inner_text("#view .notes")
        assert frame.inner_text("#step") == "5"

        frame = tab.open(view="layer", adapter=run.adapters[2].name, step=3)  # of the latest run, whichever that is
        assert frame.inner_text("#step") == "3"
        assert frame.eval_on_selector("#adapter", "select => select.value") == run.adapters[2].name
        page.close()
        assert tab.errors == []


def test_a_server_that_went_away_is_asked_again(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    tab.page.route("**/plugin/lora_watch/*", lambda route: route.abort())
    tab.after(lambda: frame.click("#refresh"))
    assert "not answer" in frame.inner_text("#view [role=alert]")
    tab.errors.clear()  # the browser's own words of that
    tab.page.unroute("**/plugin/lora_watch/*")
    tab.after(lambda: frame.click("#again"))
    assert frame.query_selector("#verdict.ok") is not None


def test_the_view_before_is_not_shown_in_place_of_one_that_takes_long(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    held: list[Any] = []
    tab.page.route("**/verdict*", lambda route: held.append(route))
    frame.click("#tab-compare")
    assert re.search(r"compare .*\b4 runs", frame.inner_text("#loading"))
    assert frame.query_selector("#verdict") is None
    tab.until(lambda: bool(held))
    tab.after(lambda: [held.pop().continue_() for _ in range(len(held))])
    assert frame.query_selector("#loading") is None
    assert frame.query_selector("#runs") is not None


def test_a_chart_zooms(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    card = ".card:has(h2 .term:text-is('Loss'))"
    box = frame.query_selector(f"{card} svg.chart").bounding_box()
    assert {"step", "loss"} <= set(
        frame.eval_on_selector_all(f"{card} .axis-name", "all => all.map(e => e.textContent)")
    )
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + 50, steps=4)
    tab.after(tab.page.mouse.up)
    first, last = map(int, re.findall(r"\d+", frame.inner_text("#unzoom")))
    assert 1 < first < last < STEPS
    tab.press("Escape")
    assert frame.query_selector("#unzoom") is None


def test_every_view_fits_into_420_pixels(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    tab.after(lambda: tab.page.set_viewport_size({"width": 420, "height": 900}))
    for view in VIEWS:
        tab.go(view)
        assert (
            frame.evaluate("['#view', '#bar'].map((e) => document.querySelector(e).scrollWidth <= 420)") == [True] * 2
        )
        assert frame.eval_on_selector_all("#view .card", "all => all.every((card) => card.clientWidth > 250)"), view


@pytest.mark.parametrize("mode", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
def test_axe_finds_nothing(tab: Tab, mode: str) -> None:
    frame = tab.open(run=EXPLODED)
    if mode == "dark":
        tab.page.click("app-header-dark-mode-toggle button")
        tab.after(lambda: tab.page.locator(".cdk-overlay-container").get_by_text("Dark", exact=True).click())
    for view in VIEWS:
        tab.go(view)
        assert findings(frame) == [], view


def test_what_acts_as_a_button_is_pressed_by_space(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    tab.after(lambda: frame.press(".chart .mark >> nth=0", "Space"))
    tab.shows("alerts")
    chosen = lambda: frame.get_attribute("#alerts tr.chosen", "data-alert")  # noqa: E731
    before = chosen()
    tab.after(lambda: frame.press("#alerts tr:not(.chosen) .open", "Space"))
    assert chosen() != before


def test_a_growing_run_is_followed(tmp_path: Path, browser: Any) -> None:
    run = run_of(6)
    sink = TensorBoardSink(tmp_path / "growing")
    sink.start(run, 0)
    flush = sink.flush  # what two seconds do otherwise
    for step in range(1, 11):
        sink.write(record_of(run, step), [])
    flush()
    with server(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        frame = tab.open()
        tab.until(lambda: frame.inner_text("#step") == "10")
        for step in range(11, 26):
            sink.write(record_of(run, step), [])
        flush()
        tab.until(lambda: frame.inner_text("#step") == "25")  # by itself: nobody has pressed anything
        tab.press("ArrowLeft")
        for step in range(26, 31):
            sink.write(record_of(run, step), [])
        flush()
        tab.until(lambda: "step 30" in frame.inner_text("#refresh"))
        assert frame.inner_text("#step") == "24", "who looks at a step is not led away from it"
        tab.after(lambda: frame.click("#refresh"))
        tab.press("End")
        assert frame.inner_text("#step") == "30"
        frame = tab.open(run="growing", step=33)
        assert frame.inner_text("#step") == "30"
        for step in range(31, 36):
            sink.write(record_of(run, step), [])
        flush()
        tab.until(lambda: frame.inner_text("#step") == "33")  # by itself, too: a link has named it
        tab.press("End")
        assert frame.inner_text("#ended") == "running"
        frame.evaluate("(now => { Date.now = () => now() + 1_000_000 })(Date.now)")  # after a quarter of an hour
        tab.until(lambda: frame.inner_text("#verdict h1").startswith("Silent for"))
        sink.finish("ok", None)
        tab.until(lambda: frame.inner_text("#ended") == "finished")  # although no step came with it
        write(tmp_path / "another", run, [record_of(run, 1)])
        tab.until(lambda: "1 new run" in frame.inner_text("#refresh"))
        page.close()
        assert tab.errors == []


@pytest.mark.thorough
def test_behind_a_path_prefix(logdir: Path, browser: Any) -> None:
    with server(logdir, "--path_prefix=/deep/down", prefix="/deep/down") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        assert tab.open(view="heatmap", run=HEALTHY).query_selector("#heat") is not None
        page.close()
        # TensorBoard itself looks for two of its own images without the prefix.
        assert [error for error in tab.errors if "lora_watch" in error] == []


def test_a_log_directory_without_our_data_has_no_tab(tmp_path: Path) -> None:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    from tests.tensorboard_plugin.serving import routes

    EventFileWriter(str(tmp_path / "other")).close()
    with routes(tmp_path) as tab:
        assert tab.json("runs") == {}
        reply = tab._client.get("/data/plugins_listing").get_json()
        assert reply["lora_watch"]["enabled"] is False
