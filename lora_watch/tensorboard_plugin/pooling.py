"""From thousands of steps to as many columns as a screen has, without losing what matters; and their bytes.

The bytes, little endian: uint32, the length of a JSON header; the header, padded to four bytes; float32 numbers of all
columns, the lowest of each; where ``pooled`` then the highest; uint8 flags (see ``runs.data``). What is of one item
stands together, and of the numbers first all lowest bytes, at last all highest: that is quick to compress.
"""

import json
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lora_watch.runs.data import INF, NAN, UNKNOWN, Series


@dataclass(frozen=True)
class Pooled:
    """Columns of one or more neighbouring steps each. What a column holds is kept at its extremes."""

    width: int
    """Steps for which a column stands; fewer of them may have been logged."""
    first: NDArray[np.int64]
    """``[n_columns]``: the first step of each column."""
    last: NDArray[np.int64]
    """``[n_columns]``: the last step of each column."""
    low: NDArray[np.float32]
    """``[n_columns, n]``: the smallest finite number of the column; where there is none, any of what is there."""
    high: NDArray[np.float32]
    """``[n_columns, n]``: the largest. The same array as ``low`` if every column is a single step."""
    flags: NDArray[np.uint8]
    """``[n_columns, n]``: NAN and INF if any step of the column has one, UNKNOWN if all are unknown."""

    @property
    def pooled(self) -> bool:
        """Whether some column stands for more than one of them."""
        return self.low is not self.high

    def to_bytes(self, notes: list[str], shift: int = 0) -> bytes:
        """As above, with ``notes`` in the header, and numbers without their last ``shift`` bits."""
        header = {
            "first": self.first.tolist(),
            "last": self.last.tolist(),
            "shape": list(self.low.shape),
            "pooled": self.pooled,
            "width": self.width,
            "notes": notes,
        }
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 4)
        parts = [_bytes(plane, shift) for plane in ([self.low, self.high] if self.pooled else [self.low])]
        return b"".join([len(head).to_bytes(4, "little"), head, *parts, self.flags.T.tobytes()])


def _bytes(plane: NDArray[np.float32], shift: int) -> bytes:
    numbers = np.ascontiguousarray(plane.T, "<f4")
    rounded = (numbers.view("<i4") + (1 << shift >> 1)) >> shift << shift
    numbers = np.where(np.isfinite(numbers), rounded, numbers.view("<i4"))
    return numbers.view(np.uint8).reshape(-1, 4).T.tobytes()


def pool(series: Series, max_columns: int = sys.maxsize, last_alone: bool = False) -> Pooled:
    """``series`` in at most ``max_columns`` columns, each for as few steps as that allows, all for equally many;
    columns without a row are left out. ``last_alone``: the last row has one more column, of its own.

    A spike, a NaN or an infinity of a single step shows in its column, however long the run is.
    """
    rows = len(series.steps)
    width = -(-(int(series.steps[-1]) - int(series.steps[0]) + 1) // max_columns) if rows else 1
    starts = np.arange(rows)
    if width > 1:
        edges = np.arange(series.steps[0], series.steps[-1] + 1, width)
        starts = np.searchsorted(series.steps, edges, "left")
        starts = np.unique(np.append(starts, rows - 1) if last_alone else starts)
    if len(starts) == rows:
        return Pooled(width, series.steps, series.steps, series.values, series.values, series.flags)
    ends = np.append(starts[1:], rows) - 1
    finite, flags = series.values, np.zeros((len(starts), series.flags.shape[1]), np.uint8)
    if series.flags.any():
        finite = np.where(np.isfinite(finite), finite, np.float32(np.nan))
        broken = np.bitwise_or.reduceat(series.flags & (NAN | INF), starts, axis=0)
        unknown = np.bitwise_and.reduceat(series.flags & UNKNOWN, starts, axis=0)
        flags = np.bitwise_or(broken, unknown, dtype=np.uint8)
    return Pooled(
        width=width,
        first=series.steps[starts],
        last=series.steps[ends],
        low=np.fmin.reduceat(finite, starts, axis=0),
        high=np.fmax.reduceat(finite, starts, axis=0),
        flags=flags,
    )
