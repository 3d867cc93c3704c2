"""Which steps of a long run are written: all of the first, ever fewer of the rest, and whatever an alert is about."""

from __future__ import annotations

from typing import Generic, TypeVar

Item = TypeVar("Item")

ALL_OF = 10_000
"""Steps of which every one is written. Of the next as many every second one, of the next twice as many every fourth."""


def stride(step: int) -> int:
    """One step in how many is written around ``step``: 1 up to step 10,000, 2 up to 20,000, 4 up to 40,000 …"""
    return 1 << ((max(step, 1) - 1) // ALL_OF).bit_length()


class Thinning(Generic[Item]):
    """Takes the steps of a run as they come and gives back those to write: in order, some of them a little later.

    Of every ``stride`` neighbouring steps it gives the one that is worth most, of equals the first; besides that every
    step that must be kept, the one before it and the one after it.
    """

    def __init__(self) -> None:
        self._bucket = (1, 0)
        self._best: tuple[Item, int] | None = None
        """What will stand for the present bucket, and its worth. None if something of it has been given already."""
        self._before: Item | None = None
        """The latest step, unless it has been given."""
        self._keep_next = False

    def take(self, item: Item, step: int, *, worth: int, keep: bool) -> list[Item]:
        """What to write now. ``worth``: how much was measured at this step; ``keep``: it must not be left out."""
        width = stride(step)
        bucket, due = (width, step // width), []
        if fresh := bucket != self._bucket:
            due, self._best, self._bucket = [self._best[0]] if self._best else [], None, bucket
        if keep:
            due += [each for each in self.rest() if not any(each is given for given in due)]
        if keep or self._keep_next or width == 1:
            due.append(item)
            self._best = self._before = None
        else:
            if fresh or (self._best and worth > self._best[1]):
                self._best = item, worth
            self._before = item
        self._keep_next = keep
        return due

    def rest(self) -> list[Item]:
        """What is held back: to be written when the run ends. The last step is in it, unless it has been given."""
        best, before = self._best[0] if self._best else None, self._before
        self._best = self._before = None
        return [each for each in (best, before if before is not best else None) if each is not None]
