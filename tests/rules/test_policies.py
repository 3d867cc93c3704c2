"""Policies (GRPO, RLOO, DPO): real runs of TRL's trainers, each with a twin that is healthy."""

import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.corpus.policies import Policy, build, in_tens, load_all
from benchmarks.corpus.replay import judge
from benchmarks.corpus.traces import Trace
from lora_watch import LoraWatchCallback, Severity
from lora_watch.base.records import StepRecord
from lora_watch.measurement.signals.policy import NAMES, Course, course, numbers_of
from lora_watch.rules.base import RuleBetweenSteps
from lora_watch.rules.reward import BARE, NO_DIFFERENCE
from lora_watch.runs.comparison import compare
from lora_watch.runs.run import read_runs
from tests.rules.runs import ids, the
from tests.runs.written import edit_json
from tests.support import lora, report_of, tiny_model

pytest.importorskip("trl")

GOOD = Policy("GRPO", reward="words", lr=1e-2, beta=0.04, steps=20)


@dataclass
class LastWord(RuleBetweenSteps):
    """Keeps the reward that rules see when the run has ended."""

    id = "MY1"
    severity = Severity.INFO
    reward: ClassVar[Course | None] = None

    def conclude(self, record: StepRecord) -> None:
        LastWord.reward = course(record)


