"""The runs of this process: which have a verdict, and what ends the process in the middle of one.

That is an exception that nobody catches, SIGTERM, or the process's own exit.
"""

import atexit
import os
import signal
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Literal, Protocol

from lora_watch.base.alerts import Verdict


class Run(Protocol):
    place: object
    """Shared with the runs that repeat this one: the folder, where it has one."""
    may_break_off: bool
    """That is planned, as for a sweep."""

    def finish(self, verdict: Literal["interrupted"], message: str) -> None: ...


@dataclass
class Counts:
    started: int = 0
    """Runs that have begun to be monitored."""
    unjudged: int = 0
    """Those that have no verdict so far, or ``unknown``, or broke off with no later run in their place."""


counts = Counts()
_latest: dict[object, object] = {}
"""By place the latest run there, where that goes on or broke off: as a reference that does not keep it alive."""
_running: dict[weakref.ref[Run], int] = {}
"""Runs that have begun and not ended, and the process of each: one that is forked from it has nothing to finish."""


def count_start(run: Run) -> None:
    """It replaces the one before in its place if that has no verdict yet or broke off."""
    counts.started += 1
    counts.unjudged += run.place not in _latest
    _latest[run.place] = weakref.ref(run)


def count_end(run: Run, verdict: Verdict) -> None:
    if _latest.get(run.place) == weakref.ref(run) and (verdict != "interrupted" or run.may_break_off):
        del _latest[run.place]
        counts.unjudged -= verdict != "unknown"


def listen(run: Run) -> None:
    """Have ``run.finish`` called when the process ends before ``stop_listening(run)``. That keeps no ``run`` alive.
    SIGTERM is listened to only where nobody else does, and ends the process as it would have done."""
    _running[weakref.ref(run)] = os.getpid()
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)  # before whatever else waits for the exit: what a run says last needs sinks that work
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_signal)


def stop_listening(run: Run) -> None:
    for known in list(_running):  # other threads begin and end theirs
        if known() is None or known() is run:
            _running.pop(known, None)
    if not _running and _in_main_thread() and signal.getsignal(signal.SIGTERM) is _on_signal:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def in_words(error: BaseException) -> str:
    """``ValueError: out of luck``; only the kind where there is no more to it, or its own text fails."""
    with suppress(Exception):
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    return type(error).__name__


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _finish_all(why: str) -> None:
    for known, process in list(_running.items()):
        if process == os.getpid() and (run := known()) is not None:
            run.finish("interrupted", why)


def _at_exit() -> None:
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    unknown = "the process ended before the run did, or the script caught an exception that ended the run"
    _finish_all(unknown if error is None else in_words(error))


def _on_signal(number: int, frame: FrameType | None) -> None:
    try:
        _finish_all(f"{signal.Signals(number).name} ({signal.strsignal(number)})")
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
