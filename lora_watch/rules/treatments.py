"""What a run that recovers is to do about an alert, and how it reports that. Pure: nothing is done here."""

import enum
from collections.abc import Sequence

from lora_watch.base.alerts import Alert, Recovered, Severity, in_words
from lora_watch.base.prescription import RATE, Evidence, Prescription, Setting
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import count
from lora_watch.rules.base import NON_FINITE
from lora_watch.rules.policy import RECOVERED
from lora_watch.rules.prescribing import rate_now
from lora_watch.rules.remedies import SOUND, TYPED, in_the_rate, nearest, raised_to

UNSURE = 3.0
"""What a learning rate is divided by where nothing lower is prescribed."""
LARGE = 12.0
"""Depth-scaled output ratio from which on a NaN comes from the adapters, not from its batch: LW102's ``threshold``."""
FEW = 5
"""Updates dropped in a row after which their batches are no longer taken to be the cause."""
GROWN = 1.5
"""Adapters have grown since the good state, and are not what a risen loss comes from elsewhere, from this factor on."""
SUSPECT = (("LW203", ""), ("LW306", "raised"))
"""Rules, and the kind of fault, whose open alert says that what comes now may not be good. They read the same on every
rank."""


class Treatment(enum.IntEnum):
    """The mildest first: of several ranks the last one's counts."""

    DROP = 0
    """Drop the updates of broken batches: those that are made already, too."""
    GO_BACK = 1
    """Go back to the last good state, and turn the learning rate down."""
    NONE = 2
    """Nothing helps."""


_OF_LOSS = ("LW202", "LW203")
TREATED = (*NON_FINITE, "LW102", *_OF_LOSS)
"""Rules for which going back, or dropping updates, may help."""


def treatment(
    alerts: Sequence[Alert], record: StepRecord, sound: int, before_update: bool, grown: float | None
) -> Treatment:
    """What all of ``alerts``, the gravest first, are treated by.

    ``sound``: steps at which the loss had improved; ``before_update``: the update has not been applied yet; ``grown``:
    by what factor the adapters are larger than in the state to go back to, None if unknown.
    """
    if record.broken or any(alert.rule not in TREATED for alert in alerts):  # a frozen weight does not go back
        return Treatment.NONE
    worst = alerts[0]
    if worst.rule in NON_FINITE:
        in_weights = worst.metric in ("a_norm", "b_norm", "delta_norm") or (record.size_before or 0.0) > LARGE
        return Treatment.DROP if before_update and not in_weights else Treatment.GO_BACK
    proven = sound >= SOUND and (grown or 1.0) < GROWN and raised_to(record) is None
    return Treatment.DROP if worst.rule in _OF_LOSS and proven else Treatment.GO_BACK


def is_in_vain(cause: Alert, dropped: int) -> bool:
    """So many updates in a row were ``dropped`` for ``cause`` that it is not in the batches. Those without a target
    are masked for as long as the data have them."""
    return cause.rule in NON_FINITE and cause.metric != "targets" and dropped >= FEW


def turned_down(alert: Alert, run: RunInfo) -> float:
    """What the learning rate is multiplied by for ``alert``: its settings ``in_the_rate``, for the scale stays."""
    own, told = rate_now(run), alert.next_run
    if not own:
        return 1.0 / UNSURE
    ours = in_the_rate(told, run, own).values.get(RATE, own) if told is not None else own
    return nearest(ours if ours < own else own / UNSURE, TYPED, 10) / own


def tried(recovered: Recovered, before: Prescription | None) -> Prescription | None:
    """What a recovery prescribes: the rate that it goes on with, in the range that was prescribed ``before``. Where
    that was for another alpha, the range is as much lower or higher as the rate. None where no rule has blamed the
    rate, which was turned down on trial."""
    told = before.settings.get(RATE) if before else None
    if told is None or RATE not in recovered.changed:
        return None
    yours, now = recovered.changed[RATE]
    low, high = (None if end is None else end * now / told.ours for end in (told.low, told.high))
    return Prescription({RATE: Setting(yours, now, low, high)}, Evidence.HARM, recovered.step)


def alert_of(recovered: Recovered, before: Prescription | None, number: str) -> Alert:
    """The alert that says how a run has recovered, for the time ``number``: ``1 of 3``. ``before``: what was prescribed
    until then."""
    step, back_to = recovered.step, recovered.back_to
    message = f"the run went back to step {back_to} because of {recovered.rule}"
    said, remedies = f"{count(recovered.lost, 'step')} discarded.", []
    if back_to == step:  # from the coming one on
        step += 1
        message = f"updates are dropped because of {recovered.rule}, until the loss is sound"
        said = "Adapters and optimizer stay as they were."
        remedies = ["print the batches whose updates were dropped, and take the broken rows out of the data"]
    changes = "No setting was changed."
    if recovered.changed:
        changes = f"It goes on with {in_words(recovered.changed)} (logs show the script's rate)."
    return Alert(
        RECOVERED,
        "recovered",
        Severity.WARNING,
        step,
        message,
        f"{said} {changes} Recovery {number}.",
        remedies=remedies,
        next_run=tried(recovered, before),
        back_to=back_to,
        recovery=recovered,
    )
