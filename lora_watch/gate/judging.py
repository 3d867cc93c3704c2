"""Says what is wrong with finished runs: their alerts, how they ended, and what moved since the baseline.

Findings are alerts: those of the run, and the gate's own, LW801 to LW816, which ``rules/guide.yaml`` explains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Alert, Severity, in_order
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS
from lora_watch.gate.baseline import compare
from lora_watch.rules.policy import MONITOR_FAILURE
from lora_watch.runs.run import FinishedRun, read_runs

CHECK_VERSION = 1


@dataclass
class Judged:
    """One run and what is wrong with it."""

    run: FinishedRun
    findings: list[Alert]
    """What stands of it: see ``FinishedRun.findings``."""
    compared: bool = False


@dataclass
class Judgement:
    """Everything that one call of ``lora-watch check`` has found."""

    runs: list[Judged] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """What could not be judged, one sentence each."""
    fail_on: Severity | None = Severity.ERROR
    """The least severity of a finding that fails a run; None for never."""
    by_rule: Mapping[str, Severity | None] = field(default_factory=dict)
    """The same for single rules, by id."""

    def counts(self, alert: Alert) -> bool:
        """It fails its run. What a monitor that failed (LW901) has not measured cannot be called healthy."""
        least = self.by_rule.get(alert.rule, self.fail_on)
        return least is not None and (alert.severity >= least or alert.rule == MONITOR_FAILURE)

    @property
    def switched_off(self) -> list[str]:
        """Rules that are switched off by themselves, such as by ``--fail-on error,LW812=never``."""
        return sorted(rule for rule, least in self.by_rule.items() if least is None)

    def failures(self, judged: Judged) -> list[Alert]:
        return [alert for alert in judged.findings if self.counts(alert)]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 findings at or above ``fail_on``, 2 something could not be judged, or there is nothing."""
        if self.unreadable or not self.runs:
            return 2
        return int(any(map(self.failures, self.runs)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, NaN kept: ``check --format json``."""
        plain = ("name", "verdict", "message", "step", "max_steps", "updated", "trainable_parameters", "notes")
        return {
            "version": CHECK_VERSION,
            "exit_code": self.exit_code,
            "fail_on": "never" if self.fail_on is None else self.fail_on.name.lower(),
            "switched_off": self.switched_off,
            "runs": [
                {
                    **{name: getattr(judged.run, name) for name in plain},
                    "evaluation": {name: value for name, (_, value) in judged.run.evaluated.items()},
                    "evaluated_at": {name: step for name, (step, _) in judged.run.evaluated.items()},
                    "failed": bool(self.failures(judged)),
                    "loss": dict(zip(("start", "last", "final"), (*judged.run.loss_ends, judged.run.final_loss))),
                    "adapters": len(judged.run.adapters),
                    "compared": judged.compared,
                    "next_run": None if judged.run.next_run is None else judged.run.next_run.to_dict(),
                    "findings": [alert.to_dict() for alert in judged.findings],
                    "recovered_from": [alert.to_dict() for alert in judged.run.alerts if alert.recovered_from],
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

    With a ``baseline`` each run is also compared with it. A run that was not measured, or not judged to its end, is one
    that could not be judged, whatever its loss says.
    """
    judgement = Judgement(fail_on=None if fail_on is None else Severity.parse(fail_on), by_rule=by_rule or {})
    unreadable = judgement.unreadable
    for run in read_runs(paths, unreadable):
        if run.waiting:  # what is there is an earlier run's
            unreadable.append(f"{run.name}: {run.message}")
            continue
        run.note_runs_below()
        try:
            findings = in_order([*run.findings(judgement.counts), *(compare(run, baseline) if baseline else ())])
            if baseline is not None and not run.ended:
                run.notes.append("its loss and norms are not compared with the baseline's: it did not come to its end")
            judgement.runs.append(Judged(run, findings, compared=baseline is not None and run.ended))
            if run.verdict == "unknown":
                unreadable.append(f"{run.name}: {run.message or 'it was not judged'}")
            elif run.verdict == "ok" and not (run.step and any(adapter.last for adapter in run.adapters.values())):
                unreadable.append(f"{run.name}: its files call it ok, and lack every step, or every adapter's numbers")
        except MISFITS as error:
            unreadable.append(f"{run.name} does not hold what it should ({type(error).__name__}: {clean(error)})")
    return judgement
