"""The plan: one thing changes at a time, and PEFT really applies the scale that the plan names."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from typer.testing import CliRunner, Result

from lora_watch import find_adapters
from lora_watch.cli.app import app
from lora_watch.search import Configuration, Plan
from tests.support import tiny_model

LR = 2e-4


def plan_command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments], env={"COLUMNS": "160", "TERM": "dumb", "NO_COLOR": "1"})


@pytest.mark.parametrize("rslora", [False, True])
def test_the_rank_stage_changes_the_rank_alone(rslora: bool) -> None:
    planned = Plan(LR, use_rslora=rslora).configurations()
    assert [c.r for c in planned[::3]] == [8, 16, 32, 64, 128]
    assert {c.seed for c in planned} == {0, 1, 2}
    assert [c.scale for c in planned] == pytest.approx([1] * 15)
    assert [c.effective_lr for c in planned] == pytest.approx([LR] * 15)
    if not rslora:
        assert all(c.lora_alpha == c.r for c in planned)


def test_a_held_alpha_under_rslora_holds_the_first_step() -> None:
    planned = Plan(LR, use_rslora=True, alpha=16).configurations()
    assert {c.lora_alpha for c in planned} == {16}
    assert [c.scale for c in planned[::3]] == pytest.approx([16 / math.sqrt(r) for r in (8, 16, 32, 64, 128)])
    assert [c.first_step for c in planned] == pytest.approx([planned[0].first_step] * 15)


def test_the_scale_stage_changes_the_scale_alone() -> None:
    planned = Plan(LR).configurations(rank=32)
    assert {c.r for c in planned} == {32}
    assert [c.scale for c in planned[::3]] == [0.5, 1, 2, 4]
    assert {c.learning_rate for c in planned} == {LR}
    kept = Plan(LR, keep_effective_lr=True).configurations(rank=32)
    assert [c.effective_lr for c in kept] == pytest.approx([LR] * 12)
    assert Plan(LR).at_rank(32, seed=2) in planned  # so that it need not run twice


def test_a_plan_without_a_rate_leaves_it_to_a_sweep() -> None:
    plan = Plan()
    assert {c.learning_rate for c in plan.configurations() + plan.configurations(32)} == {None}
    assert plan.at_rank(8).arguments() == {"seed": 0}
    assert plan.at_rank(8).name == "r8-s1-seed0"
    assert "sweep" in plan.notes()[0]
    assert Plan(**json.loads(plan.to_json())["plan"]) == plan
    assert Plan(LR).at_rank(8).arguments() == {"seed": 0, "learning_rate": LR}


@pytest.mark.parametrize("rslora", [False, True])
def test_peft_applies_the_scale_that_is_planned(rslora: bool) -> None:
    for each in Plan(LR, ranks=(2, 8), scale=2, seeds=2, use_rslora=rslora).configurations()[::2]:
        model = get_peft_model(tiny_model(), LoraConfig(**each.lora(), target_modules=["q_proj"]))
        assert {round(a.scale, 12) for a in find_adapters(model)} == {2.0}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"learning_rate": 0}, "learning_rate"),
        ({"ranks": (16, 8)}, "ascending"),
        ({"ranks": ()}, "ranks"),
        ({"scale": math.inf}, "scale"),
        ({"scales": (1, 1)}, "scales"),
        ({"seeds": 1}, "noise"),
        ({"most_seeds": 2}, "most_seeds"),
        ({"worth": 1}, "worth"),
        ({"alpha": 16}, "without rsLoRA"),
        ({"learning_rate": None, "keep_effective_lr": True}, "keep_effective_lr"),
    ],
)
def test_what_makes_no_plan_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Plan(**{"learning_rate": LR, **fields})


def test_a_plan_survives_its_file() -> None:
    plan = Plan(LR, ranks=(4, 8), scales=(1, 3), use_rslora=True, alpha=8, most_seeds=4)
    content = json.loads(plan.to_json())
    assert Plan(**content["plan"]) == plan
    assert [Configuration.from_dict(each) for each in content["configurations"]] == plan.configurations()


def test_the_command_shows_the_stages_and_writes_them(tmp_path: Path) -> None:
    shown = plan_command("--lr", "2e-4", "--out", str(tmp_path / "plan.json"))
    assert shown.exit_code == 0
    rows = [line.split() for line in shown.output.splitlines() if line.split()[:1] in (["8"], ["128"])]
    assert rows[0][:5] == ["8", "8", "1", "0.0002", "0.0002"]
    assert rows[1][-2:] == ["4", "3"]  # the first step grows as √r; three seeds
    assert "s·lr is 0.0002 throughout" in shown.output
    content = json.loads((tmp_path / "plan.json").read_text())
    assert len(content["configurations"]) == 15
    second = json.loads(plan_command("--lr", "2e-4", "--at-rank", "16", "--seeds", "2", "--json").output)
    assert [(c["r"], c["scale"]) for c in second["configurations"][::2]] == [(16, 0.5), (16, 1), (16, 2), (16, 4)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ranks", "8,x"], "--ranks"),
        (["--alpha", "16"], "rsLoRA"),
        (["--at-rank", "0"], "--at-rank"),
        (["--out", "/nowhere/plan.json"], "/nowhere/plan.json"),
    ],
)
def test_misuse_is_one_line(arguments: list[str], says: str) -> None:
    shown = plan_command("--lr", "2e-4", *arguments)
    assert shown.exit_code == 2
    assert says in shown.output
    assert len(shown.output.strip().splitlines()) == 1
