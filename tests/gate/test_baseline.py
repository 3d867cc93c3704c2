"""What moved since a stored run: in which layer, by how much; and what does not count as moving."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.text import short
from lora_watch.gate import judge
from lora_watch.gate.baseline import load
from lora_watch.gate.formats.text import text
from lora_watch.runs.places import UnreadableError
from lora_watch.runs.run import FinishedRun, latest_run
from tests.rules.runs import numbers
from tests.runs.written import LR, STEPS, edit_json, train_into, write_run
from tests.sinks.made_up import alert_of, run_of
from tests.support import report_of

baseline_of = load


def differing(folder: Path, baseline: FinishedRun) -> list[Alert]:
    return [alert for alert in judge([folder], baseline=baseline).runs[0].findings if alert.rule.startswith("LW81")]


# -- real runs -------------------------------------------------------------------------------------------------------
def test_the_same_settings_with_another_seed_do_not_move(healthy: Path, tmp_path: Path) -> None:
    assert differing(healthy, baseline_of(healthy)) == []
    assert differing(train_into(tmp_path, seed=1), baseline_of(healthy)) == []


def test_another_learning_rate_moves_all_layers(healthy: Path, tmp_path: Path) -> None:
    found = differing(train_into(tmp_path, lr=1.5 * LR), baseline_of(healthy))
    assert [alert.rule for alert in found] == ["LW812"]
    assert found[0].severity == Severity.ERROR
    assert f"learning_rate {LR:g} → {1.5 * LR:g}" in found[0].causes[0]
    losses = [latest_run(folder).final_loss or 0.0 for folder in (tmp_path, healthy)]
    assert {float(short(loss)) for loss in losses} <= numbers(found[0].details), "and which one is lower"
    assert "--baseline" in found[0].remedies[0], "how to accept it"
    told = {"settings": {"learning_rate": {"from": 1.5 * LR, "to": 0.02}}, "evidence": "", "grade": "steps", "step": 9}
    edit_json(tmp_path / "lora_watch" / "report.json", next_run=told)
    assert "Next run" in differing(tmp_path, baseline_of(healthy))[0].remedies[0], "one prescription"
    assert found[0].step == STEPS

    config = report_of(healthy)["config"]
    older = {name: value for name, value in config.items() if name != "seed"} | {"warmup_steps": None}
    shutil.copytree(healthy / "lora_watch", tmp_path / "older")
    edit_json(tmp_path / "older" / "report.json", config=older)
    said = differing(tmp_path / "lora_watch", baseline_of(tmp_path / "older" / "report.json"))[0].causes[0]
    assert "warmup_steps not set → 0" in said
    assert "seed" not in said, "which that report does not record"


def test_another_rank_scale_and_set_of_adapters_is_named(healthy: Path, tmp_path: Path) -> None:
    found = differing(train_into(tmp_path, r=4, targets=["q_proj", "v_proj"]), baseline_of(healthy))
    by_rule = {alert.rule: alert for alert in found}
    assert "20 adapters gone" in by_rule["LW815"].message
    assert re.search(r"\d trainable parameters .*\b78,848\b", by_rule["LW815"].message)
    assert re.search(r"\br 4, scale 4 .*\br 8, scale 2\b", by_rule["LW814"].details)
    assert all("r 8 → 4" in alert.causes[0] for alert in found)
    assert [rule for rule in by_rule if "target_modules" in by_rule[rule].causes[0]] == ["LW815", "LW811", "LW812"]
    assert len(by_rule["LW814"].adapters) == 8


# -- made-up runs ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rule", "found"), [("LW301", []), ("LW203", ["LW815"])])
def test_adapters_that_do_not_train_are_no_others(rule: str, found: list[str], tmp_path: Path) -> None:
    before = baseline_of(write_run(tmp_path / "before", run=run_of(2, max_steps=20)))
    now = write_run(tmp_path / "now", run=run_of(1, max_steps=20), alerts=[alert_of(0, rule)])
    assert [alert.rule for alert in differing(now, before)] == found


def test_one_layer_that_moved_is_named_with_its_factor(tmp_path: Path) -> None:
    run = run_of(6, max_steps=20)
    before = baseline_of(write_run(tmp_path / "before", run=run))
    (finding,) = differing(write_run(tmp_path / "now", run=run, factors={4: 3.0}), before)
    assert finding.rule == "LW813"
    assert finding.adapters == [("layers.4.q_proj", pytest.approx(3.0))]
    assert "layers.4.q_proj" in finding.message
    assert "3 times" in finding.details
    assert finding.causes[0].startswith("no setting"), "their reports hold the same ones"


def test_a_layer_is_compared_with_what_all_layers_did(tmp_path: Path) -> None:
    """All doubled, one of them did not: that one stands out, by the same factor downwards."""
    run = run_of(6, max_steps=20)
    before = baseline_of(write_run(tmp_path / "before", run=run))
    now = write_run(tmp_path / "now", run=run, factors={i: 4.0 for i in range(6) if i != 2})
    whole, single = differing(now, before)
    assert (whole.rule, single.rule) == ("LW812", "LW813")
    assert "4 times" in whole.details
    assert single.adapters == [("layers.2.q_proj", pytest.approx(0.25))]


@pytest.mark.parametrize(
    ("factor", "loss", "rules"),
    [
        (1.0, 1.0, []),
        (1.1, 1.05, []),
        (1.2, 1.0, ["LW812"]),
        (0.8, 1.0, ["LW812"]),
        (1.0, 1.2, ["LW811"]),
        (1.0, 0.8, []),
        (math.nan, 1.0, ["LW812"]),
        (0.0, 1.0, ["LW812"]),
        (1.0, math.nan, ["LW811"]),
    ],
)
def test_tolerances(tmp_path: Path, factor: float, loss: float, rules: list[str]) -> None:
    before = baseline_of(write_run(tmp_path / "before", loss=1.0))
    found = differing(write_run(tmp_path / "now", loss=loss, factors=dict.fromkeys(range(3), factor)), before)
    assert [alert.rule for alert in found] == rules
    if rules:
        assert found[0].severity == Severity.ERROR
        assert str(found[0])  # whatever the numbers, it can be said


def test_norms_of_fewer_than_half_of_the_adapters_are_no_comparison(tmp_path: Path) -> None:
    run = run_of(6, max_steps=20)
    before = baseline_of(write_run(tmp_path / "before", run=run))
    now = write_run(tmp_path / "now", run=run)
    report = now / "lora_watch" / "report.json"
    adapters = json.loads(report.read_text())["adapters"]
    for adapter in adapters[:4]:
        del adapter["last"]["delta_norm"]
    edit_json(report, adapters=adapters)
    (found,) = differing(now, before)
    assert found.rule == "LW812"
    assert "2 of 6 adapters" in found.details


def test_a_run_of_another_length(tmp_path: Path) -> None:
    before = baseline_of(write_run(tmp_path / "before", 20, run=run_of(max_steps=20, config={"seed": 0})))
    (early,) = differing(write_run(tmp_path / "early", 15, run=run_of(max_steps=20)), before)
    assert ("LW802" in early.causes[0], "--baseline" in early.remedies[0]) == (True, False)
    (finding,) = differing(write_run(tmp_path / "now", 15, run=run_of(max_steps=15, config={"seed": 1})), before)
    assert (finding.rule, finding.causes) == ("LW816", ["steps planned 20 → 15 (baseline → this run)"])
    assert re.search(r"\b15 steps, .*\b20\b", finding.message)


def test_a_run_that_broke_off_is_not_called_like_the_baseline(tmp_path: Path) -> None:
    before = baseline_of(write_run(tmp_path / "before", steps=20))
    judged = judge([write_run(tmp_path / "now", steps=15, verdict="interrupted")], baseline=before)
    assert not judged.runs[0].compared
    assert "nothing has moved" not in text(judged)
    assert "are not compared with the baseline's" in text(judged)


def test_nothing_in_common_is_no_pass(tmp_path: Path) -> None:
    before = baseline_of(write_run(tmp_path / "before", steps=20))
    now = write_run(tmp_path / "now", metrics={}, steps=20)
    (finding,) = differing(now, before)
    assert (finding.rule, finding.threshold, finding.adapters) == ("LW812", None, [])
    edit_json(now / "lora_watch" / "report.json", loss={})
    assert [alert.rule for alert in differing(now, before)] == ["LW811", "LW812"]


def test_a_copy_of_the_report_is_the_run_whatever_lies_around_it(healthy: Path, tmp_path: Path) -> None:
    write_run(tmp_path, steps=5, verdict="failed")
    copy = shutil.copy(healthy / "lora_watch" / "report.json", tmp_path / "baseline.json")
    assert differing(healthy, load(Path(copy))) == []
    assert load(Path(copy)).final_loss == load(healthy).final_loss


def test_a_baseline_is_one_run_that_is_well(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"no such file or folder\. Name a good run's folder"):
        load(tmp_path / "nothing.json")
    write_run(tmp_path / "bad", verdict="failed")
    with pytest.raises(UnreadableError, match="not fit to be compared with: failed"):
        load(tmp_path / "bad")
    write_run(tmp_path / "good")
    with pytest.raises(UnreadableError, match=r"2 runs.*Name a good run's folder"):
        load(tmp_path)
    edit_json(tmp_path / "good" / "lora_watch" / "report.json", loss={"last": {"step": 20, "value": 2.0}})
    with pytest.raises(UnreadableError, match=r"lacks loss\.final"):
        load(tmp_path / "good")
