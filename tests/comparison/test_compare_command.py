"""``lora-watch compare`` on real runs: ranks and seeds of the packaged model, trained and evaluated by the Trainer."""

from __future__ import annotations

import math
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.cli.app import app
from lora_watch.runs.run import read_runs
from lora_watch.tensorboard_plugin.page import packing
from lora_watch.tensorboard_plugin.page.answers import Answers, drawable
from tests.sinks.made_up import parse
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model
from tests.tensorboard_plugin.serving import routes

RANKS, SEEDS, STEPS = (2, 8, 32), (0, 1, 2), 20
LR = 2e-2
"""So high that rank 32 comes out worse than 8, in each seed by a tenth or more."""


def train_into(folder: Path, r: int, alpha: float, seed: int = 0, fail_on: str = "never", **arguments: Any) -> float:
    """A real run with an evaluation at its end, and what that found; NaN where the policy has ended it."""
    torch.manual_seed(seed)
    data = stdlib_blocks(288, 64)
    trainer = build_trainer(
        lora(tiny_model(), r=r, alpha=alpha),
        data[:256],
        STEPS,
        callbacks=[LoraWatchCallback(fail_on=fail_on, console=False)],
        seed=seed,
        eval_dataset=data[256:],
        output_dir=str(folder),
        **{"lr": LR, "report_to": "tensorboard", **arguments},
    )
    try:
        trainer.train()
    except LoraWatchError:
        return math.nan
    return trainer.evaluate()["eval_loss"]


Sweep = tuple[Path, dict[tuple[int, int], float]]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A folder of nine runs, α = r, and ``eval_loss`` by rank and seed."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, {(r, s): train_into(folder / f"r{r}-seed{s}", r, r, s) for r in RANKS for s in SEEDS}


@pytest.fixture(scope="module")
def muddle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks with the same α, and another batch size and warm-up for the second."""
    folder = tmp_path_factory.mktemp("muddle")
    train_into(folder / "small", 2, 16, lr=2e-3)
    train_into(folder / "large", 8, 16, lr=2e-3, per_device_train_batch_size=2, warmup_steps=5)
    return folder


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_trials_of_a_search_are_compared_with_the_training_after_it(muddle: Path, tmp_path: Path) -> None:
    """The Trainer's hyperparameter_search trains in run-0, run-1 and so on, and train() then in the folder itself."""
    out = shutil.copytree(muddle / "small", tmp_path / "out")
    assert "1 run in 1 configuration," in compare(out).stdout
    shutil.copytree(muddle / "large", out / "run-0")
    shutil.copytree(muddle / "large", out / "sweep" / "run-1")
    assert [len(each["runs"]) for each in as_json(out)["configurations"]] == [1, 2]
    assert as_json(out, out / "run-0") == as_json(out)
    CliRunner().invoke(app, ["report", str(out), "-o", str(tmp_path / "page.html")], catch_exceptions=False)
    assert "<title>lora_watch: 3 runs</title>" in (tmp_path / "page.html").read_text()


def as_json(*arguments: str | Path) -> dict[str, Any]:
    return parse(compare(*arguments, "--json").stdout.encode())


def test_quality_against_rank(sweep: Sweep) -> None:
    folder, losses = sweep
    content = as_json(folder)
    assert (content["metric"], content["higher_is_better"]) == ("eval_loss", False)
    for each, r in zip(content["configurations"], RANKS, strict=True):
        assert (each["r"], each["alpha"], each["scale"], each["learning_rate"]) == (r, r, 1, LR)
        assert {run["seed"]: run["quality"]["eval_loss"] for run in each["runs"]} == {s: losses[r, s] for s in SEEDS}
        assert each["mean"] == pytest.approx(statistics.fmean(losses[r, s] for s in SEEDS))
    (curve,) = content["curves"]
    assert (curve["along"], curve["held"]) == ("r", "s = 1, lr = 0.02")
    (broken,) = curve["confounds"]
    alerts = [run["alerts"].get("error", 0) for run in content["configurations"][2]["runs"]]
    assert any(alerts)
    assert broken.startswith(f"At r = 32 {sum(map(bool, alerts))} of {len(SEEDS)} runs ")
    for pair, (before, after) in zip(curve["pairs"], ((2, 8), (8, 32)), strict=True):
        gains = [losses[before, s] - losses[after, s] for s in SEEDS]
        assert pair["gain"] == pytest.approx(
            statistics.fmean(gains) / statistics.fmean(losses[before, s] for s in SEEDS)
        )
    assert [pair["verdict"] for pair in curve["pairs"]] == ["climbs", "flat"]
    assert (curve["plateau"], curve["chosen"]) == (1, 1)
    assert curve["turns"]  # rank 32 has exploded


def test_the_text_says_what_to_take(sweep: Sweep) -> None:
    done = compare(sweep[0])
    assert done.exit_code == 0
    assert re.search(r"^9 runs .*3 configurations, .*eval_loss \(lower ", done.stdout)
    assert re.search(r"Plateau: .*rank 8 .*worse\.\n  Rank 8 .*best\.$", done.stdout, re.MULTILINE)
    assert re.search(rf"8 → 32: -.* {len(SEEDS)} pairs .*worse$", done.stdout, re.MULTILINE)
    assert "differ:" not in done.stdout


def test_confounds_are_named(muddle: Path) -> None:
    (curve,) = as_json(muddle)["curves"]
    for names in (
        r"^s .*α stayed 16 \(8 at r = 2, 2 at r = 8\)",
        r"^s·lr .*0\.016 at r = 2 .*0\.004 at r = 8",
        "^per_device_train_batch_size .*: 4 at r = 2; 2 at r = 8",
        "^warmup_steps ",
        "^One pair .*noise",
    ):
        assert len([said for said in curve["confounds"] if re.search(names, said)]) == 1, names
    assert curve["plateau"] is None
    text = compare(muddle).stdout
    assert "differ:" in text
    assert "  per_device_train_batch_size: 4 (small); 2 (large)" in text


