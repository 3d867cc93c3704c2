"""Says what is wrong with finished runs: their alerts, how they ended, and what moved since the baseline.

Findings are alerts: those of the run, and the gate's own, LW801 to LW816, which ``rules/guide.yaml`` explains.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert, Severity, in_order
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS
from lora_watch.gate.baseline import compare, finding
from lora_watch.rules.policy import MONITOR_FAILURE, OF_FINISHED_RUNS
from lora_watch.runs.run import FinishedRun, read_runs

GATE_RULES = {rule: name for rule, name in OF_FINISHED_RUNS.items() if rule < "LW81"}
CHECK_VERSION = 1


@dataclass
class Judged:
    """One run and what is wrong with it."""

    run: FinishedRun
    findings: list[Alert]
    """Worst first, then in the order of opening."""
    compared: bool = False


@dataclass
class Judgement:
    """Everything that one call of ``lora-watch check`` has found."""

    runs: list[Judged]
    unreadable: list[str]
    """What could not be judged, one sentence each."""
    fail_on: Severity | None
    """The least severity of a finding that fails a run; None for never."""
    by_rule: Mapping[str, Severity | None] = field(default_factory=dict)
    """The same for single rules, by id."""

    def counts(self, alert: Alert) -> bool:
        least = self.by_rule.get(alert.rule, self.fail_on)
        return least is not None and alert.severity >= least

    def failures(self, judged: Judged) -> list[Alert]:
        return [alert for alert in judged.findings if self.counts(alert)]

    @property
    def threshold(self) -> str:
        return "never" if self.fail_on is None else self.fail_on.name.lower()

    @property
    def exit_code(self) -> int:
        """0 fine, 1 findings at or above ``fail_on``, 2 something could not be judged, or there is nothing."""
        if self.unreadable or not self.runs:
            return 2
        return int(any(map(self.failures, self.runs)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, NaN kept: ``check --format json``."""
        return {
            "version": CHECK_VERSION,
            "exit_code": self.exit_code,
            "fail_on": self.threshold,
            "runs": [
                {
                    "name": judged.run.name,
                    "failed": bool(self.failures(judged)),
                    "verdict": judged.run.verdict,
                    "message": judged.run.message,
                    "step": judged.run.step,
                    "max_steps": judged.run.max_steps,
                    "updated": judged.run.updated,
                    "loss": {"start": judged.run.loss_ends[0], "last": judged.run.loss_ends[1]},
                    "adapters": len(judged.run.adapters),
                    "trainable_parameters": judged.run.trainable_parameters,
                    "compared": judged.compared,
                    "next_run": None if judged.run.next_run is None else judged.run.next_run.to_dict(),
                    "findings": [alert.to_dict() for alert in judged.findings],
                    "notes": judged.run.notes,
                }
                for judged in self.runs
            ],
            "unreadable": self.unreadable,
        }


def judge(
    paths: Iterable[Path | str],
    fail_on: Severity | str | None = Severity.ERROR,
    baseline: FinishedRun | None = None,
    by_rule: Mapping[str, Severity | None] | None = None,
) -> Judgement:
    """Judges every run at ``paths`` from its files. Never raises for what is or is not in them.

    With a ``baseline`` each run is also compared with it. That the monitor itself failed (LW901) is an error here: what
    was not measured or not judged cannot be called healthy. A run that was not measured, or not judged to its
    end, is one that could not be judged, whatever its loss says.
    """
    runs: list[Judged] = []
    unreadable: list[str] = []
    judgement = Judgement(runs, unreadable, None if fail_on is None else Severity.parse(fail_on), by_rule or {})
    for run in read_runs(paths, unreadable):
        try:
            alerts = [replace(a, severity=Severity.ERROR) if a.rule == MONITOR_FAILURE else a for a in run.alerts]
            findings = in_order([*alerts, *how_it_ended(run, judgement), *(compare(run, baseline) if baseline else ())])
            runs.append(Judged(run, findings, compared=baseline is not None and run.ended))
            if run.verdict == "unknown":
                unreadable.append(f"{run.name}: {run.message or 'it was not judged'}")
            elif run.verdict == "ok" and not (run.step and any(adapter.last for adapter in run.adapters.values())):
                unreadable.append(
                    f"{run.name}: its files call it ok, and lack every step or every number of an adapter"
                )
        except MISFITS as error:
            unreadable.append(f"{run.name} does not hold what it should ({type(error).__name__}: {clean(error)})")
    return judgement


def how_it_ended(run: FinishedRun, judgement: Judgement) -> Sequence[Alert]:
    """What the verdict adds to the alerts: one finding or none."""
    planned = f"step {run.step}" + (f" of {run.max_steps}" if run.max_steps else "")
    if run.verdict == "interrupted" and run.message is not None:
        errors = [a for a in run.alerts if a.severity >= Severity.ERROR and a.closed_step is None]
        if any(map(judgement.counts, errors)):
            return []  # that is why it raised, and stands there
        return [finding("LW801", run.step, f"Training broke off at {planned}: {run.message}")]
    if run.going:
        message = f"The run has no verdict yet and its process is alive, at {planned}: check it when it is done."
        return [finding("LW801", run.step, message, name="still-going")]
    if run.verdict == "interrupted":
        written = f" Its files were last written at {run.updated[:19].replace('T', ' ')} UTC." if run.updated else ""
        causes = [
            "the process was killed (memory, a time limit, a cancelled job), or its script caught an exception",
            "it is still going, on another machine: check it when it is done",
        ]
        message = f"The run has no verdict, its last sign is {planned}.{written}"
        return [finding("LW801", run.step, message, causes=causes)]
    if run.verdict in ("failed", "unhealthy") and not any(a.severity >= Severity.ERROR for a in run.alerts):
        said = f": {run.message}" if run.message else ""
        if run.verdict == "failed":
            return [finding("LW803", run.step, f"The run was ended by its own fail_on{said}")]
        message = f"The run has ended with an ERROR at {planned}{said}"
        return [finding("LW803", run.step, message, name="ended-unhealthy")]
    if run.ended and run.max_steps is not None and run.step < run.max_steps:
        return [finding("LW802", run.step, f"Training ended by itself at {planned}.", Severity.WARNING)]
    return []
