"""What ends a process in the middle of a run: an exception that nobody catches, SIGTERM, the process's own exit."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType


class Interrupts:
    """Has ``ended`` called with the reason in words when the process ends between ``watch`` and ``release``.

    SIGTERM is listened to only where nobody else does, and ends the process as it would have done. A process that is
    forked from this one calls nothing.

    Args:
        ended: a bound method; its object is not kept alive.
    """

    def __init__(self, ended: Callable[[str], None]):
        self._ended = weakref.WeakMethod(ended)
        self._process: int | None = None

    def watch(self) -> None:
        self._process = os.getpid()
        atexit.register(self._at_exit)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_signal)

    def release(self) -> None:
        self._process = None
        atexit.unregister(self._at_exit)
        # Comparing bound methods compares what they are bound to: another's is left alone.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) == self._on_signal
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _at_exit(self) -> None:
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        self._end("the process ended before the run did" if error is None else in_words(error))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._end(f"{signal.Signals(number).name} ({signal.strsignal(number)})")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _end(self, why: str) -> None:
        ended, here = self._ended(), self._process == os.getpid()
        self._process = None
        if here and ended is not None:
            ended(why)


def in_words(error: BaseException) -> str:
    """``ValueError: out of luck``; only the kind where there is no more to it."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")
