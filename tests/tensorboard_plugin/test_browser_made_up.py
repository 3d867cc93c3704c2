"""The tab in a real browser over runs that are made up: what is not known, not there yet, or judged otherwise."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lora_watch.base.alerts import Severity
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.made_up import alert_of
from tests.tensorboard_plugin.made_up import record_of, run_of, write
from tests.tensorboard_plugin.serving import fetch, server
from tests.tensorboard_plugin.tab import VIEWS, Tab

UNKNOWN = ("a", "b", "c")


def write_unknown(folder: Path) -> None:
    """Nothing is known of the output ratio; of the loss; of more than one step."""
    run = run_of(8)
    alive = np.arange(8) != 2
    written = (
        [record_of(run, s, metrics={"delta_norm": 0.1 * s * alive}) for s in range(1, 30)],
        [record_of(run, s, loss=None, scalars={}) for s in range(1, 30)],
        [record_of(run, 1, metrics={"output_ratio": np.zeros(8)}, scalars={})],
    )
    for name, records in zip(UNKNOWN, written, strict=True):
        write(folder / name, replace(run, config={"model": f"/home/somebody/models/llama/{name}"}), records)


def write_judged(folder: Path) -> None:
    """Numbers that say one thing, and rules that say the other."""
    run = run_of(8)
    rising = {"loss_start": 1.0, "loss_recent": 9.0, "loss_improved": 0.0}
    ratio = {"output_ratio": np.full(8, 500.0)}
    records = [record_of(run, s, metrics=ratio, scalars=rising, zone="healthy") for s in range(1, 20)]
    write(folder / "rules say healthy", run, records)
    small = [record_of(run, s, zone="exploding") for s in range(1, 20)]
    errors = [alert_of(7, "LW102"), alert_of(5, "LW201", name="non-finite-loss")]
    write(folder / "rules say exploding", run, small, {3: [alert_of(3, "LW203", Severity.WARNING)], 7: errors})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, run = tmp_path_factory.mktemp("made-up"), run_of(4)
    write_unknown(folder)
    write_judged(folder)
    write(folder / "bare", run_of(0), [record_of(run_of(0), step, metrics={}) for step in range(1, 9)])
    begun = TensorBoardSink(folder / "begun")
    begun.start(run, 0)
    begun.write(record_of(run, 0, loss=None, overhead=0.98, scalars={}, zone="unknown"), [])
    begun.flush()
    with server(folder) as found:
        while len(fetch(found, "data/plugin/lora_watch/runs")) < len(list(folder.iterdir())):
            time.sleep(0.1)
        yield found
    begun.finish("ok", None)


def test_a_run_that_has_just_begun_waits_for_its_first_step(tab: Tab) -> None:
    frame = tab.open(run="begun")
    assert frame.inner_text("#verdict h1").startswith("Waiting")
    empty = frame.eval_on_selector_all("svg .empty", "all => all.map((e) => e.textContent)")
    assert {text.partition(" ")[0] for text in empty} == {"waiting"}
    assert "98" not in frame.inner_text(".tiles")


@pytest.mark.parametrize(("name", "why"), [("a", "output ratio"), ("b", "loss is"), ("c", "few steps")])
def test_what_is_not_known_is_said(tab: Tab, name: str, why: str) -> None:
    frame = tab.open(run=name)
    assert why in frame.inner_text("#verdict")
    assert why in frame.text_content(".picture")
    assert "NaN" not in frame.inner_text("#view")


def test_runs_of_which_little_is_known_are_compared(tab: Tab) -> None:
    frame = tab.open(run="a", view="compare")
    rows = {
        row.query_selector("th").inner_text(): row.inner_text() for row in frame.query_selector_all("#runs tbody tr")
    }
    assert set(UNKNOWN) < set(rows)
    assert "llama/c" in rows["c"]
    assert "NaN" not in "".join(rows[name] for name in UNKNOWN)


def test_a_run_without_adapters_says_so(tab: Tab) -> None:
    frame = tab.open(run="bare")
    assert "no adapters" in frame.inner_text("#view .notes")
    assert "no adapters" in frame.inner_text(".tile:has-text('r / α / s')")
    for view in VIEWS[1:]:
        assert tab.open(view=view, run="bare").query_selector("#view [role=alert]") is None


def test_nothing_is_judged_in_the_browser(tab: Tab) -> None:
    frame = tab.open(run="rules say healthy")
    assert frame.inner_text("#verdict h1").startswith("No alerts")
    assert frame.query_selector("#verdict.ok") is not None
    frame = tab.open(run="rules say exploding")
    assert frame.inner_text("#verdict h1").startswith("ERROR: "), "the earliest of the most severe"
    frame = tab.open(run="rules say exploding", step=4)
    assert frame.query_selector("#verdict.warning") is not None, "no error had opened by then"
