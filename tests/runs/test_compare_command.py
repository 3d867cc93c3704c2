"""``lora-watch compare`` on real runs: ranks and seeds of the packaged model, trained and evaluated by the Trainer."""

import math
import re
import shutil
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor
from lora_watch.base.alerts import Alert, Severity
from lora_watch.cli.app import app
from lora_watch.drivers.trainer_info import data_of
from tests.runs.written import edit_json
from tests.sinks.made_up import alert_of, parse
from tests.support import build_trainer, few, stdlib_blocks

RANKS, SEEDS, STEPS = (2, 8, 32), (0, 1), 12
LR = 1e-2
"""At which no rank gets an ERROR, and the largest comes out best."""


def train_into(
    folder: Path, r: int, alpha: float, seed: int = 0, fail_on: str = "never", first: int = 0, **arguments: Any
) -> float:
    """A real run with an evaluation at its end, and what that found; NaN where the policy has ended it."""
    torch.manual_seed(seed)
    data = stdlib_blocks(296, 64)[first:]
    trainer = build_trainer(
        few(r=r, alpha=alpha),
        data[:256],
        STEPS,
        callbacks=[LoraWatchCallback(fail_on=fail_on, console=False)],
        seed=seed,
        eval_dataset=data[256:288],
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
    """A folder of six runs, α = r, and ``eval_loss`` by rank and seed."""
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


def as_json(*arguments: str | Path) -> dict[str, Any]:
    return parse(compare(*arguments, "--json").stdout.encode())


def test_trials_of_a_search_are_compared_with_the_training_after_it(muddle: Path, tmp_path: Path) -> None:
    """The Trainer's hyperparameter_search trains in run-0, run-1 and so on, and train() then in the folder itself."""
    out = shutil.copytree(muddle / "small", tmp_path / "out")
    for name in ("run-0", "run-1"):
        shutil.copytree(muddle / "large", out / name)
    assert "1 run in 1 configuration," in compare(out).stdout
    content = as_json(out, out / "run-0", out / "run-1")
    assert sorted(len(each["runs"]) for each in content["configurations"]) == [1, 2], "made again and the same"
    assert {run["name"] for each in content["configurations"] for run in each["runs"]} == {"out", "run-0", "run-1"}
    assert as_json(out, out, out / "run-0", out / "run-1") == content, "a run that is named twice counts once"
    edit_json(
        out / "run-1" / "lora_watch" / "report.json", evaluation={"eval_loss": {"last": {"step": 3, "value": 9.0}}}
    )
    content = as_json(out, out / "run-0", out / "run-1")
    assert [len(each["runs"]) for each in content["configurations"]] == [1, 1, 1], "one seed twice is no repeat"
    assert "run-0, run-1 have the same settings and seed" in content["notes"][-1]


def test_repeats_are_averaged(sweep: Sweep) -> None:
    folder, losses = sweep
    content = as_json(folder)
    assert (content["metric"], content["higher_is_better"], content["best"]) == ("eval_loss", False, 2)
    for each, r in zip(content["configurations"], RANKS, strict=True):
        assert (each["r"], each["alpha"], each["scale"], each["learning_rate"]) == (r, r, 1, LR)
        assert {run["seed"]: run["quality"]["eval_loss"] for run in each["runs"]} == {s: losses[r, s] for s in SEEDS}
        assert each["mean"] == pytest.approx(statistics.fmean(losses[r, s] for s in SEEDS))
    best = statistics.fmean(losses[32, s] for s in SEEDS)
    gaps = [losses[2, s] - losses[32, s] for s in SEEDS]
    reach = 6.314 * statistics.stdev(gaps) / math.sqrt(2)  # Student's, one degree of freedom
    assert content["configurations"][0]["behind"] == pytest.approx([statistics.fmean(gaps) / best, reach / best])
    assert content["configurations"][2]["behind"] is None


def test_the_table_has_the_folder_and_the_rate_and_fits_a_screen(sweep: Sweep, tmp_path: Path) -> None:
    done = compare(sweep[0])
    assert done.exit_code == 0
    assert re.search(r"^6 runs .*3 configurations, .*eval_loss \(lower ", done.stdout)
    assert re.search(r"^r32-seed0 … \(2\) +32 +32 +1 +0\.01 +12 +\d", done.stdout, re.MULTILINE)
    assert next(row.split()[0][:2] for row in done.stdout.splitlines() if "-seed0 … (2) " in row) == "r3", "best first"
    assert re.search(r"^Best: r32-seed0 … \(2\), eval_loss ", done.stdout, re.MULTILINE)
    assert "differs:" not in done.stdout
    long = tmp_path / ("a-name-that-is-long-" * 5) / "r2-seed0"
    shutil.copytree(sweep[0] / "r2-seed0", long)
    out = compare(tmp_path, sweep[0] / "r8-seed0").stdout
    assert max(map(len, out.splitlines())) <= 100
    assert "…" in out
    assert "/r2-seed0 " in out, "the end of a name tells runs apart"


def test_runs_on_other_data_are_no_repeats(sweep: Sweep, tmp_path: Path) -> None:
    runs = [sweep[0] / "r2-seed0", sweep[0] / "r2-seed1", tmp_path / "other"]
    train_into(runs[2], 2, 2, 1, first=8)
    assert as_json(*runs[:2])["best"] == 0
    content = as_json(*runs)
    assert [[Path(run["name"]).name for run in each["runs"]] for each in content["configurations"]] == [
        ["r2-seed0", "r2-seed1"],
        ["other"],
    ]
    assert sorted(content["differences"]) == ["eval_data", "train_data"]
    assert content["best"] is None
    assert "eval_data" in content["notes"][-1]
    assert "Best:" not in compare(*runs).stdout


def test_equal_rows_are_the_same_data_whatever_a_map_calls_them_and_are_read_as_stored() -> None:
    whole = pytest.importorskip("datasets").Dataset.from_list(rows := [{"text": str(i)} for i in range(100)])
    mapped = whole.map(lambda row: row, new_fingerprint="0" * 16).with_transform(lambda rows: 1 / 0)
    assert data_of(mapped) == data_of(whole) != data_of(whole.select(range(99, -1, -1)))
    tensors = [{"input_ids": torch.arange(i, i + 4)} for i in range(200)]
    assert data_of(tensors) == data_of([tensors[0], tensors[0], *tensors[2:]]) != data_of(tensors[1:]), "64 of them"
    assert len({data_of([*rows[:at], {"text": "NaN"}, *rows[at + 1 :]]) for at in range(100)}) == 100
    assert data_of({"own": whole}) not in (None, data_of({"own": rows[1:]}))
    wide, other = ([{"pixels": "0" * 200_000}, {"pixels": last}] for last in "01")
    assert data_of(wide) == data_of(other), "of wide rows the first alone is read"


def test_other_settings_that_differ_are_named(muddle: Path) -> None:
    out = compare(muddle).stdout
    assert "differs:" in out
    assert "  per_device_train_batch_size: 4 (small)" in out
    assert "  per_device_train_batch_size: 2 (large)" in out
    assert "  warmup_steps: 5 (large)" in out
    assert {"per_device_train_batch_size", "warmup_steps"} <= set(as_json(muddle)["differences"])


def test_what_differs_between_optimizers_of_plain_loops_is_named(tmp_path: Path) -> None:
    adamw, sgd = partial(torch.optim.AdamW, lr=LR), partial(torch.optim.SGD, lr=LR)
    for place, make in enumerate((partial(adamw, weight_decay=20.0, eps=1.0), adamw, partial(sgd, momentum=0.5))):
        model = few()
        with Monitor(model, make(model.parameters()), output_dir=tmp_path / str(place), console=False) as monitor:
            monitor.step(loss=1.0)
    differences = as_json(tmp_path)["differences"]
    assert sorted(differences) == ["eps", "momentum", "optimizer", "weight_decay"]
    assert {each["value"] for each in differences["weight_decay"]} == {"20.0", "0.01", "0.0"}
    assert sorted(as_json(tmp_path / "0", tmp_path / "1")["differences"]) == ["eps", "weight_decay"]


def test_an_optimizer_and_a_schedule_that_the_script_gives_the_trainer_are_its_settings(tmp_path: Path) -> None:
    adamw, sgd, other = torch.optim.AdamW, torch.optim.SGD, partial(torch.optim.AdamW, betas=(0.5, 0.9))
    runs = [(adamw, None), (sgd, None), (other, None), (adamw, lambda n: 1.0), (adamw, lambda n: 0.5**n)]
    for seed, (make, rates) in enumerate(runs):
        callbacks, model = [LoraWatchCallback(console=False, tensorboard=False)], few()
        trainer = build_trainer(model, None, 4, callbacks, seed=seed, output_dir=str(tmp_path / str(seed)))
        trainer.optimizer = make([p for p in model.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.0)
        trainer.lr_scheduler = rates and torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, rates)
        trainer.train()
    content = as_json(tmp_path)
    assert [len(each["runs"]) for each in content["configurations"]] == [1] * 5
    values = {name: sorted(each["value"] for each in found) for name, found in content["differences"].items()}
    assert {"LambdaLR (rate × 1, 0.5, 0.25, 0.125)", "linear"} < set(values.pop("lr_scheduler_type"))
    assert (values.pop("optim"), values) == (["AdamW", "SGD"], {"betas": ["[0.5, 0.9]", "not set"]})


def test_a_run_that_its_policy_ended_is_shown_and_does_not_count(sweep: Sweep, tmp_path: Path) -> None:
    train_into(tmp_path / "broken", 8, 256, fail_on="error", lr=0.1)
    train_into(tmp_path / "weak", 8, 8, fail_on="warning", lr=1e-6)
    content = as_json(sweep[0], tmp_path)
    for name, rule in (("broken", "LW102"), ("weak", "LW104")):
        assert any(re.search(rf"{name} is not ranked: .*step \d+.*{rule}", note) for note in content["notes"])
    left_out = [run for c in content["configurations"] for run in c["runs"] if run["left_out"]]
    assert all(run["alerts"]["error"] for run in left_out)
    ranked, _, rest = compare(sweep[0], tmp_path).stdout.partition("Not ranked:")
    assert ["broken" in part.partition("Best:")[0] for part in (ranked, rest)] == [False, True]


@pytest.mark.parametrize(
    "alert",
    [
        alert_of(3, "LW301", Severity.ERROR),
        alert_of(3, "LW102", Severity.WARNING, back_to=0),
    ],
)
def test_a_run_with_an_error_or_a_recovery_repeats_none_without(alert: Alert, sweep: Sweep, tmp_path: Path) -> None:
    other = shutil.copytree(sweep[0] / "r2-seed1", tmp_path / "other")
    assert len(as_json(sweep[0] / "r2-seed0", other)["configurations"]) == 1
    new_head = {"peak_lr": [LR / 2, LR], "lr_factor": 0.5} | ({} if alert.recovered_from else {"config": {}})
    edit_json(other / "lora_watch" / "report.json", alerts=[alert.to_dict()], **new_head)
    content = as_json(sweep[0] / "r2-seed0", other)
    assert [len(each["runs"]) for each in content["configurations"]] == [1, 1]
    said = compare(sweep[0] / "r2-seed0", other).stdout
    assert ("Not ranked:" in said) == (alert.severity is Severity.ERROR)
    assert " 0.005 (0.01 set) " in said, "the rate of the adapters, where the script's is told and where not"
    assert "bf16" not in content["differences"], "which without the Trainer's arguments is not known"
    if alert.recovered_from:
        assert {each["value"] for each in content["differences"]["recovered"]} == {"yes", "no"}


def test_preferences_whose_adapters_stayed_too_large_are_never_the_best(sweep: Sweep, tmp_path: Path) -> None:
    runs = [shutil.copytree(sweep[0] / f"r{r}-seed0", tmp_path / f"r{r}") for r in (2, 32)]
    too_large = [alert_of(3, "LW102", Severity.WARNING).to_dict()]
    courses = ((runs[1], [], True, 1), (runs[1], too_large, False, 1), (runs[1], too_large, True, 0))
    for run, alerts, prefers, best in (*courses, (runs[0], too_large, True, None)):
        report = run / "lora_watch" / "report.json"
        edit_json(report, alerts=alerts, config={**parse(report.read_bytes())["config"], "preference": prefers})
        content = as_json(*runs)
        noted = any("LW102" in note for note in content["notes"])
        assert ("Not ranked:" in compare(*runs).stdout) == noted
        assert (content["best"], noted) == (best, bool(alerts) and prefers), "a loss that is evaluated says more"


def test_a_rate_that_did_not_train_is_not_shown_and_equal_results_have_no_best(sweep: Sweep, tmp_path: Path) -> None:
    runs = [sweep[0] / "r8-seed0", shutil.copytree(sweep[0] / "r8-seed0", tmp_path / "resumed")]
    report = runs[1] / "lora_watch" / "report.json"
    edit_json(report, config={**parse(report.read_bytes())["config"], "learning_rate": LR / 3})
    content = as_json(*runs)
    assert [each["learning_rate"] for each in content["configurations"]] == [LR, LR]
    assert content["best"] is None
    assert f" {LR:g} ({LR / 3:.4g} set) " in compare(*runs).stdout
    assert content["notes"][-1].endswith("resumed have the same eval_loss.")
    for kind, left_out in (("script", False), ("rate", True)):  # the one has trained at the checkpoint's all along
        edit_json(report, alerts=[alert_of(3, "LW314", Severity.WARNING, kind=kind).to_dict()])
        assert any("trained at two (LW314)" in note for note in as_json(*runs)["notes"]) is left_out
    edit_json(report, alerts=[alert_of(3, "LW301", Severity.ERROR).to_dict()])
    assert re.search(r"^Best: .*r8-seed0, ", compare(*runs).stdout, re.MULTILINE), "with an ERROR it is behind"


def test_a_report_alone_has_the_mean_loss_too(sweep: Sweep, tmp_path: Path) -> None:
    shutil.copytree(sweep[0] / "r2-seed0", tmp_path / "bare", ignore=shutil.ignore_patterns("runs"))
    content = as_json(sweep[0] / "r2-seed0", tmp_path / "bare", "--metric", "final_loss")
    runs = [run for each in content["configurations"] for run in each["runs"]]
    assert len({run["quality"]["final_loss"] for run in runs}) == 1
    edit_json(tmp_path / "bare" / "lora_watch" / "report.json", evaluation={})
    content = as_json(sweep[0] / "r2-seed1", tmp_path / "bare")
    assert content["metric"] == "final_loss"
    assert any("trainer.evaluate()" in note for note in content["notes"])
    content = as_json(sweep[0] / "r8-seed0", tmp_path / "bare", "--metric", "eval_loss")
    assert content["best"] is None
    assert content["notes"][-1].endswith("only sweep0/r8-seed0 has the eval_loss.")
    edit_json(tmp_path / "bare" / "lora_watch" / "report.json", loss={})
    content = as_json(sweep[0] / "r2-seed1", tmp_path / "bare")
    assert any("bare has no final_loss" in note for note in content["notes"])


@pytest.mark.parametrize("edit", [{"step": 24}, {"nonzero_start": True}])
def test_longer_or_continued_training_says_nothing_of_settings(
    edit: dict[str, Any], sweep: Sweep, tmp_path: Path
) -> None:
    runs = [shutil.copytree(sweep[0] / name, tmp_path / name) for name in ("r2-seed0", "r8-seed0")]
    assert as_json(*runs, "--metric", "final_loss")["best"] == 1
    edit_json(runs[0] / "lora_watch" / "report.json", **edit)
    content = as_json(*runs, "--metric", "final_loss")
    assert content["best"] is None
    assert content["notes"][-1].startswith("No run is called the best")
    assert "Best:" not in compare(*runs, "--metric", "final_loss").stdout
    assert as_json(*runs)["best"] == 1, "an evaluation does"


def test_the_metric_can_be_chosen(sweep: Sweep) -> None:
    content = as_json(sweep[0], "--metric", "final_loss")
    assert (content["metric"], content["higher_is_better"]) == ("final_loss", False)
    means = [each["mean"] for each in content["configurations"]]
    assert means[content["best"]] == min(means)
    done = compare(sweep[0], "--metric", "eval_f1")
    assert done.exit_code == 2
    assert "eval_loss, final_loss" in done.stderr.replace("\n", " ")


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
    assert content["best"] == 2  # what can be read is compared all the same
