"""One thread that does what training should not wait for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

MOST_WAITING = 256
"""Jobs that may wait. Whoever is faster than the disk for that long has to wait for it: nothing is dropped."""


class Background:
    """Does jobs one after the other, in the order in which they were given.

    A job that fails does not stop those behind it; the first error is raised by the next ``check``. The thread ends
    when nobody holds this object. It does not outlive the interpreter: ``settle`` before that.
    """

    def __init__(self, name: str):
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._errors: list[Exception] = []
        # Not an executor of the standard library: handing over would take three times as long.
        self._thread = threading.Thread(target=_work, args=(self._jobs, self._errors), name=name, daemon=True)
        self._thread.start()
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def do(self, job: Callable[[], None]) -> None:
        """Returns at once, unless ``MOST_WAITING`` jobs wait already."""
        if self._jobs.qsize() >= MOST_WAITING:
            self.settle()
        self._jobs.put(job)

    def settle(self, timeout: float | None = None) -> None:
        """Waits until everything is done that was given so far, or for ``timeout`` seconds."""
        if self._thread.is_alive():  # in a forked child it is not
            done = threading.Event()
            self._jobs.put(done.set)
            done.wait(timeout)

    @property
    def failed(self) -> bool:
        """``check`` would raise."""
        return bool(self._errors)

    def check(self) -> None:
        """Raises the first error of a job since the last call, if there was one."""
        if self._errors:
            error = self._errors[0]
            self._errors.clear()
            raise error


def _work(jobs: SimpleQueue[Callable[[], None] | None], errors: list[Exception]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except Exception as error:
            errors.append(error)
