"""Reads one run from its files, whatever became of it, into ``FinishedRun``."""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_args

from lora_watch.base.alerts import Alert, Verdict, discarded
from lora_watch.base.prescription import Prescription
from lora_watch.base.text import clean, count
from lora_watch.base.untrusted import MISFITS, listed, load_json, or_none, parse_json, read_bytes, whole
from lora_watch.format import tags
from lora_watch.format.decoding import clean_data
from lora_watch.format.files import REPORT, REPORT_VERSION, WAITING, is_claimed
from lora_watch.runs.data import RunData
from lora_watch.runs.events import EventLog
from lora_watch.runs.places import RunFiles, UnreadableError, find_runs, is_report

T = TypeVar("T")

SILENT = 900.0
"""Seconds without a word after which a run of another machine is taken for dead."""
POINTS = 60
"""Points of a curve that is drawn."""


@dataclass(frozen=True)
class AdapterState:
    """One adapter at the end of the run. Numbers that nobody measured are absent."""

    r: int | None
    trainable: int | None
    alpha: float | None
    scale: float | None
    """When watching began; the live one is in ``last``."""
    last: Mapping[str, float]
    """By metric, as last measured."""


@dataclass
class FinishedRun:
    """What a run's files say. Every text is ``clean``."""

    name: str
    verdict: Verdict
    """``interrupted`` also where no verdict was written."""
    message: str | None
    step: int
    max_steps: int | None
    updated: str | None
    """When the files were last written, UTC, ISO 8601."""
    alerts: list[Alert]
    """None of them carries the prescription, which is the run's."""
    adapters: dict[str, AdapterState]
    trainable_parameters: int | None
    """Of the whole model where that is known, else of the adapters."""
    rules: dict[str, str]
    """The rules that were watching: id and name."""
    notes: list[str]
    """What could not be monitored, and what of the files could not be read."""
    run_id: str | None = None
    """Of its latest session."""
    started: str | None = None
    """When its latest session began, UTC, ISO 8601; None where only event files are left."""
    loss_ends: tuple[float | None, float | None] = (None, None)
    """First and last loss."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run, as ``RunInfo`` has them."""
    peak_lr: tuple[float, ...] = ()
    """Highest learning rate of each parameter group."""
    evaluation: Mapping[str, float] = field(default_factory=dict)
    """What the last evaluation found, by name; ``eval_loss`` alone where only event files are left."""
    next_run: Prescription | None = None
    """The settings to use next."""
    data: RunData = field(default_factory=lambda: RunData(EventLog(())))
    """Its event files, where there are some."""
    going: bool = False
    """It has no verdict yet, and its process is alive on this machine."""
    waiting: bool = False
    """A later Trainer was built for its folder, and has not begun to train."""

    @property
    def goes_on(self) -> bool:
        """Its process lives on this machine, or writes from another one."""
        if self.going:
            return True
        if self.verdict != "interrupted" or self.message is not None or self.updated is None:
            return False
        return time.time() - _seconds(self.updated) < SILENT

    @cached_property
    def loss_curve(self) -> list[tuple[int, float]]:
        """``(step, loss)`` at up to ``POINTS`` steps that were not discarded; empty without event files."""
        return sorted(self.data.series_at("loss", spread(self.trained(self.data.steps), POINTS)).items())

    @property
    def loss_means(self) -> tuple[float | None, float | None]:
        """Mean loss of the first and of the last tenth of the curve; without a curve the first and the last loss."""
        losses = [value for _, value in self.loss_curve]
        last = last_tenth(losses)
        return (statistics.fmean(losses[: len(last)]), statistics.fmean(last)) if losses else self.loss_ends

    def trained(self, steps: Iterable[int]) -> list[int]:
        """Those of ``steps`` that made the adapters what they are: neither 0 nor discarded."""
        gone = discarded(self.alerts)
        return [step for step in steps if step > 0 and not any(step in stretch for stretch in gone)]

    @cached_property
    def final_loss(self) -> float | None:
        """Mean over the last tenth of the steps; None without event files: a report has single steps alone."""
        tail = self.data.series_at("loss", last_tenth(self.trained(self.data.steps)))
        return statistics.fmean(tail.values()) if tail else None


def spread(items: Sequence[T], most: int) -> Sequence[T]:
    """At most ``most`` of them, evenly, the last one among them."""
    if len(items) <= most:
        return items
    return [items[round((i + 1) * len(items) / most) - 1] for i in range(most)]


