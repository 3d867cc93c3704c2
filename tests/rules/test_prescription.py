"""One prescription a run: which proposal stands, and that following it asks for no further one."""

import dataclasses
import itertools
from dataclasses import dataclass

import pytest

from benchmarks.corpus.generate import load_all, plan
from benchmarks.corpus.golden import contradictions
from benchmarks.corpus.plan import Spec
from benchmarks.corpus.replay import judge
from lora_watch.base.alerts import Severity, ending
from lora_watch.base.prescription import RATE, Evidence, Prescription, Setting
from lora_watch.base.records import AdapterInfo, RunInfo, StepRecord
from lora_watch.rules import Episodes, Finding
from lora_watch.rules.base import Rule, RuleOnSettings
from lora_watch.rules.prescribing import Prescribing

FORETOLD = {
    "tiny_manual_r16_s16_lr0.01_b32_linear2_t64_v_domains_seed17": False,
    "tiny_headers_r16_s16_lr0.01_b4_linear3_t64_mlp_seed15": True,
    "tiny_headers_r8_s16_lr0.01_b8_cosine2_t64_attention_easiest_seed15": True,
}
"""Runs whose first step looks too large by the weights, and whether the advice stays: where they come to harm, or grow
far beyond good ones (LW102)."""


def run_of(lr: float = 0.01, alpha: float = 128.0, **config: object) -> RunInfo:
    adapter = AdapterInfo("layer", "Linear", 0, 64, 64, 8, alpha, alpha / 8, "alpha/r", 0, 1024)
    return RunInfo((adapter,), config={"learning_rate": lr, **config}, peak_lr=(lr,))


def told(evidence: Evidence, yours: float, ours: float, step: int = 6) -> Prescription:
    return Prescription({RATE: Setting(yours, ours)}, evidence, step)


def begun(run: RunInfo) -> Prescribing:
    prescribing = Prescribing()
    prescribing.begin(run)
    return prescribing


def test_better_evidence_replaces_what_stands_and_worse_does_not() -> None:
    run, grades = run_of(), (Evidence.WEIGHTS, Evidence.STEPS, Evidence.HARM)
    one = begun(run)
    for rate, evidence in zip((0.001, 0.002, 0.003), grades):
        assert one.propose(told(evidence, 0.01, rate), run)
        assert not any(one.propose(told(worse, 0.01, 0.02), run) for worse in grades if worse <= evidence)
        assert one.standing.values == {RATE: rate}


def test_a_sweep_stands_until_its_own_rate_does_harm() -> None:
    swept = run_of(0.005, find_lr={"rate": 0.005, "low": 0.003, "high": 0.008}, own_learning_rate=0.0001)
    one = begun(swept)
    assert str(one.standing) == "learning_rate 0.0001 → 0.005 (good range 0.003 to 0.008; from a sweep)"
    assert one.told is None, "the script finds it again"
    assert not one.propose(told(Evidence.STEPS, 0.005, 0.02), swept)
    assert one.propose(told(Evidence.HARM, 0.005, 0.001), swept)
    assert str(one.told) == "learning_rate 0.0001 → 0.001 (from 6 steps)"
    ignored = run_of(0.1, find_lr={"rate": 0.005, "low": 0.003, "high": 0.008})
    one = begun(ignored)
    assert one.propose(told(Evidence.HARM, 0.1, 0.02), ignored)
    assert str(one.told) == "learning_rate 0.1 → 0.005 (good range 0.003 to 0.008; from a sweep)", "unlike its own"


def test_after_a_recovery_it_is_relative_to_the_users_own_settings() -> None:
    one = begun(run_of(0.01))
    one.standing = told(Evidence.HARM, 0.01, 0.005)
    now = dataclasses.replace(run_of(0.01), peak_lr=(0.005,), lr_factor=0.5)
    assert one.propose(told(Evidence.HARM, 0.005, 0.001, 20), now), "what was prescribed has done harm"
    assert one.standing == told(Evidence.HARM, 0.01, 0.001, 20)


def test_without_all_of_its_layers_a_run_says_nothing_of_the_next_ones_size() -> None:
    lacking = dataclasses.replace(run_of(2e-4), unmatched=("'k_projj' (is 'k_proj' meant?)",))
    assert not begun(lacking).propose(told(Evidence.STEPS, 2e-4, 0.04), lacking)
    assert begun(lacking).propose(told(Evidence.HARM, 2e-4, 1e-5), lacking), "harm is harm"
    assert begun(lacking).propose(Prescription({"warmup_steps": Setting(500, 4)}), lacking), "whatever the layers"


