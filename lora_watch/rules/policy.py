"""What ends a run, or has it recover: how bad an alert must be, how long it must last, which rules are not asked.

``lora_watch.settings`` makes the policy of a run, from arguments and the environment.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lora_watch.base.alerts import Alert, Severity, in_order
from lora_watch.base.text import count
from lora_watch.rules import Rule, id_called
from lora_watch.rules.norms import STEPS as FEWEST_STEPS

NEVER, DEFAULT = "never", "default"
MONITOR_FAILURE, RECOVERED = "LW901", "LW910"
"""Ids of the findings that say that the monitor itself failed, and that the run has gone back and on. Neither ends a
run."""
OF_FINISHED_RUNS = {
    "LW801": "broke-off",
    "LW802": "stopped-early",
    "LW803": "ended-by-policy",
    "LW811": "loss-regressed",
    "LW812": "norms-shifted",
    "LW813": "layer-moved",
    "LW814": "scale-changed",
    "LW815": "adapters-changed",
    "LW816": "length-changed",
}
"""Findings of ``lora-watch check`` that no rule of a training has: ids and names."""
OF_NO_RULE = OF_FINISHED_RUNS | {MONITOR_FAILURE: "monitor-failure", RECOVERED: "recovered"}
FailOn = str | Severity | Mapping[str, str]


@dataclass(frozen=True)
class Policy:
    """When an alert ends the run. ``Policy()`` never does."""

    rules: Sequence[Rule] = ()
    default: Severity | None = None
    """The least severity that ends the run; None for never."""
    by_rule: Mapping[str, Severity | None] = field(default_factory=dict)
    """The same for single rules, by id."""
    patience: int = 0
    """Steps that an alert must have lasted. Faults that stay, and numbers that are not finite, do not wait."""
    recover: int = 0

    @cached_property
    def can_end_a_run(self) -> bool:
        return self.default is not None or any(least is not None for least in self.by_rule.values())

    @cached_property
    def can_act(self) -> bool:
        return self.can_end_a_run or self.recover > 0

    @property
    def urgent(self) -> frozenset[str]:
        """Ids of the rules that are asked before an update, too."""
        return frozenset(rule.id for rule in self.rules if rule.urgent)

    def counts(self, alert: Alert) -> bool:
        """``alert`` is bad enough to end the run, now or when it has lasted."""
        is_treated = alert.recovered_from and alert.severity < Severity.ERROR  # no such batch since it was dropped
        if alert.rule in (MONITOR_FAILURE, RECOVERED) or is_treated:
            return False
        least = self.by_rule.get(alert.rule, self.default)
        return least is not None and alert.severity >= least

    def evidence(self, rule: str | None = None) -> int:
        """Steps before an alert of ``rule`` in which the adapter may be damaged already; None: of any rule."""
        return max((known.evidence for known in self.rules if rule in (None, known.id)), default=0)

    def reach(self, rule: str) -> int:
        """The same before this policy acts on the alert: with the patience that it is given."""
        patient = any(known.id == rule and not (known.lasting or known.urgent) for known in self.rules)
        return self.evidence(rule) + (self.patience if patient else 0)

    def failures(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Those of the open ``alerts`` that end the run, ``in_order``."""
        counting = [alert for alert in alerts if self.counts(alert)]
        if not counting:  # at nearly every step
            return []
        impatient = {rule.id for rule in self.rules if rule.lasting or rule.urgent}
        return in_order(alert for alert in counting if alert.rule in impatient or alert.lasted > self.patience)

    def is_out(self, alerts: Iterable[Alert], step: int) -> bool:
        """The patience with one of the open ``alerts`` is out at ``step``, if it is found there again."""
        return any(step - alert.step >= self.patience for alert in alerts if self.counts(alert))

    @property
    def recovering(self) -> "Policy":
        """Whose ``failures`` are what a run is to recover from: where nothing ends it, the ERRORs."""
        return self if self.can_end_a_run else replace(self, default=Severity.ERROR)


def severities(given: FailOn | Iterable[Any], rules: Sequence[Rule]) -> dict[str, Severity | None]:
    """The least severity that ends a run, by id of a rule and by ``DEFAULT`` where it is said for the others: of a
    ``fail_on`` as an argument, a variable or a command has it. Raises ValueError for what is no severity or no rule."""
    pairs = given.items() if isinstance(given, Mapping) else map(_pair, words(given))
    least = {word: _least(value) for word, value in pairs}
    names = {rule.id: rule.name for rule in rules} | OF_NO_RULE
    return {word if word == DEFAULT else id_called(word, names): severity for word, severity in least.items()}


def passes(alerts: Iterable[Alert], command: str = "check", off: Iterable[str] = ()) -> str:
    """With what runs pass whose ``alerts`` fail nothing, and for WARNINGs what fails them: ``lora-watch`` and a
    ``command``, or where it is empty the run's own argument; empty without any. ``off``: ids whose WARNINGs may be.
    What is no rule of a training can fail ``check`` alone."""
    alerts = [alert for alert in alerts if not alert.recovered_from]
    if wrong := sorted({alert.rule for alert in alerts if alert.severity is Severity.ERROR}):
        return f"Passed with {'ERRORs' if wrong[1:] else 'an ERROR'} ({', '.join(wrong)}), as fail_on says never."
    silent = (*off,) if command == "check" else OF_NO_RULE
    warned = [a for a in alerts if a.severity is Severity.WARNING and a.rule not in silent]
    rules = sorted({alert.rule for alert in warned if alert.rule.startswith("LW")})  # fail_on knows no rule of your own
    if not rules:
        return ""
    what, them = ("WARNINGs", "them") if rules[1:] else ("a WARNING", "it")
    policy = ",".join(["error", *(f"{rule}=warning" for rule in rules)])
    how = f"lora-watch {command} --fail-on {policy}" if command else f'fail_on="{policy}"'
    return f"Passed with {what} ({', '.join(rules)}). To fail on {them}: {how}"


def muted(rules: Iterable[str]) -> str:
    """What of a run nobody has judged, as its user wanted it: ids of ``rules``; empty for none."""
    return f"These rules were muted: {named}." if (named := ", ".join(rules)) else ""


def too_few(steps: int) -> str:
    """What a run of few ``steps`` leaves open, for whoever says that it had no alerts; empty for a longer one."""
    say = f"{count(steps, 'step')} {'is' if steps == 1 else 'are'} too few to judge whether the model learns (LW104)."
    return say if 0 < steps < FEWEST_STEPS else ""


def words(given: Any) -> list[Any]:
    """The words of a text with commas; a list, or one severity or rule, is taken as it is."""
    if isinstance(given, str):
        return [word.strip() for word in given.split(",") if word.strip()]
    return list(given) if isinstance(given, Iterable) else [given]


def _pair(word: Any) -> tuple[str, Any]:
    if not isinstance(word, str):
        return DEFAULT, word
    rule, separator, severity = word.partition("=")
    return (rule.strip(), severity.strip()) if separator else (DEFAULT, word)


def _least(text: Any) -> Severity | None:
    if isinstance(text, str) and text.lower() == NEVER:
        return None
    with suppress(AttributeError, ValueError):
        if (severity := Severity.parse(text)) > Severity.INFO:
            return severity
    raise ValueError(f"{text!r} is no severity that ends a run; use one of: never, warning, error")
