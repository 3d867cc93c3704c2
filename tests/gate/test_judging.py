"""What is judged of a run: its alerts, its end, and files that are not what they should be."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_watch import LoraWatchCallback
from lora_watch.base.alerts import Recovered, Severity
from lora_watch.gate import Judgement, judge
from lora_watch.gate.formats.text import text
from lora_watch.runs.comparison import compare
from lora_watch.runs.events import FILES
from lora_watch.sinks.report import ReportSink
from tests.runs.written import STEPS, edit_json, write_run
from tests.sinks.made_up import alert_of, record_of, run_of
from tests.support import lora, lora_watch, on, stdlib_blocks, tiny_model, train


def rules_of(judgement: Judgement) -> list[str]:
    return [alert.rule for judged in judgement.runs for alert in judged.findings]


def test_a_healthy_run_is_fine_whatever_part_of_it_is_named(healthy: Path) -> None:
    home = healthy / "lora_watch"
    for path in (healthy, home, home / "report.json", healthy.parent / "healthy"):
        judgement = judge([path], "warning")
        assert (judgement.exit_code, rules_of(judgement), judgement.unreadable) == (0, [], []), path
        (judged,) = judgement.runs
        assert (judged.run.step, judged.run.max_steps, judged.run.verdict) == (STEPS, STEPS, "ok"), path
        assert len(judged.run.adapters) == 28
        assert len(judged.run.loss_curve) == STEPS
        assert judged.run.trainable_parameters == 78848
    judgement = judge([healthy / "runs"])
    assert (judgement.exit_code, judgement.runs) == (2, []), "events without a report cannot be judged"
    assert "report.json" in judgement.unreadable[0]


def test_an_exploded_run_is_at_fault(exploded: Path) -> None:
    judgement = judge([exploded])
    assert judgement.exit_code == 1
    worst, run = judgement.runs[0].findings[0], judgement.runs[0].run
    assert (worst.rule, worst.severity, run.verdict, len(worst.causes)) == ("LW102", Severity.ERROR, "failed", 1)
    assert run.next_run is not None


def test_a_run_without_a_verdict_is_at_fault(tmp_path: Path) -> None:
    write_run(tmp_path, steps=20, verdict=None)
    judgement = judge([tmp_path])
    assert (judgement.exit_code, rules_of(judgement)) == (1, ["LW801"])
    (finding,) = judgement.runs[0].findings
    assert finding.details.startswith("It is recorded up to step 20 of 20.")
    assert any("memory" in cause for cause in finding.causes)
    assert finding.title in lora_watch("show", tmp_path, COLUMNS="200").stdout
    trial = compare([tmp_path]).configurations[0][0]
    assert (trial.alerts, trial.quality["final_loss"]) == ({"error": 1}, pytest.approx((1 / 19 + 1 / 20) / 2))
    assert f"{trial.quality['final_loss']:.4g} in the last tenth" in text(judgement)
    run = judgement.runs[0].run  # the report was written at step 0
    assert (run.step, run.loss_ends[1]) == (20, run.loss_curve[-1][1])
    write_run(tmp_path, verdict=None, alerts=[alert_of(2, "LW202", Severity.ERROR)])
    assert sorted(rules_of(judge([tmp_path]))) == ["LW202", "LW801"], "whatever was open"
    assert judge([tmp_path], by_rule={"LW202": None}).exit_code == 1
    recovered = Recovered(3, 0, "LW102", {"learning_rate": [1e-2, 1e-3]})
    write_run(tmp_path, verdict=None, alerts=[alert_of(3, "LW910", Severity.WARNING, recovery=recovered)])
    (broke_off,) = [found for found in judge([tmp_path]).runs[0].findings if found.rule == "LW801"]
    assert broke_off.remedies[0].endswith("with the script's learning_rate as it is, and recover")


def test_steps_of_the_session_before_are_no_sign_of_this_one(tmp_path: Path) -> None:
    write_run(tmp_path, steps=30, verdict=None)
    write_run(tmp_path, steps=9, verdict=None, first_step=10)  # resumed, and killed before its first step
    run = judge([tmp_path]).runs[0].run
    assert (run.steps, run.loss_ends[1]) == ("step 10", run.loss_curve[-1][1]), "not of 9; as tab and page have it"
    shutil.rmtree(tmp_path / "runs" / "from10")  # before it had written any event
    killed = judge([tmp_path]).runs[0].run
    assert (killed.notes, killed.steps, killed.loss_curve) == ([], "step 10", run.loss_curve)


def test_a_report_stands_for_its_own_run_whatever_was_before_and_whenever_its_events_came(tmp_path: Path) -> None:
    write_run(tmp_path, 30, "unhealthy", alerts=[alert_of(5)], run=run_of(run_id="first"), report=False)
    report, run = ReportSink(tmp_path / "lora_watch"), run_of(run_id="second", max_steps=20)
    report.start(run, 0)
    for step in range(21):
        report.write(record_of(run, step), [])
    report.finish("ok", None)
    for steps, notes in ([], 1), (list(range(21)), 0):
        judgement = judge([tmp_path])
        (judged,) = judgement.runs
        assert (judgement.exit_code, judged.run.run_id, judged.run.step) == (0, "second", 20)
        assert (judged.run.data.steps, len(judged.run.notes)) == (steps, notes), "no curve of another run"
        write_run(tmp_path, 20, run=run, report=False)  # a slow disk had them late, or a file begins anew


def test_a_run_that_broke_off_says_for_what(tmp_path: Path) -> None:
    write_run(tmp_path, verdict="interrupted", message="OutOfMemoryError: 2 GiB")
    (finding,) = judge([tmp_path]).runs[0].findings
    assert finding.rule == "LW801"
    assert finding.causes == ["OutOfMemoryError: 2 GiB"]
    assert finding.remedies
    write_run(
        tmp_path / "b", verdict="interrupted", message="no grad_fn", alerts=[alert_of(0, "LW301", Severity.ERROR)]
    )
    assert [each.rule for each in judge([tmp_path / "b"]).runs[0].findings] == ["LW301"], "which says why"
    assert rules_of(judge([tmp_path / "b"], by_rule={"LW301": None})) == ["LW301", "LW801"], "else nothing failed"


def test_a_trainer_that_stops_early_has_finished(tmp_path: Path, capsys: Any) -> None:
    def enough(state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step == 2

    callbacks = [on("step_end", enough), LoraWatchCallback(fail_on="never")]
    train(lora(tiny_model(), r=2, alpha=4), stdlib_blocks(8, 16), 5, callbacks=callbacks, output_dir=str(tmp_path))
    judgement = judge([tmp_path])
    assert "lora_watch: 2 of 5 steps, " in capsys.readouterr().err
    assert judgement.runs[0].run.verdict == "ok"
    assert (judgement.exit_code, rules_of(judgement)) == (0, ["LW802"])
    for verdict, fix in (("ok", "should_training_stop"), (None, "resume_from_checkpoint")):
        for config in ({"learning_rate": 1e-3}, {}):  # a loop has no Trainer's arguments
            write_run(tmp_path / "b", verdict=verdict, run=run_of(max_steps=40, config=config))
            assert (fix in judge([tmp_path / "b"]).runs[0].findings[0].remedies[0]) is bool(config)
    write_run(tmp_path / "b", verdict=None, run=run_of(config=config), alerts=[alert_of(settings={"learning_rate": 1})])
    assert "begin anew" in judge([tmp_path / "b"]).runs[0].run.how_it_ended()[0].remedies[0], "with other settings"


def test_a_policy_that_ended_a_run_for_a_warning_is_an_error(tmp_path: Path) -> None:
    write_run(
        tmp_path, verdict="failed", message="WARNING LW203\n  more", alerts=[alert_of(3, "LW203", Severity.WARNING)]
    )
    judgement = judge([tmp_path])
    assert (judgement.exit_code, rules_of(judgement)) == (1, ["LW803", "LW203"])
    finding = judgement.runs[0].findings[0]
    assert ("WARNING" in finding.title, finding.causes) == (False, ["WARNING LW203"])
    write_run(tmp_path, 6, "failed", alerts=[alert_of(6, "LW102", Severity.ERROR)], run=run_of(max_steps=40))
    judgement = judge([tmp_path], by_rule={"LW102": None})
    assert (judgement.exit_code, rules_of(judgement)) == (1, ["LW102", "LW803"]), "it has not done its steps"
    write_run(tmp_path, verdict="unhealthy", message="ERROR LW102")
    (finding,) = judge([tmp_path]).runs[0].findings
    assert (finding.rule, finding.causes) == ("LW803", ["ERROR LW102"]), "no alert is needed"


def test_a_folder_of_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep" / "b", alerts=[alert_of(3)], verdict="failed")
    write_run(tmp_path / "sweep" / "a" / "deep")
    (tmp_path / "sweep" / "report.json").write_text('{"tool": "another"}')
    (tmp_path / "sweep" / "empty").mkdir()
    judgement = judge([tmp_path])
    names = [Path(judged.run.name).relative_to(tmp_path).as_posix() for judged in judgement.runs]
    assert names == ["sweep/a/deep", "sweep/b"]
    assert judgement.exit_code == 1


def report_lost(run: Path) -> None:
    write_run(run)
    shutil.rmtree(run / "runs")
    (run / "lora_watch" / "report.json").unlink()


def report_cut_off(run: Path) -> None:
    sink = ReportSink(run / "chosen")
    sink.start(run_of(), 0)
    sink.finish("ok", None)
    (run / "chosen" / "report.json").write_bytes((run / "chosen" / "report.json").read_bytes()[:300])


@pytest.mark.parametrize("spoil", [report_lost, report_cut_off])
def test_a_folder_of_runs_hides_none_that_cannot_be_judged(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    write_run(tmp_path / "fine")
    assert judge([tmp_path]).exit_code == 0
    spoil(tmp_path / "spoilt")
    judgement = judge([tmp_path])
    (reason,) = judgement.unreadable
    assert str(tmp_path / "spoilt") in reason
    assert (len(judgement.runs), judgement.exit_code) == (1, 2)


def test_two_runs_that_wrote_to_one_folder_at_once(tmp_path: Path) -> None:
    write_run(tmp_path)
    shutil.copytree(tmp_path / "lora_watch", tmp_path / "lora_watch-2")
    edit_json(tmp_path / "lora_watch-2" / "report.json", verdict="interrupted")
    judgement = judge([tmp_path])
    assert [Path(judged.run.name).name for judged in judgement.runs] == ["lora_watch", "lora_watch-2"]
    assert judgement.exit_code == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such"),
        ("", "no run"),
        ('{"version": 1, "verdict": "o', "whole JSON"),
        ('{"tests": 3, "version": 1}', "something else"),
        ("{" * 100_000, "whole JSON"),
        ({"version": 2}, "newer lora_watch"),
        ({"verdict": "splendid"}, "'splendid'"),
        ({"adapters": [{"name": "x"}]}, "not hold"),
        ({"alerts": [{"rule": "LW102"}]}, "not hold"),
        ({"step": "Infinity"}, "not hold"),
    ],
    ids=str,
)
def test_what_cannot_be_judged_is_named_and_never_passes(tmp_path: Path, content: object, says: str) -> None:
    folder = tmp_path / "run"
    if content is not None:
        folder.mkdir()
    if isinstance(content, dict):
        write_run(folder)
        edit_json(folder / "lora_watch" / "report.json", **content)
    elif content:
        (folder / "report.json").write_text(str(content))
    judgement = judge([folder])
    assert judgement.exit_code == 2
    assert judgement.runs == []
    (reason,) = judgement.unreadable
    assert says in reason
    assert str(folder) in reason


def test_a_sweep_alone_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "lora_watch").mkdir()
    (tmp_path / "lora_watch" / "find_lr.json").write_text("{}")
    (found,) = judge([tmp_path]).unreadable
    assert "only learning rates were tried here" in str(found)


UNMEASURED = [{"name": "layers.0.q_proj", "last": {}, "max": {}}]


@pytest.mark.parametrize("content", [{"adapters": []}, {"adapters": UNMEASURED}, {"step": 0}], ids=str)
def test_ok_of_nothing_does_not_pass(tmp_path: Path, content: dict[str, Any]) -> None:
    write_run(tmp_path)
    edit_json(tmp_path / "lora_watch" / "report.json", **content)
    assert judge([tmp_path]).exit_code == 2


def test_what_cannot_be_judged_outweighs_what_is_fine_and_what_is_not(tmp_path: Path) -> None:
    write_run(tmp_path / "fine")
    write_run(tmp_path / "bad", alerts=[alert_of(3)])
    judgement = judge([tmp_path / "fine", tmp_path / "bad", tmp_path / "nowhere"])
    assert (len(judgement.runs), judgement.exit_code) == (2, 2)
    assert judge([]).exit_code == 2


def test_numbers_that_are_not_finite_are_read_back(tmp_path: Path) -> None:
    write_run(tmp_path, loss=float("nan"), alerts=[alert_of(2, adapters=[("a", float("inf")), ("b", float("nan"))])])
    (judged,) = judge([tmp_path]).runs
    assert str(judged.run.loss_ends) == "(nan, nan)"
    assert str(judged.findings[0].adapters) == "[('a', inf), ('b', nan)]"


def test_damage_is_noted_and_does_not_hide_the_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    (file,) = tmp_path.rglob(FILES)
    file.write_bytes(file.read_bytes()[:-5])
    (judged,) = judge([tmp_path]).runs
    assert any("incomplete" in note for note in judged.run.notes)
    assert judged.findings == []
