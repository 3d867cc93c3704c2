"""What a notebook shows of the objects that its user meets. Every text is escaped: names come from models and files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lora_watch.base.text import clean


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table: the first column to the left, all others to the right."""

    def line(kind: str, cells: Sequence[str]) -> str:
        sides = ["left", *["right"] * (len(cells) - 1)]
        return "".join(f'<{kind} style="text-align: {side}">{text(cell)}</{kind}>' for cell, side in zip(cells, sides))

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{line('th', headings)}</tr></thead><tbody>{body}</tbody></table>"


def lines(content: str) -> str:
    """The lines of ``content`` as they stand."""
    return f"<pre>{chr(10).join(map(text, content.splitlines()))}</pre>"


def text(content: object) -> str:
    """``content`` as one harmless line of HTML."""
    return escape(clean(content))
