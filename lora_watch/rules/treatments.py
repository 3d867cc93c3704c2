"""What a run that recovers is to do about an alert, and how it reports that. Pure: nothing is done here."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import Recovered, RunInfo, StepRecord
from lora_watch.base.text import count
from lora_watch.rules.base import NON_FINITE
from lora_watch.rules.forecast import is_adaptive
from lora_watch.rules.policy import RECOVERED
from lora_watch.rules.remedies import SOUND, raised_to

RATE, START = "learning_rate", "init_factor"
"""Settings that a run may change: START multiplies A and B before the first step."""
UNSURE = 3.0
"""What a learning rate is divided by where the alert has no settings for it."""
GROWN = 1.5
"""Adapters have grown since the good state, and are not what a risen loss comes from elsewhere, from this factor on."""
SUSPECT = ("LW203", "LW311")
"""Rules whose open alert says that what comes now may not be good. What they read is the same on every rank."""


class Treatment(enum.Enum):
    """Mildest first."""

    DROP = "drop the update"
    GO_BACK = "go back, change nothing"
    SKIP = "go back, and drop updates until the loss is as it was"
    WEAKEN = "go back, and lower the scale and the learning rate"


_OF_SETTINGS = ("LW102", "LW108", "LW311")
_OF_LOSS = ("LW202", "LW203")
TREATED = (*NON_FINITE, *_OF_SETTINGS, *_OF_LOSS)
"""Rules for which going back, or dropping an update, may help."""


def treatment(
    alerts: Iterable[Alert], record: StepRecord, sound: int, before_update: bool, grown: float | None
) -> Treatment | None:
    """What all of ``alerts``, the gravest first, are treated by; None if there is nothing that would help.

    ``sound``: steps at which the loss had improved; ``before_update``: the update has not been applied yet; ``grown``:
    by what factor the adapters are larger than in the state to go back to, None if unknown.
    """
    alerts = list(alerts)
    if not alerts or any(alert.rule not in TREATED for alert in alerts):
        return None
    if record.broken:  # a frozen weight: going back does not mend it
        return None
    worst = alerts[0].rule
    if worst in NON_FINITE:
        spoiled = alerts[0].metric in ("a_norm", "b_norm", "delta_norm")  # the weights themselves
        return Treatment.DROP if before_update and not spoiled else Treatment.GO_BACK
    if worst in _OF_SETTINGS or raised_to(record) is not None:
        return Treatment.WEAKEN
    return Treatment.SKIP if sound >= SOUND and (grown or 1.0) < GROWN else Treatment.WEAKEN


def usual_alpha(run: RunInfo) -> float | None:
    """The alpha of most adapters; None where none is known."""
    known = Counter(adapter.alpha for adapter in run.adapters if adapter.alpha)
    return known.most_common(1)[0][0] if known else None


def ratios(alert: Alert, run: RunInfo) -> tuple[float, float]:
    """``(of alpha, of the learning rate)``: what the alert's settings are relative to the run's own."""
    settings, rates = alert.settings, set(run.peak_lr)
    base = run.config.get("learning_rate")
    own = base if len(rates) > 1 and base in rates else max(rates, default=None)
    of_rate = settings["learning_rate"] / own if own and "learning_rate" in settings else 1.0
    known = usual_alpha(run)
    of_alpha = settings["lora_alpha"] / known if known and "lora_alpha" in settings else 1.0
    if of_alpha == of_rate == 1.0:
        of_rate = 1.0 / UNSURE
    return of_alpha, of_rate


def in_rates_alone(of_alpha: float, of_rate: float, run: RunInfo) -> float:
    """What the learning rates are multiplied by where the scale must stay: under Adam s·lr sets the speed, under SGD
    s²·lr."""
    return of_rate * of_alpha ** (1 if is_adaptive(run) else 2)


_OF_THE_OPTIMIZER = {
    "went back": "the optimizer's state went back with it",
    "was cleared": "the optimizer's state was cleared, since there had been none",
    "has none": "the optimizer keeps no state",
}


def alert_of(
    recovered: Recovered, cause: Alert, step: int, settings: Mapping[str, float], left: Sequence[str] = ()
) -> Alert:
    """The alert that says how a run has recovered. ``settings``: what the next run should begin with. ``left``:
    attributes of the optimizer that have changed and did not go back."""
    of = f"for {cause.rule} {cause.name}"
    changes = ", ".join(f"{name} {before:.3g} → {after:.3g}" for name, (before, after) in recovered.changed.items())
    untouched = recovered.optimizer == "untouched"
    if untouched:
        said = f"The update of step {step + 1} is dropped {of}: adapters and optimizer stay as they were."
    else:
        state = _OF_THE_OPTIMIZER[recovered.optimizer]
        if left:
            attributes = ", ".join(left)
            state += f"; its attributes {attributes} stay as they are, for they are not in its state_dict"
        said = (
            f"{count(recovered.lost, 'step')} discarded {of}: the adapter is again that of step {recovered.back_to}, "
            f"and {state}."
        )
    again = ", ".join(f"{name}={value:g}" for name, value in settings.items())
    if START in recovered.changed:
        changes += f": A and B begin smaller, and it trains as with {again}"
    return Alert(
        RECOVERED,
        "recovered",
        Severity.WARNING,
        step + untouched,
        f"{said} {f'Changed: {changes}.' if changes else 'No setting was changed.'}",
        causes=list(cause.causes[:1]),
        remedies=[f"start the next run with {again}"] if again else list(cause.remedies[:1]),
        settings=dict(settings),
        back_to=recovered.back_to,
    )
