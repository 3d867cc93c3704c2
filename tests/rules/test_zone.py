"""The zone of a step says what the alerts say, and no more."""

from dataclasses import replace

import numpy as np
import pytest

from lora_watch.base.alerts import Severity
from lora_watch.base.records import Reading, RunInfo, StepRecord
from lora_watch.rules import Episodes, catalogue
from tests.rules.runs import healthy


def record(
    step: int, size: float, gain: float, improved: bool, init_from_base: str = "", layers: int = 4
) -> StepRecord:
    """The adapters have this output ratio in each of ``layers`` blocks; the loss is ``gain`` (a share) below 4."""
    adapters = healthy().run.adapters
    each = tuple(replace(adapters[0], name=f"layers.{i}.{k}", layer=i) for i in range(layers) for k in range(6))
    scalars = {"loss_start": 4.0, "loss_recent": 4.0 * (1 - gain), "loss_noise": 0.01, "loss_improved": float(improved)}
    metrics = dict.fromkeys(("output_ratio", "relative_spectral_norm"), Reading.everywhere(np.full(len(each), size)))
    return StepRecord(
        RunInfo(each, init_from_base=init_from_base), step, metrics, loss=scalars["loss_recent"], scalars=scalars
    )


def judged(*records: StepRecord) -> tuple[StepRecord, list[str]]:
    """The last of the records as it is written, and the rules with an open alert."""
    episodes = Episodes(catalogue())
    placed = None
    for each in records:
        episodes.check(each)
        placed = episodes.place(each)
    assert placed is not None
    return placed, [alert.rule for alert in episodes.open if alert.severity > Severity.INFO]


def test_a_loss_that_is_a_number_again_is_not_non_finite() -> None:
    sound = [record(step, size=0.1, gain=0.2, improved=True) for step in range(10, 14)]
    sound = [each.amended(metrics={**each.metrics, "delta_norm": each.metrics["output_ratio"]}) for each in sound]
    broken = replace(sound[1], loss=np.nan)
    assert judged(sound[0], broken)[0].zone == "non-finite"
    placed, alerts = judged(sound[0], broken, *sound[2:])
    assert (placed.zone, alerts) == ("healthy", ["LW201"]), "the alert waits whether it comes again"


def test_a_loss_above_its_start_is_an_explosion_within_the_first_steps_and_none_late_in_a_run() -> None:
    placed, alerts = judged(record(15, size=0.5, gain=-0.15, improved=False))
    assert (placed.zone, alerts) == ("exploding", ["LW102"])
    placed, alerts = judged(record(500, size=0.5, gain=-0.15, improved=False))
    assert (placed.zone, placed.size, alerts) == ("no-gain", 2.0, [])


def test_what_pissa_began_with_is_not_its_size() -> None:
    first, later = (record(step, 0.6, -0.01, False, init_from_base="PiSSA", layers=30) for step in (1, 4))
    placed, alerts = judged(first, later)
    assert (placed.zone, placed.size, alerts) == ("no-gain", 0.0, [])


@pytest.mark.parametrize("missing", ["size", "loss"])
def test_without_a_size_or_a_loss_nothing_is_known(missing: str) -> None:
    whole = record(10, 0.1, 0.2, True)
    part = replace(whole, metrics={}) if missing == "size" else replace(whole, scalars={})
    assert judged(whole)[0].zone == "healthy"
    assert judged(part)[0].zone == "unknown"
