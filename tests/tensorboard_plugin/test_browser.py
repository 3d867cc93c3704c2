"""The tab in a real browser, over real TensorBoard processes with either loader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from lora_watch.alerts import Severity
from lora_watch.sinks import TensorBoardSink
from tests.sinks.backend import LOADERS
from tests.sinks.made_up import alert_of
from tests.tensorboard_plugin.conftest import STEPS
from tests.tensorboard_plugin.made_up import HOSTILE, record_of, run_of, write
from tests.tensorboard_plugin.real_runs import EXPLODED, HEALTHY
from tests.tensorboard_plugin.serving import fetch, server

VIEWS = ("overview", "heatmap", "layer", "alerts", "compare")
WAIT = 30_000
MAGENTA = [255, 0, 168]


@dataclass
class Tab:
    """One browser page on one TensorBoard."""

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)
    frame: Any = None

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location.get('url')}")

    def open(self, **state: Any) -> Any:
        """The tab's frame, loaded anew at this state and drawn."""
        parts = [f"p.lora_watch.{key}={quote(str(value))}" for key, value in state.items()]
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#" + "&".join(["lora_watch", *parts]))
        self.frame = self.page.wait_for_selector("iframe").content_frame()
        self.shows(state.get("view", "overview"))
        self.frame.evaluate("window.draws = 0; document.addEventListener('lora-watch-drawn', () => window.draws++)")
        return self.frame

    def shows(self, view: str) -> None:
        self.frame.wait_for_selector(f"body[data-ready={view}]")

    def hash(self) -> str:
        return self.page.evaluate("decodeURIComponent(location.hash)")

    def after(self, act: Callable[[], Any]) -> None:
        """Do it and wait until the tab has drawn again."""
        before = self.frame.evaluate("window.draws")
        act()
        self.until(lambda: self.frame.evaluate("window.draws") > before)

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(WAIT // 25):
            if condition():
                return
            self.page.wait_for_timeout(25)
        raise TimeoutError(
            f"nothing came of it; the tab shows: {self.frame.inner_text('#view')[:300]!r}, {self.errors}"
        )

    def choose_run(self, part: str) -> None:
        """As someone does who remembers a part of its name."""
        self.frame.fill("#run", part)
        self.frame.press("#run", "Enter")

    def press(self, key: str) -> None:
        self.after(lambda: self.frame.press("#view", key))


@pytest.fixture(scope="module", params=list(LOADERS))
def address(request: pytest.FixtureRequest, logdir: Path, browser: Any) -> Iterator[str]:
    with server(logdir, request.param) as found:
        yield found


ONE_LOADER = pytest.mark.parametrize("address", ["python"], indirect=True, scope="module")
"""For what happens in the browser alone."""


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    tab = Tab(page, address)
    yield tab
    page.close()
    assert tab.errors == []


def test_every_view_is_drawn_and_fits_into_1280_pixels(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    assert "explosion" in frame.inner_text("#verdict h1").lower()
    assert "lora_alpha 64" in frame.inner_text("#verdict .fix")
    assert frame.inner_text("#ended") == "finished unhealthy"
    assert len(frame.query_selector_all(".bars li")) == 9  # the last measured ones, if not measured at the last step
    for i, view in enumerate(VIEWS):
        tab.press(str(i + 1))
        tab.shows(view)
        assert frame.inner_text("#view").strip()
        assert frame.query_selector("#view [role=alert]") is None
        wide, room = frame.evaluate("[document.querySelector('#view').scrollWidth, innerWidth]")
        assert wide <= room, view
    assert frame.query_selector("#differences").inner_text().count("\n") >= 3
    assert EXPLODED in frame.inner_text("#outcomes")
    tab.after(lambda: frame.click("#tab-layer"))
    assert len(frame.query_selector_all("#spectrum .sigma")) == 8


def test_the_tab_says_what_the_rules_wrote(tab: Tab) -> None:
    coloured = "all => [...new Set(all.map((line) => line.classList[2]))]"
    frame = tab.open(run=HEALTHY)
    assert frame.query_selector("#verdict.ok") is not None
    assert frame.inner_text("#verdict h1").startswith("Healthy")
    assert "error" not in frame.eval_on_selector_all(".trace.zone", coloured)
    frame = tab.open(run=EXPLODED)
    assert frame.query_selector("#verdict.error") is not None
    assert "error" in frame.eval_on_selector_all(".trace.zone", coloured)


def test_nothing_is_judged_in_the_browser(tmp_path: Path, browser: Any) -> None:
    run = run_of(8)
    rising = {"loss_start": 1.0, "loss_recent": 9.0, "loss_improved": 0.0}
    ratio = {"output_ratio": np.full(8, 500.0)}
    records = [record_of(run, s, metrics=ratio, scalars=rising, zone="healthy") for s in range(1, 20)]
    write(tmp_path / "rules say healthy", run, records)
    small = [record_of(run, s, zone="exploding") for s in range(1, 20)]
    errors = [alert_of(7, "LW102"), alert_of(5, "LW201", name="non-finite-loss")]
    write(tmp_path / "rules say exploding", run, small, {3: [alert_of(3, "LW203", Severity.WARNING)], 7: errors})
    with server(tmp_path, "python") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        frame = tab.open(run="rules say healthy")
        assert frame.inner_text("#verdict h1").startswith("Healthy")
        assert frame.query_selector("#verdict.ok") is not None
        frame = tab.open(run="rules say exploding")
        assert frame.inner_text("#verdict h1").startswith("Non-finite loss"), "the earliest of the most severe"
        frame = tab.open(run="rules say exploding", step=4)
        assert frame.query_selector("#verdict.warning") is not None, "no error had opened by then"
        page.close()
        assert tab.errors == []


def test_a_sweep_is_one_curve_and_leads_to_its_runs(tmp_path: Path, browser: Any) -> None:
    losses = {2: (2.0, 2.1), 4: (1.5, 1.61), 8: (1.5, 1.611)}  # from rank 4 on nothing is gained
    for r, values in losses.items():
        for seed, loss in enumerate(values):
            run = run_of(4)
            run = replace(
                run,
                adapters=tuple(replace(a, r=r, alpha=float(r), scale=1.0) for a in run.adapters),
                config={"seed": seed, "learning_rate": 1e-3},
            )
            write(tmp_path / f"r{r}-{seed}", run, [record_of(run, step, loss=loss) for step in range(1, 11)])
    with server(tmp_path, "python") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        frame = tab.open(view="compare", run="r8-1")
        # Beside the run that is looked at, the run with its seed of each other rank.
        assert [e.inner_text() for e in frame.query_selector_all("#chosen [aria-pressed=true]")] == [
            "A\nr2-1",
            "B\nr4-1",
            "C\nr8-1",
        ]
        assert frame.eval_on_selector_all(".picture .lettered text", "all => all.map(e => e.textContent)") == list(
            "ABC"
        )
        assert len(frame.query_selector_all("#sweep .dot")) == 6
        said = frame.inner_text("#sweep .words")
        assert "2 → 4: +24 ± " in said
        assert said.endswith("Rank 4 is the best.")
        place = "(c) => document.querySelector(`#sweep .${c}`).getAttribute(c === 'chosen' ? 'cx' : 'x')"
        assert frame.evaluate(place, "plateau") == frame.evaluate(place, "chosen")
        tab.after(lambda: frame.click("#sweep .dot[aria-label='r2-0']"))
        tab.shows("overview")
        assert frame.eval_on_selector("#run", "select => select.value") == "r2-0"
        page.close()
        assert tab.errors == []


def test_from_an_alert_to_its_layer(tab: Tab) -> None:
    frame = tab.open(view="alerts", run=EXPLODED)
    row = frame.query_selector("#alerts tbody tr[data-alert^='LW102@']")
    step = row.get_attribute("data-alert").partition("@")[2]
    tab.after(row.click)
    assert "lora_alpha 64" in frame.inner_text("#detail")
    drawn = re.search(r"threshold ([\d.]+) of a layer", frame.text_content("#detail svg.chart"))
    assert float(drawn[1]) * 4 in (1.5, 12), "LW102's limit is over four blocks"
    assert frame.inner_text("#settings .setting >> nth=0").split() == ["lora_alpha", "64", "→", "16"]
    worst = frame.inner_text("#detail .named .mono >> nth=0")
    tab.after(lambda: frame.click("#to-layer"))
    tab.shows("layer")
    assert frame.eval_on_selector("#adapter", "select => select.value") == worst
    assert frame.inner_text("#step") == step
    assert f"p.lora_watch.step={step}" in tab.hash()
    assert "Norm explosion" in frame.inner_text(".layer-head")

    tab.press("2")
    tab.shows("heatmap")
    assert frame.eval_on_selector("#metric", "select => select.value") == "output_ratio"
    assert frame.inner_text("#step") == step


def test_alerts_are_filtered_and_sorted(tab: Tab) -> None:
    frame = tab.open(view="alerts", run=EXPLODED)
    rules = lambda: frame.eval_on_selector_all("#alerts tbody tr", "all => all.map((row) => row.cells[1].textContent)")  # noqa: E731
    assert rules() == ["LW102", "LW401"]
    tab.after(lambda: frame.click("#sort-step"))
    assert rules() == ["LW401", "LW102"]
    tab.after(lambda: frame.click("#level-ERROR"))
    assert rules() == ["LW102"]
    tab.after(lambda: frame.click("#level-all"))
    tab.after(lambda: frame.fill("#find", "aggressive"))
    assert rules() == ["LW401"]
    assert frame.evaluate("document.activeElement.id") == "find"


PIXELS = """(colour) => {
    // What has this colour in the left 70 % of the heatmap: how many pixels, and from which x to which.
    const canvas = document.querySelector('#heat'), wide = canvas.width;
    const data = canvas.getContext('2d').getImageData(0, 0, wide, canvas.height).data;
    let found = 0, from = wide, to = -1;
    for (let k = 0; k < data.length; k += 4) {
        const x = (k / 4) % wide;
        if (x > 0.7 * wide || colour.some((value, i) => data[k + i] !== value)) continue;
        found++;
        from = Math.min(from, x);
        to = Math.max(to, x);
    }
    return {found, from, to, wide};
}"""


def test_a_nan_of_one_step_cannot_be_overlooked_and_leads_to_its_adapter(tab: Tab) -> None:
    run = f"broken {HOSTILE}"
    frame = tab.open(view="heatmap", run=run, metric="output_ratio")
    shown = frame.evaluate(PIXELS, MAGENTA)
    assert shown["wide"] / 160 < 6  # a column is narrower than the mark
    assert shown["to"] - shown["from"] + 1 >= 7
    assert abs((shown["from"] + shown["to"]) / 2 / shown["wide"] - 79.5 / 160) < 0.005
    assert shown["found"] >= 49

    tab.after(lambda: frame.select_option("#metric", "delta_norm"))
    assert frame.evaluate(PIXELS, MAGENTA)["found"] == 0

    tab.after(lambda: frame.select_option("#metric", "output_ratio"))
    box = frame.query_selector("#heat").bounding_box()
    tab.after(lambda: frame.press("#heat", "ArrowDown"))
    tab.after(lambda: frame.press("#heat", "Enter"))
    tab.shows("layer")
    assert frame.eval_on_selector("#adapter", "select => select.value") != "model.layers.0.self_attn.q_proj"
    tab.press("2")
    frame.hover("#heat", position={"x": 5, "y": 2})
    assert "model.layers.0.self_attn.q_proj" in frame.inner_text("#tip")
    assert "its median" in frame.inner_text("#tip")
    tab.after(lambda: frame.click("#heat", position={"x": box["width"] / 2, "y": 2}))
    tab.shows("layer")
    assert frame.eval_on_selector("#adapter", "select => select.value") == "model.layers.0.self_attn.q_proj"
    assert abs(int(frame.inner_text("#step")) - 81) <= 1

    for adapter, said in ((3, "NaN"), (7, "Inf")):
        name = f"model.layers.{adapter // 4}.self_attn.down_proj"
        frame = tab.open(view="layer", run=run, adapter=name)
        assert frame.eval_on_selector_all(".broken text", "all => all.map(e => e.textContent)") == [said]


def test_a_wide_page_has_larger_text_and_charts_that_fit(tab: Tab) -> None:
    size = "parseFloat(getComputedStyle(document.querySelector('svg text')).fontSize)"
    narrow = tab.open(run=HEALTHY).evaluate(size)
    tab.after(lambda: tab.page.set_viewport_size({"width": 1920, "height": 1080}))
    assert tab.frame.evaluate(size) > 1.15 * narrow
    for i, view in enumerate(VIEWS):
        tab.press(str(i + 1))
        tab.shows(view)
        wide, room = tab.frame.evaluate("[document.querySelector('#view').scrollWidth, innerWidth]")
        assert wide <= room, view
    tab.after(lambda: tab.page.set_viewport_size({"width": 960, "height": 1080}))  # half of it: the bar is whole still
    wide, room = tab.frame.evaluate("[document.querySelector('#bar').scrollWidth, innerWidth]")
    assert wide <= room


def test_a_run_without_alerts_says_what_watches_it(tab: Tab) -> None:
    frame = tab.open(view="alerts", run=HEALTHY)
    rules = fetch(tab.address, "data/plugin/lora_watch/schema", run=HEALTHY)["rules"]
    assert f"{len(rules)} rules watch this run" in frame.inner_text("#view h2")
    assert len(frame.query_selector_all(".rules li")) == len(rules)


def test_colour_grouping_zoom_and_keys_are_in_the_address(tab: Tab) -> None:
    frame = tab.open(view="heatmap", run=HEALTHY)
    picture = lambda: frame.evaluate("document.querySelector('#heat').toDataURL()")  # noqa: E731
    seen = {picture()}
    for key, said in (("c", "colour=relative"), ("c", "colour=rank"), ("g", "rows=depth"), ("]", "metric=")):
        tab.press(key)
        assert said in tab.hash()
        seen.add(picture())
    assert len(seen) == 5

    box = frame.query_selector("#heat").bounding_box()
    left, y = box["x"] + box["width"] * 0.5, box["y"] + 50
    tab.page.mouse.move(left, y)
    tab.page.mouse.down()
    tab.page.mouse.move(left + 60, y, steps=4)
    tab.after(tab.page.mouse.up)
    assert "from=" in tab.hash()
    state = dict(part.partition("=")[::2] for part in tab.hash().split("p.lora_watch.")[1:])
    state = {key: value.rstrip("&") for key, value in state.items()}
    before = picture()
    assert tab.open(**state).evaluate("document.querySelector('#heat').toDataURL()") == before
    frame = tab.frame
    tab.press("Escape")
    assert "from=" not in tab.hash()

    tab.press("ArrowLeft")
    assert frame.inner_text("#step") == str(STEPS - 1)
    tab.press("End")
    assert frame.inner_text("#step") == str(STEPS)


def test_names_and_texts_from_a_run_are_only_text(tab: Tab) -> None:
    frame = tab.open(view="alerts", run=f"broken {HOSTILE}")
    tab.after(lambda: frame.click("#alerts tbody tr"))
    assert HOSTILE in frame.inner_text("#detail")
    for view in VIEWS:
        tab.after(lambda view=view: frame.click(f"#tab-{view}"))
        tab.shows(view)
        assert frame.query_selector("img") is None
    assert frame.evaluate("window.pwned ?? parent.pwned ?? null") is None


def test_dark_mode_follows_tensorboard_at_once(tab: Tab) -> None:
    frame = tab.open(view="heatmap", run=HEALTHY, colour="relative")
    look = "() => [getComputedStyle(document.body).backgroundColor, document.querySelector('#heat').toDataURL()]"
    light = frame.evaluate(look)
    tab.page.click("app-header-dark-mode-toggle button")
    tab.after(lambda: tab.page.locator(".cdk-overlay-container").get_by_text("Dark", exact=True).click())
    dark = frame.evaluate(look)
    assert frame.evaluate("document.documentElement.classList.contains('dark')")
    assert dark[0] != light[0]
    assert dark[1] != light[1]


@ONE_LOADER
def test_a_path_begins_and_ends_where_the_run_did(tab: Tab) -> None:
    ends = tab.open(run=HEALTHY).evaluate(
        """async () => {
            const {picture} = await import('./static/picture.js');
            const points = [[0.02, 0.1], [-0.05, 2], [-0.4, 11.7]]
                .map(([gain, ratio], i) => ({step: i + 2, gain, ratio}));
            const paths = [points, [points[0]], [points[2]]].map((some) => ({name: '', colour: 'red', points: some}));
            const all = picture(paths, {width: 600, height: 400, metric: 'output_ratio'});
            const places = (what) => [...all.querySelectorAll(what)].map((dot) => dot.getAttribute('transform'));
            return [places('.begin'), places('.end')];
        }"""
    )
    (begin,), (end, first, last) = ends  # of the whole path; of the whole path and of its first and last point alone
    assert (begin, end) == (first, last)


@ONE_LOADER
def test_back_leads_to_the_view_before_and_forward_on_again(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    tab.press("2")
    tab.after(lambda: frame.click("#colour-rank"))  # no place of its own
    tab.press("4")
    tab.after(lambda: tab.choose_run("exploded"))
    for act, view, run in (
        ("go_back", "alerts", HEALTHY),
        ("go_back", "heatmap", HEALTHY),
        ("go_back", "overview", HEALTHY),
        ("go_forward", "heatmap", HEALTHY),
    ):
        tab.after(getattr(tab.page, act))
        tab.shows(view)
        assert frame.eval_on_selector("#run", "select => select.value") == run
    assert frame.get_attribute("#colour-rank", "aria-pressed") == "true"


@ONE_LOADER
def test_the_address_belongs_to_the_tab_that_is_open(tab: Tab) -> None:
    tab.open(run=HEALTHY)
    tab.page.click("[data-plugin-id=scalars]")
    tab.until(lambda: tab.hash().startswith("#scalars"))
    tab.after(lambda: tab.page.click("app-header-reload button"))  # of which the hidden tab is told, too
    assert tab.hash().startswith("#scalars")


def test_a_link_to_a_run_that_is_not_there_says_so_and_waits_for_it(tmp_path: Path, browser: Any) -> None:
    run = run_of(4)
    write(tmp_path / "here", run, [record_of(run, step) for step in range(1, 6)])
    with server(tmp_path, "python") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        frame = tab.open(view="layer", run="later", adapter=run.adapters[2].name, step=3)
        assert "no run “later”" in frame.inner_text("#view .notes")
        assert frame.eval_on_selector("#run", "select => select.value") == "here"
        assert "run=later" in tab.hash()
        write(tmp_path / "later", run, [record_of(run, step) for step in range(1, 6)])

        def arrived() -> bool:
            tab.after(lambda: frame.click("#refresh"))
            return frame.eval_on_selector("#run", "select => select.value") == "later"

        tab.until(arrived)
        assert frame.eval_on_selector("#adapter", "select => select.value") == run.adapters[2].name
        assert frame.inner_text("#step") == "3"
        assert frame.query_selector("#view .notes") is None

        frame = tab.open(view="layer", run="here", adapter="gone", step="many")
        assert "no adapter “gone”" in frame.inner_text("#view .notes")
        assert frame.inner_text("#step") == "5"
        page.close()
        assert tab.errors == []


@ONE_LOADER
def test_a_server_that_went_away_is_asked_again(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    tab.page.route("**/plugin/lora_watch/*", lambda route: route.abort())
    tab.after(lambda: frame.click("#refresh"))
    assert "TensorBoard does not answer" in frame.inner_text("#view [role=alert]")
    tab.errors.clear()  # the browser's own words of that
    tab.page.unroute("**/plugin/lora_watch/*")
    tab.after(lambda: frame.click("#again"))
    assert frame.query_selector("#verdict.ok") is not None


def test_what_is_not_known_is_said_and_a_dead_adapter_is_seen(tmp_path: Path, browser: Any) -> None:
    run = run_of(8)
    alive = np.arange(8) != 2
    written = {
        "a": [record_of(run, s, metrics={"delta_norm": 0.1 * s * alive}) for s in range(1, 30)],
        "b": [record_of(run, s, loss=None, scalars={}) for s in range(1, 30)],
        "c": [record_of(run, 1, metrics={"output_ratio": np.zeros(8)}, scalars={})],
    }
    for name, records in written.items():
        write(tmp_path / name, replace(run, config={"model": f"/home/somebody/models/llama/{name}"}), records)
    with server(tmp_path, "python") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        for name, why in (
            ("a", "the output ratio was not measured"),
            ("b", "loss is unknown"),
            ("c", "too few steps"),
        ):
            frame = tab.open(run=name)
            assert why in frame.inner_text("#verdict")
            assert why in frame.text_content(".picture")
            assert "NaN" not in frame.inner_text("#view")
        assert tab.open(run="c", view="heatmap").inner_text(".side .none") == "Nothing is above zero at this step."
        frame = tab.open(run="a", view="heatmap")
        row = """() => {
            const canvas = document.querySelector('#heat'), scale = canvas.width / canvas.clientWidth;
            const paper = canvas.getContext('2d'), items = [...document.querySelectorAll('.gutter .item')];
            return [0, 4].map((row) => {
                const y = Number(items[row].getAttribute('y')) - 4;
                return paper.getImageData(0.9 * canvas.width, y * scale, 1, 1).data.join();
            });
        }"""
        alive_one, dead_one = frame.evaluate(row)
        assert dead_one == "68,1,84,255"  # the lowest of the scale
        assert alive_one != dead_one
        assert frame.inner_text(".standout li >> nth=0").split() == ["0", "·", "up_proj", "0", "0"]
        frame = tab.open(view="compare", runs=json.dumps(list(written)))
        said = frame.inner_text(".compare .card > .note")
        assert said.startswith("Without a path: A (the output ratio")
        assert "B (the loss is unknown), C (too few steps)" in said
        clipped = (
            "all => all.filter((e) => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight + 1).length"
        )
        assert frame.eval_on_selector_all("#differences .value", clipped) == 0
        assert "llama/c" in frame.inner_text("#differences")
        page.close()
        assert tab.errors == []


@ONE_LOADER
def test_the_help_closes_by_key_and_by_button(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    is_open = lambda: frame.evaluate("document.querySelector('#help').open")  # noqa: E731
    for close in (lambda: frame.press("#help", "Escape"), lambda: frame.click("#close")):
        frame.press("#view", "?")
        assert is_open()
        close()
        assert not is_open()
    frame.press("#view", "?")
    frame.press("#help", "3")
    assert is_open(), "behind a dialog no view is switched"
    assert frame.get_attribute("body", "data-ready") == "overview"


@ONE_LOADER
def test_the_view_before_is_not_shown_in_place_of_one_that_takes_long(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    held: list[Any] = []
    tab.page.route("**/sweep*", lambda route: held.append(route))
    frame.click("#tab-compare")
    assert "Reading compare and 3 runs" in frame.inner_text("#loading")
    assert frame.query_selector("#verdict") is None
    tab.until(lambda: bool(held))
    tab.after(held[0].continue_)
    assert frame.query_selector("#loading") is None
    assert frame.query_selector("#outcomes") is not None


@ONE_LOADER
def test_a_chart_zooms_and_is_saved(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    card = ".card:has(h2 abbr:text-is('Loss'))"
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
    frame.hover(card)
    with tab.page.expect_download() as saved:
        frame.click(f"{card} .csv")
    rows = Path(saved.value.path()).read_text().splitlines()
    assert rows[0] == "step,loss,expected"
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(first, last + 1))
    with tab.page.expect_download() as saved:
        frame.click(f"{card} .png")
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    tab.press("Escape")
    assert frame.query_selector("#unzoom") is None


@ONE_LOADER
def test_every_term_says_what_it_means(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    words = {
        "overview": ".tile .name, .stack h2, .stack .legend span",
        "heatmap": ".toolbar .pick, .side h2",
        "layer": ".facts dt, .columns h2",
        "alerts": "#alerts th:not(:nth-child(3), :nth-child(4))",
        "compare": "#outcomes tbody th, .columns:last-child h2",
    }
    bare = "all => all.filter((e) => !e.querySelector('abbr[title]')).map((e) => e.textContent)"
    for view, selector in words.items():
        tab.after(lambda view=view: frame.click(f"#tab-{view}"))
        tab.shows(view)
        assert frame.query_selector(selector) is not None
        assert frame.eval_on_selector_all(selector, bare) == [], view
    frame.click("#outcomes abbr >> nth=0")  # as with a finger, which cannot hover
    assert "alert that the rules put first" in frame.inner_text("#tip")


@ONE_LOADER
def test_every_view_fits_into_420_pixels(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    tab.after(lambda: tab.page.set_viewport_size({"width": 420, "height": 900}))
    for i, view in enumerate(VIEWS):
        tab.press(str(i + 1))
        tab.shows(view)
        assert (
            frame.evaluate("['#view', '#bar'].map((e) => document.querySelector(e).scrollWidth <= 420)") == [True] * 2
        )
        assert frame.eval_on_selector_all("#view .card", "all => all.every((card) => card.clientWidth > 250)"), view


def test_a_run_without_adapters_says_so(tmp_path: Path, browser: Any) -> None:
    run = run_of(0)
    write(tmp_path / "bare", run, [record_of(run, step, metrics={}) for step in range(1, 9)])
    with server(tmp_path, "python") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        tab = Tab(page, address)
        frame = tab.open()
        assert "This run has no adapters" in frame.inner_text("#view .notes")
        assert "no A, B and scale" not in frame.inner_text("#view")
        for view in VIEWS[1:]:
            assert tab.open(view=view).query_selector("#view [role=alert]") is None
        page.close()
        assert tab.errors == []


@ONE_LOADER
def test_the_tile_says_the_peak_of_s_lr(tab: Tab) -> None:
    frame = tab.open(run=HEALTHY)
    cells = "all => all.map((tile) => [...tile.children].map((e) => e.textContent).slice(0, 2))"
    tiles = dict(frame.eval_on_selector_all(".tile", cells))
    assert float(tiles["s · lr, peak"]) == pytest.approx(2 * 2e-3, rel=0.01)


CONTRAST = """() => {
    // The lowest contrast between a text and what is behind it, as WCAG 2 counts it, and that text.
    const paper = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const light = (...layers) => {
        for (paper.fillStyle of layers) paper.fillRect(0, 0, 1, 1);
        const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = [...paper.getImageData(0, 0, 1, 1).data].map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = (element, what) => getComputedStyle(element)[what];
    const behind = (element) => { // the disc of a letter, or the page
        const shape = element.parentElement.querySelector(':scope > circle:not(.sigma)');
        if (shape) return [style(shape, 'fill')];
        const layers = [];
        for (let at = element; at && !layers[0]?.startsWith('rgb('); at = at.parentElement) {
            layers.unshift(style(at, 'backgroundColor'));
        }
        return layers;
    };
    const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const left_out = ':disabled, option, .stop, .begin, .end, .now'; // those of the path have a rim of their own
    return [...document.querySelectorAll('#bar *, #view *')]
        .filter((element) => says(element) && element.getClientRects().length && !element.closest(left_out))
        .map((element) => {
            const ground = behind(element), ink = style(element, element instanceof SVGElement ? 'fill' : 'color');
            const [low, high] = [light(...ground), light(...ground, ink)].sort((a, b) => a - b);
            return [(high + 0.05) / (low + 0.05), element.textContent.slice(0, 40)];
        }).sort((a, b) => a[0] - b[0])[0];
}"""


@ONE_LOADER
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_text_is_readable(tab: Tab, mode: str) -> None:
    frame = tab.open(run=EXPLODED)
    if mode == "dark":
        tab.page.click("app-header-dark-mode-toggle button")
        tab.after(lambda: tab.page.locator(".cdk-overlay-container").get_by_text("Dark", exact=True).click())
    for i, view in enumerate(VIEWS):
        tab.press(str(i + 1))
        tab.shows(view)
        contrast, text = frame.evaluate(CONTRAST)
        assert contrast >= 4.5, (view, text)  # WCAG 2.2, 1.4.3, level AA


@pytest.mark.parametrize("loader", list(LOADERS))
def test_a_growing_run_is_followed(tmp_path: Path, browser: Any, loader: str) -> None:
    run = run_of(6)
    sink = TensorBoardSink(directory=tmp_path / "growing")
    sink.start(run, 0)
    flush = sink.flush  # what two seconds do otherwise
    for step in range(1, 11):
        sink.write(record_of(run, step), [])
    flush()
    with server(tmp_path, loader) as address:
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
        tab.until(lambda: "now at step 30" in frame.inner_text("#refresh"))
        assert frame.inner_text("#step") == "24", "who looks at a step is not led away from it"
        tab.after(lambda: frame.click("#refresh"))
        tab.press("End")
        assert frame.inner_text("#step") == "30"
        page.close()
        assert tab.errors == []
    sink.finish("ok", None)


def test_behind_a_path_prefix(logdir: Path, browser: Any) -> None:
    with server(logdir, "python", "--path_prefix=/deep/down", prefix="/deep/down") as address:
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
