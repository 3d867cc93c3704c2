"""Every format says all of it, is valid, and cannot be made to say something else by a hostile name."""

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_watch.base.alerts import Severity
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.records import RunInfo
from lora_watch.base.strict_json import strict_json
from lora_watch.gate import Judgement, judge
from lora_watch.gate.formats.github import command, github
from lora_watch.gate.formats.junit import junit
from lora_watch.gate.formats.screen import screen
from lora_watch.gate.formats.text import text
from lora_watch.rules import catalogue
from lora_watch.runs.comparison import compare
from lora_watch.runs.run import latest_run
from lora_watch.settings import Settings
from tests.gate import github_runner
from tests.gate.junit_form import broken_rules
from tests.runs.written import edit_json, write_run
from tests.sinks.made_up import alert_of, parse, run_of

HOSTILE = [
    "layers.0\n::error::owned",
    "layers.1\r\n  ::stop-commands::x",
    "layers.2##[error]owned",
    "layers.3 | a | b |\n|---|",
    "layers.4`]]></failure><system-out>\x00\x08\x1b[31m\ufffe",
    "layers.5</testcase>&lt;<img src=x onerror=alert(1)>@everyone [x](javascript:y) **b** ``c`` <!-- d",
    "layers.6\u2028::error::a\x85::error::b\u202ekcab",
    "%0A::error::c%25",
    "",
]


def as_json(judgement: Judgement) -> str:
    return strict_json(judgement.to_dict()).decode()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """A run in which every text that comes from outside is an attack."""
    folder = tmp_path_factory.mktemp("gate") / "run ``|::error::x\n::error::y"
    run = run_of(len(HOSTILE), max_steps=20)
    run = replace(
        run,
        adapters=tuple(replace(a, name=name) for a, name in zip(run.adapters, HOSTILE)),
        notes=tuple(HOSTILE),
        rules=tuple(
            {"id": f"X{i}{n}", "name": n, "severity": "ERROR", "thresholds": {}} for i, n in enumerate(HOSTILE)
        ),
    )
    alerts = [
        alert_of(i + 1, f"X{i}{n}", name=n, message=n, adapters=[(n, math.nan)], causes=[n], remedies=[n], metric=n)
        for i, n in enumerate(HOSTILE)
    ]
    write_run(folder, run=run, alerts=alerts, verdict="failed", message=HOSTILE[0])
    for file in ("report.json", "alerts.jsonl"):  # half a surrogate pair, which our own writer would never let pass
        path = folder / "lora_watch" / file
        path.write_text(path.read_text("utf-8").replace("\ufffe", r"\ufffe\ud800"), "utf-8")
    return judge([folder, folder / HOSTILE[1]])


@pytest.mark.parametrize("default", [None, Severity.ERROR])
def test_a_threshold_of_single_rules_is_called_by_no_severity(default: Severity | None, tmp_path: Path) -> None:
    write_run(tmp_path, alerts=[alert_of(3, severity=Severity.WARNING)])
    judgement = judge([tmp_path], default, by_rule={"LW102": Severity.WARNING})
    assert text(judgement).endswith("1 run checked, 1 failed")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    folder = tmp_path_factory.mktemp("gate")
    write_run(
        folder / "bad",
        alerts=[alert_of(3, settings={"lora_alpha": 16.0}), alert_of(9), alert_of(5, "LW203", Severity.WARNING)],
        verdict="failed",
    )
    write_run(folder / "good")
    return judge([folder, folder / "nowhere"])


# -- all of it -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("write", [text, github, as_json, lambda j: junit(j).decode()])
def test_every_format_says_all_of_it(plain: Judgement, write: Any) -> None:
    said = write(plain)
    for part in ("bad", "good", "LW102", "too large", "lora_alpha", "LW203", "nowhere"):
        assert part in said, part


