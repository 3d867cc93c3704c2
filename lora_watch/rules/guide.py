"""What to do about each finding: the rules' docstrings and ``guide.yaml``, for the command line and the docs.
Where thresholds come from is in ``evidence.yaml``."""

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
    """Those that it can have, the usual one first."""
    summary: str
    fires: str = ""
    rule: Rule | None = None
    """None for the findings of ``lora-watch check``, for LW901 and for LW910."""
    means: str = ""
    fix: str = ""
    mute: str = ""
    evidence: str = ""


@functools.cache
def pages() -> dict[str, Page]:
    """The pages of every rule of the catalogue and of every other finding, by id, in the order of ids."""
    evidence = _read("evidence.yaml")
    texts = {id: {**entry, "evidence": evidence.get(id, "")} for id, entry in _read("guide.yaml").items()}
    found = {id: Page(id=id, **text) for id, text in texts.items() if "name" in text}
    for rule in catalogue():
        fires = inspect.cleandoc(type(rule).__doc__ or "").partition("\n\n")[2]
        own = {"severity": rule.severity.name, **texts[rule.id]}
        found[rule.id] = Page(id=rule.id, name=rule.name, summary=rule.summary(), fires=fires, rule=rule, **own)
    return dict(sorted(found.items()))


def _read(name: str) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(files("lora_watch.rules").joinpath(name).read_text(encoding="utf-8"))
