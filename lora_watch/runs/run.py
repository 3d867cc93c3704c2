"""Reads one run from its report and its events, whatever became of it, into ``FinishedRun``."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from lora_watch.base.alerts import ENDINGS, Alert, Severity, Verdict, discarded, in_order
from lora_watch.base.prescription import Prescription
from lora_watch.base.text import clean, first_of, last_tenth
from lora_watch.base.untrusted import MISFITS, listed, load_json, or_none, whole
from lora_watch.format import LAST_GOOD, NOT_BEGUN, REPORT, REPORT_VERSION, WAITING
from lora_watch.format.files import is_claimed
from lora_watch.rules.policy import OF_FINISHED_RUNS, muted
from lora_watch.runs.data import RunData, rates_of
from lora_watch.runs.events import EventLog, clean_data
from lora_watch.runs.places import HOME, RunFiles, UnreadableError, find_runs, is_report

SILENT = 900.0
"""Seconds without a word after which a run of another machine is taken for dead."""
STILL_GOING, STOPPED_EARLY = "still-going", "LW802"


def finding(rule: str, step: int, message: str, severity: Severity = Severity.ERROR, **fields: Any) -> Alert:
    """An alert of a run that is over. ``fields`` are those of Alert."""
    return Alert(rule, fields.pop("name", OF_FINISHED_RUNS[rule]), severity, step, message, **fields)


@dataclass(frozen=True)
class AdapterState:
    """One adapter at the end of the run. Numbers that nobody measured are absent."""

    r: int | None
    alpha: float | None
    scale: float | None
    """When watching began; the live one is in ``last``."""
    last: Mapping[str, float]
    """By metric, as last measured."""


@dataclass
class FinishedRun:
    """What a run's files say. Every text is ``clean``."""

    path: Path
    """Its output folder, or whatever was named in its stead."""
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
    """What could not be monitored, and what of the files could not be read."""
    muted: Sequence[str] = ()
    """Ids of the rules that the user has left out."""
    run_id: str | None = None
    """Of its latest session."""
    started: str | None = None
    """When its latest session began, UTC, ISO 8601."""
    loss_ends: tuple[float | None, float | None] = (None, None)
    """The mean loss while the adapters were small, which rules and the tab count from, and the last loss."""
    final_loss: float | None = None
    """Mean loss of the last tenth of the steps, without NaN; None where it is not known, or most are NaN."""
    reward_ends: tuple[float, float] | None = None
    """Mean of the first and of the last rewards of a policy; None where none is known."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run, as ``RunInfo`` has them."""
    optimizer: str | None = None
    """Name of its class."""
    rates: tuple[float | None, float | None] = (None, None)
    """See ``rates_of``."""
    evaluated: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """By name the step of the last evaluation, and what it found."""
    resting: int = 0
    """Layers whose adapters did not train, next to those of ``adapters``."""
    last_good: tuple[Path, int] | None = None
    """``last_good/`` and the step of the adapter in it; None where none was better than at the start, or trained."""
    next_run: Prescription | None = None
    nonzero_start: bool = False
    """Its adapters added something before the first update, as those that were trained before do."""
    untrained: bool = False
    """Its base model looks untrained: no size is usual there."""
    data: RunData = field(default_factory=lambda: RunData(EventLog(())))
    going: bool = False
    """It has no verdict yet, and its process is alive on this machine."""
    waiting: bool = False
    """A later Trainer was built for its folder, and has not begun to train: nothing here is its."""

    @property
    def name(self) -> str:
        return clean(self.path)

    @property
    def steps(self) -> str:
        """The last on record: ``step 40 of 100``; ``step 40`` where the planned number is not known, or was lower."""
        known = self.max_steps is not None and self.step <= self.max_steps
        return f"step {self.step} of {self.max_steps}" if known else f"step {self.step}"

    @property
    def evaluation(self) -> dict[str, float]:
        """What the last evaluation found, by name. One before the first step is of the base model."""
        return {name: value for name, (step, value) in self.evaluated.items() if step or not self.step}

    @property
    def written(self) -> str:
        """``updated`` for people; empty where it is not known."""
        return f"{self.updated[:16].replace('T', ' ')} UTC" if self.updated else ""

    @property
    def ended(self) -> bool:
        """It came to its end, whatever was found on the way. Of a run that has not begun nothing is known."""
        return not self.waiting and self.verdict in ("ok", "unhealthy", "unknown")

    @property
    def stopped_early(self) -> bool:
        return self.ended and self.max_steps is not None and self.step < self.max_steps

    @property
    def ending(self) -> str:
        """How it ended, in few words. Whether it is well is another question."""
        if self.verdict == "ok" and self.message:  # "recovered at step 12 (…), then …"
            return self.message.partition(",")[0].partition(" (")[0]
        return "an earlier run" if self.waiting else "still going" if self.going else ENDINGS[self.verdict]

    @property
    def goes_on(self) -> bool:
        """Its process lives on this machine, or writes from another one."""
        if self.verdict != "interrupted" or self.message is not None or self.updated is None:
            return self.going
        return self.going or time.time() - _seconds(self.updated) < SILENT

    @cached_property
    def loss_curve(self) -> list[tuple[int, float]]:
        """``(step, loss)`` at the steps that were not discarded; empty without event files."""
        return sorted(self.data.series_at("loss", self.trained(self.data.steps)).items())

    def trained(self, steps: Iterable[int]) -> list[int]:
        """Those of ``steps`` that made the adapters what they are: neither 0 nor discarded."""
        gone = discarded(self.alerts)
        return [step for step in steps if step > 0 and not any(step in stretch for stretch in gone)]

    def findings(self, counts: Callable[[Alert], bool] = bool) -> list[Alert]:
        """Its alerts and how it ended, the worst first. LW910 stands for what it has recovered from.
        ``counts``: an ERROR fails the run."""
        return in_order([*(a for a in self.alerts if not a.recovered_from), *self.how_it_ended(counts)])

    def note_runs_below(self) -> None:
        """Trials of a search, or later stages. It walks the whole folder: for whoever reads a run once."""
        with suppress(OSError):  # gone while we were looking
            if inside := {clean(report.parents[1]) for report in self.path.glob(f"*/**/{HOME}/{REPORT}")}:
                told = first_of(sorted(inside), 3)
                self.notes.append(f"runs below it are judged only where they are named: {told}")

    @property
    def errors_at_the_end(self) -> list[Alert]:
        """Those that tab and page have among the alerts: a run that is killed cannot write its own."""
        return [] if self.going else [a for a in self.how_it_ended() if a.severity >= Severity.ERROR]

    def how_it_ended(self, counts: Callable[[Alert], bool] = bool) -> Sequence[Alert]:
        """What the verdict adds to the alerts: one finding or none."""
        made = f"It ended at {self.steps}." if self.ended else f"It is recorded up to {self.steps}."
        errors = [alert for alert in self.alerts if alert.severity >= Severity.ERROR]
        told = any(counts(alert) for alert in errors if alert.closed_step is None)
        of_a_trainer = "learning_rate" in self.config
        why = [] if self.message is None else [self.message]

        def found(rule: str, message: str, fix: str, **fields: Any) -> Sequence[Alert]:
            return [finding(rule, self.step, message, **{"details": made, "causes": why, "remedies": [fix], **fields})]

        if self.going:
            made = f"{made} Its process is alive."
            return found("LW801", "the run has not ended yet", "check it when it is done", name=STILL_GOING)
        if self.verdict == "interrupted":
            if why and told:
                return []  # that is why it raised, and stands there
            made += f" Its files were last written at {self.written}." if self.written else ""
            killed = "the process was killed (memory, a time limit, a cancelled job), or its script caught an exception"
            why = why or [f"{killed}, or it is still going on another machine"]
            fix = "start it again from its last checkpoint, if any" + " (resume_from_checkpoint=True)" * of_a_trainer
            if any(alert.recovery and alert.recovery.changed for alert in self.alerts):
                fix += ", with the script's learning_rate as it is, and recover"
            elif self.next_run is not None and not any(alert.recovery for alert in self.alerts):
                fix = "begin anew with the settings of Next run: a resume keeps the old ones"
            return found("LW801", "the run broke off", f"read what the script printed last, and {fix}")
        if (self.verdict == "failed" and not told) or (self.verdict == "unhealthy" and not errors):
            said = "was ended by its own fail_on" if self.verdict == "failed" else "has ended with an ERROR"
            fix = "follow the alert that the cause names, or have the run's own fail_on let it pass, too"
            return found("LW803", f"the run {said}", fix)
        if self.stopped_early:
            by = "which callback has set should_training_stop" if of_a_trainer else "what has left the loop"
            said, fix = "training stopped before its planned steps", f"nothing, where that is meant; else see {by}"
            return found(STOPPED_EARLY, said, fix, severity=Severity.WARNING, causes=[])
        return []


