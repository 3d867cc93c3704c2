"""One thread that does what training should not wait for."""

import atexit
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

MOST_WAITING = 256
"""Jobs that may wait. Whoever is faster than the disk for that long has to wait for it: nothing is dropped."""
PAUSE = 1.0
"""Seconds that jobs are gathered for: a thread that wakes at each step costs the training more than the jobs."""


class Background:
    """Does jobs one after the other, in order, once in ``PAUSE`` seconds.

    A job that fails does not stop those behind it; the first error is raised by the next ``check``. The thread ends
    when nobody holds this object, or with the interpreter; ``last`` is its last job then. No job may hold this object.
    """

    def __init__(self, name: str, last: Callable[[], object]):
        self._name, self._last = name, last
        self.errors: list[Exception] = []
        self._thread: _Worker | None = None
        atexit.unregister(_end_all)  # before whatever has waited for the exit so far, such as the end of a writer
        atexit.register(_end_all)

    def do(self, job: Callable[[], object]) -> None:
        """Returns at once, unless ``MOST_WAITING`` jobs wait already. The first one starts the thread."""
        if self._thread is None:
            worker = _Worker(self, self._name, self._last)
            worker.start()  # where that fails, the next job tries again
            self._thread = worker
        if self._thread.jobs.qsize() >= MOST_WAITING:
            self.settle()
        self._thread.jobs.put(job)

    def settle(self, timeout: float | None = None) -> None:
        """Waits until everything is done that was given so far, or for ``timeout`` seconds."""
        if self._thread is not None and self._thread.is_alive():  # in a forked child it is not
            done = threading.Event()
            self._thread.jobs.put(done.set)
            self._thread.hurry.set()
            done.wait(timeout)

    def end(self) -> None:
        """The thread ends after what was given so far, without ``last``; the next ``do`` begins another one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.last = lambda: None
            thread.end_soon()

    def check(self) -> None:
        if errors := self.errors:
            error = errors[0]
            errors.clear()
            raise error


class _Worker(threading.Thread):
    """What the thread knows; not the object that it works for, which ends it."""

    # Not an executor of the standard library: handing over would take three times as long.
    def __init__(self, background: Background, name: str, last: Callable[[], object]):
        super().__init__(name=name, daemon=True)
        self.jobs: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.end = weakref.ref(background, self.jobs.put)
        """The end, among the jobs. No Python runs when it gets there: a Ctrl-C at that moment would be lost."""
        self.last = last
        self.errors = background.errors
        self.hurry = threading.Event()

    def end_soon(self) -> None:
        self.jobs.put(self.end)
        self.hurry.set()

    def run(self) -> None:
        while (job := self.jobs.get()) is not self.end:
            self._do(job)
            if self.jobs.empty():
                self.hurry.wait(PAUSE)
                self.hurry.clear()
        self._do(self.last)

    def _do(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:
            self.errors.append(error)


def _end_all() -> None:
    workers = [thread for thread in threading.enumerate() if isinstance(thread, _Worker)]
    for worker in workers:
        worker.end_soon()
    for worker in workers:
        worker.join(60.0)
