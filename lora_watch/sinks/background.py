"""One thread that does what training should not wait for."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

MOST_WAITING = 256
"""Jobs that may wait. Whoever is faster than the disk for that long has to wait for it: nothing is dropped."""
PAUSE = 1.0
"""Seconds that jobs are gathered for: a thread that wakes at each step costs the training more than the jobs."""


class _Shared(NamedTuple):
    """What the thread knows; not the object that it works for, which ends it."""

    jobs: SimpleQueue[Callable[[], object] | None]
    errors: list[Exception]
    hurry: threading.Event
    """Somebody waits for the jobs."""
    spent: list[float]
    """CPU seconds of the thread."""


class Background:
    """Does jobs one after the other, in the order in which they were given, once in ``PAUSE`` seconds.

    A job that fails does not stop those behind it; the first error is raised by the next ``check``. The thread ends
    when nobody holds this object. It does not outlive the interpreter: ``settle`` before that.
    """

    def __init__(self, name: str):
        self._shared = _Shared(SimpleQueue(), [], threading.Event(), [0.0])
        # Not an executor of the standard library: handing over would take three times as long.
        self._thread = threading.Thread(target=_work, args=(self._shared,), name=name, daemon=True)
        weakref.finalize(self, _end, self._shared).atexit = False

    def do(self, job: Callable[[], object]) -> None:
        """Returns at once, unless ``MOST_WAITING`` jobs wait already. The first one starts the thread."""
        if self._thread.ident is None:
            self._thread.start()
        if self._shared.jobs.qsize() >= MOST_WAITING:
            self.settle()
        self._shared.jobs.put(job)

    def settle(self, timeout: float | None = None) -> None:
        """Waits until everything is done that was given so far, or for ``timeout`` seconds."""
        if self._thread.is_alive():  # in a forked child it is not
            done = threading.Event()
            self._shared.jobs.put(done.set)
            self._shared.hurry.set()
            done.wait(timeout)

    @property
    def seconds(self) -> float:
        """CPU time of the thread so far."""
        return self._shared.spent[0]

    @property
    def failed(self) -> bool:
        """``check`` would raise."""
        return bool(self._shared.errors)

    def check(self) -> None:
        """Raises the first error of a job since the last call, if there was one."""
        if errors := self._shared.errors:
            error = errors[0]
            errors.clear()
            raise error


def _work(shared: _Shared) -> None:
    while (job := shared.jobs.get()) is not None:
        try:
            job()
        except Exception as error:
            shared.errors.append(error)
        if shared.jobs.empty():
            shared.spent[0] = time.thread_time()
            shared.hurry.wait(PAUSE)
            shared.hurry.clear()


def _end(shared: _Shared) -> None:
    shared.jobs.put(None)
    shared.hurry.set()
