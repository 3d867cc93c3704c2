"""Which steps of a long run are written: all of the first, ever fewer of the rest."""

from __future__ import annotations

ALL_OF = 10_000
"""Steps of which every one is written. Of the next as many every second one, of the next twice as many every fourth."""


def stride(step: int) -> int:
    """One step in how many is written around ``step``: 1 up to step 10,000, 2 up to 20,000, 4 up to 40,000 …"""
    return 1 << ((max(step, 1) - 1) // ALL_OF).bit_length()


class Thinning:
    """Of every ``stride`` neighbouring steps the first that was measured in full is due, else the last of them."""

    def __init__(self) -> None:
        self._most = 0
        self._done = (0, -1)
        """The neighbours of which one has been due."""

    def is_due(self, step: int, measured: int) -> bool:
        """``measured``: how many metrics the step has."""
        width = stride(step)
        neighbours = width, step // width
        self._most = max(self._most, measured)
        due = width == 1 or (neighbours != self._done and (measured == self._most or step % width == width - 1))
        if due:
            self._done = neighbours
        return due