@pytest.mark.parametrize("verdict", ["ok", "unknown"])
def test_a_run_with_a_warning_passes_only_where_it_was_judged(tmp_path: Path, verdict: str) -> None:
    """The last line has the command with which the run fails, whichever face says it."""
    rules = ("LW104", "LW203", "LW310", "LW910")
    write_run(tmp_path, alerts=[alert_of(9, rule, Severity.WARNING) for rule in rules])
    edit_json(tmp_path / "lora_watch" / "report.json", verdict=verdict)
    flag = ",".join(["error", *(f"{rule}=warning" for rule in rules)])
    for said in (text(judge([tmp_path])).splitlines()[-1], screen(latest_run(tmp_path), 200).plain):
        assert (f"lora-watch check --fail-on {flag}" in said) == (verdict == "ok")
    policy = Settings(fail_on=flag).policy()
    failed = judge([tmp_path], policy.default, by_rule=policy.by_rule)
    assert (flag not in text(failed), len(failed.failures(failed.runs[0]))) == (True, 4)


@pytest.mark.parametrize("severity", [Severity.ERROR, Severity.WARNING])
def test_a_run_that_passes_says_what_ended_an_earlier_one_in_its_folder(tmp_path: Path, severity: Severity) -> None:
    def told(first_step: int = 0) -> list[bool]:
        write_run(tmp_path, first_step=first_step)
        return ["(LW102). Its report is" in each(judge([tmp_path])) for each in (text, github, as_json)]

    write_run(tmp_path, verdict="failed", alerts=[alert_of(4, severity=severity)])
    assert [told(), told()] == [[True] * 3, [False] * 3], "the second one's is the good run before"
    write_run(tmp_path, verdict="failed", alerts=[alert_of(4, severity=severity)])
    assert told(first_step=9) == [False] * 3, "it goes on, and its engine notes that"


def test_several_runs_begin_with_a_table(tmp_path: Path) -> None:
    write_run(tmp_path / "fine")
    warned = [alert_of(step, rule, Severity.WARNING) for step, rule in ((2, "LW203"), (3, "LW204"))]
    write_run(tmp_path / "bad", alerts=[alert_of(4), *warned], verdict="unhealthy")
    head, bad, fine, blank, *_ = text(judge([tmp_path])).splitlines()
    assert head.split() == ["run", "verdict", "alerts", "worst"]
    assert re.match(r"bad +FAIL .* 1 error, 2 warnings +LW102: ", bad)
    assert re.match(r"fine +ok +finished ", fine)
    assert (blank, text(judge([tmp_path / "fine"]))[:4]) == ("", "ok  ")
    paragraphs = text(judge([tmp_path])).split("\n\n")
    assert [("bad" in part, "fine" in part) for part in paragraphs] == [(True, True), (True, False), (False, False)]
    noted = write_run(tmp_path / "noted", alerts=[alert_of(4, "LW316", Severity.INFO)])
    assert "(LW316)" in text(judge([tmp_path / "fine", noted], fail_on="info")), "what fails is said"
    large = alert_of(3, severity=Severity.WARNING, back_to=0, closed_step=3)
    back = [large, alert_of(3, "LW910", Severity.WARNING, name="recovered", back_to=0)]
    write_run(tmp_path / "back", message="recovered at step 3, then 17 steps without an alert.", alerts=back)
    edit_json(tmp_path / "back/lora_watch/report.json", evaluation={"eval_loss": {"last": {"step": 0, "value": 1.83}}})
    said, (run,) = text(judge([tmp_path / "back"])), judge([tmp_path / "back"]).to_dict()["runs"]
    assert re.search(r"  recovered at step 3 · \d{4}-\d\d-\d\d \d\d:\d\d UTC · ", said)
    assert [[alert["rule"] for alert in run[of]] for of in ("findings", "recovered_from")] == [["LW910"], ["LW102"]]
    (cases,) = ElementTree.fromstring(junit(judge([tmp_path / "back"], "warning")))
    failing = [(str(case.get("name"))[:5], case.find("failure") is not None) for case in cases]
    assert failing == [("LW102", False), ("LW910", True), ("rules", False)], "LW910 stands for what it is from"
    assert github(judge([tmp_path / "back"])).count("::warning") == 1
    assert said.startswith("ok, 1 warning ")
    assert "(LW102)" not in said, "its LW910 tells of it"
    edit_json(tmp_path / "bad/lora_watch/report.json", last_good={"folder": "last_good", "step": 3, "gained": True})
    assert f"{tmp_path / 'bad/lora_watch/last_good'} (step 3)" in text(judge([tmp_path]))
    assert (run["evaluation"], run["evaluated_at"]) == ({"eval_loss": 1.83}, {"eval_loss": 0}), "as the text has it"


