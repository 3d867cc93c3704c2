"""The published schemas hold for what real runs write, and would notice if they did not."""

from __future__ import annotations

import copy
import json
import runpy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from referencing import Registry, Resource

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import AdapterInfo, Recovered
from lora_watch.base.strict_json import strict
from lora_watch.format.schema import FILES
from lora_watch.gate import judge
from lora_watch.gate.baseline import keep
from lora_watch.gate.formats.as_json import as_json
from lora_watch.tuning.lr_finder import Suggestion
from tests.runs.written import write_run
from tests.sinks.made_up import alert_of, parse

SCHEMAS = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
REGISTRY: Registry[Any] = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)


def errors(name: str, content: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == name


def test_the_command_writes_them_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["", str(tmp_path)])
    runpy.run_module("lora_watch.format.schema", run_name="__main__")
    assert {path.name: parse(path.read_bytes()) for path in tmp_path.iterdir()} == SCHEMAS


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (Alert, "alert.json", ""),
        (Suggestion, "find_lr.json", ""),
        (Recovered, "report.json", "recoveries"),
        (AdapterInfo, "report.json", "adapters"),
        (AdapterInfo, "incident.json", "adapters"),
    ],
)
def test_a_schema_has_the_fields_of_its_class(kind: Any, name: str, path: str) -> None:
    schema = SCHEMAS[name]["properties"][path]["items"] if path else SCHEMAS[name]
    assert [*schema["properties"]] == schema["required"]
    assert {*schema["properties"]} - {"lasted"} == {field.name for field in fields(kind)}


def test_a_schema_has_every_verdict() -> None:
    assert set(SCHEMAS["report.json"]["properties"]["verdict"]["enum"]) == set(get_args(Verdict))


def test_report_and_alerts(healthy: Path, exploded: Path, tmp_path: Path) -> None:
    strange = [alert_of(2, adapters=[("a", float("inf"))], threshold=float("nan"))]
    write_run(tmp_path, loss=float("nan"), alerts=strange, verdict=None)
    for folder in (healthy, exploded, tmp_path):
        report = parse((folder / "lora_watch" / "report.json").read_bytes())
        assert errors("report.json", report) == []
    for folder in (exploded, tmp_path):
        lines = (folder / "lora_watch" / "alerts.jsonl").read_bytes().splitlines()
        assert lines
        for line in lines:
            assert errors("alerts-line.json", parse(line)) == []


def test_check_output(healthy: Path, exploded: Path, tmp_path: Path) -> None:
    baseline = keep(judge([healthy]).runs[0].run)
    for judgement in (judge([healthy, exploded, tmp_path]), judge([exploded], "warning", baseline), judge([])):
        assert errors("check.json", parse(as_json(judgement))) == []


def test_baseline(healthy: Path, tmp_path: Path) -> None:
    write_run(tmp_path, loss=float("nan"))
    for folder in (healthy, tmp_path):
        kept = parse(keep(judge([folder]).runs[0].run).to_json())
        assert errors("baseline.json", kept) == []


def test_alert() -> None:
    alert = strict(alert_of(settings={"lora_alpha": 16, "learning_rate": 2e-4}).to_dict())
    assert errors("alert.json", alert) == []
    for wrong in ({"settings": {"lora_alpha": "16"}}, {"settings": None}, {"severity": "bad"}, {"step": -1}):
        assert errors("alert.json", alert | wrong), wrong
    assert errors("alert.json", {key: value for key, value in alert.items() if key != "settings"})


def requirements(schema: Any, content: Any) -> Iterator[tuple[list[Any], str]]:
    """Paths to objects in ``content``, each with a key that ``schema`` requires of it."""
    for key in schema.get("required", ()):
        yield [], key
    for name, below in schema.get("properties", {}).items():
        if isinstance(content.get(name), dict):
            yield from (([name, *path], key) for path, key in requirements(below, content[name]))


@pytest.mark.parametrize("name", ["report.json", "check.json", "baseline.json"])
def test_what_is_required_is_missed(name: str, healthy: Path) -> None:
    whole = {
        "report.json": lambda: parse((healthy / "lora_watch" / "report.json").read_bytes()),
        "check.json": lambda: parse(as_json(judge([healthy]))),
        "baseline.json": lambda: parse(keep(judge([healthy]).runs[0].run).to_json()),
    }[name]()
    for path, key in requirements(SCHEMAS[name], whole):
        broken = copy.deepcopy(whole)
        inside = broken
        for step in path:
            inside = inside[step]
        del inside[key]
        assert errors(name, broken), (path, key)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("report.json", {"verdict": "splendid"}),
        ("report.json", {"version": 2}),
        ("report.json", {"step": -1}),
        ("report.json", {"alerts": [{"rule": "LW102"}]}),
        ("report.json", {"overhead": "much"}),
    ],
)
def test_what_is_wrong_is_noticed(name: str, change: dict[str, Any], healthy: Path) -> None:
    report = parse((healthy / "lora_watch" / "report.json").read_bytes())
    assert errors(name, report | change)
