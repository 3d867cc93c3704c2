"""A report of one file in a real browser without a network: real runs, hostile names, and the size of a long run."""

import itertools
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.runs.places import UnreadableError
from lora_watch.tensorboard_plugin.page.writing import MOST_BYTES, write_page
from tests.sinks.made_up import alert_of
from tests.support import build_trainer, few, lora, lora_watch, tiny_model
from tests.tensorboard_plugin.axe import findings
from tests.tensorboard_plugin.conftest import logdir as logdir
from tests.tensorboard_plugin.made_up import HOSTILE, LONG, record_of, run_of, write, write_long_run
from tests.tensorboard_plugin.real_runs import RECOVERED
from tests.tensorboard_plugin.tab import VIEWS, single_step

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(logdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo's model that recovers under the Trainer, and one with a hostile name."""
    folder = tmp_path_factory.mktemp("runs")
    for name in (RECOVERED, f"broken {HOSTILE}"):
        shutil.copytree(logdir / name, folder / name)
    return folder


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a file at a state, with the network off; in the end nothing has complained."""
    errors: list[str] = []
    contexts = []

    def open_at(file: Path, colours: str = "light", width: int = 1280, shows: str = "overview", **state: str) -> Any:
        context = browser.new_context(offline=True, color_scheme=colours, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        address = "&".join(["#lora_watch", *(f"p.lora_watch.{key}={quote(value)}" for key, value in state.items())])
        page.goto(file.as_uri() + address)
        page.wait_for_selector(f"body[data-ready={state.get('view', shows)}]")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page") / "report.html"
    assert lora_watch("report", folder, "-o", target).exit_code == 0
    return target


def test_every_view_is_drawn_offline(file: Path, open_page: Open) -> None:
    page = open_page(file, "dark", run="recovered r8 α64")
    assert page.evaluate("document.documentElement.classList.contains('dark')")
    assert page.inner_text("#ended") == "finished"
    for view in VIEWS:
        page.click(f"#tab-{view}")
        page.wait_for_selector(f"body[data-ready={view}]")
        assert page.query_selector("#view [role=alert]") is None, view
        assert findings(page) == [], view
        fits = "all => all.every((e) => e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().right <= 1245)"
        assert page.eval_on_selector_all("#view .card", fits), view
    assert page.query_selector("#refresh") is None
    assert len(page.query_selector_all("#runs tbody tr")) == 2
    narrow = open_page(file, "light", 390, view="heatmap", run="recovered r8 α64")
    assert narrow.evaluate("document.querySelector('#view').scrollWidth <= 390")


def test_a_page_opens_on_the_worst_run_else_on_compare_and_says_how_each_ended(tmp_path: Path, open_page: Open) -> None:
    run, back = run_of(4), alert_of(8, rule="LW910", name="recovered", severity=Severity.WARNING, back_to=4)
    back.closed_step = 8
    runs: list[tuple[str, Verdict, dict[int, list[Alert]]]] = [
        ("a/fine", "ok", {8: [back]}),
        ("a/bad", "failed", {9: [alert_of(9)]}),
        ("b/fine", "ok", {}),
        ("c", "interrupted", {}),
    ]
    for name, verdict, alerts in runs:
        records = [record_of(run, step, zone="healthy") for step in range(1, 31)]
        write(tmp_path / name, run, records, alerts, verdict)
    target = tmp_path / "report.html"
    assert lora_watch("report", tmp_path).exit_code == 0
    page = open_page(target)
    assert page.input_value("#run") == "a/bad"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-overview"
    ended = {"a/bad": "failed by fail_on", "a/fine": "finished", "b/fine": "finished", "c": "broke off"}
    said = page.eval_on_selector_all("#run option", "all => all.map((e) => e.textContent)")
    assert said == [f"{name} ({end})" for name, end in ended.items()]
    for name, head in (("a/fine", "Recovered at step 8"), ("b/fine", "No alerts"), ("c", "ERROR: the run broke off")):
        page = open_page(target, run=name)
        assert page.inner_text("#verdict h1").startswith(head)
    assert page.inner_text(".chip.error b") == "1", "as check counts"
    page = open_page(target, view="compare")
    assert [e.inner_text() for e in page.query_selector_all("#runs .badge")] == list(ended.values())
    assert "set)" not in page.inner_text("#runs"), "no run had another rate than its script's"
    write_page([tmp_path / "a" / "fine", tmp_path / "b" / "fine"], target)
    assert len(open_page(target, shows="compare").query_selector_all("#runs tbody tr")) == 2


def test_names_are_only_text(file: Path, open_page: Open) -> None:
    page = open_page(file, run=f"broken {HOSTILE}")
    for view in VIEWS:
        page.click(f"#tab-{view}")
        page.wait_for_selector(f"body[data-ready={view}]")
        assert page.query_selector("img") is None
        if view == "alerts":
            page.click("#alerts tbody tr")
            page.wait_for_selector("#detail")
            assert HOSTILE in page.inner_text("#detail")
    assert page.evaluate("window.pwned ?? null") is None
    assert "<img" not in file.read_text(encoding="utf-8")


def test_a_long_run_of_many_adapters_fits(tmp_path: Path, open_page: Open) -> None:
    run, names = run_of(224), [f"metric_{i}" for i in range(12)]
    noise = np.random.default_rng(0)
    records = []
    for step in range(1, 301):
        own = {name: np.exp(noise.normal(size=224)) for name in names}
        record = record_of(run, 30 * step)
        records.append(record_of(run, 30 * step, metrics={k: r.values for k, r in record.metrics.items()} | own))
    write(tmp_path / "run", run, records)
    target = tmp_path / "report.html"
    began = time.process_time()
    write_page([tmp_path / "run"], target)
    assert time.process_time() - began < 20, "on a busy machine"
    assert target.stat().st_size <= MOST_BYTES
    page = open_page(target, view="heatmap", metric="metric_3")
    assert re.search(r"up to \d+ steps", page.inner_text("#view .notes"))


def test_what_is_said_of_a_step_is_of_that_step(tmp_path: Path, open_page: Open) -> None:
    write_long_run(tmp_path / "run")
    write_page([tmp_path / "run"], tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    assert single_step(page) == LONG[700]
    page.press("#view", "ArrowLeft")
    page.wait_for_selector("#step:text('699')")
    page.press("#view", "ArrowLeft")
    page.wait_for_selector("#step:text('698')")
    assert single_step(page) == ("2", "3.02", "No alerts")
    page.press("#view", "ArrowRight")
    page.wait_for_selector("#step:text('699')")
    page = open_page(tmp_path / "report.html", step="500")
    assert page.inner_text("#step") == "500"
    assert single_step(page) == LONG[500]


def test_the_callback_writes_it_whatever_the_end_was(tmp_path: Path, open_page: Open) -> None:

    watcher = LoraWatchCallback(html=True, fail_on="error", console=False)
    trainer = build_trainer(
        lora(tiny_model(), alpha=64), steps=12, lr=2e-2, callbacks=[watcher], output_dir=str(tmp_path)
    )
    with pytest.raises(LoraWatchError):
        trainer.train()
    page = open_page(tmp_path / "lora_watch" / "report.html")
    assert "fail_on" in page.inner_text("#ended")
    assert page.inner_text("#verdict h1").startswith("ERROR: the adapters are damaging the model")
    with pytest.raises(ValueError, match="tensorboard"):
        LoraWatchCallback(html=True, tensorboard=False)


@pytest.mark.parametrize(("until", "head"), [(6, "ERROR: the loss is NaN"), (99, "No alerts")])
def test_an_update_that_was_refused_is_said_although_it_is_no_step(
    until: int, head: str, tmp_path: Path, open_page: Open
) -> None:

    calls = itertools.count(1)

    def spoil(_: Any, __: Any, output: Any) -> None:
        if next(calls) > until:
            output.loss = output.loss * math.nan

    watcher = LoraWatchCallback(html=True, fail_on="error", console=False)
    model = few()
    model.register_forward_hook(spoil)
    with pytest.raises(LoraWatchError) if until < 12 else nullcontext():
        build_trainer(model, steps=12, callbacks=[watcher], output_dir=str(tmp_path)).train()
    page = open_page(tmp_path / "lora_watch" / "report.html")
    assert page.inner_text("#verdict h1").startswith(head)


def test_a_resumed_run_is_drawn_from_its_first_step(
    tmp_path: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"steps": 6, "output_dir": ".", "save_strategy": "steps", "save_steps": 3}
    for resume in (None, str(tmp_path / "checkpoint-3")):
        watcher = LoraWatchCallback(html=True, console=False)
        build_trainer(few(), callbacks=[watcher], **settings).train(resume)
    assert open_page(tmp_path / "lora_watch" / "report.html", step="1").inner_text("#step") == "1"


def test_what_cannot_be_drawn_is_said(tmp_path: Path, folder: Path) -> None:
    said = lora_watch("report", tmp_path, tmp_path / "b", "-o", tmp_path / "a.html")
    assert (said.exit_code, said.stderr.count("\n"), "\\n" in said.stderr) == (2, 1, False)
    with pytest.raises(UnreadableError):
        write_page([tmp_path], tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
    left_out = write_page([tmp_path / "nothing", folder], tmp_path / "b.html")
    assert len(left_out) == 1
