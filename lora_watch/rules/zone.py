"""What a run is called at a step: one word, from the open alerts and from whether the loss has improved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_watch.base.alerts import Severity


@dataclass(frozen=True)
class Zone:
    """One of ``ZONES``; its place there is what is written."""

    name: str
    severity: Severity | None
    """That of the rules whose open alert puts a run here; None where no rule has a word to say."""
    text: str


ZONES = (
    Zone("unknown", None, "The size of the adapters or the course of the loss is not known."),
    Zone("healthy", None, "The loss has come down from its start by more than its noise."),
    Zone(
        "no-gain",
        None,
        "The last five losses show no gain: within their noise they are the start's, or no lower than guessing costs.",
    ),
    Zone("barely-moves", Severity.WARNING, "The adapters stay too small to change the model."),
    Zone("diverged", Severity.ERROR, "The loss has risen and stays up."),
    Zone("exploding", Severity.ERROR, "The adapters are larger than useful ones get."),
    Zone("non-finite", Severity.ERROR, "A loss, a gradient or an adapter is NaN or infinite."),
)
"""From the mildest to the worst. Of several that hold, the last is the run's."""

NUMBER = {zone.name: number for number, zone in enumerate(ZONES)}


def described(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For files: every zone in its order, with the rules (``Rule.describe``) that decide it and their thresholds."""
    return [
        {
            "name": zone.name,
            "severity": zone.severity.name if zone.severity else None,
            "text": zone.text,
            "thresholds": {rule["id"]: rule["thresholds"] for rule in rules if rule.get("zone") == zone.name},
        }
        for zone in ZONES
    ]
