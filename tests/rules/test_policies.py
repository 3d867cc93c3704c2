"""Policies (GRPO, RLOO, DPO): real runs of TRL's trainers, each with a twin that is healthy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.corpus.policies import Policy, build
from lora_watch import LoraWatchCallback
from lora_watch.drivers.loop import Monitor
from lora_watch.measurement.signals.policy import NAMES, read
from lora_watch.runs.run import read_runs
from tests.rules.runs import ids

pytest.importorskip("trl")

GOOD = Policy("GRPO", reward="words", lr=1e-2, beta=0.04, steps=20)


def trained(policy: Policy, folder: Path, **settings: Any) -> tuple[Monitor, list[dict[str, Any]]]:
    """The monitor, and the Trainer's rows."""
    callback = LoraWatchCallback(console=False)
    trainer = build(policy, str(folder), [callback], **settings)
    trainer.train()
    assert callback.monitor is not None
    return callback.monitor, trainer.state.log_history


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Monitor, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("good")
    return folder, *trained(GOOD, folder)


def test_a_good_policy_has_no_alert(good: tuple[Path, Monitor, list[dict[str, Any]]]) -> None:
    folder, monitor, _ = good
    assert ids(monitor) == []
    reward = json.loads((folder / "lora_watch" / "report.json").read_text())["reward"]
    assert reward["last"]["value"] > reward["first"]["value"] + 0.2
    assert any("GRPOTrainer" in note and "LW202 to LW207" in note for note in monitor.run.notes)


def test_its_numbers_stand_at_the_steps_at_which_they_were_logged(
    good: tuple[Path, Monitor, list[dict[str, Any]]],
) -> None:
    folder, _, rows = good
    (run,) = read_runs([folder], [])
    for name in ("reward", "entropy", "no_spread", "kl"):
        logged = {row["step"]: row[NAMES[name][0]] for row in rows if NAMES[name][0] in row}
        assert len(logged) == GOOD.steps
        assert run.data.series_at(name) == pytest.approx(logged, rel=1e-6), name
    assert len(run.data.series_at("loss")) == GOOD.steps, "the steps themselves are whole"


@pytest.mark.parametrize(
    "row",
    [
        {"reward": 0.5, "kl": 0.1, "completion_length": 9.0, "clip_ratio": 0.2},  # GRPO, TRL 0.15
        {"reward": 0.5, "kl": 0.1, "completions/mean_length": 9.0, "clip_ratio/region_mean": 0.2},  # from 0.18 on
        {"objective/scores": 0.5, "objective/kl": 0.1, "policy/clipfrac_avg": 0.2, "completion_length": 9.0},  # PPO
    ],
)
def test_every_version_has_the_same_names(row: dict[str, float]) -> None:
    assert read(row) == {"reward": 0.5, "kl": 0.1, "clipped": 0.2, "completion_length": 9.0}


def test_rows_of_other_trainings_are_not_of_a_policy() -> None:
    assert read({"loss": 2.0, "entropy": 1.0, "epoch": 1.0}) == {}, "SFT logs an entropy, too"
    assert read({"eval_loss": 2.0, "eval_reward": 1.0}) == {}
    assert read({"reward": None, "entropy": 1.0}) == {}, "a reward function that has none"
