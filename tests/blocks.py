"""Makes stdlib_blocks.npz, the text that the tests train on: what Python 3.11.7's standard library holds.

    python -m tests.blocks

The text is under the licence of Python (https://docs.python.org/3/license.html). Another version of Python makes other
blocks, and with them other losses: tests that hold thresholds of single runs then have to be looked at.
"""

import numpy as np

from lora_watch.demo.texts import blocks, stdlib_text
from tests.support import BLOCKS, tiny_tokenizer

COUNTS = {16: 128, 24: 64, 32: 1024, 48: 128, 64: 1280}
"""Blocks by their length in tokens."""


def main() -> None:
    text = stdlib_text()
    kept = {
        str(length): np.array([block["input_ids"] for block in blocks(text, tiny_tokenizer(), n, length)], np.uint16)
        for length, n in COUNTS.items()
    }
    np.savez_compressed(BLOCKS, **kept)


if __name__ == "__main__":
    main()