def test_what_check_adds_is_counted_apart_and_told_of_one_cause_once(tmp_path: Path) -> None:
    first = alert_of(2, "LW204", Severity.WARNING, causes=["the data"])
    same = alert_of(3, "LW207", Severity.WARNING, causes=["the data"])
    write_run(tmp_path, steps=10, run=run_of(max_steps=20), alerts=[first, same])
    said = text(judge([tmp_path]))
    assert said.startswith("ok, 2 warnings, 1 found by check  ")
    causes = [line.strip() for line in said.splitlines() if "Cause" in line]
    assert causes == ["Cause: the data.", "Cause: that of LW204."]


def test_a_finding_that_is_switched_off_is_called_so(tmp_path: Path) -> None:
    write_run(tmp_path, steps=10, run=run_of(max_steps=20), alerts=[alert_of(3)])
    judgement = judge([tmp_path], by_rule={"LW102": None, "LW802": None})
    assert judgement.exit_code == 0
    passed = "Passed with an ERROR (LW102), as fail_on says never."
    assert [each for each in ("ERROR at", "WARNING", "::") if each in github(judgement)] == []
    assert all(passed in said for said in (text(judgement), github(judgement), junit(judgement).decode()))
    assert "Switched off (LW102=never): too large" in text(judgement)
    assert judgement.to_dict()["switched_off"] == ["LW102", "LW802"]
    assert "ERROR" in text(judge([tmp_path])), "else it is none"
    assert text(judge([tmp_path], fail_on=None)).startswith("passed, 1 error"), "nobody calls it ok"


@given(title=st.text(), message=st.text())
def test_a_command_is_one_line_and_comes_back_whole(title: str, message: str) -> None:
    line = command("error", title, message)
    assert "\n" not in line
    assert "\r" not in line
    (back,) = github_runner.commands(line)
    assert (back.name, back.message) == ("error", message)
    assert back.properties.get("title", "") == title


def test_only_our_own_annotations_are_commands_and_junit_survives_names_that_are_no_xml(hostile: Judgement) -> None:
    found = github_runner.commands(github(hostile))
    assert len(found) == len(HOSTILE) + 1
    assert {c.name for c in found} == {"error"}
    assert all(set(c.properties) == {"title"} for c in found)
    assert broken_rules(junit(hostile)) == []
    assert ElementTree.fromstring(junit(hostile)).get("failures") == str(len(HOSTILE))


# -- JUnit -----------------------------------------------------------------------------------------------------------
def test_junit_has_a_suite_a_run_and_a_case_an_alert(plain: Judgement) -> None:
    assert broken_rules(junit(plain)) == broken_rules(junit(Judgement())) == []
    root = ElementTree.fromstring(junit(plain))
    assert [root.get(key) for key in ("tests", "failures", "errors")] == ["5", "1", "1"]
    bad, good, unjudged = root
    assert [case.get("name") for case in good] == ["rules that found nothing"]
    (failure,) = bad.findall("testcase[@name='LW102 norm-explosion']/failure")
    assert failure.get("type") == "ERROR"
    assert "at step 3" in str(failure.text)
    assert "at step 9" in str(failure.text)  # twice the same rule: one case
    passed, *_ = bad.findall("testcase/system-out")
    assert "LW203" in str(passed.text)
    assert "nowhere" in str(unjudged[0][0].text)


