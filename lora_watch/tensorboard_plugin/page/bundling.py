"""The tab's scripts as one script, and its sheets as one: a page that is opened from a disk cannot import modules.

Each module becomes a function that gives back what it exports. They stand in the order of their imports.
"""

from __future__ import annotations

import re

from lora_watch.tensorboard_plugin.plugin import STATIC

_IMPORT = re.compile(r"^import (\{[^}]*\}|\* as \w+) from '\./(\w+)\.js';\n", re.MULTILINE)
_SHEET = re.compile(r'^@import "\./(\w+\.css)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (async function|function|class|const|let) (\w+)", re.MULTILINE)


def bundle(entry: str) -> str:
    """``entry.js`` with all that it imports."""
    parts: dict[str, str] = {}
    _add(entry, parts)
    return "\n".join(parts.values()).replace("</script", "<\\/script")


def style() -> str:
    """``style.css`` with all that it imports."""
    return _SHEET.sub(lambda found: _text(found[1]), _text("style.css"))


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _add(name: str, parts: dict[str, str]) -> None:
    """The module ``name`` to ``parts``, behind what it imports."""
    if name in parts:
        return
    source = _text(f"{name}.js")
    for found in _IMPORT.finditer(source):
        _add(found[2], parts)
    exports = ", ".join(found[2] for found in _EXPORT.finditer(source))
    body = _EXPORT.sub(r"\1 \2", _IMPORT.sub(_as_constant, source))
    parts[name] = f"const m_{name} = (() => {{\n{body}\nreturn {{{exports}}};\n}})();"


def _as_constant(found: re.Match[str]) -> str:
    names = found[1].removeprefix("* as ").replace(" as ", ": ")
    return f"const {names} = m_{found[2]};\n"
