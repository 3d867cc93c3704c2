"""Writes a run into a TensorBoard event file: all numbers of a step in one event.

``format.tags`` explains the tags below `lora_watch/`. For viewers without the tab there are a dozen plain scalars below
`lora/` (see ``numbers``), a Custom Scalars layout, and the hyperparameters. There is no count of alerts among the
scalars: a viewer that smooths makes 0.82 errors of one.

One event instead of one a number is 20 times smaller and over 100 times faster to write. Tags of `lora_watch/` carry
the plugin's name and DATA_CLASS_TENSOR on every event, because some readers take a nameless tensor for a number.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.strict_json import strict_json
from lora_watch.format.files import names_the_path
from lora_watch.sinks import Sink
from lora_watch.sinks.background import Background
from lora_watch.sinks.event_file import EventFile, HandedOver, ask_the_disk
from lora_watch.sinks.history import AlertHistory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


ALL_OF = 10_000
"""Steps of which every one is written. Of the next as many every second one, of the next twice as many every fourth."""


def stride(step: int) -> int:
    """One step in how many is written around ``step``: 1 up to step 10,000, 2 up to 20,000, 4 up to 40,000 … Those that
    the cadence measures in full by default are among them, up to step 160,000."""
    return 1 << ((max(step, 1) - 1) // ALL_OF).bit_length()


class TensorBoardSink(Sink):
    """Writes to somebody else's SummaryWriter, or to its own when nobody else has one: two writers in one directory
    make TensorBoard's Python loader drop curves.

    The training thread only hands the numbers over; a thread of the sink's own turns them into events, once a second.
    Alerts are on disk before ``write`` returns, everything else two seconds later at most. Closing the writer,
    ``finish`` and the end of the interpreter wait for what has been handed over. What goes wrong in the background is
    raised by the next call; an event for which the disk has no room is dropped.

    Args:
        where: A folder for a writer of the sink's own, in which training that resumes at an earlier step hides the
            later steps of the session before. Or a function that returns the writer to share, which is asked at each
            write. While it returns None or a closed writer, steps are dropped; what a reader needs first is written
            when one appears.
    """

    def __init__(self, where: "str | os.PathLike[str] | Callable[[], SummaryWriter | None]"):
        if not callable(where) and "://" not in os.fspath(where):
            where = os.path.abspath(where)  # scripts change the working directory
        self._where = where
        self.folder: Path | None = None
        """Where the events are; None before there is a writer."""
        self._own: SummaryWriter | None = None
        self._writer: SummaryWriter | None = None
        """The one that ``_file`` belongs to."""
        self._file: EventFile | None = None
        self._held: list[EventFile] = []
        """``_file``, for the thread, which must not hold the sink."""
        self._background = Background(
            "lora_watch-tensorboard", partial(_end_of_thread, self._held, not callable(where))
        )
        self._left_out: HandedOver | None = None
        """The latest step, if it was not written."""
        self._history = AlertHistory()
        self._run = RunInfo(adapters=())
        self._latest: StepRecord | None = None
        self._start_step = 0
        self._alerts_of_step: list[Alert] = []
        self._before: list[Alert] = []
        """Alerts of the session before, which go with the first step of this one."""

    def start(self, run: RunInfo, step: int) -> None:
        if self._file is None and not callable(self._where):
            # Steps up to the one resumed at stay valid; a run from the beginning replaces all.
            self._own = _new_writer(self._where, purge_step=step + 1 if step else 0)
        if (known := self._file) is not None:  # the set of adapters has changed
            self._hand_over(self._left_out)
            self._background.do(partial(known.begin, run, step))
        self._run, self._start_step = run, step
        self._find_file()
        self._check()

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        news = self._history.update(alerts)
        if not record.metrics and record.step == self._start_step:  # a resumed run's: an event would replace the step's
            self._before += [alert for alert in alerts if alert not in self._before]
            return
        alerts, self._before = [*(old for old in self._before if old not in alerts), *alerts], []
        # A step that is written twice replaces itself, so the second time must say all that the first did.
        again = self._latest is not None and record.step == self._latest.step
        known = self._alerts_of_step if again else []
        self._latest, self._alerts_of_step = record, [*(old for old in known if old not in alerts), *alerts]
        before = self._file
        if self._find_file() is None:
            return
        if self._file is not before:  # the writer came late, or has begun another file: it knows of no alert so far
            self._alerts_of_step = alerts = list(self._history)
        told = strict_json([alert.to_dict() for alert in self._alerts_of_step]) if alerts else None
        step = HandedOver(record, told)
        due = record.step % stride(record.step) == 0
        if due or self._alerts_of_step or record.step == self._run.max_steps:
            self._hand_over(step)
        else:
            self._left_out = step
        if news:
            self._settle()
        self._check()

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        if (file := self._find_file()) is not None:
            self._background.do(partial(file.write_series, numbers, step))

    def flush(self) -> None:
        self._hand_over(self._left_out)
        self._settle()

    def finish(self, verdict: Verdict, message: str | None) -> None:
        """Says how the run ended if the writer still exists, and closes it if it is the sink's own."""
        if (file := self._find_file()) is not None:
            self._hand_over(self._left_out)
            step = self._latest.step if self._latest is not None else self._start_step
            if self._before:  # a resumed run has ended before a step of its own
                told = strict_json([alert.to_dict() for alert in self._before])
                self._background.do(partial(file.write_alerts, told, step))
            self._background.do(partial(file.end, verdict, message, step))
        self._settle()
        try:
            self._check()
        finally:
            self._let_go()
            if self._own is not None:
                self._own.close()
            self._own = None
            self._background.end()

    def _hand_over(self, step: HandedOver | None) -> None:
        self._left_out = None
        if (file := self._file) is not None and step is not None:
            self._background.do(partial(file.write, step))

    def _settle(self) -> None:
        """Waits until everything handed over is on disk, but not forever: training is more than its log."""
        if (file := self._file) is not None:
            self._background.do(file.flush)
        self._background.settle(timeout=60.0)

    def _check(self) -> None:
        if self._background.errors:  # the path alone would cost as much as all else here
            with names_the_path(Path(getattr(self._writer, "log_dir", "")), "TensorBoard's events are lost"):
                self._background.check()

    def _find_file(self) -> EventFile | None:
        """The file to write to now, None when there is none or it is closed. A new one gets its own header."""
        writer = self._where() if callable(self._where) else self._own
        # A closed SummaryWriter has no file, and would quietly open a second one if it were written to.
        file = getattr(writer, "file_writer", None)
        if file is None or writer is None:
            self._let_go()
        elif self._file is None or self._file.handle is not file:
            self._let_go()
            self._writer, self._file = writer, EventFile(file)
            self._held[:] = [self._file]
            self.folder = Path(writer.log_dir)
            self._background.do(partial(self._file.begin, self._run, self._start_step))
            writer.close = self._closed_by_its_owner  # type: ignore[method-assign]
        return self._file

    def _closed_by_its_owner(self) -> None:
        """In place of the writer's ``close``: what is under way to its file must reach it first."""
        writer = self._writer
        self.flush()
        self._let_go()
        if writer is not None:
            writer.close()

    def _let_go(self) -> None:
        """Forget the file, and leave its writer as it was found."""
        if self._writer is not None:
            vars(self._writer).pop("close", None)
        self._writer = self._file = None
        self._held.clear()


def _new_writer(directory: str | os.PathLike[str], purge_step: int) -> "SummaryWriter":
    with names_the_path(Path(directory), "cannot write TensorBoard's events"):
        os.makedirs(directory, exist_ok=True)
        ask_the_disk(directory)
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(directory, purge_step=purge_step)


def _end_of_thread(held: list[EventFile], own: bool) -> None:
    """For a sink that nobody holds any more, or none has finished: a Trainer does not finish what an exception ends."""
    for file in held:
        file.flush()
        if own:
            file.handle.close()
