"""The texts and tasks of the corpus that the demo does not have."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Callable
from pathlib import Path

from lora_watch.demo import texts

TEXTS: dict[str, Callable[[], list[str]]] = {
    "python": texts.stdlib_text,
    "manual": texts.python_manual,
    "news": lambda: [text for text, _ in texts.bbc_news()[0]],
    "headers": lambda: [
        file.read_text(encoding="utf-8", errors="replace")
        for file in sorted(Path(sysconfig.get_path("include")).rglob("*.h"))
    ],
}
"""``headers``: Python's own for C."""
CLASSES = {"topics": 5, "sports": 2, "politics": 2, "kinds": 4}
"""How many classes a task has; ``kinds``: which of ``TEXTS`` a piece of 400 characters is from."""


def classified(task: str) -> list[tuple[str, int]]:
    """Texts with their classes, in an order that is mixed and always the same."""
    articles, names = texts.bbc_news()
    if task == "topics":
        return articles
    if task == "kinds":
        pieces = [(text[:400], kind) for kind, of in enumerate(TEXTS.values()) for text in of()[:180]]
        random.Random(0).shuffle(pieces)
        return pieces
    return [(text, int(label == names.index(task))) for text, label in articles]
