"""The tab in a real browser, over real TensorBoard processes with either loader: what its views show."""

import re

from tests.tensorboard_plugin.conftest import STEPS
from tests.tensorboard_plugin.made_up import HOSTILE, swept
from tests.tensorboard_plugin.real_runs import EXPLODED, HEALTHY, RECOVERED
from tests.tensorboard_plugin.serving import fetch
from tests.tensorboard_plugin.tab import MAGENTA, VIEWS, Tab


def test_every_view_is_drawn_and_fits_into_1280_pixels(tab: Tab) -> None:
    frame = tab.open(run=EXPLODED)
    assert frame.inner_text("#verdict h1").startswith("ERROR: the adapters are damaging the model")
    assert "lora_alpha 64 → 16" in frame.inner_text("#next-run")
    assert frame.inner_text("#ended") == "ended with an ERROR"
    for view in VIEWS:
        tab.go(view)
        assert frame.inner_text("#view").strip()
        assert frame.query_selector("#view [role=alert]") is None
        wide, room = frame.evaluate("[document.querySelector('#view').scrollWidth, innerWidth]")
        assert wide <= room, view
    rows = {
        row.query_selector("th").inner_text(): row.inner_text() for row in frame.query_selector_all("#runs tbody tr")
    }
    assert "damaging the model" in rows[EXPLODED]
    assert "No alerts" in rows[HEALTHY]
    headings = frame.eval_on_selector_all("#runs thead th", "all => all.map((e) => e.textContent)")
    assert {"lr", "alpha"} < set(headings)
    tab.after(lambda: frame.click(f"#runs button:text-is('{HEALTHY}')"))
    tab.shows("overview")
    assert frame.input_value("#run") == HEALTHY


def test_the_tab_says_what_the_rules_wrote(tab: Tab) -> None:
    coloured = "all => [...new Set(all.map((line) => line.classList[2]))]"
    frame = tab.open(run=HEALTHY)
    assert frame.query_selector("#verdict.ok") is not None
    assert frame.inner_text("#verdict h1").startswith("No alerts")
    assert "error" not in frame.eval_on_selector_all(".trace.zone", coloured)
    frame = tab.open(run=EXPLODED)
    assert frame.query_selector("#verdict.error") is not None
    assert "error" in frame.eval_on_selector_all(".trace.zone", coloured)


def test_what_a_sweep_has_found_is_drawn_as_it_was_written(tab: Tab) -> None:
    found, texts = swept(), "all => all.map((e) => e.textContent)"
    frame = tab.open(run=f"broken {HOSTILE}")
    assert frame.eval_on_selector_all("#found li", texts) == found["sentences"]
    assert frame.eval_on_selector_all("#found text.found", texts) == ["suggestion", "edge, LW201"] * 2
    assert len(frame.query_selector_all("#found path.line")) == 3
    places = "all => all.map((e) => +e.getAttribute('x1'))"
    suggestion, edge, *_ = frame.eval_on_selector_all("#found line.found", places)
    assert suggestion < edge
    frame.hover("#found svg")
    assert "mean of five" in frame.inner_text("#tip")
    assert tab.open(run=HEALTHY).query_selector("#found") is None


def test_from_an_alert_to_its_layer(tab: Tab) -> None:
    frame = tab.open(view="alerts", run=EXPLODED)
    row = frame.query_selector("#alerts tbody tr[data-alert^='LW102@']")
    step = row.get_attribute("data-alert").partition("@")[2]
    tab.after(row.click)
    assert "lora_alpha 64" in frame.inner_text("#detail")
    drawn = re.search(r"threshold ([\d.]+): ([\d.]+) over 4 blocks", frame.text_content("#detail svg.chart"))
    assert float(drawn[1]) * 4 == float(drawn[2]) in (1.5, 12), "LW102's limit"
    assert frame.inner_text("#settings").startswith("lora_alpha 64 → 16, learning_rate ")
    worst = frame.inner_text("#detail .named .mono >> nth=0")
    tab.after(lambda: frame.click("#to-layer"))
    tab.shows("layer")
    assert frame.eval_on_selector("#adapter", "select => select.value") == worst
    assert frame.inner_text("#step") == step
    assert f"p.lora_watch.step={step}" in tab.hash()
    assert "LW102" in frame.inner_text(".layer-head")

    tab.go("heatmap")
    assert frame.eval_on_selector("#metric", "select => select.value") == "output_ratio"
    assert frame.inner_text("#step") == step


