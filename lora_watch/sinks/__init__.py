"""The places that a run is written to. A sink gets each step after the rules have seen it."""

from collections.abc import Mapping, Sequence

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.records import RunInfo, StepRecord


class Sink:
    """Inherit from it and write the methods that you need. They are called on rank 0 only, in the training thread, so
    they are to be cheap. They may raise; the monitor logs that once. An object that has some of them is taken, too."""

    def start(self, run: RunInfo, step: int) -> None:
        """Monitoring begins after ``step`` optimizer steps, or the set of adapters has changed there."""

    def updated(self, step: int) -> None:
        """The weights have ``step`` optimizer steps behind them, the last of which is not checked yet: the time to read
        weights, for which ``write`` may be too late."""

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        """One step, with the alerts that opened, changed or closed at it."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """An evaluation after ``step`` optimizer steps; it may come after ``finish``."""

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a policy (``reward``, ``kl`` …) or of ``probe=`` after ``step`` optimizer steps."""

    def amend(self, record: StepRecord, alerts: Sequence[Alert], verdict: Verdict, message: str | None) -> None:
        """After ``finish``: alerts that have opened since, about what was saved, and what the run is called now."""

    def flush(self) -> None:
        """A checkpoint is about to be saved, and what has been written is to be on disk: waits for that."""

    def finish(self, verdict: Verdict, message: str | None) -> None:
        """The run is over; ``message`` says why when it is not ``ok``. Not called for a killed run."""
