"""What a notebook shows of the objects that its user meets. Every text is escaped: names come from models and files."""

from __future__ import annotations

from html import escape

from lora_watch.base.text import clean


def lines(content: str) -> str:
    """The lines of ``content`` as they stand."""
    return f"<pre>{chr(10).join(map(text, content.splitlines()))}</pre>"


def text(content: object) -> str:
    """``content`` as one harmless line of HTML."""
    return escape(clean(content))
