"""What to do about each finding: the rules' docstrings and ``guide.yaml``, for the command line and the docs.

The origin of a threshold is in ``evidence.yaml`` and is shown only to those who ask for it.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from lora_watch.rules import Rule, catalogue


@dataclass(frozen=True)
class Page:
    """The text of one finding, as Markdown."""

    id: str
    name: str
    severity: str
    summary: str
    """One line."""
    fires: str = ""
    """When it fires, and when it does not."""
    rule: Rule | None = None
    """None for the findings of ``lora-watch check``, for LW901 and for LW910."""
    means: str = ""
    check: str = ""
    fix: str = ""
    mute: str = ""
    evidence: str = ""
    """Where its thresholds come from."""


@functools.cache
def pages() -> dict[str, Page]:
    """The pages of every rule of the catalogue and of every other finding, by id, in the order of ids."""
    guide, evidence = _read("guide.yaml"), _read("evidence.yaml")
    found = {id: Page(id=id, **entry, evidence=evidence.get(id, "")) for id, entry in guide.items() if "name" in entry}
    for rule in catalogue():
        text = inspect.cleandoc(type(rule).__doc__ or "")
        found[rule.id] = Page(
            rule.id,
            rule.name,
            rule.severity.name,
            rule.summary(),
            text.partition("\n\n")[2],
            rule,
            **guide.get(rule.id, {}),
            evidence=evidence.get(rule.id, ""),
        )
    return dict(sorted(found.items()))


def _read(name: str) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(files("lora_watch").joinpath(name).read_text(encoding="utf-8"))
