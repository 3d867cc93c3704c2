"""CRC-32C as TFRecord files have it, with numpy: fast enough for every byte of a long run's events."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_BLOCK = 2048
"""Bytes that are looked up at once."""


def masked_crc(data: bytes) -> int:
    """The checksum that stands behind ``data``, which has four bytes or more, in a TFRecord file."""
    padded = np.frombuffer(bytes(-len(data) % 4) + data, np.uint8).copy()  # zeros in front change nothing
    padded[-len(data) :][:4] ^= 0xFF  # the same as beginning with all bits set
    table, state = _by_place(), np.zeros(1, "<u4")
    for start in range(0, len(padded), _BLOCK):
        block = padded[start : start + _BLOCK]
        block[:4] ^= state.view(np.uint8)
        places = np.arange(_BLOCK - len(block), _BLOCK)
        state[0] = np.bitwise_xor.reduce(table.take(256 * places + block))
    crc = int(state[0]) ^ 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _by_place() -> NDArray[np.uint32]:
    """``[_BLOCK, 256]``: what a byte adds to the checksum of its block, by its place in it and its value."""
    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        last = np.where(last & 1, last >> 1 ^ np.uint32(_POLYNOMIAL), last >> 1)
    rows = [last]
    for _ in range(_BLOCK - 1):
        rows.append(last[rows[-1] & 255] ^ rows[-1] >> 8)  # one byte further from the end
    return np.array(rows[::-1])
