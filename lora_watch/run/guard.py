"""The one door between a training and what the monitor does inside it."""

from __future__ import annotations

import errno
import functools
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch

from lora_watch.base.alerts import LoraWatchError

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("lora_watch")

_OF_DISKS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free the space that it needs"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
        "name a folder that can be written to (report_dir, output_dir)",
    ),
    **dict.fromkeys((errno.EIO, errno.EMFILE, errno.ENFILE), "the log says which file it was"),
}
"""Error numbers of files that cannot be written, and what to try. A refused connection is none of them."""


def _to_nobody(message: str, remedy: str) -> None:
    """What a failure is reported to before there is a run."""


class Guard:
    """``with guard("measuring"):`` lets no exception out but what ends the run, and counts the time spent inside.

    A failure is logged with its traceback and given to ``report``, in words and with what to try, once for each
    ``doing``; one of the disk's is one line, once for each error number, whichever files it meets.
    """

    def __init__(self, report: Callable[[str, str], None] = _to_nobody):
        self.failures = 0
        """How many exceptions have cost a measurement or a judgement so far."""
        self._report = report
        self._reported: set[str] = set()
        self._depth = 0
        self.quiet = False
        """A quiet door is open: what is inside it needs no second one."""
        self._began = 0.0
        self._seconds = 0.0
        self._clock = time.perf_counter(), 0.0
        """When ``start_clock`` was called, and ``seconds`` then."""

    @property
    def seconds(self) -> float:
        """Wall time spent inside so far, this time included; where guards are nested, that of the outermost."""
        return self._seconds + (time.perf_counter() - self._began if self._depth else 0.0)

    def start_clock(self) -> None:
        """Count the overhead from now on."""
        self._clock = time.perf_counter(), self.seconds

    @property
    def overhead(self) -> float:
        """Share of the wall time since ``start_clock`` that was spent inside, forward hooks included."""
        began, before = self._clock
        return (self.seconds - before) / max(time.perf_counter() - began, 1e-9)

    def __call__(self, doing: str, aside: bool = False) -> AbstractContextManager[None]:
        """``aside``: a failure in there costs no measurement and no judgement, so that it is told and not counted."""
        return _Door(self, doing, aside)

    def caught(self, doing: str, error: Exception, aside: bool = False) -> None:
        """Count and report a failure that something else than a door has held up."""
        self.failures += not aside
        with suppress(Exception):  # telling can fail, too
            self._tell(doing, error)

    def _tell(self, doing: str, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in _OF_DISKS:
            if self._is_new(f"errno {error.errno}"):
                message = f"lora_watch could not write: {error}"
                with suppress(Exception):  # a handler of somebody else's
                    log.warning("%s; training goes on, what could not be written is lost", message)
                self._report(message, _OF_DISKS[error.errno])
        elif self._is_new(doing):
            trace = (type(error), error, error.__traceback__)
            with suppress(Exception):
                log.error("lora_watch failed while %s; training goes on without it", doing, exc_info=trace)
            message_of_error = traceback.format_exception_only(error)[0].strip()  # also of one whose own text fails
            message = f"lora_watch failed while {doing}: {message_of_error}"
            self._report(message, "the traceback is in the log")

    def _is_new(self, failure: str) -> bool:
        new = failure not in self._reported
        self._reported.add(failure)
        return new


class _Door:
    """Into a guard and out of it. Gradients are off inside, and numpy says nothing of NaN and infinities, which are
    results here. A class, for a generator would take as long as what is done inside."""

    __slots__ = ("_aside", "_doing", "_grad", "_guard", "_quiet")

    def __init__(self, guard: Guard, doing: str, aside: bool):
        self._guard, self._doing, self._aside = guard, doing, aside
        self._quiet: np.errstate | None = None

    def __enter__(self) -> None:
        """Start the clock, unless a door around this one has started it."""
        guard = self._guard
        if guard._depth == 0:
            guard._began = time.perf_counter()
        guard._depth += 1
        self._grad = torch.is_grad_enabled()
        if self._grad:
            torch.set_grad_enabled(False)
        if not guard.quiet:
            self._quiet = np.errstate(all="ignore")
            self._quiet.__enter__()
            guard.quiet = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        """True if ``error`` ends here."""
        guard = self._guard
        if self._quiet is not None:
            guard.quiet = False
            self._quiet.__exit__(kind, error, trace)
        if self._grad:
            torch.set_grad_enabled(True)
        held = False
        if isinstance(error, Exception) and not isinstance(error, LoraWatchError):
            held = True
            guard.caught(self._doing, error, self._aside)
        guard._depth -= 1
        if guard._depth == 0:
            guard._seconds += time.perf_counter() - guard._began
        return held


def guarded(
    doing: str, otherwise: Callable[[], Any] = lambda: None, aside: bool = False
) -> Callable[[Callable[Concatenate[Any, P], T]], Callable[Concatenate[Any, P], T]]:
    """For a method that a training calls, of something with a ``guard``: no exception comes out but what ends the run.

    ``doing``: what it does, in words. ``otherwise``: what makes its answer where it fails. ``aside``: see ``Guard``.
    """

    def decorate(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
        @functools.wraps(method)
        def inside(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            gradients = torch.is_grad_enabled()
            try:
                with self.guard(doing, aside):
                    return method(self, *args, **kwargs)
            except Exception as error:
                torch.set_grad_enabled(gradients)
                if isinstance(error, LoraWatchError):
                    raise
                with suppress(Exception):  # the door's own
                    self.guard.failures += 1
            return otherwise()

        return inside

    return decorate


def event(method: Callable[..., None]) -> Callable[..., None]:
    """A handler of one of a trainer's events: what ends the run comes out of it, and no other exception."""
    return guarded(f"handling {method.__name__}")(method)
