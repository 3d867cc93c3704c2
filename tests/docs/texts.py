"""The texts that a user reads, cut into sentences: pages, guide, rules, help, messages and docstrings."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lora_watch"

ENDS = re.compile(r"(?<=[.!?…])[\"')*\]]*\s+(?=[\"'(*`\[A-Z0-9ΔW‖∂σ])")
"""Between two sentences: a full stop, and a capital, a number or code after it."""
SHORT_FORMS = ("e.g.", "i.e.", "cf.", "vs.", "etc.", "Fig.", "al.")
CLAUSE = re.compile(r"\W*(What|Who|Where|Whoever|Whatever|Whichever|Wherever)\b")
QUESTIONS = re.compile(r"\?[\"')*`]*$")


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph or one item of a list."""
    found: list[str] = []
    for piece in ENDS.split(" ".join(text.split())):
        if found and found[-1].endswith(SHORT_FORMS):
            found[-1] += f" {piece}"
        elif piece:
            found.append(piece)
    return found


def words(sentence: str) -> int:
    """Words of a sentence; a piece of code, a link's address and a formula count as one."""
    sentence = re.sub(r"\]\([^)]*\)", "]", sentence)
    sentence = re.sub(r"``[^`]+``|`[^`]+`|\{[^{}]*\}", "code", sentence)
    return len([word for word in sentence.split() if re.search(r"\w|…", word)])


def starts_with_a_clause(sentence: str) -> bool:
    return bool(CLAUSE.match(sentence)) and not QUESTIONS.search(sentence)


def paragraphs(markdown: str) -> Iterator[str]:
    """Running text of a page: no code, no table, no heading, no picture; an item of a list is a paragraph."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", markdown, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.S)
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)
    lines = ["" if re.match(r"\s*(\||#|<|---)", line) else line for line in text.splitlines()]
    lines = [re.sub(r"^( *)([-*+]|\d+\.) ", "\n", line) for line in lines]
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        if block.strip():
            yield block.strip()


def of_markdown(file: Path) -> Iterator[str]:
    yield from paragraphs(file.read_text(encoding="utf-8"))


def of_notebook(file: Path) -> Iterator[str]:
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            yield from paragraphs("".join(cell["source"]))


def of_yaml(file: Path) -> Iterator[str]:
    """Every text of a YAML file, each as Markdown."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield from paragraphs(value)
        elif isinstance(value, dict):
            for inner in value.values():
                yield from texts(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from texts(inner)

    yield from texts(yaml.safe_load(file.read_text(encoding="utf-8")))


def docstrings(file: Path, private: bool = False) -> Iterator[str]:
    """Docstrings of a module, of its public classes and functions, and those below its public fields."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    yield from of_docstring(ast.get_docstring(tree))
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)) and (private or not child.name.startswith("_")):
                yield from of_docstring(ast.get_docstring(child))
                stack.append(child)
        body = getattr(node, "body", [])
        for before, after in itertools.pairwise(body):
            if isinstance(before, (ast.Assign, ast.AnnAssign)) and _text(after):
                yield from of_docstring(_text(after))


def of_docstring(text: str | None) -> Iterator[str]:
    """Its paragraphs: blocks of code, and the headings and names of Google's style, are left out."""
    for block in paragraphs(re.sub(r"::\n\n((?:(?: {4}.*)?\n)+)", "\n\n", (text or "") + "\n")):
        for piece in re.split(r"^\s*(?:Args|Returns|Raises|Attributes|Example):\s*$|^\s+\w+: ", block, flags=re.M):
            if piece.strip():
                yield piece


def _text(node: ast.AST) -> str | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def messages(file: Path) -> Iterator[str]:
    """Every string of a module that reads as text, its docstrings aside: messages, notes, causes, remedies, help."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    aside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in aside:
            continue
        if isinstance(node, ast.JoinedStr):
            aside |= {id(part) for part in ast.walk(node)} - {
                id(inner)
                for part in node.values
                if isinstance(part, ast.FormattedValue)
                for inner in ast.walk(part.value)
            }
            text = "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{…}"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if len(text.split()) >= 5 and "\x00" not in text:
            yield from paragraphs(re.sub(r"\[/?(?:\w+)?\]", "", text))


def names(file: Path) -> Iterator[str]:
    """Every name that a module gives: of functions, classes, arguments, variables and fields."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def words_of_a_name(name: str) -> list[str]:
    """``IncidentRecord`` and ``incident_record`` alike: incident, record."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
