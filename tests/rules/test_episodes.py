"""One alert an episode: it opens, lasts, closes, and is not repeated."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.records import Reading, Receipt, RunInfo, StepRecord
from lora_watch.rules import Episodes, Finding, NormExplosion, Rule, SavedAdapterDiffers, catalogue, choose
from lora_watch.rules.base import worst_first
from tests.rules.runs import everywhere, healthy
from tests.sinks.made_up import run_of


@dataclass
class Bad(Rule):
    """Holds wherever the loss is above ``limit``. This is all that a rule of one's own takes."""

    id = "X1"
    severity = Severity.WARNING
    limit: float = 1.0

    def check(self, record: StepRecord) -> Finding | None:
        return Finding(f"loss {record.loss}") if record.loss is not None and record.loss > self.limit else None


@dataclass
class Echo(Bad):
    id = "X2"
    yields_to = ("X1",)


@dataclass
class Norms(Bad):
    id = "X3"
    needs = "delta_norm"


@dataclass
class LargeOutput(Bad):
    id = "X6"
    needs = "output_ratio"

    def check(self, record: StepRecord) -> Finding | None:
        values = record.metrics["output_ratio"].measured
        large = worst_first(record, values, values > self.limit)
        return Finding("large", adapters=large) if large else None


@dataclass
class Whole(Bad):
    """Sums the run up; ``limit`` is beyond any loss here unless it is said otherwise."""

    id = "X4"
    limit: float = 100.0

    def conclude(self, record: StepRecord) -> Finding | None:
        return Finding(f"over at {record.step}", severity=Severity.ERROR)


@dataclass
class Listens(Whole):
    id = "X5"
    yields_to = ("X1",)

    def conclude(self, record: StepRecord) -> Finding | None:
        finding = super().conclude(record)
        return finding and replace(finding, severity=Severity.WARNING)


def feed(
    episodes: Episodes, losses: list[float], measured: list[int] | None = None, first: int = 1
) -> list[list[Alert]]:
    metrics = {"delta_norm": everywhere(np.ones(1))}
    return [
        episodes.check(StepRecord(RunInfo(()), n, metrics if measured is None or n in measured else {}, loss=loss))
        for n, loss in enumerate(losses, start=first)
    ]


def test_an_episode_opens_lasts_and_closes_once() -> None:
    episodes = Episodes([Bad()])
    changes = feed(episodes, [0, 2, 2, 0, 2] + [0] * 8 + [2])
    found = [(a.step, a.last_step, a.closed_step, a.lasted) for a in episodes.alerts]
    assert found == [(2, 5, 11, 4), (14, 14, None, 1)]
    assert [len(change) for change in changes] == [0, 1] + [0] * 8 + [1] + [0] * 2 + [1]


def test_one_cause_makes_one_alert() -> None:
    episodes = Episodes([Bad(limit=3.0), Echo()])
    feed(episodes, [2, 2, 4, 4])
    found = [(a.rule, a.step, a.last_step, a.closed_step) for a in episodes.alerts]
    assert found == [("X2", 1, 3, 3), ("X1", 3, 4, None)], "it still held when another alert took it over"


@dataclass
class Several(Rule):
    """Two faults: one of a loss above 1, a graver one above 3; a third at a loss of exactly 2."""

    id = "X7"
    severity = Severity.WARNING

    def check(self, record: StepRecord) -> Finding | None:
        loss = record.loss or 0.0
        grave = Severity.ERROR if loss > 3 else None
        return Finding(f"loss {loss}", kind="two" if loss == 2 else "", severity=grave) if loss > 1 else None


@dataclass
class OfTheSecond(Echo):
    id = "X8"
    yields_to = ("X7:two",)
    limit: float = 0.5


@dataclass
class Grave(OfTheSecond):
    id = "X9"
    severity = Severity.ERROR


def test_another_fault_of_a_rule_is_another_alert_and_explains_what_it_causes_alone() -> None:
    episodes = Episodes([Several(), OfTheSecond(), Grave()])
    feed(episodes, [1.5, 1.5, 2.0, 2.0])
    found = [(a.rule, a.step, a.closed_step, a.kind) for a in episodes.alerts]
    assert found == [("X7", 1, 3, ""), ("X8", 1, 3, ""), ("X9", 1, None, ""), ("X7", 3, None, "two")]
    assert episodes.alerts[-1].explains == ["X8"], "and a WARNING explains no ERROR"


