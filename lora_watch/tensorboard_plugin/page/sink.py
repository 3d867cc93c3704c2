"""Writes report.html when a run is over, whatever its end was."""

from pathlib import Path

from lora_watch.base.alerts import Verdict
from lora_watch.base.records import RunInfo
from lora_watch.format.files import PAGE, REPORT
from lora_watch.sinks import Sink
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink


class PageSink(Sink):
    """The run as one page next to its report, drawn from its report and its events, which are complete by then.

    Args:
        report: of the run.
        events: of the run; without them there is no page. A run that resumes has those of its earlier sessions, too.
    """

    def __init__(self, report: ReportSink, events: TensorBoardSink | None):
        self._report, self._events = report, events
        self.written: Path | None = None
        """The page of the run that has ended."""
        self._began: int | None = None
        """After which step the session did."""

    def start(self, run: RunInfo, step: int) -> None:
        self.written, self._began = None, step if self._began is None else self._began  # again at each note

    def finish(self, verdict: Verdict, message: str | None) -> None:
        from lora_watch.runs.events import FILES
        from lora_watch.runs.places import RunFiles, find_runs
        from lora_watch.runs.run import read_run
        from lora_watch.tensorboard_plugin.page.writing import write_runs

        folder, events = self._report.directory, self._events.folder if self._events is not None else None
        if events is None:
            return
        before, self._began = find_runs(folder / REPORT)[0].events if self._began else (), None
        found = {file.resolve() for file in (*before, *events.glob(FILES))}  # a writer's folder may be a relative one
        place = RunFiles(folder.parent, folder / REPORT, tuple(sorted(found)))
        if (run := read_run(place)).data.overview() is not None:  # else it has ended before a first number
            write_runs([run], folder / PAGE, [])
            self.written = folder / PAGE
