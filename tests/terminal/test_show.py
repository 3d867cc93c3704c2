"""``lora-watch show``: one screen from a run's files, in colours and in letters, and while the run goes on."""

import io
import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lora_watch.base.alerts import Severity
from lora_watch.cli.app import app
from lora_watch.gate.formats.screen import screen
from lora_watch.runs.comparison import compare
from lora_watch.runs.run import latest_run
from lora_watch.sinks.report import ReportSink
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.runs.written import edit_json, write_run
from tests.sinks.made_up import alert_of
from tests.support import report_of
from tests.tensorboard_plugin.made_up import HOSTILE, record_of, run_of, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 steps: the loss is NaN in the last three, and an ERROR is open."""
    run, out = run_of(16), tmp_path_factory.mktemp("show") / "run"
    records = [record_of(run, step, size=step / 100, loss=np.nan if step > 57 else 2.0) for step in range(1, 61)]
    write(out, run, records, {50: [alert_of(50, severity=Severity.ERROR, remedies=[f"lower it {HOSTILE}\x1b[2J"])]})
    return out


def drawn(folder: Path, **console: object) -> str:
    out = Console(file=io.StringIO(), width=90, height=30, force_terminal=bool(console), highlight=False, **console)  # type: ignore[arg-type]
    out.print(screen(latest_run(folder), out.width))
    return out.file.getvalue()  # type: ignore[attr-defined]


def test_one_screen(folder: Path) -> None:
    plain, coloured = drawn(folder), drawn(folder, color_system="truecolor")
    assert "step 60 of 200" in plain
    assert "LW102" in plain
    assert "lower it" in plain
    assert "\x1b" not in plain, "what a run says cannot move the cursor"
    assert "\x1b[2J" not in coloured
    losses, _, size = " ".join(plain.split()).partition("in the first steps")[2].partition("size of the adapters")
    assert ("!" in losses, "!" in size) == (True, False)
    edit_json(folder / "lora_watch" / "report.json", untrained=True)
    assert ["good runs stay below" in " ".join(text.split()) for text in (plain, drawn(folder))] == [True, False]


def test_the_first_loss_is_the_start_that_the_tab_counts_from(tmp_path: Path) -> None:
    records = [record_of(run_of(4), step, loss=3.0 + step, scalars={"loss_start": 5.25}) for step in range(1, 9)]
    write(tmp_path / "run", run_of(4), records)
    assert "loss 5.25 in the first steps" in " ".join(drawn(tmp_path / "run").split())
    assert report_of(tmp_path / "run")["loss"]["start"] == 5.25
    for events in (tmp_path / "run").glob("*tfevents*"):
        events.unlink()
    assert "loss 5.25 in the first steps" in " ".join(drawn(tmp_path / "run").split()), "whatever is left of its files"


def test_long_lines_go_on_below_their_beginning(folder: Path) -> None:
    rows = [row for row in drawn(folder).splitlines() if row]
    assert all(len(row) <= 90 for row in rows)
    assert all(row.startswith("  ") for row in rows if row != str(folder) and not str(folder).startswith(row[:60]))


@pytest.mark.parametrize("command", ["show", "rules"])
def test_a_terminal_that_has_not_every_character(command: str, folder: Path) -> None:
    arguments = [command, str(folder)] if command == "show" else [command, "LW102"]
    done = CliRunner(charset="ascii").invoke(app, arguments)
    assert (done.exit_code, "LW102" in done.stdout) == (0, True)


def test_a_size_leaves_out_what_a_recovery_has_discarded(tmp_path: Path) -> None:
    run = run_of(4)
    records = [record_of(run, step, size={4: 1e3, 5: 1e3, 20: None}.get(step, step / 100)) for step in range(1, 21)]
    recovered = alert_of(5, rule="LW910", name="recovered", severity=Severity.WARNING, back_to=3, closed_step=5)
    write(tmp_path / "run", run, records, {5: [recovered]})
    (row,) = (row for row in drawn(tmp_path / "run").splitlines() if row.startswith("  size of the adapters "))
    assert "→ 0.19 at step 19 " in row
    assert row.count("▁") < 8, "neighbours of a size of 1000 would all be the lowest bar"


def test_a_final_loss_leaves_out_what_a_recovery_has_discarded(tmp_path: Path) -> None:
    run = run_of(4)
    records = [record_of(run, step, loss=50.0 if 95 < step < 99 else 1.0) for step in range(1, 101)]
    recovered = alert_of(98, rule="LW910", name="recovered", severity=Severity.WARNING, back_to=95, closed_step=98)
    write(tmp_path / "run", run, records, {98: [recovered]})
    write(tmp_path / "twin" / "run", run, records)
    found, twin = latest_run(tmp_path / "run"), latest_run(tmp_path / "twin")
    assert (found.final_loss, max(loss for _, loss in found.loss_curve)) == (1.0, 1.0)
    assert twin.final_loss == pytest.approx(15.7)
    compared = compare([tmp_path]).to_dict()["configurations"]
    losses = {one["name"]: one["quality"]["final_loss"] for each in compared for one in each["runs"]}
    assert losses == {"run": 1.0, "twin/run": twin.final_loss}


def test_a_final_loss_and_a_curve_leave_out_single_nan_and_a_comparison_names_the_rest(tmp_path: Path) -> None:
    run, nan = run_of(4), math.nan
    for name, spoiled in (("some", range(2, 61, 4)), ("last", range(56, 61))):
        losses = [nan if step in spoiled else 2.0 for step in range(1, 61)]
        write(tmp_path / name, run, [record_of(run, step, loss=loss) for step, loss in enumerate(losses, start=1)])
    lines = {name: next(row for row in drawn(tmp_path / name).splitlines() if "▁" in row) for name in ("some", "last")}
    assert latest_run(tmp_path / "some").final_loss == 2.0
    assert ["!" in lines["some"], "NaN" in lines["some"], "!" in lines["last"]] == [False, True, True]
    assert report_of(tmp_path / "last")["loss"]["final"] is None
    assert [note.split()[0] for note in compare([tmp_path]).notes if "number" in note] == ["last"]


def test_an_evaluation_before_the_first_step_is_no_result_and_that_of_several_sets_is_named(tmp_path: Path) -> None:
    def with_evaluation(step: int, metric: str = "eval_loss") -> Path:
        evaluation = {metric: {"last": {"step": step, "value": 3.25}}}
        for name in ("first", "second"):
            write_run(tmp_path / name)
            edit_json(tmp_path / name / "lora_watch" / "report.json", evaluation=evaluation)
        return tmp_path

    assert compare([with_evaluation(10)]).metric == "eval_loss"
    assert ["latest of 2 runs" in drawn(folder) for folder in (tmp_path, tmp_path / "second")] == [True, False]
    assert "eval_loss 3.25 at step 10" in drawn(tmp_path)
    assert compare([with_evaluation(0)]).metric == "final_loss"
    assert "eval_loss 3.25 before step 1" in drawn(tmp_path)
    assert any("--metric eval_other_loss" in note for note in compare([with_evaluation(20, "eval_other_loss")]).notes)


def test_nothing_there_is_exit_code_2(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["show", str(tmp_path)]).exit_code == 2


def test_a_run_is_followed_from_before_it_begins_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    walks, glob = list[str](), Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: walks.append(pattern) or glob(path, pattern))

    def follow() -> None:
        result = CliRunner().invoke(app, ["show", str(tmp_path), "--follow", "--interval", "0.1"])
        shown.append(f"{result.exit_code} {result.output}")

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.5)
    run = run_of(4)
    sinks = (TensorBoardSink(tmp_path / "run"), ReportSink(tmp_path / "run" / "lora_watch"))
    for sink in sinks:
        sink.start(run, 0)
        for step in (1, 2, 3):
            sink.write(record_of(run, step), [])
        sink.flush()
    time.sleep(0.5)
    assert thread.is_alive()
    write_run(tmp_path / "run" / "trial")
    for sink in sinks:
        sink.finish("ok", None)
    thread.join(30)
    assert not thread.is_alive()
    assert shown[0].startswith("0 ")
    assert "step 3 of 200" in shown[0]
    assert "runs below it are judged only where they are named" in shown[0]
    assert sum(pattern.startswith("*/**/") for pattern in walks) == 1, "not at each look"
