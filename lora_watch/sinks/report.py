"""Writes what became of a run: `report.json`, always whole, and `alerts.jsonl`, one line an event.

`report.json` is strict JSON; docs/programs.md says what its fields mean. A number that was measured and is not finite
is `"NaN"`, `"Infinity"` or `"-Infinity"`; null means unknown or not measured. It is replaced at the start, when an
alert opens or closes, every 10 seconds in between (less often where that would take more than 0.1 % of the time), at an
evaluation, when `last_good/` is written, and at the end.

`alerts.jsonl` has `{"event": "opened" | "closed", "run_id", "time", …Alert.to_dict()}`.

A session that is resumed, or started again, in the same folder appends to `alerts.jsonl` under a new `run_id`, where it
repeats the run's alerts so far; the report before is kept as `report.previous.json`, the page `report.previous.html`.
"""

import itertools
import logging
import math
import os
import shutil
import time
import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lora_watch.base.alerts import Alert, Severity, Verdict, discarded, first_to_show, in_order, tally
from lora_watch.base.records import Reading, RunInfo, StepRecord
from lora_watch.base.strict_json import adapter_fields, strict_json
from lora_watch.base.text import last_tenth
from lora_watch.base.untrusted import MISFITS
from lora_watch.format import KEPT, LAST_GOOD, LAST_GOOD_BEFORE, REPORT, REPORT_VERSION
from lora_watch.format.files import claim, names_the_path, no_link, now, read_report, release, replace_file, report_of
from lora_watch.sinks import Sink
from lora_watch.sinks.history import AlertHistory, News
from lora_watch.sinks.numbers import OF_A_RUN

log = logging.getLogger("lora_watch")

SECONDS_BETWEEN_WRITES = 10.0
LARGEST_SHARE_OF_TIME = 0.001
ROWS_OF_MEANS = 10
"""Rows with a reward from which on the first is a mean, and no more of the rows of the last, which is one of five."""

Point = dict[str, Any]
"""``{"step", "value"}``"""


