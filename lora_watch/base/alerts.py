"""Severities, alerts and the error that ends a run."""

import enum
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lora_watch.base.prescription import Prescription, Setting
from lora_watch.base.text import clean, columns, count, full_stop, percent, plain, wrapped
from lora_watch.base.untrusted import MISFITS, or_none, whole

Verdict = Literal["ok", "unhealthy", "unknown", "failed", "interrupted"]
ENDINGS: Mapping[Verdict, str] = {
    "ok": "finished",
    "unhealthy": "ended with an ERROR",
    "unknown": "finished, not judged",
    "failed": "failed by fail_on",
    "interrupted": "broke off",
}
"""How a run with this verdict has ended, for people."""
WITHDRAWN = ", so this is withdrawn."
"""How the details of an alert end that the end of the run has refuted, after why."""
CAUTIONS = ("LW203", "LW401", "LW410")
"""Rules whose WARNING says nothing of what the run has done: a single loss, a forecast, a choice that may be meant."""


class Severity(enum.IntEnum):
    """How bad it is: INFO is worth knowing, WARNING should be looked into, ERROR means a failed run."""

    INFO = 10
    WARNING = 20
    ERROR = 30

    @classmethod
    def parse(cls, text: "str | Severity") -> "Severity":
        """The severity called ``text``, in any case. Raises ValueError for anything else."""
        if isinstance(text, Severity):
            return text
        try:
            return cls[text.upper()]
        except KeyError:
            raise ValueError(f"{text!r} is no severity; use one of: info, warning, error") from None


@dataclass
class Recovered:
    """The run has gone back to an earlier state and on from there, or drops updates (LW910)."""

    step: int
    """LW910's: the last that is discarded, of those after ``back_to``, or the first whose update is dropped."""
    back_to: int
    """``step`` itself where updates are dropped, and nothing went back."""
    rule: str
    changed: dict[str, list[float]]
    """Settings by name, as the user's script has them and as they are now: ``learning_rate``."""
    dropped: int = 0
    """Updates that were dropped, until the loss was as before."""
    discarded: int = 0
    """Steps that it has taken back, and no recovery before it had."""


