"""Words that the glossary has replaced do not come back: in pages, messages and docstrings."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lora_watch"
RETIRED = re.compile(
    r"\b(loud(?!-head)(ness|er|est|ly)?|drown(s|ed)|overcooked|sick|(?<!corpus\.)cure[sd]?(?!\.(json|py))|condemn(s|ed)?|"
    r"flight recorder|under the watch|(a|the|close|full|every|each) look)\b",
    re.IGNORECASE,
)
"""But for the stored fault "loud-head" and cures.json. What to say instead: docs/glossary.md."""


def prose(file: Path) -> str:
    """Every string of a module, docstrings included; a page without what programs print."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
        return "\n".join(value for value in strings if isinstance(value, str))
    return re.sub(r"^```(\w*)\n(.*?)^```$", lambda block: block[2] * bool(block[1]), text, flags=re.M | re.S)


FOLDERS = {
    "pages": [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")],
    "package": [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.yaml"), *PACKAGE.rglob("static/*.js")],
    "examples": [*(ROOT / "examples").rglob("*.py")],
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_retired_word_is_used(folder: str):
    found = {str(file.relative_to(ROOT)): RETIRED.search(prose(file)) for file in FOLDERS[folder]}
    assert len(found) > 5
    assert {name: match[0] for name, match in found.items() if match} == {}