def test_a_run_that_its_policy_ended_is_shown_and_does_not_count(sweep: Sweep, tmp_path: Path) -> None:
    train_into(tmp_path / "broken", 8, 256, fail_on="error", lr=0.1)
    content = as_json(sweep[0], tmp_path)
    assert len(content["curves"]) == 1
    assert any(re.search(r"broken .*step \d+ .*LW102", note) for note in content["notes"])
    (broken,) = [run for c in content["configurations"] for run in c["runs"] if run["left_out"]]
    assert broken["alerts"]["error"] >= 1


def test_event_files_alone_give_both_losses(sweep: Sweep, tmp_path: Path) -> None:
    for r in RANKS:
        shutil.copytree(sweep[0] / f"r{r}-seed0" / "runs", tmp_path / f"r{r}")
    content, whole = as_json(tmp_path), as_json(sweep[0])
    assert (content["metric"], content["notes"]) == ("eval_loss", [])
    for each, full in zip(content["configurations"], whole["configurations"], strict=True):
        (run,), first = each["runs"], full["runs"][0]
        assert [each[k] for k in ("r", "scale", "effective_lr")] == [full[k] for k in ("r", "scale", "effective_lr")]
        assert run["seed"] == 0
        assert run["quality"] == pytest.approx({name: first["quality"][name] for name in ("eval_loss", "train_loss")})
        assert run["norms"]["delta_norm"]["median"] == pytest.approx(first["norms"]["delta_norm"]["median"], rel=1e-6)

    _, evaluated = sorted((tmp_path / "r2").rglob("events.out.tfevents.*"))  # the Trainer opens one more after its end
    evaluated.unlink()
    content = as_json(tmp_path)
    assert content["metric"] == "train_loss"
    assert any("trainer.evaluate()" in note for note in content["notes"])


def test_a_report_alone_has_no_mean_loss_to_compare(sweep: Sweep, tmp_path: Path) -> None:
    shutil.copytree(sweep[0] / "r2-seed0", tmp_path / "bare", ignore=shutil.ignore_patterns("runs"))
    content = as_json(sweep[0] / "r2-seed1", tmp_path / "bare", "--metric", "train_loss")
    runs = [run for each in content["configurations"] for run in each["runs"]]
    assert {Path(run["name"]).name: "train_loss" in run["quality"] for run in runs} == {"r2-seed1": True, "bare": False}
    assert f"{tmp_path / 'bare'} has no train_loss." in content["notes"]


def test_the_metric_can_be_chosen(sweep: Sweep) -> None:
    content = as_json(sweep[0], "--metric", "train_loss", "--better", "higher")
    assert (content["metric"], content["higher_is_better"]) == ("train_loss", True)
    assert content["curves"][0]["pairs"][0]["gain"] < 0
    done = compare(sweep[0], "--metric", "eval_f1")
    assert done.exit_code == 2
    assert "eval_loss, train_loss" in done.stderr.replace("\n", " ")


def test_nothing_and_unreadable(sweep: Sweep, tmp_path: Path) -> None:
    assert compare(tmp_path).exit_code == 2
    assert re.search(rf"UNREADABLE {tmp_path}: .*no run", compare(tmp_path).stdout)
    assert as_json(tmp_path)["configurations"] == []
    shutil.copytree(sweep[0] / "r2-seed0", tmp_path / "cut")
    report = tmp_path / "cut" / "lora_watch" / "report.json"
    report.write_bytes(report.read_bytes()[:1000])
    done = compare(sweep[0], report)
    assert done.exit_code == 2
    assert "UNREADABLE" in done.stdout
    content = as_json(sweep[0], report)
    assert len(content["unreadable"]) == 1
    assert [curve["chosen"] for curve in content["curves"]] == [1]  # what can be read is compared all the same


def test_the_tab_and_the_page_say_the_same_from_events_alone(sweep: Sweep, tmp_path: Path) -> None:
    bare = shutil.copytree(sweep[0], tmp_path / "bare", ignore=shutil.ignore_patterns("lora_watch"))
    unreadable: list[str] = []
    page = Answers(drawable([*read_runs([bare], unreadable)], unreadable)).plain[packing.key("sweep")]
    with routes(bare) as tab:
        content = tab.json("sweep")
    assert unreadable == []
    assert (page["metric"], page["curves"]) == (content["metric"], content["curves"])
    curves, words = as_json(sweep[0])["curves"], compare(sweep[0]).stdout
    said = [line for curve in content["curves"] for line in curve.pop("words")]
    assert said
    assert [line for line in said if line not in words] == []
    assert (content["metric"], content["notes"]) == ("eval_loss", [])
    assert content["curves"] == [approximately(curve) for curve in curves]


def approximately(curve: dict[str, Any]) -> dict[str, Any]:
    """TensorBoard keeps scalars in float32."""
    numbers = ("gain", "low", "high")
    return {
        **curve,
        "pairs": [pair | {key: pytest.approx(pair[key], abs=1e-4) for key in numbers} for pair in curve["pairs"]],
    }


def test_without_torch(sweep: Sweep) -> None:
    code = (
        "import sys\nfrom lora_watch.cli.app import main\n"
        f"sys.argv = ['lora-watch', 'compare', {str(sweep[0])!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print('heavy:', sorted({'torch', 'transformers', 'peft', 'optuna'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout
