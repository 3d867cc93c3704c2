"""The mechanical part of how we write (CONTRIBUTING.md): no long sentence, no clause as a subject."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lora_watch.cli.rules import explanation
from lora_watch.rules import catalogue
from lora_watch.rules.guide import Page, pages
from tests.docs.texts import (
    PACKAGE,
    ROOT,
    docstrings,
    messages,
    of_docstring,
    of_markdown,
    of_notebook,
    of_yaml,
    paragraphs,
    sentences,
    starts_with_a_clause,
    words,
)

MOST_WORDS = 30
EXCEPTIONS: dict[str, str] = {}
"""Beginnings of sentences that may break a rule, each with the reason. At most ten."""

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
SCRIPTS = [*sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "docs").glob("*.py"))]


def faults(texts: Iterator[str]) -> list[str]:
    """Every sentence of ``texts`` that is too long or has a clause as its subject, with the reason in front."""
    found = []
    for sentence in (sentence for text in texts for sentence in sentences(text)):
        if sentence.startswith(tuple(EXCEPTIONS)):
            continue
        if words(sentence) > MOST_WORDS:
            found.append(f"{words(sentence)} words: {sentence}")
        if starts_with_a_clause(sentence):
            found.append(f"a clause as subject: {sentence}")
    return found


GUIDE = [PACKAGE / "rules" / "guide.yaml", PACKAGE / "rules" / "evidence.yaml"]
LONGEST_PAGE = 45
"""Lines of a rule's page in a terminal: two screens."""


def check(files: list[Path], read: Callable[[Path], Iterator[str]]) -> None:
    found = [f"{file.relative_to(ROOT)}: {fault}" for file in files for fault in faults(read(file))]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_pages(file: Path):
    check([file], of_markdown)


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda file: file.stem)
def test_notebooks(file: Path):
    check([file], of_notebook)


COMMANDS = sorted((PACKAGE / "cli").glob("*.py"))


def test_help():
    check(COMMANDS, messages)
    check(COMMANDS, docstrings)


def test_messages():
    check(sorted(PACKAGE.rglob("*.py")), messages)


def test_scripts():
    check(SCRIPTS, messages)
    check(SCRIPTS, lambda file: docstrings(file, private=True))


def test_what_to_do_about_each_finding():
    check(GUIDE, of_yaml)


def test_when_each_rule_fires():
    found = [fault for rule in catalogue() for fault in faults(of_docstring(inspect.getdoc(type(rule))))]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("page", pages().values(), ids=lambda page: page.id)
def test_a_rules_page_fits_two_screens_and_keeps_its_evidence_apart(page: Page):
    text = explanation(page)
    assert len(text.splitlines()) <= LONGEST_PAGE
    assert page.summary in text
    assert "corpus" not in page.fires
    assert not page.evidence or page.evidence not in text
    assert page.rule is None or page.rule.describe()["explains"] == page.summary


def test_exceptions_are_few():
    assert len(EXCEPTIONS) <= 10
    assert all(EXCEPTIONS.values())


def test_faults_are_found():
    long = "This sentence " + "goes on and " * 12 + "on."
    clause = "What cannot pass does not wait."
    texts = [f"{clause} What is it?", f"It ends. {long}", "`a b c d` is [a link](to a place)."]
    found = [fault.partition(": ") for fault in faults(iter(texts))]
    assert [text for _, _, text in found] == [clause, long]
    assert found[1][0] == "39 words"


def test_a_page_is_read_without_its_tables_code_and_headings():
    page = "# What it is\n\n| What | is |\n|---|---|\n\n```sh\nWhat it does\n```\n\n- One item.\n- Another\n  item.\n"
    assert [sentence for text in paragraphs(page) for sentence in sentences(text)] == ["One item.", "Another item."]
