"""From findings to alerts: one alert an episode, opened, updated and closed."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from lora_watch.base.alerts import WITHDRAWN, Alert, Severity
from lora_watch.base.prescription import Evidence, Prescription
from lora_watch.base.records import StepRecord
from lora_watch.base.text import LONGEST, percent
from lora_watch.rules.base import (
    ANOTHER_RUN,
    FAULTS,
    GROWN_TOO_LARGE,
    NON_FINITE,
    UNHARMED,
    Finding,
    Rule,
    RuleBetweenSteps,
)
from lora_watch.rules.evaluation import WorseOnOtherTexts
from lora_watch.rules.loss import StuckAtChance
from lora_watch.rules.norms import BarelyMoves, NormExplosion
from lora_watch.rules.prescribing import Prescribing, rate_set
from lora_watch.rules.remedies import improved, in_the_rate
from lora_watch.rules.saving import ResumedAnew
from lora_watch.rules.settings import AggressiveScale
from lora_watch.rules.size import Growth, extent
from lora_watch.rules.zone import NUMBER

QUIET_STEPS, SILENT = 5, 2
"""An episode is over when its rule has been silent for more steps, and so many measurements of what it judges by."""


def _out(doing: str, error: Exception) -> None:
    """Where nobody takes the failures of rules, they are exceptions."""
    raise error


class Episodes:
    """Runs the rules over a run's records and keeps its alerts.

    Args:
        rules: in the order in which they are asked.
        failed: told what a rule was asked when it raised, and what: that rule alone has then no answer.
        keeps_scale: the run may recover, by its learning rate alone: so is what is prescribed.
    """

    def __init__(
        self, rules: Sequence[Rule], failed: Callable[[str, Exception], None] = _out, keeps_scale: bool = False
    ):
        self.rules, self._failed, self._keeps_scale = list(rules), failed, keeps_scale
        self._urgent = [rule for rule in self.rules if rule.urgent]
        self._at_each_step = [r for r in self.rules if not (r.static or isinstance(r, RuleBetweenSteps))]
        self.alerts: list[Alert] = []
        self._open: dict[str, Alert] = {}
        self._prescribing = Prescribing()
        self._growth = Growth()
        self._silent: dict[str, int] = {}
        """Of each open alert's rule, the measurements for which it has been silent in a row."""

    @property
    def open(self) -> list[Alert]:
        return list(self._open.values())

    @property
    def prescription(self) -> Prescription | None:
        """What to change for the next run, relative to the user's own settings; None where nothing is known."""
        return self._prescribing.told

    @property
    def wanted(self) -> dict[str, float]:
        """What rules want to know of the next batch: see ``Rule.wants``."""
        return {name: multiple for rule in self.rules for name, multiple in rule.wants.items()}

    @property
    def best_step(self) -> float:
        """After which an evaluation has got worse (LW209), so that no later state is good; infinite without one."""
        return min((rule.best_step for rule in self.rules if isinstance(rule, WorseOnOtherTexts)), default=math.inf)

    def check(self, record: StepRecord, urgent: bool = False) -> list[Alert]:
        """The alerts that opened or closed at this step. ``urgent``: ask the urgent rules alone."""
        changed: list[Alert] = []
        try:
            self._prescribing.begin(record.run)
            self._growth.tell(record, urgent)
        except Exception as error:
            self._failed("looking at how the adapters began", error)
        for rule in self._urgent if urgent else self._at_each_step if record.step else self.rules:
            if rule.wants and not urgent:
                rule.wants = {}
            if rule.needs is not None and rule.needs not in record.metrics:
                continue
            try:
                finding = rule.check(record)
                if finding is not None or rule.id in self._open:
                    self._take(rule, finding, record, changed)
            except Exception as error:
                self._failed(f"asking {rule.id} {rule.name}", error)
        return changed

    def explain(self, record: StepRecord) -> list[Alert]:
        """The alerts that explain a backward pass that has raised. ``record`` has the wiring after it, and no more."""
        changed: list[Alert] = []
        for rule in self.rules:
            if rule.breaks and (finding := rule.check(record)) is not None:
                self._take(rule, finding, record, changed)
        return changed

    def _take(self, rule: Rule, finding: Finding | None, record: StepRecord, changed: list[Alert]) -> None:
        """``finding``: of a rule that has found something, or has an open alert."""
        own = self._open.get(rule.id)
        severity = (finding or own or rule).severity or rule.severity
        explained = self._explained(rule, finding, changed, severity)
        lesser = own is not None and severity < own.severity and not rule.lasting  # which keeps no alert open
        at = record.step if rule.of is None else (getattr(record, rule.of) or record).step
        if finding is not None and not explained and not lesser:
            changed += [alert for alert in self._hold(rule, finding, record, at) if alert not in changed]
        elif own is not None and not rule.lasting and (explained or self._is_over(rule, own, record)):
            own.last_step = at if explained and finding is not None else own.last_step
            changed.append(self._close(rule.id, record.step))

    def _is_over(self, rule: Rule, alert: Alert, record: StepRecord) -> bool:
        """``rule`` is silent, and has been for long enough, at steps that could have shown what ``alert`` is about."""
        # What is not finite now is not what the rule judges by.
        blind = set(NON_FINITE).intersection(self._open, rule.yields_to) - self._mended
        if blind or not rule.has_evidence(record) or not _sees(rule, alert, record):
            return False
        silent = self._silent[rule.id] = self._silent.get(rule.id, 0) + 1
        if alert.recovered_from and any(other.recovery for other in self.open):
            return False  # updates are still dropped for it: what comes before that is over is no new episode
        since = record.step - alert.last_step
        return since > rule.quiet if rule.quiet is not None else since > QUIET_STEPS and silent >= SILENT

    def place(self, record: StepRecord) -> StepRecord:
        """``record`` with its ``size`` and, from the alerts that are open now, its ``zone``. Once a step, in order."""
        self._growth.begin(record)
        size = extent(record)
        self._growth.latest = self._growth.latest if size is None else size
        open_now = (alert for alert in self._open.values() if alert.severity > Severity.INFO)
        grave = {alert.rule for alert in open_now if alert.rule not in self._silent}  # else it does not hold now
        known = self._growth.latest is not None and "loss_improved" in record.scalars
        loss, chance = (record.scalars.get(name, 0.0) for name in ("loss_recent", "chance_loss"))
        guesses = 0.0 < StuckAtChance.share * chance < loss
        silent = "unknown" if not known else "healthy" if improved(record) and not guesses else "no-gain"
        zones = (rule.zone for rule in self.rules if rule.id in grave and rule.zone)
        zone = max(zones, key=NUMBER.__getitem__, default=silent)
        return record.amended(size=size, zone=zone)

    def conclude(
        self, record: StepRecord, about: Literal["conclude", "at_the_end", "resumed", "saved"] = "conclude"
    ) -> list[Alert]:
        """What rules are asked at no step: their last word on a run that has ended by itself, or on the weights as they
        stand in ``record`` ``at_the_end``, or when it has ``resumed`` or ``saved`` them. Alerts that open, or are open
        and now say more."""
        changed: list[Alert] = []
        for rule in self.rules:
            try:
                if (finding := getattr(rule, about)(record)) is not None:
                    self._take(rule, finding, record, changed)
            except Exception as error:
                self._failed(f"asking {rule.id} {rule.name} about the whole run", error)
        if about == "resumed":
            self._prescribing.resume(record.run)
            self._carry_what_is_left()
            failed = next((a.rule for a in self.open if a.severity is Severity.ERROR and a.rule != ResumedAnew.id), "")
            if failed and (alert := self._open.get(ResumedAnew.id)) is not None:
                alert.remedies = [f"begin anew: this checkpoint's run has failed ({failed})"]
        if about == "conclude":
            said = [*self._unharmed(record), *self._refuted(record)]
            changed += [alert for alert in said if alert not in changed]
        return changed

    def _refuted(self, record: StepRecord) -> list[Alert]:
        """LW104's alert, where the adapters have grown faster after it than at its pace: the size stands there, too.
        Where it was for that alone and useful runs are no larger, it is over."""
        foretold = max((rule.forecast for rule in self.rules if isinstance(rule, BarelyMoves)), default=0.0)
        alert, size = self._open.get(BarelyMoves.id), self._growth.latest or 0.0
        reached = alert is not None and alert.threshold is not None and size >= alert.threshold * record.run.depth
        if alert is None or not (reached or size > 1.5 * foretold > 0.0):
            return []
        alert.details += f" The adapters have come to {percent(size)}{WITHDRAWN if reached else '.'}"
        if not reached:
            return [alert]
        carriers = self._carry_what_is_left() if alert.next_run and self._prescribing.withdraw() else []
        return [*self.end(alert, record.step), *carriers]

    def _unharmed(self, record: StepRecord) -> list[Alert]:
        """Of a run that has learned without harm: what was said before the first step, or is long over, of settings
        that are too strong. A run that has recovered was harmed."""
        judged = {rule.id for rule in self.rules if not rule.static}
        harmed = any(
            alert.severity > Severity.INFO
            and alert.rule in judged
            and (alert.closed_step is None or alert.severity >= Severity.ERROR or alert.back_to is not None)
            for alert in self.alerts
        )
        harmed |= self.best_step < math.inf or NormExplosion.id not in judged  # nobody has looked
        too_strong = [alert for alert in self.open if alert.rule == AggressiveScale.id]
        if harmed or not improved(record) or not (self._prescribing.withdraw() or too_strong):
            return []
        carriers = self._carry_what_is_left()
        for alert in too_strong or carriers:
            if alert in too_strong or self.prescription is None:
                alert.details = f"{alert.details} {UNHARMED}"
                self.end(alert, record.step)
        return carriers + [alert for alert in too_strong if alert not in carriers]

    def _carry_what_is_left(self) -> list[Alert]:
        """Alerts whose prescription was withdrawn, or a part of it."""
        carriers = [alert for alert in self.alerts if alert.next_run is not None]
        for alert in carriers:
            alert.next_run = self.prescription
        return carriers

    def rewind(self, state: Mapping[str, Any], back_to: int, step: int, over: Sequence[Alert]) -> list[Alert]:
        """The run goes on at ``step`` from where it was at ``back_to``, and so do the rules: from ``memory`` of then.
        Alerts that have opened since are over, and so are those of ``over``; returns them."""
        self._remember(copy.deepcopy(state))
        known = {rule.id for rule in self.rules}
        since = [a for a in self.open if a in over or (a.step > back_to and a.rule in known)]
        return [self._close(alert.rule, step) for alert in since]

    def say(self, alert: Alert) -> list[Alert]:
        """Open an alert, once for each rule at a time."""
        if alert.rule in self._open:
            return []
        self._open[alert.rule] = alert
        self.alerts.append(alert)
        return [*self._prescribed_by(alert), alert]

    def adopt(self, theirs: Alert) -> list[Alert]:
        """Take over an alert on which ranks have agreed; this rank's own keeps the step at which it opened, by which
        files know it. Returns it if that is news."""
        own = self._open.get(theirs.rule)
        if own is None:
            return self.say(theirs)
        said = {**vars(theirs), "step": own.step, "explains": own.explains, "next_run": own.next_run}
        if theirs.next_run not in (None, self.prescription):  # another rank's counts, alike on all
            said["next_run"] = theirs.next_run
        if vars(own) == said:
            return []
        vars(own).update(said)
        return [*self._prescribed_by(own), own]

    def _prescribed_by(self, alert: Alert) -> list[Alert]:
        """``alert`` carries the prescription, and no other one does. Returns those that carried it before."""
        if alert.next_run is None:
            return []
        self._prescribing.standing = alert.next_run  # a recovery has tried it, or all ranks have agreed
        outdated = [other for other in self.alerts if other is not alert and other.next_run is not None]
        for other in outdated:
            other.next_run = None
        return outdated

    def add(self, alert: Alert) -> list[Alert]:
        """Open an alert that no rule has found (the monitor's own failures), or put it into the one that is open.
        Returns that one, unless there is nothing new in it."""
        known = self._open.get(alert.rule)
        if known is None:
            return self.say(alert)
        if alert.message in known.message or len(known.message) > LONGEST:  # of which no more is shown
            return []
        known.message, known.last_step = f"{known.message}; {alert.message}", max(known.last_step, alert.step)
        known.remedies = known.remedies + [remedy for remedy in alert.remedies if remedy not in known.remedies]
        return [known]

    def _explained(self, rule: Rule, finding: Finding | None, changed: list[Alert], least: Severity) -> bool:
        """An open alert explains this rule. Where this has a ``finding``, or an alert that gives way, that notes it.

        What is noted anew is added to ``changed``. ``least``: an alert that is less grave explains nothing, and neither
        does an INFO. Harm does not explain what is proven to have caused it, or to have come before it.
        """
        own, least = self._open.get(rule.id), max(least, Severity.WARNING)
        kind = finding.kind if finding is not None else own.kind if own is not None else ""
        harm = GROWN_TOO_LARGE if f"{rule.id}:{kind}" in (*FAULTS, "LW205:random") else ()
        explaining = self._open_of(name for name in rule.yields_to if name not in harm)
        alert = next((a for a in explaining if a.severity >= least and a.rule not in self._mended), None)
        if own is not None and alert is not None and alert.rule in NON_FINITE and own.step <= alert.step:
            return False  # a NaN that came later explains nothing
        if own is not None and alert is not None and rule.guesses:
            own.causes, own.remedies, own.resume = alert.causes, alert.remedies, alert.resume
        if alert is not None and rule.id not in alert.explains:
            alert.explains.append(rule.id)
            changed += [alert] * (alert not in changed)
        return alert is not None

    @property
    def _mended(self) -> set[str]:
        """Rules of alerts that stay open because the updates of their batches are dropped, and do not hold now."""
        return {alert.rule for alert in self.open if alert.recovered_from and alert.rule in self._silent}

    def _open_of(self, names: Iterable[str]) -> list[Alert]:
        """The open alerts of ``names``: ``LW306``, ``LW306:raised`` of that kind, or ``LW306:ERROR``."""
        parts = (name.partition(":") for name in names)
        named = ((alert, kind) for id, _, kind in parts if (alert := self._open.get(id)))
        return [alert for alert, kind in named if kind in ("", alert.kind, alert.severity.name)]

    def _hold(self, rule: Rule, finding: Finding, record: StepRecord, at: int) -> list[Alert]:
        """Returns the alert that opens, or has become graver and is stated anew, if one is, and the one that explains
        it. An open alert keeps its words else: those that the console has shown. ``at``: the step that it judges."""
        severity, alert, over = finding.severity or rule.severity, self._open.get(rule.id), []
        before = finding.kind if alert is None else alert.kind
        is_other, turns_out = finding.kind != before, rule.turns_out and finding.kind and not before
        if (
            alert is not None
            and alert.step < record.step
            and severity >= alert.severity
            and (isinstance(rule, RuleBetweenSteps) or (is_other and not turns_out))  # another save, another fault
        ):
            over, alert = [self._close(rule.id, record.step)], None
        if alert is not None:
            alert.last_step = max(alert.last_step, at)
            self._silent.pop(rule.id, None)
            if severity <= alert.severity and not turns_out:
                return []
            if alert.recovered_from:  # another broken batch: no news, if it is dropped like the first
                alert.severity = severity
                return []
        said = {**vars(finding), "severity": severity}
        del said["follows"]  # which says of which alert, and is not said itself
        causes = (cause for cause in self._open_of(finding.follows) if cause.severity > Severity.INFO)
        cause = next((cause for cause in causes if alert is None or rule.id in cause.explains), None)
        if cause is not None:  # and no later fault
            since = f"{cause.message} ({cause.rule}, {cause.when})"
            said |= {"causes": [since, *cause.causes], "remedies": [*cause.remedies], "resume": cause.resume}
            cause.explains += [rule.id] * (rule.id not in cause.explains)
        proposed = None if cause or severity <= Severity.INFO else finding.next_run
        if proposed is not None and self._keeps_scale and (rate := rate_set(record.run)):
            kept = in_the_rate(proposed, record.run, rate)
            if kept != proposed and self.prescription is None:
                said["details"] += " recover keeps alpha and changes the learning rate alone."
            proposed = kept
        if proposed is not None and proposed.evidence < Evidence.HARM and self._open_of(ANOTHER_RUN):
            proposed = None
        in_vain = record.run if rule.id == StuckAtChance.id and severity >= Severity.ERROR and not proposed else None
        if (in_vain or f"{rule.id}:{finding.kind}" in ANOTHER_RUN) and self._prescribing.withdraw(in_vain):
            over += self._carry_what_is_left()
        changes = proposed is not None and self._prescribing.propose(proposed, record.run)
        if proposed is not None and record.run.unmatched and not changes:
            said["remedies"] = ["correct the target modules first (LW310). Then the rate can be judged"]
        said["next_run"] = self.prescription if changes else None if alert is None else alert.next_run
        if alert is None:
            return [*over, *([cause] if cause else []), *self.say(Alert(rule.id, rule.name, step=at, **said))]
        vars(alert).update(said, graver_at=at if at > alert.step else None)
        return [*over, *self._prescribed_by(alert), alert]

    def _close(self, rule_id: str, step: int) -> Alert:
        alert = self._open.pop(rule_id)
        self._silent.pop(rule_id, None)
        alert.closed_step = step
        return alert

    def end(self, alert: Alert, step: int) -> list[Alert]:
        """Close an alert that no rule will close; nothing where it is not open."""
        return [self._close(alert.rule, step)] if self._open.get(alert.rule) is alert else []

    def reopen(self, alert: Alert, severity: Severity) -> None:
        """``alert`` was not over after all, and is as grave as it was: ``severity``."""
        alert.closed_step, alert.back_to, alert.severity = None, None, severity
        self._open[alert.rule] = alert

    def forgive(self, alerts: Iterable[Alert], back_to: int | None) -> None:
        """The run has recovered from ``alerts`` by going back to step ``back_to``: they are WARNINGs at most."""
        for alert in alerts:
            alert.back_to, alert.severity = back_to, min(alert.severity, Severity.WARNING)

    def memory(self) -> dict[str, Any]:
        """What ``rewind`` goes back to: the rules' state and silence, and what is known of the adapters' beginning."""
        rules = {rule.id: rule.state_dict() for rule in self.rules}
        return copy.deepcopy({"rules": rules, "growth": vars(self._growth), "silent": self._silent})

    def _remember(self, state: Mapping[str, Any]) -> None:
        for rule in self.rules:
            rule.load_state_dict(state.get("rules", {}).get(rule.id, {}))
        self._growth, self._silent = Growth(**state.get("growth", {})), dict(state.get("silent", {}))

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint: ``memory``, and the alerts so far."""
        alerts = [alert.to_dict() | {"remedies": alert.remedies, "resume": alert.resume} for alert in self.alerts]
        return self.memory() | {"alerts": alerts, "prescribing": self._prescribing.state_dict()}

    def load_state_dict(self, state: dict[str, Any], step: int = 0) -> None:
        """Go on where ``state_dict`` was taken, after ``step``."""
        self._remember(state)
        self._prescribing = Prescribing.of_state(state.get("prescribing", {}))
        self.alerts = [Alert.from_dict(alert) for alert in state.get("alerts", [])]
        known = {rule.id for rule in self.rules}
        for alert in self.alerts:  # of a rule that is muted now, nobody would close
            if alert.closed_step is None and alert.rule not in known and "LW" < alert.rule < "LW8":
                alert.closed_step = alert.last_step
        self._open = {alert.rule: alert for alert in self.alerts if alert.closed_step is None}
        if (earlier := self._open.get(ResumedAnew.id)) is not None:  # the resume that comes is judged anew
            self._close(earlier.rule, step)
            earlier.severity = Severity.INFO if earlier.kind == "script" else earlier.severity  # that has no effect


def _sees(rule: Rule, alert: Alert, record: StepRecord) -> bool:
    """The step has what ``rule`` judges by: what it needs, of the adapters of ``alert``, or any norms where it needs no
    metric. Adapters that are gone are not waited for."""
    if rule.needs is None:
        return not record.run.adapters or "delta_norm" in record.metrics
    named = {name for name, _ in alert.adapters}.intersection(record.run.names)
    # LW102 needs the weights alone, and goes by this where it is known.
    reading = record.metrics.get("output_ratio" if alert.metric == "output_ratio" else rule.needs)
    known = [] if reading is None else reading.known
    return not named or any(there for name, there in zip(record.run.names, known) if name in named)
