"""Makes stdlib_blocks.npz, the text that the tests train on: what Python 3.11.7's standard library and manual hold.

    python -m tests.blocks

The text is under the licence of Python (https://docs.python.org/3/license.html). Another version of Python makes other
blocks, and with them other losses: tests that hold thresholds of single runs then have to be looked at.
"""

import json
import random

import numpy as np

from lora_watch.demo.texts import blocks, python_manual, stdlib_text
from tests.support import BLOCKS, tiny_tokenizer

COUNTS = {16: 128, 24: 64, 32: 1024, 48: 128, 64: 1280}
"""Blocks by their length in tokens."""


def code_or_prose(library: list[str]) -> list[tuple[str, int]]:
    """Pieces of the library, 0, and of the manual, 1; two of three are code."""
    pieces = [(text[i : i + 200], 0) for text in library[:80] for i in range(2000, len(text) - 200, 9000)][:320]
    pieces += [(text[i : i + 200], 1) for text in python_manual() for i in range(0, len(text) - 200, 2500)][:160]
    random.Random(0).shuffle(pieces)
    return pieces


def main() -> None:
    text = stdlib_text()
    kept = {
        str(length): np.array([block["input_ids"] for block in blocks(text, tiny_tokenizer(), n, length)], np.uint16)
        for length, n in COUNTS.items()
    }
    pieces = np.frombuffer(json.dumps(code_or_prose(text)).encode(), np.uint8)
    np.savez_compressed(BLOCKS, code_or_prose=pieces, **kept)


if __name__ == "__main__":
    main()
