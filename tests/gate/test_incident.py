"""The incident record of a run that its policy has really ended: its schema, and the story that ``check`` tells."""

from __future__ import annotations

from pathlib import Path

from lora_watch.gate import judge
from lora_watch.gate.formats.text import text
from tests.gate.test_schemas import errors
from tests.sinks.made_up import parse


def test_its_schema(exploded: Path) -> None:
    incident = parse((exploded / "lora_watch" / "incident.json").read_bytes())
    assert errors("incident.json", incident) == []
    for key in ("steps", "adapters", "metrics", "alert"):
        assert errors("incident.json", {k: v for k, v in incident.items() if k != key}), key


def test_its_story(exploded: Path) -> None:
    judgement = judge([exploded])
    (judged,) = judgement.runs
    alert = judged.findings[0]
    first = next(line for line in judged.story if "LW102's threshold" in line)
    assert f"{alert.metric} of model.layers." in first
    assert f"Step {alert.step}: LW102 norm-explosion opened." in judged.story
    assert any(line.startswith("last_good/, ") and "incident.json" in line for line in judged.story)
    assert "What happened:" in text(judgement)