def test_what_a_run_has_thrown_away_is_shaded_in_every_chart(tab: Tab) -> None:
    alerts = fetch(tab.address, "data/plugin/lora_watch/alerts", run=RECOVERED)["alerts"]
    (back,) = [alert for alert in alerts if alert["rule"] == "LW910"]
    frame = tab.open(run=RECOVERED)
    assert frame.inner_text("#verdict h1").startswith(f"Recovered at step {back['step']}")
    _, peak, rate = frame.inner_text(".tile:has-text('s · lr, peak')").splitlines()
    assert 0 < float(peak) < 8 * 2e-2 / 2, "not that of the steps that are gone"
    assert abs(float(peak) / float(rate.split()[-1]) / 8 - 1) < 0.01, "both are of one peak"
    assert frame.inner_text("#tab-alerts .count") == str(len(frame.query_selector_all(".alert-list .warning")))
    assert frame.query_selector(".picture .stray") is not None
    mark = f".mark[aria-label='WARNING LW910 at step {back['step']}']"
    for view in ("overview", "layer"):
        tab.go(view)
        charts = frame.query_selector_all("svg.chart:not(:has(.empty))")
        shaded = [chart.query_selector(".discarded") for chart in charts]
        assert charts
        assert all(shaded), view
        assert shaded[0].text_content() == f"steps 1 to {back['step']} were discarded"
    tab.go("overview")
    tab.after(lambda: frame.click(mark))
    tab.shows("alerts")
    assert re.search(rf"step {back['back_to']}\b", frame.inner_text("#detail"))
    assert back["next_run"]["text"] in frame.inner_text("#detail")


def test_the_worst_alert_comes_first(tab: Tab) -> None:
    frame = tab.open(view="alerts", run=EXPLODED)
    texts = "all => all.map((row) => row.cells[1].textContent)"
    assert frame.eval_on_selector_all("#alerts tbody tr", texts) == ["LW102", "LW401"]


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
    frame.hover("#heat", position={"x": 5, "y": 2})
    assert "model.layers.0.self_attn.q_proj" in frame.inner_text("#tip")
    box = frame.query_selector("#heat").bounding_box()
    tab.after(lambda: frame.click("#heat", position={"x": box["width"] / 2, "y": 2}))
    tab.shows("layer")
    assert frame.eval_on_selector("#adapter", "select => select.value") == "model.layers.0.self_attn.q_proj"
    assert abs(int(frame.inner_text("#step")) - 81) <= 1
    tab.press("ArrowDown")
    assert frame.eval_on_selector("#adapter", "select => select.value") == "model.layers.0.self_attn.v_proj"

    for adapter, said in ((3, "NaN"), (7, "Inf")):
        name = f"model.layers.{adapter // 4}.self_attn.down_proj"
        frame = tab.open(view="layer", run=run, adapter=name)
        assert frame.eval_on_selector_all(".broken text", "all => all.map(e => e.textContent)") == [said]


def test_metric_zoom_and_step_are_in_the_address(tab: Tab) -> None:
    frame = tab.open(view="heatmap", run=HEALTHY)
    picture = lambda: frame.evaluate("document.querySelector('#heat').toDataURL()")  # noqa: E731
    whole = picture()
    tab.after(lambda: frame.select_option("#metric", "delta_norm"))
    assert "metric=delta_norm" in tab.hash()
    assert picture() != whole

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


def test_dark_mode_follows_tensorboard_at_once(tab: Tab) -> None:
    frame = tab.open(view="heatmap", run=HEALTHY)
    look = "() => getComputedStyle(document.body).backgroundColor"
    light = frame.evaluate(look)
    tab.page.click("app-header-dark-mode-toggle button")
    tab.after(lambda: tab.page.locator(".cdk-overlay-container").get_by_text("Dark", exact=True).click())
    dark = frame.evaluate(look)
    assert frame.evaluate("document.documentElement.classList.contains('dark')")
    assert dark != light