def test_what_is_less_grave_keeps_no_alert_open() -> None:
    episodes = Episodes([Several()])
    feed(episodes, [4.0] + [1.5] * 12)
    assert [(a.severity.name, a.step, a.last_step) for a in episodes.alerts[:1]] == [("ERROR", 1, 1)]
    assert [(a.severity.name, a.closed_step) for a in episodes.alerts[1:]] == [("WARNING", None)]


def test_what_becomes_graver_says_since_when_it_is_and_since_when_it_was_seen() -> None:
    episodes = Episodes([Several()])
    feed(episodes, [1.5, 1.5, 4.0])
    (alert,) = episodes.alerts
    assert alert.title == "ERROR at step 3, first seen at step 1: loss 4.0 (X7)"
    assert Alert.from_dict(alert.to_dict()) == alert


def test_an_open_alert_of_a_rule_that_is_muted_from_then_on_is_over_when_a_run_goes_on() -> None:
    episodes, later = Episodes([Bad()]), Episodes([Bad()])
    feed(episodes, [2.0])
    episodes.say(Alert("LW302", "adapter-not-in-optimizer", Severity.ERROR, 1, "gone"))
    later.load_state_dict(json.loads(json.dumps(episodes.state_dict())))
    assert [alert.rule for alert in later.open] == ["X1"]


def test_the_end_of_a_run_opens_alerts_and_adds_to_open_ones() -> None:
    episodes = Episodes([Bad(), Whole(), Listens()])
    feed(episodes, [2.0])
    changed = episodes.conclude(StepRecord(RunInfo(()), 1, {}))
    assert [(alert.rule, alert.explains) for alert in changed] == [("X4", []), ("X1", ["X5"])], "X1 explains X5"
    open_already = Episodes([Whole(limit=1.0)])
    feed(open_already, [2.0])
    (alert,) = open_already.conclude(StepRecord(RunInfo(()), 1, {}))
    assert open_already.alerts == [alert]
    assert (alert.message, alert.severity) == ("over at 1", Severity.ERROR)


def test_a_step_without_the_needed_metric_says_nothing_either_way() -> None:
    episodes = Episodes([Norms()])
    feed(episodes, [2.0] * 40, measured=[1, 17, 33])
    assert [(a.step, a.last_step) for a in episodes.alerts] == [(1, 33)]


def test_a_silent_measurement_ends_no_alert_and_neither_does_one_without_its_adapters() -> None:
    """The norms are there at each step, and what the rule needs is not, or is known of other adapters alone."""
    run_info, episodes = run_of(2), Episodes([LargeOutput()])

    def check(step: int, *values: float | None) -> None:
        metrics = {"delta_norm": everywhere(np.ones(2))}
        if values:
            known = np.array([value is not None for value in values])
            metrics["output_ratio"] = Reading(np.array([value or np.nan for value in values]), known)
        episodes.check(StepRecord(run_info, step, metrics))

    for step in range(1, 64):
        check(step, *({16: (2.0, None), 32: (0.5, None), 48: (None, 0.5)}.get(step, ())))
    (alert,) = episodes.alerts
    assert (alert.step, alert.closed_step) == (16, None)
    check(64, 0.5, 0.5)
    assert alert.closed_step == 64


def test_an_alert_about_what_is_no_metric_closes_where_its_rule_can_judge() -> None:
    class OfTheLoss(Norms):
        def check(self, record: StepRecord) -> Finding | None:
            found = super().check(record)
            return found and replace(found, adapters=[(record.run.names[0], 1.0)], metric="loss")

    episodes, run = Episodes([OfTheLoss()]), run_of(1)
    norms = {"delta_norm": Reading(np.ones(1), np.ones(1, bool))}
    for step in range(1, 12):
        episodes.check(StepRecord(run, step, norms, loss=2.0 * (step == 1)))
    assert [(alert.step, alert.closed_step) for alert in episodes.alerts] == [(1, 7)]


def test_a_resumed_run_remembers_for_how_long_a_rule_has_been_silent() -> None:
    losses = [2.0, *[0.0] * 12]
    one, two, resumed = Episodes([Norms()]), Episodes([Norms()]), Episodes([Norms()])
    measured = [1, 8, 9]
    feed(one, losses, measured)
    feed(two, losses[:8], measured)
    resumed.load_state_dict(json.loads(json.dumps(two.state_dict())))
    feed(resumed, losses[8:], measured, first=9)
    assert [a.closed_step for a in one.alerts] == [a.closed_step for a in resumed.alerts] == [9]


def test_the_catalogue_is_consistent() -> None:
    rules = catalogue()
    assert len({rule.id for rule in rules}) == len({rule.name for rule in rules}) == len(rules)
    known = {rule.id for rule in rules}
    for rule in rules:
        assert {name.partition(":")[0] for name in rule.yields_to} <= known
        assert rule.summary(), rule.id
        json.dumps(rule.describe())
        json.dumps(rule.state_dict())


