"""The one door between a training and what the monitor does inside it."""

import errno
import functools
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch

from lora_watch.base.alerts import LoraWatchError

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("lora_watch")

_OF_DISKS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.EIO, errno.EMFILE, errno.ENFILE),
)
"""Error numbers of files that cannot be written. A refused connection is none of them."""


class Guard:
    """``with guard("measuring"):`` lets no exception out but what ends the run, and counts the time spent inside.

    A failure is logged with its traceback and given to ``report``, in words and with what to try, once for each
    ``doing``; one of the disk's is one line, once for each error number, whichever files it meets.
    """

    def __init__(self, report: Callable[[str, str], object] = lambda message, remedy: None):
        self.failures = 0
        """How many exceptions have cost a measurement or a judgement so far."""
        self._report = report
        self._reported: set[str] = set()
        self._here = _OfAThread()
        self._seconds = 0.0
        self._clock = time.perf_counter(), 0.0
        """When ``start_clock`` was called, and ``seconds`` then."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Guard, ()  # a copy is outside, and reports to nobody

    @property
    def seconds(self) -> float:
        """Wall time spent inside so far, this time included; where guards are nested, that of the outermost."""
        return self._seconds + (time.perf_counter() - self._here.began if self._here.doors else 0.0)

    def start_clock(self) -> None:
        self._clock = time.perf_counter(), self.seconds

    @property
    def overhead(self) -> float:
        """Share of the wall time since ``start_clock`` that was spent inside, forward hooks included."""
        began, before = self._clock
        return (self.seconds - before) / max(time.perf_counter() - began, 1e-9)

    @contextmanager
    def __call__(self, doing: str, aside: bool = False) -> Iterator[None]:
        """A door. ``aside``: a failure in there costs no measurement and no judgement, so that it is told and not
        counted. Gradients are off inside, and numpy says nothing of NaN and infinities, which are results here."""
        here, gradients = self._here, torch.is_grad_enabled()
        here.began = here.began if here.doors else time.perf_counter()
        here.doors += 1
        try:
            if gradients:
                torch.set_grad_enabled(False)
            with np.errstate(all="ignore") if here.doors == 1 else nullcontext():
                yield
        except Exception as error:
            self.caught(doing, error, aside)
        finally:  # an interrupt may come meanwhile: nobody is to train without gradients then
            here.doors -= 1
            if not here.doors:
                self._seconds += time.perf_counter() - here.began
            if gradients:
                torch.set_grad_enabled(True)

    def caught(self, doing: str, error: Exception, aside: bool = False) -> None:
        """Count and report a failure that a door, or something else, has held up. What ends the run goes on."""
        if isinstance(error, LoraWatchError):
            raise error
        self.failures += not aside
        with suppress(Exception):  # telling can fail, too
            self._tell(doing, error)

    def _tell(self, doing: str, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in _OF_DISKS:
            if self._is_new(f"errno {error.errno}"):
                message = f"lora_watch could not write: {error}"
                with suppress(Exception):  # a handler of somebody else's
                    log.warning("%s; training goes on, what could not be written is lost", message)
                self._report(message, "free space, or name a folder that can be written to (report_dir, output_dir)")
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


class _OfAThread(threading.local):
    """One thread's: DataParallel runs forward hooks in several."""

    doors = 0
    """That are open, one inside the other."""
    began = 0.0
    """When the outermost was opened."""


def guarded(
    doing: str, otherwise: Callable[[], Any] = lambda: None, aside: bool = False
) -> Callable[[Callable[Concatenate[Any, P], T]], Callable[Concatenate[Any, P], T]]:
    """For a method that a training calls, of something with a ``guard``: no exception comes out but what ends the run.

    ``doing``: what it does, in words. ``otherwise``: what makes its answer where it fails. ``aside``: see ``Guard``.
    """

    def decorate(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
        @functools.wraps(method)
        def inside(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            guard: Guard = self.guard
            gradients = torch.is_grad_enabled()
            try:
                if guard._here.doors and not gradients:  # the door around this one does the rest
                    return method(self, *args, **kwargs)
                with guard(doing, aside):
                    return method(self, *args, **kwargs)
            except LoraWatchError:
                raise
            except Exception as error:  # else the door's own
                try:
                    guard.caught(doing, error, aside)
                except Exception:
                    guard.failures += 1
            finally:  # a door that fails on its way out leaves them off
                torch.set_grad_enabled(gradients)
            return otherwise()

        return inside

    return decorate


def event(method: Callable[..., None]) -> Callable[..., None]:
    """A handler of one of a trainer's events: what ends the run comes out of it, and no other exception."""
    return guarded(f"handling {method.__name__}")(method)