class ReportSink(Sink):
    """Keeps ``report.json`` and ``alerts.jsonl`` in ``directory``, which is made if it does not exist.

    While another process is writing there, ``directory`` becomes ``<directory>-2`` (or ``-3`` …)
    at the start. Its methods raise OSError with the path of the file when it cannot be written (read-only, disk full).
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = self._wanted = Path(directory).absolute()  # scripts change the working directory
        self._session: _Session | None = None
        self._latest: _Session | None = None  # the same, also after its end
        self._next_write = 0.0  # time.monotonic()

    @property
    def run_id(self) -> str | None:
        """Of the latest session; None before the first."""
        return self._latest.run_id if self._latest is not None else None

    @property
    def last_good(self) -> tuple[str, int] | None:
        """The folder next to the report that holds the last good adapter of a run that is not well, and its step; None
        where there is none, or one that is no better than at the start."""
        told = self._latest and self._latest.verdict != "ok" and self._latest.last_good
        return (told["folder"], told["step"]) if told and told["step"] else None

    @cached_property
    def before(self) -> "Before":
        """The run before in the folder, until a session has begun in its place."""
        return Before.of(report_of(self._wanted))

    def start(self, run: RunInfo, step: int) -> None:
        if self._session is not None:
            self._session.run, self._session.last = run, {}
        else:
            notes, path = self._take_a_folder(), self.directory / REPORT
            before = vars(self).pop("before", None) if self.directory == self._wanted else None
            before = before or Before.of(report_of(self.directory))
            # That takes no room: where this session's cannot be written, the old ones do not stand for them.
            with names_the_path(path, "cannot move the last session's report aside"):
                for old, kept in KEPT.items():
                    if os.path.lexists(self.directory / old):
                        os.replace(self.directory / old, self.directory / kept)
                if step == 0 and os.path.lexists(good := self.directory / LAST_GOOD):
                    shutil.rmtree(aside := self.directory / LAST_GOOD_BEFORE, ignore_errors=True)
                    os.replace(good, aside)
            for worst in [] if step else before.alerts[:1]:  # a resumed run notes that itself
                if worst.severity >= Severity.ERROR or before.verdict == "failed":
                    told = f"an earlier run in this folder ended with the {worst.title}"
                    notes = [*notes, f"{told}. Its report is {KEPT[REPORT]}"]
            run_id = run.run_id or uuid.uuid4().hex
            self._session = self._latest = _Session(run, step, before.sessions + 1, notes, run_id)
        self._write_report(self._session)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        session = self._session
        if session is None:
            return
        # First: whatever fails after it, the last report names them.
        news = session.history.update(alerts)
        session.take(record)
        if news:
            self._append(session, news)
        if news or time.monotonic() >= self._next_write:
            self._write_report(session)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        if self._latest is not None:
            self._latest.evaluation |= {name: {"last": _point(step, float(value))} for name, value in metrics.items()}
            self._write_late()

    def tell_last_good(self, step: int | None, why_not: str | None, gained: bool | None) -> None:
        """The run has gone wrong: ``last_good/``, next to the report, holds the adapter as it was after ``step``. Where
        it is None ``why_not`` says why it could not be kept; None where there was no good one. That of step 0 is
        untrained and not offered. ``gained``: the run had been better than at its start; None where nothing tells."""
        if self._latest is not None:
            folder = None if step is None else LAST_GOOD
            self._latest.last_good = {"folder": folder, "step": step, "why_not": why_not, "gained": gained}
            self._write_late()

    def _write_late(self) -> None:
        """What has come to be known of the latest session, perhaps after its end."""
        if self._latest is not None and (self._session is not None or self._is_still_ours(self._latest)):
            self._write_report(self._latest)

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        if self._session is not None:
            self._session.take_reward(step, numbers)

    def amend(self, record: StepRecord, alerts: Sequence[Alert], verdict: Verdict, message: str | None) -> None:
        if self._latest is not None and self._is_still_ours(self._latest):
            self._session = self._latest
            self.write(record, alerts)
            self.finish(verdict, message)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.verdict, session.message = verdict, message
            if self._is_still_ours(session):
                self._write_report(session)
            self._over()

    def _write_report(self, session: "_Session") -> None:
        began = time.monotonic()
        # Set before anything can fail: a full disk is tried again later, not at each step.
        self._next_write = began + SECONDS_BETWEEN_WRITES
        replace_file(report_of(self.directory), strict_json(session.report()))
        self._next_write = max(self._next_write, began + (time.monotonic() - began) / LARGEST_SHARE_OF_TIME)

    def _append(self, session: "_Session", news: Sequence[News]) -> None:
        path = self.directory / "alerts.jsonl"
        lines = [
            strict_json({"event": event, "run_id": session.run_id, "time": now(), **alert.to_dict()}) + b"\n"
            for event, alert in news
        ]
        with names_the_path(path, "cannot write the alerts"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab+", opener=no_link) as file:
                if file.tell() and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                    lines.insert(0, b"\n")  # a killed session left half a line: it must not spoil ours
                file.write(b"".join(lines))

    def _take_a_folder(self) -> Sequence[str]:
        """Makes ``directory`` the first of the wanted folder and its neighbours that no other run is writing to.
        Returns what is to be said of it."""
        for number in itertools.count(1):
            self.directory = self._wanted if number == 1 else self._wanted.with_name(f"{self._wanted.name}-{number}")
            with names_the_path(self.directory, "cannot make the folder of the report"):
                self.directory.mkdir(parents=True, exist_ok=True)
            if (claimed := claim(self.directory)) is not None:
                self._over = weakref.finalize(self, release, claimed)  # also where nobody says that the run has ended
                break
        if self.directory == self._wanted:
            return ()
        note = (
            f"another run was writing to {self._wanted} when this run began, so this report is in "
            f"{self.directory.name}. Give each run an output_dir of its own: their checkpoints overwrite each other, "
            "and lora-watch check judges both for as long as both folders are there"
        )
        log.warning("%s", note)
        return (note,)

    def _is_still_ours(self, session: "_Session") -> bool:
        return read_report(report_of(self.directory)).get("run_id") in (None, session.run_id)  # better ours than none


class Before(NamedTuple):
    """What the report in a folder says of the run before."""

    sessions: int = 0
    """That have left their reports there so far; 0 where there is none."""
    verdict: str | None = None
    alerts: Sequence[Alert] = ()
    """Those that were open when it ended, the worst first."""

    @classmethod
    def of(cls, report: Path) -> "Before":
        told, alerts = read_report(report), list[Alert]()
        with suppress(*MISFITS):
            alerts = [Alert.from_dict(alert) for alert in told.get("alerts", ())]
        number, still_open = told.get("session"), in_order(alert for alert in alerts if alert.closed_step is None)
        return cls(number if isinstance(number, int) else os.path.exists(report), told.get("verdict"), still_open)


def report_in(sinks: Iterable[object]) -> ReportSink | None:
    """The one among ``sinks``."""
    return next((sink for sink in sinks if isinstance(sink, ReportSink)), None)


def before_in(sinks: Iterable[object]) -> Before:
    """The run before in the folder of the report among ``sinks``."""
    report = report_in(sinks)
    return Before() if report is None else report.before


@dataclass
class _Session:
    run: RunInfo
    step: int
    number: int
    notes: Sequence[str]
    run_id: str
    started: str = field(default_factory=now)
    verdict: Verdict = "interrupted"
    message: str | None = None
    overhead: float | None = None
    loss: dict[str, float | Point | None] = field(default_factory=lambda: dict.fromkeys(("start", "last")))
    """``start`` as rules and the tab count from it; the session's first loss until that is known."""
    losses: dict[int, tuple[float, bool]] = field(default_factory=dict)
    """By step, and whether its update was made."""
    reward: dict[str, Point | None] | None = None
    """``first`` and ``last`` of a policy, means over some rows where there are enough; None without a reward."""
    evaluation: dict[str, dict[str, Point]] = field(default_factory=dict)
    last: dict[str, tuple[int, Reading]] = field(default_factory=dict)
    """By metric the step of the last measurement, and what it found."""
    history: AlertHistory = field(default_factory=AlertHistory)
    last_good: dict[str, Any] | None = None

    def take(self, record: StepRecord) -> None:
        self.step = record.step
        if record.overhead is not None:
            self.overhead = record.overhead
        if record.losses:  # of the sessions before
            start, *before = record.losses
            self.loss = {"start": start, "last": _point(record.step, before[-1])}
            self.losses = {record.step + back: (loss, True) for back, loss in enumerate(before, 1 - len(before))}
        if record.loss is not None:
            first = record.loss if self.loss["start"] is None else self.loss["start"]
            start = record.scalars.get("loss_start", first)
            self.loss = {"start": start, "last": _point(record.step, record.loss)}
            self.losses[record.step] = record.loss, record.updated
            if len(self.losses) > record.step // 4 + 100:  # the last tenth is asked for
                del self.losses[next(iter(self.losses))]
        self.last |= {name: (record.step, reading) for name, reading in record.metrics.items()}

    def take_reward(self, step: int, numbers: Mapping[str, float]) -> None:
        if (now := numbers.get("reward")) is None or not math.isfinite(now):
            return
        first, last = (self.reward or {}).get("first") or _point(step, now), now
        if (rows := numbers.get("reward_rows", 0.0)) > 5:
            last = numbers["reward_recent"]
        if rows >= ROWS_OF_MEANS:
            first = {**first, "value": numbers["reward_start"]}
        self.reward = {"first": first, "last": _point(step, last)}

    def final_loss(self, alerts: Sequence[Alert]) -> float | None:
        """``last_tenth`` of the steps neither taken back nor dropped."""
        gone, losses = discarded(alerts), [(step, loss) for step, (loss, made) in self.losses.items() if step and made]
        return last_tenth([loss for step, loss in losses if not any(step in one for one in gone)], self.step)

    def report(self) -> dict[str, Any]:
        last = {name: reading.known_values() for name, (_, reading) in self.last.items()}
        alerts = list(self.history)
        first, next_run = first_to_show(alerts), self.history.next_run
        return {
            "version": REPORT_VERSION,
            "verdict": self.verdict,
            "message": self.message,
            "run_id": self.run_id,
            "session": self.number,
            "started": self.started,
            "updated": now(),
            "step": self.step,
            "max_steps": self.run.max_steps,
            "overhead": self.overhead,
            "loss": {**self.loss, "final": self.final_loss(alerts)},
            "reward": self.reward,
            "evaluation": self.evaluation,
            "next_run": None if next_run is None else next_run.to_dict(),
            "alerts": [alert.to_dict() for alert in alerts],
            "counts": tally(alerts),
            "first": next((place for place, alert in enumerate(alerts) if alert is first), None),
            "recoveries": [asdict(r) | {"lost": r.discarded + r.dropped} for a in alerts if (r := a.recovery)],
            "last_good": self.last_good,
            "adapters": [
                {**adapter_fields(adapter), "last": {name: values[index] for name, values in last.items()}}
                for index, adapter in enumerate(self.run.adapters)
            ],
            "measured_at": {name: step for name, (step, _) in self.last.items()},
            **{name: getattr(self.run, name) for name in ("placement", "resting", *OF_A_RUN)},
            **{name: getattr(self.run, name) for name in ("nonzero_start", "untrained")},
            "notes": [*self.run.notes, *self.notes],
        }


def _point(step: int, value: float) -> Point:
    return {"step": step, "value": value}