@pytest.mark.parametrize("verdict", ["ok", "unknown", "failed", "interrupted"])
def test_junit_skips_what_was_not_asked_or_could_not_be_judged(tmp_path: Path, verdict: Any) -> None:
    rules = tuple(rule.describe() for rule in catalogue() if rule.id != "LW203")
    run = run_of(rules=rules, muted=("LW203",), config={"world_size": 1})
    write_run(tmp_path, run=run, verdict=verdict, message="", steps=100, alerts=[alert_of(3), alert_of(9, "LW301")])
    document = junit(judge([tmp_path], by_rule={"LW102": None, "LW104": None}))
    assert broken_rules(document) == []
    skips, *_ = ElementTree.fromstring(document).iter("skipped")
    skipped = set(re.findall(r"LW\d{3}", str(skips.get("message"))))
    empty = {"LW206", "LW209", "LW210", "LW309", "LW312", "LW315"}  # no reward, evaluation, drift, second process
    static = {rule.id for rule in catalogue() if rule.static}
    rest = {rule.id for rule in catalogue()} - static - {"LW301", "LW102"}
    assert skipped == {"LW104", "LW203", *empty, *([] if verdict == "ok" else rest)}


def test_junit_skips_what_a_note_says_is_not_judged(tmp_path: Path) -> None:
    rules = tuple(rule.describe() for rule in catalogue())
    for steps, notes in ((100, ("adapters as they began. Whether they grow enough is not judged (LW104)",)), (9, ())):
        write_run(tmp_path, run=run_of(rules=rules, notes=notes), steps=steps)
        (skips,) = ElementTree.fromstring(junit(judge([tmp_path]))).iter("skipped")
        assert "LW104" in str(skips.get("message"))


def test_junit_of_a_run_that_passes_says_what_to_change(tmp_path: Path) -> None:
    told = Prescription({"learning_rate": Setting(1e-5, 0.01)})
    weak = alert_of(5, "LW104", Severity.WARNING, next_run=told)
    write_run(tmp_path, alerts=[alert_of(3, "LW203", Severity.WARNING), weak])
    said = [each.text or "" for each in ElementTree.fromstring(junit(judge([tmp_path]))).iter("system-out")]
    assert [("Next run" in each, "Passed" in each) for each in said] == [(True, True), (False, True), (False, False)]
    assert "Passed" not in junit(judge([tmp_path], "warning")).decode()


def test_what_another_alert_has_taken_over_is_not_over(tmp_path: Path) -> None:
    rates = alert_of(2, "LW306", Severity.WARNING, closed_step=3)
    write_run(tmp_path, alerts=[rates, alert_of(3, explains=["LW306"])])
    assert "Gives way to LW102: from step 3 on see there." in text(judge([tmp_path]))


def test_a_muted_rule_is_named_and_none_that_the_run_itself_did_not_ask(tmp_path: Path) -> None:
    asked = tuple(rule.describe() for rule in catalogue() if rule.id != "LW102")
    write_run(tmp_path / "muted", run=RunInfo((), rules=asked, muted=("LW102",)))
    write_run(tmp_path / "left out", run=RunInfo((), rules=asked))
    muted, plain = (judge([tmp_path / each]) for each in ("muted", "left out"))
    assert [("muted: LW102" in say(muted), "muted:" in say(plain)) for say in (text, as_json)] == [(True, False)] * 2
    assert [b"LW102: muted in" in junit(muted), b"LW102: not asked in" in junit(plain)] == [True, True]
    besides = [latest_run(tmp_path / each).data.verdict()["besides"] for each in ("muted", "left out")]
    assert besides == ["These rules were muted: LW102.", None]
    assert "muted was trained with these rules muted: LW102." in compare([tmp_path]).notes


# -- JSON ------------------------------------------------------------------------------------------------------------
def test_json_is_strict(hostile: Judgement, plain: Judgement) -> None:
    for judgement in (hostile, plain):
        content = parse(as_json(judgement).encode("utf-8"))
        assert content["exit_code"] == 2
        assert len(content["unreadable"]) == 1
    assert [run["failed"] for run in content["runs"]] == [True, False]
