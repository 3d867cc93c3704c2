"""Words that the glossary has replaced do not come back: in pages, messages, docstrings and names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_watch.rules import catalogue
from tests.docs.texts import PACKAGE, ROOT, names, words_of_a_name

RETIRED = re.compile(
    r"\b(loud(?!-head)(ness|er|est|ly)?|speaks?|spoken of|drown(s|ed)|overcooked|strength|sick|"
    r"(?<!corpus\.)cure[sd]?(?!\.(json|py))|rhythm|condemn(s|ed)?|flight recorder|beside|under the watch|"
    r"(a|the|close|full|every|each) look)\b",
    re.IGNORECASE,
)
"""In prose, but for the stored fault "loud-head" and cures.json. What to say instead: docs/glossary.md."""
RETIRED_IN_NAMES = re.compile(
    r"\b(loud|loudness|drowned|overcooked|strengths?|sick|cure[sd]?|condemned|rhythm|naught|(un)?told|kin|(un)?watched|"
    r"leaps?|roster|arrivals?|flight recorder|nearly silent)\b|^(middles?|moved)$"
)
"""In the words of a name: ``flight recorder`` for FlightRecorder and for flight_recorder."""


def retired(name: str) -> bool:
    return bool(RETIRED_IN_NAMES.search(" ".join(words_of_a_name(name))))


def prose(file: Path) -> Iterator[str]:
    """Every string of a module, docstrings included; cells; a page without what programs print."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        yield from ("".join(cell["source"]) for cell in json.loads(text)["cells"])
        return
    if file.suffix != ".py":
        yield re.sub(r"^```(\w*)\n(.*?)^```$", lambda block: block[2] * bool(block[1]), text, flags=re.M | re.S)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def pages() -> list[Path]:
    examples = [file for file in (ROOT / "examples").rglob("*") if file.suffix in (".py", ".md", ".yml")]
    scores = [file for file in (ROOT / "benchmarks").rglob("*") if file.suffix in (".py", ".md")]
    documents = [file for file in (ROOT / "docs").glob("*") if file.suffix in (".py", ".md")]
    texts = [*ROOT.glob("*.md"), *documents, *(ROOT / "notebooks").glob("*.ipynb"), *examples, *scores]
    return [*texts, PACKAGE / "rules" / "guide.yaml", *(PACKAGE / "tensorboard_plugin" / "static").glob("*.js")]


@pytest.mark.parametrize("file", pages(), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_page_has_a_retired_word(file: Path):
    assert [found[0] for text in prose(file) for found in RETIRED.finditer(text)] == []


def test_no_module_has_a_retired_word():
    found = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if any(RETIRED.search(text) for text in prose(file))
    }
    assert found == set()


@pytest.mark.parametrize("folder", ["lora_watch", "examples", "tests", "benchmarks", "docs"])
def test_no_name_has_a_retired_word(folder: str):
    files = (file for file in (ROOT / folder).rglob("*.py") if "node_modules" not in file.parts)
    found = [f"{file.relative_to(ROOT)}: {name}" for file in files for name in {*names(file)} if retired(name)]
    assert found == [], "\n" + "\n".join(found)


def test_no_threshold_is_named_by_a_retired_word():
    found = [(rule.id, name) for rule in catalogue() for name in rule.thresholds]
    assert [each for each in found if retired(each[1]) or "raised" in words_of_a_name(each[1])] == []


def test_the_words_are_found_where_they_are(tmp_path: Path):
    file = tmp_path / "module.py"
    file.write_text('def too_loud(strength):\n    """How loudly it speaks beside its layer."""\n', encoding="utf-8")
    assert [found[0] for text in prose(file) for found in RETIRED.finditer(text)] == ["loudly", "speaks", "beside"]
    assert [name for name in names(file) if retired(name)] == ["too_loud", "strength"]
    assert list(map(retired, ("FlightRecorder", "nearly_silent", "moved", "BaseWeightsMoved"))) == [True] * 3 + [False]
