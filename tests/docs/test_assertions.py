"""Tests assert rule ids, numbers, settings and names. A sentence would break with every change of words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.texts import ROOT

PROSE = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*(?:[,;:]? [A-Za-z]+(?:['’-][A-Za-z]+)*){3,}")
"""Four words in a row: numbers, identifiers and the ``.*`` of a pattern part them."""
EXCEPTIONS = {
    "copy to the host": "a kind of wait, as the strict device of the tests names it",
    "copy from the host": "a kind of wait, as the strict device of the tests names it",
    "How to fix it": "a heading of every rule's page",
    "When to mute it": "a heading of every rule's page",
}
"""At most ten, each with its reason."""
SEARCHES = {"search", "match", "fullmatch", "findall", "startswith", "endswith"}


def compared(tree: ast.AST) -> Iterator[ast.AST]:
    """What tests compare with: assertions, comparisons, patterns, tables of ``parametrize``, what a loop runs over."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.test
        elif isinstance(node, ast.Compare):
            yield node
        elif isinstance(node, (ast.For, ast.comprehension)):
            yield node.iter
        elif isinstance(node, ast.keyword) and node.arg == "match":
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = node.func.attr
            yield from node.args[called == "parametrize" :] if called in {"parametrize", *SEARCHES} else ()


def prose_in(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each such string. A case's ``id`` is none."""
    tree = ast.parse(source)
    ids = {node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "id"}
    found = {node for part in compared(tree) for node in ast.walk(part)} - ids
    for node in found:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PROSE.search(node.value):
            yield node.lineno, node.value


def test_no_assertion_holds_a_sentence():
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line, text in sorted(prose_in(file.read_text(encoding="utf-8")))
        if text not in EXCEPTIONS
    ]
    assert found == [], "\n" + "\n".join(found)


def test_exceptions_are_few():
    assert len(EXCEPTIONS) <= 10
    assert all(EXCEPTIONS.values())


def test_sentences_are_found():
    source = """
@pytest.mark.parametrize("says", ["no rank was ever given", pytest.param("r is 0", id="a rank that is zero")])
def test(says):
    with pytest.raises(ValueError, match="this is not a rule"):
        call("an input may be any text")
    assert f"{steps} steps were dropped in all" in message, "a reason may be any text"
    assert re.search(r"LW102 .*step 3: output_ratio 4.2", message)
    for part in ("it is over by now", "LW102"):
        assert part in message
    (note,) = [note for note in notes if note.startswith("there was no such run")]
"""
    assert [line for line, _ in sorted(prose_in(source))] == [2, 4, 6, 8, 10]
