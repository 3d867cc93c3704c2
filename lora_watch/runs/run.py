"""Reads one run from its files, whatever became of it, into ``FinishedRun``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from lora_watch.alerts import Alert
from lora_watch.runs.events import EventLog
from lora_watch.runs.places import Place, UnreadableError, find_runs
from lora_watch.sinks import Verdict, tags
from lora_watch.sinks.files import is_claimed
from lora_watch.sinks.report import REPORT_VERSION
from lora_watch.text import clean

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
    highest: Mapping[str, float] = field(default_factory=dict)
    """By metric, over the whole run; empty where only event files are left."""


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
    adapters: dict[str, AdapterState]
    trainable_parameters: int | None
    """Of the whole model where that is known, else of the adapters."""
    rules: dict[str, str]
    """The rules that were watching: id and name."""
    notes: list[str]
    """What could not be watched, and what of the files could not be read."""
    run_id: str | None = None
    """Of its latest session; None where only event files are left."""
    started: str | None = None
    """When its latest session began, UTC, ISO 8601; None where only event files are left."""
    loss_ends: tuple[float | None, float | None] = (None, None)
    """First and last loss."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run, as ``RunInfo`` has them."""
    peak_lr: tuple[float, ...] = ()
    """Highest learning rate of each parameter group."""
    evaluation: Mapping[str, float] = field(default_factory=dict)
    """What the last evaluation found, by name; empty where only event files are left."""
    log: EventLog = field(default_factory=lambda: EventLog(()))
    going: bool = False
    """It has no verdict yet, and its process is alive on this machine."""
    incident: Any = None
    """The parsed content of incident.json; None without one."""

    @cached_property
    def loss_curve(self) -> list[tuple[int, float]]:
        """``(step, loss)`` at about ``POINTS`` evenly spaced steps; empty without event files."""
        steps = [step for step in self.log.steps if step > 0]
        stride = max(1, len(steps) // POINTS)
        return sorted(self.log.series("loss", steps[stride - 1 :: stride]).items())

    @cached_property
    def final_loss(self) -> float | None:
        """Mean over the last tenth of the steps; the last one's where only a report was left."""
        trained = [step for step in self.log.steps if step > 0]
        tail = self.log.series("loss", trained[-max(1, len(trained) // 10) :])
        return statistics.fmean(tail.values()) if tail else self.loss_ends[1]

    def loudest(self) -> tuple[str, float] | None:
        """The adapter with the highest ``output_ratio`` (else ``relative_norm``) of the run, and that value."""
        for metric in ("output_ratio", "relative_norm"):
            values = {
                name: value
                for name, adapter in self.adapters.items()
                if (value := adapter.highest.get(metric, adapter.last.get(metric))) is not None
            }
            if values:
                return max(values.items(), key=lambda item: (item[1] != item[1], item[1]))
        return None


def read_runs(paths: Iterable[Path | str], unreadable: list[str]) -> Iterator[tuple[Place, FinishedRun]]:
    """Every run at ``paths`` and where it lies, one at a time. What cannot be read goes to ``unreadable``, in words."""
    for path in paths:
        try:
            places = find_runs(Path(path))
        except UnreadableError as error:
            unreadable.append(clean(error))
            continue
        for place in places:
            try:
                run = read_run(place)
            except UnreadableError as error:
                unreadable.append(clean(error))
                continue
            yield place, run


def read_run(place: Place) -> FinishedRun:
    """The run at ``place``. Raises UnreadableError, with the file's name, when it cannot be judged."""
    log = EventLog(place.events)
    name = clean(place.path)
    try:
        run = _from_report(place.report, name, log) if place.report is not None else _from_events(name, log)
    except UnreadableError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"{type(error).__name__}: {error}"
        raise UnreadableError(f"{place.report or place.path} does not hold what it should ({said})") from error
    if place.report is not None and run.verdict == "interrupted":
        _bring_up_to_date(run)
        run.going = run.message is None and is_claimed(place.report.parent)
    run.notes += [clean(damage) for damage in log.damage]
    if place.incident is not None:
        try:
            incident = _load(place.incident)
        except UnreadableError as error:
            run.notes.append(clean(error))
        else:  # one of a session before says nothing of this run
            others = isinstance(incident, dict) and incident.get("run_id", run.run_id) != run.run_id
            run.incident = None if others else incident
    return run


def _from_report(path: Path, name: str, log: EventLog) -> FinishedRun:
    report = _load(path)
    if not (isinstance(report, dict) and {"version", "verdict", "adapters", "alerts"} <= set(report)):
        raise UnreadableError(f"{path} is not a report of lora_watch, but something else of that name")
    if not isinstance(report["version"], int) or report["version"] > REPORT_VERSION:
        raise UnreadableError(
            f"{path} was written by a newer lora_watch (format {report['version']}, known here: {REPORT_VERSION}): "
            "update the one that checks"
        )
    if report["verdict"] not in ("ok", "failed", "interrupted"):
        raise UnreadableError(f"{path} has the verdict {report['verdict']!r}, which does not exist")
    loss = report.get("loss") or {}
    adapters = {clean(a["name"]): adapter_state(a, _numbers(a["last"]), _numbers(a["max"])) for a in report["adapters"]}
    return FinishedRun(
        name=name,
        verdict=report["verdict"],
        message=_first_line(report.get("message")),
        step=int(report["step"]),
        max_steps=None if report.get("max_steps") is None else int(report["max_steps"]),
        updated=None if report.get("updated") is None else clean(report["updated"]),
        alerts=_with_the_last_words([Alert.from_dict(a) for a in report["alerts"]], path, report.get("run_id")),
        adapters=adapters,
        trainable_parameters=_trainable(report.get("config") or {}, adapters),
        rules={clean(rule["id"]): clean(rule["name"]) for rule in report.get("rules") or ()},
        notes=[clean(note) for note in report.get("notes") or ()],
        run_id=report.get("run_id"),
        started=report.get("started"),
        loss_ends=(_loss(loss.get("first")), _loss(loss.get("last"))),
        config=clean_data(report.get("config") or {}),
        peak_lr=tuple(float(lr) for lr in report.get("peak_lr") or ()),
        evaluation={
            clean(metric): float(found["last"]["value"])
            for metric, found in (report.get("evaluation") or {}).items()
            if found.get("last")
        },
        log=log,
    )


def _with_the_last_words(alerts: list[Alert], report: Path, run_id: Any) -> list[Alert]:
    """``alerts`` and those of alerts.jsonl, which is written first: a kill may come between the two."""
    known = {(alert.rule, alert.step): alert for alert in alerts}
    try:
        lines = report.with_name("alerts.jsonl").read_bytes().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            told = json.loads(line)
            if told["run_id"] == run_id:
                alert = Alert.from_dict(told)
                known.setdefault((alert.rule, alert.step), alert)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # half a line, or somebody else's
    return list(known.values())


def _bring_up_to_date(run: FinishedRun) -> None:
    """The events of a run that was killed go on behind its report, which is written every ten seconds."""
    later = run.log.since(datetime.fromisoformat(run.started).timestamp()) if run.started else []
    if not later or later[-1] <= run.step:
        return
    run.step = later[-1]
    run.updated = _iso(run.log.last_wall_time)
    losses = run.log.series("loss", [*later[:2], *later[-1:]])
    if losses:
        first = run.loss_ends[0]
        run.loss_ends = (losses[min(losses)] if first is None else first, losses[max(losses)])
    last = _last(run.log)
    for name, adapter in run.adapters.items():
        new = {metric: values[name] for metric, values in last.items() if name in values}
        run.adapters[name] = replace(
            adapter,
            last={**adapter.last, **new},
            highest={**new, **{metric: max(old, new.get(metric, old)) for metric, old in adapter.highest.items()}},
        )


def _last(log: EventLog) -> dict[str, dict[str, float]]:
    """``{metric: {adapter: value}}``, as last measured."""
    last: dict[str, dict[str, float]] = {}
    for step in log.steps[:-18:-1]:  # the spectrum is measured at every 16th step at least
        for metric, values in log.metrics(step).items():
            last.setdefault(metric, values)
    return last


def _iso(wall_time: float | None) -> str | None:
    return None if wall_time is None else datetime.fromtimestamp(wall_time, timezone.utc).isoformat("T", "milliseconds")


def _from_events(name: str, log: EventLog) -> FinishedRun:
    if not log.schemas:
        raise UnreadableError(f"{name}: the event files hold nothing of lora_watch that can be read")
    schema = log.schemas[-1][1]
    if int(schema.get("version", 0)) > tags.FORMAT_VERSION:
        raise UnreadableError(f"{name}: the event files were written by a newer lora_watch: update the one that checks")
    steps = log.steps
    last = _last(log)
    adapters = {
        clean(a["name"]): adapter_state(
            a,
            {metric: values[clean(a["name"])] for metric, values in last.items() if clean(a["name"]) in values},
        )
        for a in schema["adapters"]
    }
    step, max_steps = (steps[-1] if steps else 0), schema.get("max_steps")
    verdict, message = log.ended()
    losses = log.series("loss", [*steps[:2], *steps[-1:]])
    return FinishedRun(
        name=name,
        verdict=verdict or "interrupted",
        message=_first_line(message),
        step=step,
        max_steps=None if max_steps is None else int(max_steps),
        updated=_iso(log.last_wall_time),
        alerts=[Alert.from_dict(alert) for alert in log.alerts()],
        adapters=adapters,
        trainable_parameters=_trainable(schema.get("config") or {}, adapters),
        rules={clean(rule["id"]): clean(rule["name"]) for rule in schema.get("rules") or ()},
        notes=[clean(note) for note in schema.get("notes") or ()],
        loss_ends=(losses[min(losses)], losses[max(losses)]) if losses else (None, None),
        config=clean_data(schema.get("config") or {}),
        peak_lr=tuple(float(lr) for lr in schema.get("peak_lr") or ()),
        log=log,
    )


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is not whole JSON ({error}): was it cut off while it was copied?") from error


def _first_line(message: Any) -> str | None:
    return None if message is None else clean(str(message).partition("\n")[0])


def adapter_state(
    told: Mapping[str, Any], last: Mapping[str, float], highest: Mapping[str, float] | None = None
) -> AdapterState:
    """An adapter of a report or a schema. Raises TypeError or ValueError for one that is none."""
    r, trainable, alpha, scale = (told.get(name) for name in ("r", "trainable", "alpha", "scale"))
    return AdapterState(
        r=None if r is None else int(r),
        trainable=None if trainable is None else int(trainable),
        alpha=None if alpha is None else float(alpha),
        scale=None if scale is None else float(scale),
        last=last,
        highest=highest or {},
    )


def clean_data(told: Any) -> Any:
    """Plain data with every text in it ``clean``."""
    if isinstance(told, Mapping):
        return {clean(key): clean_data(value) for key, value in told.items()}
    if isinstance(told, list):
        return [clean_data(value) for value in told]
    return clean(told) if isinstance(told, str) else told


def _numbers(by_metric: Mapping[str, Any]) -> dict[str, float]:
    return {clean(metric): float(value) for metric, value in by_metric.items() if value is not None}


def _loss(told: Any) -> float | None:
    return None if told is None else float(told["value"])


def _trainable(config: Mapping[str, Any], adapters: Mapping[str, AdapterState]) -> int | None:
    whole = config.get("trainable_parameters")
    if whole is not None:
        return int(whole)
    counts = [adapter.trainable for adapter in adapters.values() if adapter.trainable is not None]
    return sum(counts) if counts else None
