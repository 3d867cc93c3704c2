"""Several runs with one ``output_dir``: at once, one after the other, and resumed. Real Trainers, real processes."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lora_watch import LoraWatchCallback
from lora_watch.format.files import WaitingMark
from lora_watch.gate import judge
from lora_watch.runs.comparison import trial_of
from lora_watch.runs.run import latest_run
from tests.runs.written import write_run
from tests.sinks.made_up import report_in, run_of
from tests.support import build_trainer, few, on, stdlib_blocks

# The first run waits in its second step until the second one has come and gone; the third comes when both are over.
AT_ONCE = """
import os, sys, time
from pathlib import Path
from transformers import TrainerCallback
from lora_watch import LoraWatchCallback
from lora_watch.gate import judge
from tests.support import build_trainer, few, stdlib_blocks, tiny_model
import torch.utils.tensorboard

out, signs = Path(sys.argv[1]), Path(sys.argv[2])

class Waits(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 2:
            (signs / "here").touch()
            while not (signs / "go").exists():
                time.sleep(0.01)

def begin(lr, *callbacks, alpha=16):
    child = os.fork()
    if child == 0:
        build_trainer(few(r=2, alpha=alpha), stdlib_blocks(32, 32), 12, lr=lr, output_dir=str(out),
                      callbacks=[*callbacks, LoraWatchCallback(console=False)]).train()
        os._exit(0)
    return child

def end(child):
    assert os.waitpid(child, 0)[1] == 0

tiny_model()
first = begin(1e-3, Waits())
while not (signs / "here").exists():
    time.sleep(0.01)
print(*[finding for finding in judge([out]).runs[0].findings])
end(begin(5e-2, alpha=128))
(signs / "go").touch()
end(first)
end(begin(2e-3))
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no locks")
def test_two_at_once_keep_out_of_each_others_way(tmp_path: Path) -> None:
    out, signs = tmp_path / "out", tmp_path / "signs"
    signs.mkdir()
    command = [sys.executable, "-c", AT_ONCE, str(out), str(signs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\(LW801\)(?s:.*) process is alive", done.stdout)
    first, second = report_in(out / "lora_watch", "report.previous.json"), report_in(out / "lora_watch-2")
    third = report_in(out / "lora_watch")
    assert [run["config"]["learning_rate"] for run in (first, second, third)] == [1e-3, 5e-2, 2e-3]
    told = [(run["verdict"], run["step"], run["session"]) for run in (first, second, third)]
    assert told == [("ok", 12, 1), ("unhealthy", 12, 1), ("ok", 12, 2)]
    assert first["notes"] == third["notes"] == []
    too_large = [any(alert["rule"] == "LW102" for alert in run["alerts"]) for run in (first, second, third)]
    assert too_large == [False, True, False]
    assert not (out / "lora_watch" / "last_good").exists()
    assert (out / "lora_watch-2" / "last_good").is_dir()
    assert len(list((out / "runs").iterdir())) == 3

    (note,) = second["notes"]
    assert re.match(f"another run .*{out / 'lora_watch'} ", note)
    assert done.stderr.count(note) == 1  # the second process is the one to be told
    judgement = judge([out])
    found = [(Path(judged.run.name).name, judged.run.verdict) for judged in judgement.runs]
    assert found == [("lora_watch", "ok"), ("lora_watch-2", "unhealthy")]
    assert judgement.exit_code == 1


def training(
    folder: Path,
    steps: int,
    lr: float = 2e-3,
    alpha: float = 16,
    find_lr: Any = False,
    console: bool = False,
    report_dir: Path | None = None,
    **arguments: Any,
) -> Any:
    return build_trainer(
        few(r=2, alpha=alpha),
        stdlib_blocks(32, 32),
        steps,
        callbacks=[LoraWatchCallback(console=console, find_lr=find_lr, report_dir=report_dir)],
        lr=lr,
        output_dir=str(folder),
        **arguments,
    )


def test_a_run_that_broke_off_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    def stop(state: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise KeyboardInterrupt

    first, second = (training(tmp_path, 6, save_strategy="steps", save_steps=2) for _ in range(2))
    first.add_callback(stops := on("step_end", stop))
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second.train()
    assert report_in(tmp_path / "lora_watch", "report.previous.json")["verdict"] == "interrupted"
    report = report_in(tmp_path / "lora_watch")
    assert (report["verdict"], judge([tmp_path]).exit_code) == ("ok", 0)
    assert ["checkpoint-2" in note for note in report["notes"]] == [True], "it could have gone on"
    first.remove_callback(stops)
    first.train()
    report = report_in(tmp_path / "lora_watch")
    assert (report["session"], any("checkpoint-" in note for note in report["notes"])) == (3, False)
    assert not (tmp_path / "lora_watch-2").exists()


def test_a_report_does_not_stand_for_a_later_run_whose_report_is_elsewhere(tmp_path: Path) -> None:
    good = training(tmp_path / "out", 12)
    good.train()
    training(tmp_path / "out", 6, report_dir=tmp_path / "elsewhere").train()
    good.evaluate(stdlib_blocks(8, 32))  # type: ignore[arg-type]  # writes the report of the earlier run again
    home = tmp_path / "out" / "lora_watch"
    assert report_in(home)["verdict"] == "ok"
    for path in (home.parent, home, home / "report.json"):
        judgement = judge([path])
        assert (judgement.exit_code, judgement.runs) == (2, []), path
        assert "of an earlier run" in judgement.unreadable[0]


@pytest.mark.parametrize("moves", [False, True], ids=["stays", "moves"])
def test_files_stay_in_a_relative_folder_when_the_script_changes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], moves: bool
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    monkeypatch.chdir(home)

    def move(state: Any, **_: Any) -> None:
        if moves and state.global_step == 2:
            os.chdir(other)

    trainer = training(Path("out"), 12, lr=5e-2, alpha=128, console=True)
    trainer.add_callback(on("step_end", move))
    trainer.train()
    files = home / "out" / "lora_watch"
    assert [path for path in other.iterdir() if path.name != "out"] == []
    assert not list(other.rglob("lora_watch*")), "all that other may hold is the Trainer's"
    assert (files / "last_good").is_dir()
    (judged,) = judge([home / "out"]).runs
    assert (judged.run.verdict, judged.run.step, judged.run.data.steps) == ("unhealthy", 12, list(range(13)))
    assert "LW901" not in {alert.rule for alert in judged.findings}
    said = files if moves else files.relative_to(home)
    console = capfd.readouterr().err
    assert f"  Report: {said / 'report.json'}\n" in console
    assert f"  Curves: tensorboard --logdir {said.parent / 'runs'}" in console

    monkeypatch.chdir(home)
    again = training(Path("out"), 3)
    assert (files / "waiting.json").exists()
    monkeypatch.chdir(other)
    again.train()
    assert not (files / "waiting.json").exists()


def test_a_run_that_never_begins_is_not_covered_by_the_report_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tmp_path, 3).train()
    assert judge([tmp_path]).exit_code == 0
    (page := tmp_path / "lora_watch" / "report.html").write_text("of the first")
    later = training(tmp_path, 3)  # and here its process may die
    assert not page.exists()
    judged = judge([tmp_path])
    assert report_in(page.parent)["verdict"] == "unknown", "also to who reads it alone"
    assert (judged.exit_code, judged.runs) == (2, []), "nowhere is it called ok, or failed"
    assert judged.unreadable == [f"{tmp_path}: {latest_run(tmp_path).message}"]
    later.evaluate(stdlib_blocks(4, 32))  # type: ignore[arg-type]
    assert (judge([tmp_path]).exit_code, page.exists()) == (0, True), "it was built to evaluate"
    later = training(tmp_path, 3)
    later.train()
    assert judge([tmp_path]).exit_code == 0
    assert (page.exists(), page.with_name("report.previous.html").read_text()) == (False, "of the first")
    assert [file.name for file in (tmp_path / "lora_watch").glob("waiting*")] == []

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr("lora_watch.drivers.events.Engine", fails)
        later.train()
    assert judge([tmp_path]).exit_code == 2, "its second training was not monitored"
    later.train()
    assert judge([tmp_path]).exit_code == 0

    monkeypatch.setattr("lora_watch.tune.find_lr.sweep_of", fails)
    with pytest.raises(SystemExit):
        training(tmp_path, 3, find_lr="only").train()
    assert judge([tmp_path]).exit_code == 0, "it was built to find a learning rate"


def test_a_run_that_broke_off_is_none_that_stopped_early_after_a_start_that_never_began(tmp_path: Path) -> None:
    write_run(tmp_path, 5, verdict=None, run=run_of(max_steps=9))
    assert [alert.rule for alert in judge([tmp_path]).runs[0].findings] == ["LW801"]
    for _ in range(2):
        WaitingMark().leave(tmp_path / "lora_watch")
    judgement = judge([tmp_path])
    assert (judgement.exit_code, judgement.runs) == (2, [])
    assert "an earlier run's (broke off)" in judgement.unreadable[0]
    assert "an earlier run's" in (trial_of("again", latest_run(tmp_path)).left_out or "")
