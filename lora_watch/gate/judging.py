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
OF_A_RUN = ("name", "verdict", "message", "step", "max_steps", "updated", "trainable_parameters", "evaluation", "notes")


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

    @property
    def switched_off(self) -> list[str]:
        """Rules that are switched off by themselves, such as by ``--fail-on error,LW812=never``."""
        return sorted(rule for rule, least in self.by_rule.items() if least is None)

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
            "switched_off": self.switched_off,
            "runs": [
                {
                    **{name: getattr(judged.run, name) for name in OF_A_RUN},
                    "failed": bool(self.failures(judged)),
                    "loss": dict(zip(("start", "last", "final"), (*judged.run.loss_ends, judged.run.final_loss))),
                    "adapters": len(judged.run.adapters),
                    "compared": judged.compared,
                    "next_run": None if judged.run.next_run is None else judged.run.next_run.to_dict(),
                    "findings": [alert.to_dict() for alert in judged.findings],
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
            if baseline is not None and not run.ended:
                run.notes.append("its loss and norms are not compared with the baseline's: it did not come to its end")
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
    killed = run.verdict == "interrupted" and run.message is None  # what it did after its last words is not known
    made = f"It made {'at least ' * killed}{run.steps}."
    errors = [alert for alert in run.alerts if alert.severity >= Severity.ERROR]
    told = any(judgement.counts(alert) for alert in errors if alert.closed_step is None)
    of_a_trainer = "learning_rate" in run.config
    why = [] if run.message is None else [run.message]

    def found(rule: str, message: str, fix: str, **fields: Any) -> Sequence[Alert]:
        return [finding(rule, run.step, message, **{"details": made, "causes": why, "remedies": [fix], **fields})]

    if run.going:
        made = f"{made} Its process is alive."
        return found("LW801", "the run has not ended yet", "check it when it is done", name="still-going")
    if run.verdict == "interrupted":
        if why and told:
            return []  # that is why it raised, and stands there
        message = "training broke off" if why else "the run has left no verdict"
        made += f" Its files were last written at {run.updated[:19].replace('T', ' ')} UTC." if run.updated else ""
        killed_by = "the process was killed (memory, a time limit, a cancelled job), or its script caught an exception"
        why = why or [f"{killed_by}, or it is still going on another machine"]
        fix = "read what the script printed last, and start it again from its last checkpoint, if there is one"
        return found("LW801", message, f"{fix}{' (resume_from_checkpoint=True)' * of_a_trainer}")
    if run.verdict == "failed" and not told:
        fix = "follow the alert that the cause names, or have the run's own fail_on let it pass, too"
        return found("LW803", "the run was ended by its own fail_on", fix)
    if run.verdict == "unhealthy" and not errors:
        fix = "follow the alert in the log of the run: its report does not list it"
        return found("LW803", "the run has ended with an ERROR", fix, name="ended-unhealthy")
    if run.ended and run.max_steps is not None and run.step < run.max_steps:
        by = "which callback has set should_training_stop" if of_a_trainer else "what has left the loop"
        said, fix = "training stopped before its planned steps", f"nothing, where that is meant; else see {by}"
        return found("LW802", said, fix, severity=Severity.WARNING, causes=[])
    return []
