"""Real texts that are on this machine, and the training blocks that are cut from them."""

import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

HELD_OUT_EVERY = 10
"""Every tenth document is never trained on."""


def stdlib_text() -> list[str]:
    """The modules of Python's standard library (its top folder only), in alphabetical order of file name. Raises
    FileNotFoundError where Python was installed without its sources."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("*.py"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no Python sources: this Python was installed without them")
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]


def python_manual() -> list[str]:
    """The pages of Python's language reference that the interpreter carries for ``help()``: technical prose."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def split(documents: Sequence[T]) -> tuple[list[T], list[T]]:
    """``(train, held_out)``, divided by whole documents so that no text is on both sides."""
    train = [document for i, document in enumerate(documents) if i % HELD_OUT_EVERY]
    return train, list(documents[::HELD_OUT_EVERY])


def blocks(documents: Sequence[str], tokenizer: Any, n: int, length: int) -> list[dict[str, list[int]]]:
    """``n`` blocks of ``length`` tokens for a language model, drawn from all of ``documents``, always the same. Each is
    ``{"input_ids": …, "labels": …}``. Raises ValueError when the documents hold fewer than ``n``."""
    size = 8 * length  # characters; only what is drawn is tokenised, which keeps the start short
    pieces = [text[i : i + size] for text in documents for i in range(0, len(text) - size + 1, size)]
    random.Random(0).shuffle(pieces)
    found: list[list[int]] = []
    while len(found) < n and pieces:
        some, pieces = pieces[:n], pieces[n:]
        tokens = tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]
        found += [ids[:length] for ids in tokens if len(ids) >= length]
    if len(found) < n:
        raise ValueError(f"the text holds {len(found)} blocks of {length} tokens, {n} are needed")
    return [{"input_ids": ids, "labels": ids} for ids in found[:n]]
