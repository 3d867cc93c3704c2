"""Which alerts a sink has been handed, and which of those it is handed now are news."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.prescription import Prescription
from lora_watch.rules.policy import Policy

News = tuple[Literal["opened", "closed"], Alert]


class AlertHistory:
    """Every alert of a run in the order of opening, each in its latest state. A rule has one episode at a time: its
    step of opening tells it apart."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, int], Alert] = {}
        self._told: dict[tuple[str, int], tuple[Severity, str, bool]] = {}

    def update(self, alerts: Sequence[Alert]) -> list[News]:
        """Takes in the alerts of one step and returns which of them opened or closed (a short one did both)."""
        news: list[News] = []
        for alert in alerts:
            key = (alert.rule, alert.step)
            severity, kind, closed = self._told.get(key, (Severity.INFO, None, False))
            if alert.severity > severity or alert.kind != kind:  # new, graver than it was, or stated anew
                news.append(("opened", alert))
            if (over := alert.closed_step is not None) and not closed:
                news.append(("closed", alert))
            self._latest[key], self._told[key] = alert, (max(alert.severity, severity), alert.kind, over or closed)
        return news

    @property
    def next_run(self) -> Prescription | None:
        """The run's prescription: the alert that has changed it last carries it."""
        return next((alert.next_run for alert in self if alert.next_run is not None), None)

    def __iter__(self) -> Iterator[Alert]:
        return iter(self._latest.values())


class Told(AlertHistory):
    """What a person is told of: what a run with this ``policy`` recovers from, when that has been done, or not."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.untold: list[tuple[str, Alert, Alert]] = []

    def due(self, alerts: Sequence[Alert], waits: bool = True) -> list[tuple[str, Alert, Alert]]:
        """The news to tell now, each with its alert as it was then; LW910 has the fix of what the run recovered from.
        ``waits``: nothing is told while ``alerts``, those of one step, may be recovered from."""
        self.untold += [(event, alert, replace(alert)) for event, alert in self.update(alerts)]
        if waits and self.policy.recover and any(map(self.policy.recovering.counts, alerts)):
            return []
        due, self.untold = self.untold, []
        return [
            (event, alert, replace(then, remedies=[], resume="", next_run=None) if alert.recovered_from else then)
            for event, alert, then in due
        ]