def test_a_range_is_kept_in_the_figures_in_which_it_is_read() -> None:
    wide, narrow = Setting(0.01, 0.009, 0.0045, 0.0183), Setting(0.01, 0.009, 0.00711, 0.01234)
    assert [(each.low, each.high) for each in (wide, narrow)] == [(0.004, 0.02), (0.0071, 0.012)]
    assert [str(Setting(0.08, 0.0027333333)), str(Setting(1536, 1024))] == ["0.08 → 0.00273", "1536 → 1024"]
    prescribed = Prescription({RATE: wide}).to_dict()
    assert f"{prescribed['settings'][RATE]['low']} to {prescribed['settings'][RATE]['high']}" in prescribed["text"]
    assert Prescription.from_dict(prescribed).settings == {RATE: wide}


def test_without_harm_what_is_said_of_the_size_is_withdrawn_and_nothing_else() -> None:
    run = run_of()
    one = begun(run)
    assert not one.withdraw()
    one.propose(Prescription({"warmup_steps": Setting(4000, 3)}), run)
    one.propose(told(Evidence.WEIGHTS, 0.01, 0.002), run)
    assert one.withdraw()
    assert one.standing.values == {"warmup_steps": 3}
    one.propose(told(Evidence.HARM, 0.01, 0.002), run)
    assert [one.withdraw(), one.withdraw(run), one.withdraw(run_of(0.002))] == [False, False, True], "tried in vain"


def test_settings_of_another_kind_join_and_each_is_named_once() -> None:
    run = run_of()
    one = begun(run)
    assert one.propose(Prescription({"warmup_steps": Setting(4000, 3)}), run)
    assert one.propose(told(Evidence.STEPS, 0.01, 0.002), run)
    assert not one.propose(Prescription({"warmup_steps": Setting(4000, 9)}), run)
    assert one.standing.values == {"warmup_steps": 3, RATE: 0.002}
    assert Prescribing.of_state(one.state_dict()) == one


@dataclass
class Foretells(RuleOnSettings):
    id, severity = "LW401", Severity.WARNING

    def check(self, record: StepRecord) -> Finding | None:
        return Finding("too strong", next_run=told(Evidence.WEIGHTS, 0.01, 0.002))


@dataclass
class Judges(Rule):
    id, severity, lasting = "LW205", Severity.WARNING, True
    finding: Finding

    def check(self, record: StepRecord) -> Finding | None:
        return self.finding if record.step == 3 else None


@pytest.mark.parametrize(
    ("id", "kind", "tried", "stays"),
    [("LW205", "head", 0.01, False), ("LW205", "padding", 0.01, True), ("LW207", "", 0.002, False)],
)
def test_nothing_is_prescribed_beside_a_fault_with_another_fix(id: str, kind: str, tried: float, stays: bool) -> None:
    judges = Judges(Finding("faulty", kind=kind, severity=Severity.ERROR))
    judges.id, episodes = id, Episodes([Foretells(), judges])
    for step in range(4):
        episodes.check(StepRecord(run_of(tried if step else 0.01), step, {}, lr=(0.01,)))
    forecast = next(alert for alert in episodes.alerts if alert.rule == "LW401")
    assert (episodes.prescription is not None, forecast.next_run is not None) == (stays, stays)


# -- the corpus --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "stays"), list(FORETOLD.items()), ids=["no harm", "large", "harm"])
def test_what_the_weights_have_said_is_withdrawn_at_the_end_of_a_run_without_harm(name: str, stays: bool) -> None:
    ((_, trace),) = load_all(spec for spec in plan() if spec.name == name).items()
    assert judge(trace, mute=["LW102"])[0].closed_step is None, "nobody has looked for harm"
    alerts = judge(trace)
    assert alerts[0].rule == "LW401"
    assert any(alert.next_run is not None for alert in alerts) == stays
    assert (alerts[0].closed_step is None) == stays
    assert stays or ending(alerts[0], alerts) == "ended. The run came to no harm, so this is withdrawn."


def test_following_it_asks_for_no_other_settings() -> None:
    """Of the corpus' families one in twenty: a run whose settings are those that another's prescription names."""
    families: dict[Spec, list[Spec]] = {}
    for spec in (spec for spec in plan() if not spec.fault):
        families.setdefault(dataclasses.replace(spec, lr=0.0, scale=0.0), []).append(spec)
    some = [members for members in families.values() if len(members) > 2][::20]
    judged = {spec: judge(trace) for spec, trace in load_all(itertools.chain(*some)).items()}
    followed, differing = contradictions(judged)
    assert followed > 20
    assert differing == []
