"""What to do about each finding: the rules' docstrings and ``guide.yaml``, for the command line and the docs.
Where thresholds come from is in ``evidence.yaml``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from lora_watch.rules import Rule, catalogue

FAMILIES = {
    "LW1": "Size of the adapters",
    "LW2": "Loss",
    "LW3": "Wiring and updates",
    "LW4": "Settings",
    "LW8": "lora-watch check",
    "LW9": "The monitor itself",
}
"""What rules are about, by the beginning of their ids."""
OF_YOUR_OWN = "Rules of your own"


@dataclass(frozen=True)
class Page:
    """The text of one finding, as Markdown."""

    id: str
    name: str
    severity: str
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
        found[rule.id] = Page(rule.id, rule.name, rule.severity.name, rule.summary(), fires, rule, **texts[rule.id])
    return dict(sorted(found.items()))


def _read(name: str) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(files("lora_watch.rules").joinpath(name).read_text(encoding="utf-8"))


def texts_of(rules: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """For the tab: the text of each of ``rules``, as a run's files have them, by family and without Markdown. Rules of
    the catalogue are told as this version knows them, others by the first paragraph of what the files say."""
    out = []
    for rule in rules:
        id, name = str(rule.get("id", "")), str(rule.get("name", ""))
        page = pages().get(id)
        known = page if page is not None and page.name == name else None
        explains = str(rule.get("explains", "")).replace("\\n", "\n")  # in files a text is one line
        entry = {"id": id, "name": name, "severity": str(rule.get("severity", ""))}
        entry["family"] = FAMILIES.get(id[:3], OF_YOUR_OWN) if known else OF_YOUR_OWN
        entry["summary"] = known.summary if known else explains.partition("\n\n")[0].replace("\n", " ")
        entry |= {part: getattr(known, part) if known else "" for part in ("means", "fix", "mute")}
        out.append({key: text.replace("`", "") for key, text in entry.items()})
    families = [*FAMILIES.values(), OF_YOUR_OWN]
    return sorted(out, key=lambda entry: (families.index(entry["family"]), entry["id"]))
