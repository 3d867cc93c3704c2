"""One run, one prescription: console, exception, report, ``check``, ``show`` and the page give one number a setting."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.base.alerts import in_numbers
from lora_watch.runs.places import find_runs
from lora_watch.runs.run import read_run
from lora_watch.tensorboard_plugin.page.answers import Answers
from tests.support import build_trainer, lora, lora_watch, report_of, stdlib_blocks, tiny_model

SCRIPTS: list[dict[str, Any]] = [
    {"alpha": 128, "lr": 5e-2, "fail_on": "error"},
    {"alpha": 64, "lr": 1.0, "recover": 3},
    {"alpha": 16, "lr": 2e-5},
]
"""What each run was started with: one explodes, one recovers, one hardly moves."""
EXPLODING = ((16, 0.05), (16, 0.15), (16, 0.5), (16, 2.0), (32, 0.1), (64, 0.02), (64, 0.1), (256, 0.01), (512, 0.005))
MORE = [
    *({"alpha": alpha, "lr": lr, "fail_on": "error"} for alpha, lr in EXPLODING),
    *({"alpha": alpha, "lr": lr, "recover": 3} for alpha, lr in ((16, 0.3), (128, 0.05), (512, 0.01))),
    *({"alpha": alpha, "lr": lr} for alpha, lr in ((16, 1e-6), (16, 1e-5), (8, 5e-5), (16, 0.2), (128, 0.02))),
]
"""With the three above twenty ruined settings."""


def told_in(text: str) -> list[str]:
    """Every ``Next run: …`` of a text, on one line each."""
    joined = re.sub(r"\n {6,}", " ", text)
    return re.findall(r"Next run(?: \(instead of [^)]+\))?: (.*)", joined)


@pytest.mark.parametrize(
    "script", [*SCRIPTS, *(pytest.param(each, marks=pytest.mark.thorough) for each in MORE)], ids=str
)
def test_every_place_gives_the_same_numbers_and_alert_first(
    script: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    alpha, lr = script["alpha"], script["lr"]
    policy = {key: value for key, value in script.items() if key not in ("alpha", "lr")}
    trainer = build_trainer(
        lora(tiny_model(), r=8, alpha=alpha),
        stdlib_blocks(64, 64),
        24,
        lr=lr,
        callbacks=[LoraWatchCallback(**policy)],
        output_dir=str(tmp_path),
        report_to="tensorboard",
    )
    raised = ""
    try:
        trainer.train()
    except LoraWatchError as error:
        raised = str(error)
    console = capsys.readouterr().err
    report = report_of(tmp_path)
    told, counts = report["next_run"], report["counts"]
    settings = {name: setting["to"] for name, setting in told["settings"].items()}
    own = {"learning_rate": lr, "lora_alpha": alpha}
    assert set() < {name: setting["from"] for name, setting in told["settings"].items()}.items() <= own.items()

    first = report["alerts"][report["first"]]["rule"]
    assert first != report["alerts"][0]["rule"] or script is not SCRIPTS[0], "or the order says nothing"
    if "fail_on" in policy:
        assert told_in(raised) == [told["text"]]
        for text in (raised, console.rpartition("lora_watch: failed")[2]):
            assert re.findall(r"\((LW\d+)\)", text)[0] == first
    if "recover" in policy:
        assert "lora_alpha" not in console, "one way out: a recovery leaves the scale"
        outcome = console.rpartition("lora_watch: recovered at step")[2]
        assert all(f"{value:g}" in outcome for value in settings.values())
    else:
        assert told_in(console)[-1] == told["text"]

    checked = lora_watch("check", tmp_path).stdout
    assert told_in(checked) == [told["text"]], "once, above the alerts"
    (run,) = json.loads(lora_watch("check", tmp_path, "--format", "json").stdout)["runs"]
    assert (run["next_run"]["text"], run["findings"][0]["rule"]) == (told["text"], first)
    in_report = {alert["rule"]: alert["next_run"] for alert in report["alerts"]}
    found = {alert["rule"]: alert["next_run"] for alert in (*run["findings"], *run["recovered_from"])}
    assert (found, len(run["findings"])) == (in_report, sum(report["counts"].values()))
    assert all(isinstance(each["from"], int) for key, each in told["settings"].items() if key == "lora_alpha")
    shown = lora_watch("show", tmp_path, COLUMNS="300").stdout
    assert told_in(shown) == [told["text"]]

    compared = json.loads(lora_watch("compare", tmp_path, "--json").stdout)["configurations"]
    trained_at = settings["learning_rate"] if "recover" in policy else lr
    assert [each["learning_rate"] for each in compared] == [pytest.approx(trained_at, rel=0.2)]

    finished = read_run(find_runs(tmp_path)[0])
    answers = Answers({"run": finished})
    alerts, ending, schema = (answers.plain[f'["{route}","run",""]'] for route in ("alerts", "verdict", "schema"))
    assert schema["rates"][0] == compared[0]["learning_rate"]
    assert ending["next_run"]["text"] == told["text"], "the tab's banner"
    if "recover" not in policy:  # whose alerts are over
        assert alerts["alerts"][ending["first"][-1][1]]["rule"] == first
    github = lora_watch("check", tmp_path, "--format", "github").stdout
    assert {kind: github.count(f"\n::{kind} ") for kind in counts} == counts
    said = [alert.title for alert in finished.alerts if not alert.recovered_from] + [f"step {report['step']} of 24"]
    assert [each for each in said for text in (checked, shown) if each not in text] == []

    assert [*(one["alerts"] for each in compared for one in each["runs"]), alerts["counts"]] == [counts, counts]
    assert checked.startswith(f"ok, {in_numbers(counts)}  ") is (report["verdict"] == "ok")
    if "recover" in policy:
        assert (counts, len(report["alerts"]) > 1) == ({"warning": 1}, True), "what it has recovered from is in LW910"
