"""Answers of the tab as one compressed text: what the page holds in place of a server.

The text is base64 of zlib of: uint32, the length of a JSON header; the header ``{"answers", "matrices"}``, padded to
four bytes; bytes. A key is the JSON list ``[route, run, name]``. ``matrices`` has for each key the header of the binary
route, ``at``, where its bytes begin behind the header, and ``shift``. Its numbers are the bits of float32 without the
last ``shift`` ones, as int32, [item, column]: of ``low`` the difference from the column before, and where the columns
are pooled then of ``high`` the difference from ``low``; each as four planes of bytes, the lowest first. A plane of
flags ends it (see ``runs.data``), in which 128 says that there is no finite number.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.strict_json import strict_json
from lora_watch.tensorboard_plugin.pooling import INF, NAN, Pooled

NONE = 128
"""In a stored flag: there is no finite number."""
COARSE = 13
"""``shift`` of numbers that are many: 10 bits are left of 23, one part in 2,000."""


def pack(answers: Mapping[str, Any], matrices: Mapping[str, tuple[dict[str, Any], Pooled, int]]) -> str:
    """``matrices``: by key the header of the route, the numbers and their ``shift``."""
    headers, blobs, at = {}, [], 0
    for key, (header, pooled, shift) in matrices.items():
        blob = _bytes(pooled, shift)
        headers[key] = {**header, "at": at, "shift": shift}
        blobs.append(blob)
        at += len(blob)
    head = json.dumps({"answers": json.loads(strict_json(answers)), "matrices": headers}).encode()
    head += b" " * (-len(head) % 4)
    packed = zlib.compress(b"".join([len(head).to_bytes(4, "little"), head, *blobs]), 6)
    return base64.b64encode(packed).decode("ascii")


def key(route: str, run: str = "", name: str = "") -> str:
    """As JavaScript's ``JSON.stringify`` writes it."""
    return json.dumps([route, run, name], ensure_ascii=False, separators=(",", ":"))


def _bytes(pooled: Pooled, shift: int) -> bytes:
    low, high, flags = pooled.low.T, pooled.high.T, pooled.flags.T.copy()
    nothing = ~np.isfinite(low)
    flags[nothing] |= NONE
    negative = np.isneginf(low) | np.isneginf(high)
    flags[negative & nothing] |= NAN | INF  # the page shows both by one word
    lows = _bits(np.where(nothing, np.float32(0), low), shift)
    lows = np.where(nothing, 0, lows)
    planes = [np.diff(lows, axis=1, prepend=0)]
    if pooled.low is not pooled.high:
        highs = _bits(np.where(nothing, np.float32(0), high), shift)
        planes.append(np.where(nothing, 0, highs - lows))
    cut = [np.ascontiguousarray(plane.astype("<i4")).view(np.uint8).reshape(-1, 4) for plane in planes]
    return b"".join([*(part[:, byte].tobytes() for part in cut for byte in range(4)), flags.tobytes()])


def _bits(values: NDArray[np.float32], shift: int) -> NDArray[np.int64]:
    """The bits of ``values``, rounded to those before the last ``shift``."""
    whole = np.ascontiguousarray(values, dtype="<f4").view("<i4").astype(np.int64)
    return (whole + (1 << shift >> 1)) >> shift
