"""The one door between a training and what the monitor does inside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

log = logging.getLogger("lora_watch")


class Guard:
    """``with guard("measuring"):`` lets no exception out, and counts the time spent inside.

    A failure is logged with its traceback and given to ``report``, once for each ``doing``; one of the operating
    system's (a full disk) is one line, once for each error number, whichever files it meets.

    Args:
        report: takes a failure in words, and what to try.
    """

    def __init__(self, report: Callable[[str, str], None]):
        self._report = report
        self._reported: set[str] = set()
        self._depth = 0
        self.seconds = 0.0
        """Wall time spent inside so far; where guards are nested, that of the outermost."""

    @contextmanager
    def __call__(self, doing: str) -> Iterator[None]:
        began = time.perf_counter()
        self._depth += 1
        try:
            with torch.no_grad(), np.errstate(all="ignore"):  # NaN and infinities are results here
                yield
        except OSError as error:
            if self._is_new(f"errno {error.errno}"):
                message = f"lora_watch could not write: {error}"
                log.warning("%s; training goes on, what could not be written is lost", message)
                self._report(
                    message, "free the space, or name a folder that can be written to (report_dir, output_dir)"
                )
        except Exception as error:
            if self._is_new(doing):
                log.exception("lora_watch failed while %s; training goes on without it", doing)
                message = f"lora_watch itself failed while {doing}: {type(error).__name__}: {error}"
                self._report(message, "the traceback is in the log; training is not affected")
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - began

    def _is_new(self, failure: str) -> bool:
        new = failure not in self._reported
        self._reported.add(failure)
        return new