@pytest.mark.parametrize("missing", ["id", "severity"])
def test_a_rule_of_ones_own_without_what_each_rule_has_is_refused(missing: str) -> None:
    said = {"id": "X2", "severity": Severity.WARNING, "check": lambda self, record: None}
    rule = type("Mine", (Rule,), {name: value for name, value in said.items() if name != missing})()
    with pytest.raises(ValueError, match=f"Mine has no {missing}: set it in the class"):
        choose([rule])


def test_ones_own_rules_and_limits_take_their_place() -> None:
    chosen = {rule.id: rule for rule in choose([NormExplosion(threshold=8.0), Bad()], mute=["loss-spike", "lw104"])}
    assert chosen["LW102"].thresholds["threshold"] == 8.0
    assert "X1" in chosen
    stricter = type("Stricter", (NormExplosion,), {})()
    assert "LW102" not in {rule.id for rule in choose([stricter], mute=["norm-explosion"])}
    assert not {"LW203", "LW104"} & chosen.keys()
    with pytest.raises(ValueError, match="lists them"):
        choose(mute=["qqqq"])


def test_each_bad_save_is_an_alert_of_its_own() -> None:
    episodes = Episodes([SavedAdapterDiffers()])
    for step, folder in ((2, "checkpoint-2"), (4, "checkpoint-4")):
        receipt = Receipt(step, folder, missing=("a",))
        changed = episodes.conclude(StepRecord(run_of(3), step, {}, receipt=receipt), "saved")
        assert folder in changed[-1].details
    assert [(alert.step, alert.closed_step) for alert in episodes.alerts] == [(2, 4), (4, None)]


# -- the zone of a step says what the alerts say, and no more ----------------------------------------------------------
def placed_at(step: int, size: float, gain: float, improved: bool, began: str = "", layers: int = 4) -> StepRecord:
    """The adapters have this output ratio in each of ``layers`` blocks; the loss is ``gain`` (a share) below 4."""
    adapters = healthy().run.adapters
    each = tuple(replace(adapters[0], name=f"layers.{i}.{k}", layer=i) for i in range(layers) for k in range(6))
    scalars = {"loss_start": 4.0, "loss_recent": 4.0 * (1 - gain), "loss_noise": 0.01, "loss_improved": float(improved)}
    metrics = dict.fromkeys(("output_ratio", "relative_spectral_norm"), everywhere(np.full(len(each), size)))
    return StepRecord(RunInfo(each, init_from_base=began), step, metrics, loss=scalars["loss_recent"], scalars=scalars)


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
    sound = [placed_at(step, size=0.1, gain=0.2, improved=True) for step in range(10, 14)]
    sound = [each.amended(metrics={**each.metrics, "delta_norm": each.metrics["output_ratio"]}) for each in sound]
    broken = replace(sound[1], loss=np.nan)
    assert judged(sound[0], broken)[0].zone == "non-finite"
    placed, alerts = judged(sound[0], broken, *sound[2:])
    assert (placed.zone, alerts) == ("healthy", ["LW201"]), "the alert waits whether it comes again"


def test_a_loss_above_its_start_is_an_explosion_within_the_first_steps_and_none_late_in_a_run() -> None:
    placed, alerts = judged(placed_at(15, size=0.5, gain=-0.15, improved=False))
    assert (placed.zone, alerts) == ("exploding", ["LW102"])
    placed, alerts = judged(placed_at(500, size=0.5, gain=-0.15, improved=False))
    assert (placed.zone, placed.size, alerts) == ("no-gain", 2.0, [])


def test_what_pissa_began_with_is_not_its_size() -> None:
    first, later = (placed_at(step, 0.6, -0.01, False, began="PiSSA", layers=30) for step in (1, 4))
    placed, alerts = judged(first, later)
    assert (placed.zone, placed.size, alerts) == ("no-gain", 0.0, [])


@pytest.mark.parametrize("missing", ["size", "loss"])
def test_without_a_size_or_a_loss_nothing_is_known(missing: str) -> None:
    whole = placed_at(10, 0.1, 0.2, True)
    part = replace(whole, metrics={}) if missing == "size" else replace(whole, scalars={})
    assert judged(whole)[0].zone == "healthy"
    assert judged(replace(whole, scalars=whole.scalars | {"loss_recent": 0.7, "chance_loss": 0.7}))[0].zone == "no-gain"
    assert judged(part)[0].zone == "unknown"