def read_runs(paths: Iterable[Path | str], unreadable: list[str]) -> Iterator[FinishedRun]:
    """Every run at ``paths``, one at a time. What cannot be read goes to ``unreadable``, in words."""
    for path in paths:
        try:
            places = find_runs(Path(path))
        except UnreadableError as error:
            unreadable.append(clean(error))
            continue
        for place in places:
            try:
                yield read_run(place)
            except UnreadableError as error:
                unreadable.append(clean(error))


def latest_run(path: Path) -> FinishedRun:
    """The run at ``path`` that was written to last. Raises UnreadableError."""
    unreadable: list[str] = []
    runs = list(read_runs([path], unreadable))
    if not runs:
        raise UnreadableError("; ".join(unreadable))
    latest = max(runs, key=lambda run: run.updated or "")
    if runs[1:]:
        latest.notes.append(f"the latest of {len(runs)} runs: name another, or see all with lora-watch check")
    return latest


def read_run(place: RunFiles) -> FinishedRun:
    """The run at ``place``. Raises UnreadableError, with the file's name, when it cannot be judged."""
    if place.why_not is not None:
        raise UnreadableError(place.why_not)
    log, mark = EventLog(place.events), place.report.with_name(WAITING)
    waits = place.report.name == REPORT and mark.is_file()
    try:
        run = _from_report(replace(place, report=mark) if waits else place, log)
        started = _seconds(run.started) if run.started else math.inf
        begun = run.data.schemas[0][-1:]
        if run.started and begun and begun[0][1].get("run_id") not in (None, "", run.run_id):
            if begun[0][0].wall_time >= started:
                raise UnreadableError(f"{place.report} is of an earlier run: the latest one wrote only its events here")
            if run.step and not any(adapter.last for adapter in run.adapters.values()):  # resumed, and has done nothing
                log.resume(run.step)
            else:
                run.data = RunData(EventLog(()))
                run.notes.append("it wrote its TensorBoard events elsewhere, or none: an earlier run's are left out")
        if run.verdict == "interrupted":
            later = log.since(started)
            if later and later[-1].step > run.step:  # a killed run's events go on behind its report
                run.step, at = later[-1].step, datetime.fromtimestamp(later[-1].wall_time, timezone.utc)
                run.updated = at.isoformat("T", "milliseconds")
                run.loss_ends, run.final_loss = (None, None), last_tenth([loss for _, loss in run.loss_curve], run.step)
            run.going = run.message is None and is_claimed(place.report.parent)
        if run.loss_ends[1] is None and (losses := [*run.data.series_at("loss").values()]):  # or it made no step itself
            run.loss_ends = [losses[0], *run.data.series_at("loss_start").values()][-1], losses[-1]
    except (*MISFITS, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnreadableError(f"{place.report} does not hold what it should ({reason})") from error
    run.notes += [clean(damage) for damage in log.damage]
    run.notes += filter(None, [muted(run.muted)])
    if waits:
        run.message = NOT_BEGUN.format(ending=f" ({run.ending})")
        run.waiting, run.verdict = True, "unknown"
    run.data.ended = run.errors_at_the_end
    return run


def _from_report(place: RunFiles, log: EventLog) -> FinishedRun:
    """What it raises for a report that is none is one of ``MISFITS``."""
    path = place.report
    try:
        report = load_json(path)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        hint = "was it cut off while it was copied?" if path.suffix == ".json" else "name the Trainer's output_dir"
        raise UnreadableError(f"{path} is not whole JSON ({error}): {hint}") from error
    if not is_report(report):
        raise UnreadableError(f"{path} is not a report of lora_watch, but something else of that name")
    if type(report["version"]) is not int or not 1 <= report["version"] <= REPORT_VERSION:
        raise UnreadableError(
            f"{path} was written by a newer lora_watch (format {report['version']}, known here: {REPORT_VERSION}): "
            "update the one that checks"
        )
    if report["verdict"] not in get_args(Verdict):
        raise UnreadableError(f"{path} has the verdict {report['verdict']!r}, which does not exist")
    known = ("loss", "reward", "evaluation", "config", "last_good")
    loss, reward, evaluation, config, good = (report.get(key) or {} for key in known)
    if not isinstance(config, Mapping):
        raise ValueError("its config holds no names with values")
    adapters = {clean(content["name"]): _adapter(content) for content in listed(report["adapters"])}
    counts = [whole(adapter["trainable"]) for adapter in report["adapters"] if adapter.get("trainable") is not None]
    return FinishedRun(
        path=place.path,
        verdict=report["verdict"],
        message=or_none(lambda message: clean(str(message).partition("\n")[0]), report.get("message")),
        step=whole(report["step"]),
        max_steps=or_none(whole, report.get("max_steps")),
        updated=or_none(clean, report.get("updated")),
        alerts=[Alert.from_dict(alert) for alert in listed(report["alerts"])],
        adapters=adapters,
        trainable_parameters=or_none(whole, config.get("trainable_parameters", sum(counts) if counts else None)),
        rules={clean(rule["id"]): clean(rule["name"]) for rule in report.get("rules") or ()},
        muted=list(map(clean, report.get("muted") or ())),
        notes=[clean(note) for note in report.get("notes") or ()],
        run_id=or_none(clean, report.get("run_id")),
        started=or_none(clean, report.get("started")),
        loss_ends=(or_none(float, loss.get("start")), or_none(float, (loss.get("last") or {}).get("value"))),
        final_loss=or_none(float, loss.get("final")),
        reward_ends=(float(reward["first"]["value"]), float(reward["last"]["value"])) if reward else None,
        config=clean_data(config),
        optimizer=or_none(clean, report.get("optimizer")),
        rates=rates_of(report),
        evaluated={
            clean(metric): (whole(last["step"]), float(last["value"]))
            for metric, of in evaluation.items()
            if (last := of.get("last"))
        },
        resting=whole(report.get("resting", 0)),
        last_good=(path.with_name(LAST_GOOD), whole(good["step"])) if good.get("folder") and good["step"] else None,
        next_run=or_none(Prescription.from_dict, report.get("next_run")),
        nonzero_start=report.get("nonzero_start") is True,
        untrained=bool(report.get("untrained", "base model looks untrained" in str(report.get("notes")))),
        data=RunData(log),
    )


def _adapter(content: Mapping[str, Any]) -> AdapterState:
    return AdapterState(
        or_none(whole, content.get("r")),
        or_none(float, content.get("alpha")),
        or_none(float, content.get("scale")),
        {clean(metric): float(value) for metric, value in content["last"].items() if value is not None},
    )


def _seconds(iso: str) -> float:
    """Since 1970."""
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()