@dataclass
class Alert:
    """One episode of one rule: it opens, is updated while the cause lasts, and closes. It never repeats."""

    rule: str
    """Stable id, such as ``LW102``."""
    name: str
    """The rule's name in words, such as ``norm-explosion``."""
    severity: Severity
    step: int
    """Optimizer step at which the episode opened; 0 is before the first."""
    message: str
    """What is wrong, in one line that is enough to act."""
    details: str = ""
    """How bad it is: the numbers, in one or two sentences for people."""
    adapters: list[tuple[str, float]] = field(default_factory=list)
    """Adapters concerned, worst first, each with its value of ``metric``."""
    metric: str | None = None
    """The name of the number that crossed ``threshold`` (a metric of the documentation, ``loss``, ``scale`` …)."""
    threshold: float | None = None
    """The threshold for a value in ``adapters``; if ``message`` is about all blocks, the share of one block."""
    causes: list[str] = field(default_factory=list)
    """Likely causes, most likely first."""
    remedies: list[str] = field(default_factory=list)
    """What to change that is no setting, the likeliest first. Settings are in ``next_run``."""
    resume: str = ""
    """What to go on from after that, where the weights are no longer sound: see ``fixes``."""
    next_run: Prescription | None = None
    """The run's prescription, in the one alert that has changed it last; None in all others."""
    explains: list[str] = field(default_factory=list)
    """Ids of rules with the same cause that held while this alert was open. They have no alert of their own."""
    last_step: int = 0
    """Last step at which the rule still held."""
    closed_step: int | None = None
    """Step at which the episode was over; None while it is open."""
    back_to: int | None = None
    """Step whose adapter the run went back to for this alert (LW910), which makes an ERROR a WARNING; else None."""
    recovery: Recovered | None = None
    """What LW910 tells of; None in all others."""
    kind: str = ""
    """Which of its rule's faults it is, where the rule has several."""
    graver_at: int | None = None
    """Step at which it became as grave as it is, or was stated anew; None where it opened so."""

    def __post_init__(self) -> None:
        self.last_step = max(self.last_step, self.step)

    @property
    def settings(self) -> dict[str, float]:
        """The new values of ``next_run`` by name; empty where this alert carries none."""
        return {} if self.next_run is None else self.next_run.values

    @property
    def recovered_from(self) -> bool:
        """The run went back for it, which an alert of its own (LW910) tells."""
        return self.back_to is not None and self.name != "recovered"

    @property
    def fixes(self) -> list[str]:
        """``remedies``, the first followed by ``resume``, unless the run itself has gone back or dropped the update."""
        first = [*self.remedies[:1], *[self.resume] * (bool(self.resume) and not self.recovered_from)]
        return [". Then ".join(first), *self.remedies[1:]] if first else []

    @property
    def lasted(self) -> int:
        """Number of optimizer steps from the first to the last at which the rule held, both counted; 1 at least."""
        return max(self.last_step - max(self.step, 1) + 1, 1)

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON: severity by name, a non-finite number as null with its text in ``adapters``, ``fixes`` as
        ``remedies``."""
        out = asdict(self) | {"remedies": self.fixes, "lasted": self.lasted, "recovered_from": self.recovered_from}
        del out["resume"]
        out["severity"] = self.severity.name
        out["next_run"] = None if self.next_run is None else self.next_run.to_dict()
        out["adapters"] = [
            {"name": name, "value": value if math.isfinite(value) else None, "text": f"{value:.4g}"}
            for name, value in self.adapters
        ]
        return out

    @classmethod
    def from_dict(cls, serialised: Mapping[str, Any]) -> "Alert":
        """The alert that ``to_dict`` wrote, perhaps another version's, every text in it ``clean``. Raises ValueError
        for anything else."""
        try:
            step = whole(serialised["step"])
            adapters = [
                (clean(a["name"]), float(a["text"] if a.get("value") is None else a["value"]))
                for a in serialised.get("adapters") or ()
            ]
            read: dict[str, Any] = {name: clean(serialised[name]) for name in ("rule", "name", "message")}
            read |= {name: clean(serialised.get(name) or "") for name in ("details", "resume", "kind")}
            for name in ("causes", "remedies", "explains"):
                read[name] = [clean(text) for text in serialised.get(name) or ()]
            kinds = {"metric": clean, "threshold": float, "next_run": Prescription.from_dict, "recovery": _recovery}
            for name, kind in {**kinds, **dict.fromkeys(("closed_step", "back_to", "graver_at"), whole)}.items():
                read[name] = or_none(kind, serialised.get(name))
            severity, last_step = Severity.parse(serialised["severity"]), whole(serialised.get("last_step", step))
            return cls(severity=severity, step=step, last_step=last_step, adapters=adapters, **read)
        except MISFITS as error:
            raise ValueError(f"no alert of lora_watch ({type(error).__name__}: {clean(error)})") from error

    @property
    def when(self) -> str:
        opened = f"at step {self.step}" if self.step else "before step 1"
        return opened if self.graver_at is None else f"at step {self.graver_at}, first seen {opened}"

    @property
    def title(self) -> str:
        """``ERROR at step 6: the adapters are damaging the model (LW102)``."""
        what = self.message.rstrip(".")
        return clean(f"{self.severity.name} {self.when}: {what} ({self.rule})")

    def lines(self, instead_of: str = "") -> list[str]:
        """At most six lines, each ``clean``: names are the model's, and end up in terminals and build logs.
        ``instead_of``: the rule whose prescription the reader has seen before."""
        lines = [self.title, *filter(None, [self.details])]
        lines += [f"Cause: {full_stop(cause)}" for cause in self.causes[:1]]
        lines += self._advice(instead_of)
        more = [f"More: lora-watch rules {self.rule}"] * self.rule.startswith("LW")  # a rule of your own has no page
        if self.adapters and len(lines) + len(more) < 6:
            lines.append(self._where())
        return [clean(line) for line in (*lines, *more)]

    def _advice(self, instead_of: str = "") -> list[str]:
        lines = [f"Fix: {full_stop(remedy)}" for remedy in self.fixes[:1]]
        # Of a recovery the details say what it goes on with.
        if self.next_run is not None and (self.recovery is None or instead_of):
            told = f" (instead of {instead_of}'s)" if instead_of else ""
            lines.insert(0, f"Next run{told}: {self.next_run}")
        return lines

    @property
    def brief(self) -> str:
        """What is wrong and what to change: for who has the rest on the screen, or in the report."""
        return "\n  ".join(map(clean, [self.title, *self._advice()]))

    def _where(self) -> str:
        """The two worst layers; by how much where a reader knows what is counted."""
        worst = self.adapters[:2]
        more = [count(len(self.adapters) - 2, "more layer")] if len(self.adapters) > 2 else []
        if self.metric != "output_ratio" or not any(value and math.isfinite(value) for _, value in self.adapters):
            return f"Where: {', '.join([*(name for name, _ in worst), *more])}"
        in_times = worst[0][1] >= 1.005  # else 100 %
        values = [f"{plain(value)} times" if in_times else percent(value) for _, value in worst]
        values[0] = f"adds {values[0]} {'of ' * (not in_times)}the layer's own output"
        return f"Largest: {', '.join([*(f'{name} ({value})' for (name, _), value in zip(worst, values)), *more])}"

    def text(self, width: int, instead_of: str = "") -> str:
        """``lines`` for a screen of this width, all but the first indented."""
        title, *rest = self.lines(instead_of)
        return "\n".join([*wrapped(title, width), *(row for line in rest for row in wrapped(line, width, "  "))])

    def __str__(self) -> str:
        title, *rest = self.lines()
        return "\n".join([title, *(f"  {line}" for line in rest)])


def _recovery(told: Mapping[str, Any]) -> Recovered:
    changed = {clean(name): [float(value) for value in pair] for name, pair in told["changed"].items()}
    step, back_to, dropped = (whole(told[name]) for name in ("step", "back_to", "dropped"))
    return Recovered(step, back_to, clean(told["rule"]), changed, dropped, whole(told.get("discarded", step - back_to)))


def first_to_show(alerts: Iterable[Alert]) -> Alert | None:
    """The alert to read first, None without any: see ``in_order``."""
    return next(iter(in_order(alerts)), None)


def in_order(alerts: Iterable[Alert]) -> list[Alert]:
    """``alerts``, the one to show first first: that of the highest severity, then the earliest.

    Alerts that another one as grave explains, or one reports (LW910), come after all others. Of the same severity below
    ERROR closed alerts come after open ones, and ``CAUTIONS`` after both.
    """
    alerts = list(alerts)
    stand = [alert for alert in alerts if not alert.recovered_from]
    explained = {(rule, least) for a in stand for rule in a.explains for least in Severity if least <= a.severity}

    def place(alert: Alert) -> tuple[bool, int, bool, bool, int]:
        over = alert.closed_step is not None and alert.severity < Severity.ERROR
        later = (alert.rule, alert.severity) in explained or alert.recovered_from
        return later, -alert.severity, alert.rule in CAUTIONS, over, alert.step

    return sorted(alerts, key=place)


def tally(alerts: Iterable[Alert]) -> dict[str, int]:
    """How many of ``alerts`` there are of each severity, open or closed, by its name in small letters. Whoever counts
    alerts counts these: what a run has recovered from is in its LW910."""
    return dict(Counter(alert.severity.name.lower() for alert in alerts if not alert.recovered_from))


def in_numbers(counts: Mapping[str, int]) -> str:
    """``1 error, 2 warnings``, the worst first; empty without any."""
    return ", ".join(count(counts[name], name) for name in ("error", "warning", "info") if counts.get(name))


def in_sum(alerts: Iterable[Alert]) -> str:
    """``2 warnings. Worst: one loss is far above the others (LW203, at step 7).``"""
    alerts = list(alerts)
    first, counted = first_to_show(alerts), in_numbers(tally(alerts))
    if first is None:
        return "no alerts."
    if first.severity is Severity.INFO:
        return f"no warnings, {counted} ({first.rule}, {first.when})."
    return f"{counted}. Worst: {first.message} ({first.rule}, {first.when}{', ended' * bool(first.closed_step)})."


def ending(alert: Alert, alerts: Iterable[Alert]) -> str:
    """How ``alert``, which is closed, ended: by itself, or one of ``alerts`` explains it, which was open then."""
    explain, at = [other for other in alerts if alert.rule in other.explains], alert.closed_step or 0
    if whole := next((a for a in explain if a.step <= at and (a.closed_step is None or a.closed_step >= at)), None):
        how = "has the same cause as" if set(alert.causes) & set(whole.causes) else "gives way to"
        return f"{how} {whole.rule}: from step {at} on see there."
    if why := withdrawn(alert):
        return f"ended. {why}{WITHDRAWN}"
    return f"ended: seen last {f'at step {alert.last_step}' if alert.last_step else 'before step 1'}."


def withdrawn(alert: Alert) -> str:
    """Why ``alert`` does not stand any more, without a full stop; empty where it does."""
    last = alert.details.rpartition(". ")[2]
    return last.removesuffix(WITHDRAWN) if last.endswith(WITHDRAWN) else ""


def last_recovery(alerts: Iterable[Alert], step: int, script: Mapping[str, Any]) -> str | None:
    """How a run of ``step`` steps went on after its last recovery, in words, and what to put into the ``script`` whose
    settings do not have it yet."""
    alerts = list(alerts)
    back = [(alert, alert.recovery) for alert in alerts if alert.recovery is not None]
    if not back:
        return None
    last, recovery = back[-1]
    changes = in_words(recovery.changed)
    if recovery.dropped:
        latest = f", the last at step {last.last_step}" if last.last_step > last.step else ""
        changes += f"{', ' * bool(changes)}{count(recovery.dropped, 'update')} dropped{latest}"
    others = [alert for alert in alerts if alert.name != "recovered" and not alert.recovered_from]
    said = f"recovered at step {last.step}{f' ({changes})' if changes else ''}"
    said += f", then {count(step - last.last_step, 'step')}"
    said += f". Besides LW910: {in_sum(others)}" if others else " without an alert."
    said += " Look for broken rows in the batches whose updates were dropped." if recovery.dropped else ""
    turned = next(((alert, one.changed) for alert, one in reversed(back) if one.changed), (last, {}))
    for name, (yours, now) in turned[1].items():
        if turned[0].settings.get(name) == now != script.get(name):  # it is prescribed, too
            said += f" Put {now:.3g} into your script to begin anew. To resume this run keep {yours:.3g} and recover."
    return said


def in_words(changed: Mapping[str, Sequence[float]]) -> str:
    """``learning_rate 1 → 0.01``."""
    return ", ".join(f"{name} {Setting(yours, now)}" for name, (yours, now) in changed.items())


def discarded(alerts: Iterable[Alert]) -> list[range]:
    """Steps that the run has taken back (LW910), stretch by stretch: none of them is its own."""
    back = [(alert.back_to, alert.step) for alert in alerts if alert.name == "recovered"]
    return [range(back_to + 1, step + 1) for back_to, step in back if back_to is not None and back_to < step]


class LoraWatchError(Exception):
    """The policy ended the run. ``alerts`` holds what it ended for, worst first.

    A plain Exception on purpose: the Trainer's ``auto_find_batch_size`` swallows RuntimeErrors it takes for
    out-of-memory.
    """

    def __init__(self, message: str, alerts: list[Alert] | None = None):
        super().__init__(message)
        self.message = message
        self.alerts = alerts or []

    def __str__(self) -> str:
        """``message`` in rows that fit the terminal."""
        rows = []
        for line in self.message.split("\n"):
            text = line.lstrip(" ")
            rows += wrapped(text, columns(), line[: len(line) - len(text)])
        return "\n".join(rows)