def trained(
    policy: Policy, folder: Path, before: Callable[[Any], object] = lambda trainer: None, **settings: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """The monitor, and the Trainer's rows. ``before(trainer)`` comes before the training."""
    callback = LoraWatchCallback(console=False, rules=[LastWord()])
    trainer = build(policy, str(folder), [callback], **settings)
    before(trainer)
    trainer.train()
    return callback.monitor, trainer.state.log_history


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("good")
    monitor, rows = trained(GOOD, folder)
    assert LastWord.reward is not None
    assert LastWord.reward.recent == report_of(folder)["reward"]["last"]["value"], "alerts and check say one number"
    return folder, monitor, rows


@pytest.fixture(scope="module")
def traces() -> dict[Policy, Trace]:
    return load_all()


def test_a_good_policy_has_no_alert(good: tuple[Path, Any, list[dict[str, Any]]]) -> None:
    folder, monitor, _ = good
    assert ids(monitor) == []
    reward = report_of(folder)["reward"]
    assert reward["last"]["value"] > reward["first"]["value"] + 0.1
    assert any("LW202 to LW205 and LW207, which judge a loss" in note for note in monitor.run.notes)
    assert monitor.run.config["reference"] == BARE


def test_runs_with_other_rewards_are_no_repeats_and_are_not_ranked(
    good: tuple[Path, Any, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, monitor, _ = good
    assert re.fullmatch(r"\w+ [0-9a-f]{8}", monitor.run.config["reward_funcs"])
    found = {}
    for name in (monitor.run.config["reward_funcs"], "another 01234567", None):
        other = shutil.copytree(folder, tmp_path / str(name))
        config = {**monitor.run.config, "seed": 1, "reward_funcs": name}
        edit_json(other / "lora_watch" / "report.json", config=config)
        compared = compare([folder, other])
        found[name] = len(compared.configurations), any("reward_funcs" in note for note in compared.notes)
    assert [*found.values()] == [(1, False), (2, True), (2, False)], "the same, others, unknown ones"


def test_its_numbers_stand_at_the_steps_at_which_they_were_logged(
    good: tuple[Path, Any, list[dict[str, Any]]],
) -> None:
    folder, _, rows = good
    (run,) = read_runs([folder], [])
    for name in ("reward", "entropy", "no_spread", "kl"):
        logged = {row["step"]: row[NAMES[name][0]] for row in rows if NAMES[name][0] in row}
        assert len(logged) == GOOD.steps
        assert run.data.series_at(name) == pytest.approx(logged, rel=1e-6), name
    assert len(run.data.series_at("loss")) == GOOD.steps, "the steps themselves are whole"


@pytest.mark.parametrize(
    ("row", "is_policy"),
    [
        ({"reward": 0.5, "kl": 0.1, "completion_length": 9.0, "clip_ratio": 0.2}, True),  # GRPO, TRL 0.15
        ({"reward": 0.5, "kl": 0.1, "completions/mean_length": 9.0, "clip_ratio/region_mean": 0.2}, True),  # from 0.18
        ({"objective/scores": 0.5, "objective/kl": 0.1, "policy/clipfrac_avg": 0.2, "completion_length": 9}, True),
        ({"loss": 2.0, "entropy": 1.0, "epoch": 1.0}, False),  # SFT logs an entropy, too
        ({"eval_loss": 2.0, "eval_reward": 1.0}, False),
        ({"reward": None, "entropy": 1.0}, False),  # a reward function that has none
        ({"margin": 0.5, "accuracy": 0.9}, False),  # numbers of a script's own
    ],
)
def test_every_version_has_the_same_names(row: dict[str, Any], is_policy: bool) -> None:
    known = {"reward": 0.5, "kl": 0.1, "clipped": 0.2, "completion_length": 9.0}
    assert numbers_of(row) == (known if is_policy else {})


def sampling_apart(folder: Path, stale: bool) -> Any:
    """GRPO whose sampler is a model of its own, as with vLLM, and logs what TRL logs then. ``stale``: the sampler never
    gets the adapter."""
    import torch

    grpo: Any = pytest.importorskip("trl").GRPOTrainer

    class Apart(grpo):
        def _generate(self, prompts: list[Any]) -> Any:
            self.use_vllm = False
            with self.model.disable_adapter() if stale else nullcontext():
                out = list(super()._generate(prompts))
                scores = []
                for asked, answer in zip(out[0], out[1]):
                    ids = torch.tensor([[*asked, *answer]])
                    known = torch.ones_like(ids)
                    with torch.no_grad():
                        found = self._get_per_token_logps_and_entropies(self.model, ids, known, len(answer))
                    scores.append(found[0][0].tolist())
            out[4], self.use_vllm, self.vllm_importance_sampling_correction = scores, True, True
            return tuple(out)

    return trained(replace(GOOD, steps=6), folder, kind=Apart)[0]


def test_rollouts_of_a_sampler_without_the_adapter_and_of_one_that_follows(tmp_path: Path) -> None:
    assert the("LW315", sampling_apart(tmp_path / "stale", stale=True)).severity == Severity.ERROR
    assert ids(sampling_apart(tmp_path / "follows", stale=False)) == []


@pytest.mark.parametrize(("steps", "every"), [(12, 1), (16, 5), (6, 1)])
def test_rewards_that_are_all_equal(steps: int, every: int, tmp_path: Path) -> None:
    """A run that has done nothing is named at its end, however short. It is no matter of the rate, nor of a cut."""
    monitor, _ = trained(Policy(reward="equal", lr=2e-3, steps=steps), tmp_path, logging_steps=every)
    found = [(alert.rule, alert.severity, alert.next_run) for alert in monitor.alerts]
    flat = [("LW210", Severity.WARNING, None)] * (steps > 10)
    assert found == [*flat, ("LW303", Severity.ERROR, None)]
    last = the("LW303", monitor)
    assert (last.step, last.causes) == (steps, [NO_DIFFERENCE])


def test_a_reward_that_has_not_risen_by_the_end(traces: dict[Policy, Trace]) -> None:
    flat, risen = (replace(Policy(seed=1, reward="length"), r=r, lr=lr) for r, lr in ((64, 1e-3), (8, 5e-3)))
    (alert,) = judge(traces[flat])
    assert (alert.rule, alert.settings) == ("LW206", {}), "its adapters are neither too small nor too large"
    assert judge(traces[risen]) == []
    (too_strong,) = judge(traces[Policy(lr=1e-2, seed=3)])
    assert (too_strong.rule, too_strong.settings) == ("LW206", {"learning_rate": 5e-3}), "the best of its family"


def test_the_twins_of_the_corpus(traces: dict[Policy, Trace]) -> None:
    """GRPO at a rate as for full fine-tuning, at a good one and at a ruinous one."""
    wasted, good, collapsed = (judge(traces[Policy(lr=lr)]) for lr in (3e-5, 5e-3, 5e-2))
    assert [(alert.rule, alert.severity) for alert in wasted] == [("LW104", Severity.WARNING)]
    assert wasted[0].settings["learning_rate"] > 3e-4
    assert good == []
    assert ("LW102", Severity.ERROR) in [(alert.rule, alert.severity) for alert in collapsed]
    at_once = next(alert for alert in judge(traces[Policy(r=1, lr=0.3)]) if alert.rule == "LW102")
    assert "loss" not in at_once.details, "that of a policy says nothing, before a reward is known, too"


@pytest.mark.parametrize("logged", [list, in_tens])
def test_a_margin_that_hardly_rises(logged: Callable[[Any], Any], traces: dict[Policy, Trace]) -> None:
    """In two runs to 0.02 and 0.03; in their twins, at ten times the rate or with eight times the rank, to 0.2."""
    found = {}
    for r, lr in ((8, 3e-5), (1, 3e-4), (8, 3e-4), (64, 3e-5)):
        trace = traces[Policy("DPO", reward="letter", steps=50, r=r, lr=lr)]
        alerts = judge(replace(trace, rows=logged(trace.rows)))
        assert all(5e-4 <= alert.settings["learning_rate"] <= 5e-3 for alert in alerts)
        found[r, lr] = [(alert.rule, alert.severity) for alert in alerts]
    assert [*found.values()] == [[("LW104", Severity.WARNING)]] * 2 + [[]] * 2


@pytest.mark.parametrize(("every", "alerts"), [(10, []), (5, ["LW104"])])
def test_of_few_rows_a_note_says_that_they_are_too_few(every: int, alerts: list[str], tmp_path: Path) -> None:
    monitor, _ = trained(Policy("DPO", lr=1e-6, steps=30), tmp_path, logging_steps=every)
    assert ids(monitor) == alerts
    assert any("too few to judge" in note for note in report_of(tmp_path)["notes"]) == (not alerts)


def test_where_adapters_become_nearly_large_enough_half_of_the_schedule_decides(traces: dict[Policy, Trace]) -> None:
    """By then the reward of one has risen, and that of its twin has not."""
    learns = Policy("RLOO", reward="words", r=1, lr=5e-3, beta=0.05, seed=4)
    assert judge(traces[learns]) == []
    assert [(alert.rule, alert.step) for alert in judge(traces[Policy(reward="length", seed=1)])] == [("LW104", 18)]


def test_a_reward_that_dips_is_no_reward_that_falls(traces: dict[Policy, Trace]) -> None:
    """One is below its start for three steps, and is learned again; the other stays there."""
    dips, falls = (judge(traces[p]) for p in (Policy(reward="length", lr=1e-2, seed=1), Policy(r=64, lr=5e-3)))
    assert "LW102" not in [alert.rule for alert in dips]
    assert ("LW102", Severity.WARNING) in [(alert.rule, alert.severity) for alert in falls]


def going_on(folder: Path, with_reference: bool) -> Any:
    """DPO that trains an adapter further."""
    model = lora(tiny_model())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.02)

    def before(trainer: Any) -> None:
        if not with_reference:  # as TRL before 0.29
            trainer.model.delete_adapter("ref")

    return trained(Policy("DPO", steps=3), folder, before, model=model)[0]


def test_the_reference_of_an_adapter_that_is_trained_further_is_the_bare_base_or_the_adapter(tmp_path: Path) -> None:
    monitor = going_on(tmp_path / "bare", with_reference=False)
    assert the("LW410", monitor).severity == Severity.WARNING
    assert monitor.run.config["reference"] == BARE
    monitor = going_on(tmp_path / "adapter", with_reference=True)
    assert ids(monitor) == []
    assert any("the adapter ref" in note for note in monitor.run.notes)


def test_preferences_that_are_learned_by_heart(traces: dict[Policy, Trace]) -> None:
    by_heart, twin = (judge(traces[Policy("DPO", reward="letter", steps=50, lr=lr)]) for lr in (5e-3, 3e-4))
    found = sorted((alert.rule, alert.severity) for alert in by_heart)
    assert found == [("LW209", Severity.WARNING), ("LW401", Severity.INFO)], "which ends no run of fail_on"
    assert twin == []


def test_preferences_that_cost_the_model_its_language(traces: dict[Policy, Trace]) -> None:
    """The margin rises in all of them. The rate that is advised is one at which the reward has held."""
    ruined, held = (Policy("DPO", reward="letter", steps=50, lr=lr) for lr in (1e-2, 2e-3))
    by_heart, alert = (a for a in judge(traces[ruined]) if a.severity == Severity.WARNING)
    assert (by_heart.rule, by_heart.closed_step, alert.rule) == ("LW209", None, "LW102"), "a WARNING hides no other"
    assert re.search(r"margin went .* get worse", alert.details), "a margin that rises is no praise"
    assert 3e-4 < alert.settings["learning_rate"] < 2e-3
    assert judge(traces[held]) == []
    soon = judge(traces[Policy("DPO", reward="letter", steps=50, r=64, lr=2e-2)])
    assert [(a.step, "margin" in a.details) for a in soon if a.rule == "LW102"] == [(2, False)], "none is known yet"
    worst = judge(traces[Policy("DPO", reward="letter", steps=50, lr=5e-2)])  # its adapters grow to the end
    assert [(a.severity, a.closed_step) for a in worst if a.rule == "LW102"] == [(Severity.ERROR, None)]
