"""TensorBoard's data as the events of runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import numpy as np

from lora_watch.format import tags
from lora_watch.format.decoding import Event, latest
from lora_watch.runs.data import Decoded, NotThereError, Stamp

MATRICES = 192 * 2**20
"""Bytes of decoded matrices that are kept. One of 560 adapters × 10,000 steps takes 28 MB and 0.3 s to decode."""
CLOCKS = 1000
"""Clocks of runs that are kept: every list of runs asks for all."""

EVERYTHING = 2**30
"""Points to ask a provider for: it would thin out at random, and here pooling keeps the extremes."""
LAST_STEP = 2**53
"""What a browser can count to."""


T = TypeVar("T")
Clock = tuple[np.ndarray, np.ndarray]
"""Steps as training last left them, and when each was written."""


class Cache(Generic[T]):
    """What was made last, ``most`` of it as ``size`` counts. Safe to use from several threads."""

    def __init__(self, most: int, size: Callable[[T], int] = lambda _: 1) -> None:
        self._kept: dict[Any, tuple[Any, T]] = {}  # what was asked for last is the last
        self._most, self._size = most, size
        self._lock = threading.Lock()

    def get(self, key: Any, stamp: Any, make: Callable[[], T]) -> T:
        """``make()``, or what it gave last time if nothing was written since: then ``stamp`` is the same."""
        with self._lock:
            known = self._kept.pop(key, None)
            self._kept[key] = known if known is not None and known[0] == stamp else (stamp, make())
            sizes = [self._size(made) for _, made in self._kept.values()]
            while len(sizes) > 1 and sum(sizes) > self._most:
                del self._kept[next(iter(self._kept))], sizes[0]
            return self._kept[key][1]


def size_of(decoded: Decoded) -> int:
    """Bytes of a matrix."""
    return decoded[0].values.nbytes + decoded[0].flags.nbytes


class Board:
    """What TensorBoard has read; ``data`` is its data provider, the others what a request says of itself."""

    def __init__(self, data: Any, ctx: Any, experiment: str, matrices: Cache[Decoded], clocks: Cache[Clock]):
        self.data, self.ctx, self.experiment, self.matrices, self.clocks = data, ctx, experiment, matrices, clocks

    @cached_property
    def runs(self) -> dict[str, BoardRun]:
        found = self.data.list_tensors(self.ctx, experiment_id=self.experiment, plugin_name=tags.PLUGIN_NAME)
        return {
            run: BoardRun(
                self, run, {tag: Stamp(int(one.max_step), float(one.max_wall_time)) for tag, one in by_tag.items()}
            )
            for run, by_tag in found.items()
        }

    def run(self, name: str) -> BoardRun:
        """One of them, or one without events."""
        return self.runs.get(name) or BoardRun(self, name, {})


class BoardRun:
    """The events of one run, a Source.

    TensorBoard gives them by tag. A session that began anew may lack a tag of the one before, but it overwrites the
    clock: a small series that has an event at every step. An event that is older than the clock at its step is from
    before.
    """

    def __init__(self, board: Board, name: str, listing: dict[str, Stamp]):
        self._board, self._name, self._listing = board, name, listing

    @property
    def steps(self) -> Sequence[int]:
        return self._clock[0].tolist()

    @property
    def tags(self) -> dict[str, Stamp]:
        steps, times = self._clock
        began = (steps[0], times[0]) if len(steps) else (0, -math.inf)
        every = self._listing.items()
        return {tag: at for tag, at in every if at.step < began[0] or not at.wall_time < began[1]}

    def events(self, tag: str) -> list[Event]:
        events, (clock, times) = self._read(tag), self._clock
        if events and len(clock) and tag not in (tags.SCHEMA, tags.VERDICT):  # each session writes these first
            place = np.searchsorted(clock, [event.step for event in events], "right")
            replaced = (place > 0) & (np.array([event.wall_time for event in events]) < times[place - 1])
            events = [event for event, gone in zip(events, replaced) if not gone]
        return events

    def cached(self, tag: str, decode: Callable[[], Decoded]) -> Decoded:
        """``decode()`` of a tag's events, once for all requests until there are more of them."""
        listing, clock = self._listing, self._clock[0]
        if tag not in listing:
            raise NotThereError(f"there is no {tag!r} in the run {self._name!r}")
        behind = min([*clock[-1:], listing[tag].step])  # each step of a restarted run replaces what it has passed
        key = (self._board.experiment, self._name, tag)
        return self._board.matrices.get(key, (listing[tag], listing.get(tags.SCHEMA), behind), decode)

    @cached_property
    def _clock(self) -> Clock:
        """Empty if the run has none."""
        tag = next((tag for tag in tags.CLOCKS if tag in self._listing), None)
        if tag is None:
            return np.zeros(0), np.zeros(0)
        key = (self._board.experiment, self._name, tag)
        return self._board.clocks.get(key, self._listing[tag], partial(self._ticks, tag))

    def _ticks(self, tag: str) -> Clock:
        events = self._read(tag)
        return np.array([event.step for event in events]), np.array([event.wall_time for event in events])

    def _read(self, tag: str) -> list[Event]:
        from tensorboard.data import provider

        board = self._board
        found = board.data.read_tensors(
            board.ctx,
            experiment_id=board.experiment,
            plugin_name=tags.PLUGIN_NAME,
            downsample=EVERYTHING,
            run_tag_filter=provider.RunTagFilter(runs=[self._name], tags=[tag]),
        )
        events = [
            Event(datum.step, datum.wall_time, _content(datum.numpy))
            for datum in found.get(self._name, {}).get(tag, [])
            if abs(datum.step) <= LAST_STEP
        ]
        return latest(events)


def _content(array: np.ndarray) -> np.ndarray | bytes | None:
    if array.dtype == np.float32:
        return array
    return array.flat[0] if array.dtype == object and array.size else None