def last_tenth(steps: Sequence[T]) -> Sequence[T]:
    """Those of ``steps`` whose losses make the final loss."""
    return steps[-max(1, len(steps) // 10) :]


def read_runs(
    paths: Iterable[Path | str], unreadable: list[str], below: bool = False
) -> Iterator[tuple[RunFiles, FinishedRun]]:
    """Every run at ``paths`` and where it lies, one at a time; ``below`` as for ``find_runs``. What cannot be read goes
    to ``unreadable``, in words."""
    for path in paths:
        try:
            places = find_runs(Path(path), below)
        except UnreadableError as error:
            unreadable.append(clean(error))
            continue
        for place in places:
            try:
                yield place, read_run(place)
            except UnreadableError as error:
                unreadable.append(clean(error))


def latest_run(path: Path) -> FinishedRun:
    """The run at ``path`` that was written to last. Raises UnreadableError."""
    unreadable: list[str] = []
    runs = [run for _, run in read_runs([path], unreadable)]
    if not runs:
        raise UnreadableError("\n".join(unreadable))
    return max(runs, key=lambda run: run.updated or "")


def read_run(place: RunFiles) -> FinishedRun:
    """The run at ``place``. Raises UnreadableError, with the file's name, when it cannot be judged."""
    if place.why_not is not None:
        raise UnreadableError(place.why_not)
    name, report = clean(place.path), place.report
    log = EventLog(place.events, verify=report is None)
    try:
        if report is None:
            run = _from_events(name, log)
        else:
            run = _from_report(report, name, log)
            if log.session_since(_seconds(run.started) if run.started else math.inf) not in (None, "", run.run_id):
                run = read_run(replace(place, report=None))  # the later one could not write its report here
                run.notes.append(f"{REPORT} is of an earlier run: this is read from the event files of the latest one")
                return run
            if run.verdict == "interrupted":
                later = log.since(_seconds(run.started)) if run.started else []
                if later and later[-1] > run.step:  # a killed run's events go on behind its report
                    run.step, run.updated = later[-1], _iso(log.last_wall_time)
                    run.loss_ends = _loss_ends(run.data, later)
                run.going = run.message is None and is_claimed(report.parent)
    except (*MISFITS, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnreadableError(f"{report or place.path} does not hold what it should ({reason})") from error
    if report is None and log.broken:
        raise _unreadable(name, log.broken[0])
    carried = next((alert.next_run for alert in run.alerts if alert.next_run is not None), None)
    run.next_run = run.next_run or carried
    run.alerts = [replace(alert, next_run=None) for alert in run.alerts]
    run.notes += [clean(damage) for damage in log.damage]
    if place.below:
        more = count(len(place.below), "more run")
        run.notes.append(clean(f"Folders below hold {more}, such as {place.below[0]}. Name a folder to have it read."))
    if report is not None:
        run.waiting = report.with_name(WAITING).is_file()
    return run


def _from_report(path: Path, name: str, log: EventLog) -> FinishedRun:
    report = read_json(path)
    if not is_report(report):
        raise UnreadableError(f"{path} is not a report of lora_watch, but something else of that name")
    if type(report["version"]) is not int or not 1 <= report["version"] <= REPORT_VERSION:
        raise UnreadableError(
            f"{path} was written by a newer lora_watch (format {report['version']}, known here: {REPORT_VERSION}): "
            "update the one that checks"
        )
    if report["verdict"] not in get_args(Verdict):
        raise UnreadableError(f"{path} has the verdict {report['verdict']!r}, which does not exist")
    loss, evaluation = report.get("loss") or {}, report.get("evaluation") or {}
    return _from_header(
        name,
        report,
        {clean(a["name"]): _numbers(a["last"]) for a in listed(report["adapters"])},
        verdict=report["verdict"],
        message=_first_line(report.get("message")),
        step=whole(report["step"]),
        updated=or_none(clean, report.get("updated")),
        alerts=_with_the_last_words([Alert.from_dict(a) for a in listed(report["alerts"])], path, report.get("run_id")),
        started=or_none(clean, report.get("started")),
        loss_ends=(_loss(loss.get("first")), _loss(loss.get("last"))),
        next_run=or_none(Prescription.from_dict, report.get("next_run")),
        evaluation={clean(metric): float(of["last"]["value"]) for metric, of in evaluation.items() if of.get("last")},
        data=RunData(log),
    )


def _from_header(
    name: str, header: Mapping[str, Any], values: Mapping[str, Mapping[str, float]], **fields: Any
) -> FinishedRun:
    """A run as a report or a schema has it, every text ``clean``.

    ``values`` are each adapter's numbers as last measured; ``fields`` what a header alone does not say. What it raises
    for a header that is none is one of ``MISFITS``.
    """
    adapters = {}
    for content in listed(header["adapters"]):
        adapters[clean(content["name"])] = AdapterState(
            or_none(whole, content.get("r")),
            or_none(whole, content.get("trainable")),
            or_none(float, content.get("alpha")),
            or_none(float, content.get("scale")),
            values.get(clean(content["name"]), {}),
        )
    config = header.get("config") or {}
    if not isinstance(config, Mapping):
        raise ValueError("its config holds no names with values")
    counts = [adapter.trainable for adapter in adapters.values() if adapter.trainable is not None]
    return FinishedRun(
        name=name,
        adapters=adapters,
        run_id=or_none(clean, header.get("run_id")),
        max_steps=or_none(whole, header.get("max_steps")),
        trainable_parameters=or_none(whole, config.get("trainable_parameters", sum(counts) if counts else None)),
        rules={clean(rule["id"]): clean(rule["name"]) for rule in header.get("rules") or ()},
        notes=[clean(note) for note in header.get("notes") or ()],
        config=clean_data(config),
        peak_lr=tuple(float(lr) for lr in header.get("peak_lr") or ()),
        **fields,
    )


def _with_the_last_words(alerts: list[Alert], report: Path, run_id: Any) -> list[Alert]:
    """``alerts`` and those of alerts.jsonl, which is written first: a kill may come between the two."""
    known = {(alert.rule, alert.step): alert for alert in alerts}
    file = report.with_name("alerts.jsonl")
    try:
        content = read_bytes(file)
    except OSError:
        content = b""
    for line in content.splitlines():
        try:
            content = parse_json(line)
            if content["run_id"] == run_id:
                alert = Alert.from_dict(content)
                known.setdefault((alert.rule, alert.step), alert)
        except MISFITS:
            continue  # half a line, or somebody else's
    return list(known.values())


def _seconds(iso: str) -> float:
    """Since 1970."""
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()


def _loss_ends(data: RunData, steps: Sequence[int]) -> tuple[float | None, float | None]:
    losses = data.series_at("loss", [*steps[:2], *steps[-1:]])
    return (losses[min(losses)], losses[max(losses)]) if losses else (None, None)


def _last(log: EventLog, data: RunData) -> tuple[dict[str, dict[str, float]], list[str]]:
    """``{adapter: {metric: value}}``, each metric as last measured, and what does not fit, in words."""
    last, notes = defaultdict[str, dict[str, float]](dict), []
    for tag, event in log.last().items():
        if tag.startswith(tags.METRIC_PREFIX):
            found, misfits = data.aligned([event])
            notes += misfits
            for values in data.named(found):
                for adapter, value in values.items():
                    last[adapter][tag.removeprefix(tags.METRIC_PREFIX)] = value
    return last, notes


def _iso(wall_time: float | None) -> str | None:
    return None if wall_time is None else datetime.fromtimestamp(wall_time, timezone.utc).isoformat("T", "milliseconds")


def _from_events(name: str, log: EventLog) -> FinishedRun:
    data = RunData(log)
    schemas, notes = data.schemas
    if not schemas:
        raise UnreadableError(f"{name}: the event files hold nothing of lora_watch that can be read")
    if int(schemas[-1][1].get("version", 0)) > tags.FORMAT_VERSION:
        raise UnreadableError(f"{name}: the event files were written by a newer lora_watch: update the one that checks")
    last, misfits = _last(log, data)
    if broken := [*notes, *data.alerts()["notes"], *misfits]:
        raise _unreadable(name, broken[0])
    evaluation, reported = log.evaluation(), data.verdict()
    known = reported["verdict"] in get_args(Verdict)
    return _from_header(
        name,
        schemas[-1][1],
        last,
        verdict=reported["verdict"] if known else "interrupted",
        message=_first_line(reported["message"]) if known else None,
        step=int(data.steps[-1]) if len(data.steps) else 0,
        updated=_iso(log.last_wall_time),
        alerts=data.episodes[0],
        loss_ends=_loss_ends(data, log.steps),
        evaluation={} if evaluation is None else {tags.EVAL_LOSS: evaluation},
        data=data,
    )


def _unreadable(name: str, what: str) -> UnreadableError:
    return UnreadableError(f"{name}: {what}, and there is no {REPORT} that would say what it said")


def read_json(path: Path) -> Any:
    """The JSON in a file. Raises UnreadableError."""
    try:
        return load_json(path)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        hint = "was it cut off while it was copied?" if path.suffix == ".json" else "name the Trainer's output_dir"
        raise UnreadableError(f"{path} is not whole JSON ({error}): {hint}") from error


def _first_line(message: Any) -> str | None:
    return None if message is None else clean(str(message).partition("\n")[0])


def _numbers(by_metric: Mapping[str, Any]) -> dict[str, float]:
    return {clean(metric): float(value) for metric, value in by_metric.items() if value is not None}


def _loss(point: Any) -> float | None:
    return None if point is None else float(point["value"])
