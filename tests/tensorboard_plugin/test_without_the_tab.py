"""A TensorBoard that has never heard of lora_watch, over real runs: its own tabs tell what happened."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sinks.backend import LOADERS
from tests.tensorboard_plugin.conftest import STEPS
from tests.tensorboard_plugin.real_runs import EXPLODED, HEALTHY
from tests.tensorboard_plugin.serving import WITHOUT_US, fetch, server
from tests.tensorboard_plugin.tab import WAIT


@pytest.fixture(scope="module", params=list(LOADERS))
def address(request: pytest.FixtureRequest, logdir: Path) -> Iterator[str]:
    with server(logdir, request.param, ready="data/plugin/text/tags", program=("-c", WITHOUT_US)) as found:
        for _ in range(100):  # the Rust loader reads on its own
            if all(points(found, run, "train/train_runtime") for run in (HEALTHY, EXPLODED)):
                break
            time.sleep(0.2)
        yield found


def points(address: str, run: str, tag: str) -> list[tuple[int, float]]:
    answer = fetch(address, "data/plugin/scalars/scalars", run=run, tag=tag)
    return [(step, float(value)) for _, step, value in answer or ()]


def test_the_tab_is_not_there_and_the_others_are(address: str) -> None:
    listing = fetch(address, "data/plugins_listing")
    assert "lora_watch" not in listing
    assert all(listing[name]["enabled"] for name in ("scalars", "custom_scalars", "hparams", "text"))
    assert fetch(address, "data/plugin/lora_watch/runs") is None


def test_scalars_show_which_run_is_ruined(address: str) -> None:
    ratio = {run: points(address, run, "lora/output_ratio/median")[-1][1] for run in (HEALTHY, EXPLODED)}
    assert ratio[EXPLODED] > 3 * ratio[HEALTHY]
    for run in (HEALTHY, EXPLODED):
        assert [step for step, _ in points(address, run, "lora/loss")] == list(range(1, STEPS + 1))
    assert points(address, EXPLODED, "lora/alerts/error")[-1] == (STEPS, 1)
    assert points(address, HEALTHY, "lora/alerts/error")[-1] == (STEPS, 0)


def test_every_chart_of_custom_scalars_draws(address: str) -> None:
    layout = fetch(address, "data/plugin/custom_scalars/layout")
    charts = {chart["title"]: chart for category in layout["category"] for chart in category["chart"]}
    assert {"delta_norm", "output_ratio", "scale"} <= {title.partition(",")[0] for title in charts}
    for chart in charts.values():
        for tag in chart["multiline"]["tag"]:
            answer = fetch(address, "data/plugin/custom_scalars/scalars", run=EXPLODED, tag=tag)
            assert any(answer["tag_to_events"].values()), tag


def test_hparams_list_the_runs_with_rank_scale_and_outcome(address: str) -> None:
    statuses = [f"STATUS_{status}" for status in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
    answer = fetch(address, "data/plugin/hparams/session_groups", {"allowedStatuses": statuses, "sliceSize": 100})
    groups = {group["sessions"][0]["name"]: group for group in answer["sessionGroups"]}
    for run, alpha, errors in ((HEALTHY, 16, 0), (EXPLODED, 64, 1)):
        assert (groups[run]["hparams"]["r"], groups[run]["hparams"]["alpha"]) == (8, alpha)
        values = {metric["name"]["tag"]: metric["value"] for metric in groups[run]["metricValues"]}
        assert values["lora/alerts/error"] == errors
        assert values["lora/loss"] == points(address, run, "lora/loss")[-1][1]


def test_text_has_the_alert_and_its_remedy(address: str) -> None:
    answer = fetch(address, "data/plugin/text/text", run=EXPLODED, tag="lora/alerts/text_summary")
    text = "\n".join(entry["text"] for entry in answer)
    assert "norm-explosion" in text
    assert "lora_alpha 64 → 16" in text


def test_custom_scalars_are_drawn_in_a_browser(address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/#custom_scalars")
    page.locator(".heading-label", has_text="output_ratio").first.wait_for()
    page.wait_for_selector("vz-line-chart2 svg .main .line, vz-line-chart2 path", state="attached")
    page.close()
    assert errors == []
