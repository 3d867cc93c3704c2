"""What to do about each finding: the rules' docstrings and ``guide.yaml``, for the command line and the docs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files

from lora_watch.rules import Rule, catalogue


@dataclass(frozen=True)
class Page:
    """All that there is to say of one finding, as Markdown."""

    id: str
    name: str
    severity: str
    watches: str
    """What it watches, and the evidence for its thresholds."""
    rule: Rule | None = None
    """None for the findings of ``lora-watch check``, for LW901 and for LW910."""
    means: str = ""
    check: str = ""
    fix: str = ""
    mute: str = ""

    @property
    def in_short(self) -> str:
        """What it watches, in one line."""
        return self.watches.partition("\n\n")[0].replace("\n", " ")


@functools.cache
def pages() -> dict[str, Page]:
    """The pages of every rule of the catalogue and of every other finding, by id, in the order of ids."""
    import yaml

    guide = yaml.safe_load(files("lora_watch").joinpath("guide.yaml").read_text(encoding="utf-8"))
    found = {id: Page(id=id, **entry) for id, entry in guide.items() if "watches" in entry}
    for rule in catalogue():
        told = rule.describe()
        found[rule.id] = Page(rule.id, rule.name, told["severity"], told["explains"], rule, **guide.get(rule.id, {}))
    return dict(sorted(found.items()))
