"""`report.json` and `alerts.jsonl`: always whole, always strict, and honest about runs that were cut short."""

import errno
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from lora_watch.base.alerts import Severity
from lora_watch.format.files import LOCK, read_report
from lora_watch.gate import judge
from lora_watch.measurement.signals.policy import PolicySignals
from lora_watch.sinks.report import ReportSink
from tests.runs.written import write_run
from tests.sinks.made_up import alert_of, parse, record_of, report_in, run_of

NAN, INF = math.nan, math.inf


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [parse(line) for line in (folder / "alerts.jsonl").read_bytes().splitlines()]


def test_the_last_margin_of_a_run_that_ends_early_is_a_mean_of_steps(tmp_path: Path) -> None:
    signals, sink, margins = PolicySignals(), ReportSink(tmp_path), (0.0, -0.5, -0.6, -1.0, -1.4, 3.0)
    sink.start(run_of(), 0)
    for step, margin in enumerate(margins, 1):
        sink.logged(step, signals.update({"reward": margin}, 0.0, 0.05))
    sink.finish("failed", None)
    ends = report_in(tmp_path)["reward"]
    assert (ends["first"]["value"], ends["last"]["value"]) == (0.0, pytest.approx(-0.1))


def test_a_finished_run(tmp_path: Path) -> None:
    run = run_of(versions={"torch": "2"}, notes=("a note",))
    sink = ReportSink(tmp_path / "new" / "folder")
    sink.evaluated(0, {"eval_loss": 9.0})  # before there is a run: nothing to write to
    sink.start(run, 0)
    sink.write(record_of(run, 0, loss=None), [])
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0)):
        sink.write(record_of(run, step, loss=loss), [])
    sink.finish("ok", None)

    report = report_in(tmp_path / "new" / "folder")
    assert (report["version"], report["verdict"], report["message"]) == (1, "ok", None)
    assert (report["step"], report["max_steps"], report["overhead"]) == (3, 100, 0.01)
    assert report["loss"] == {"start": 3.0, "last": {"step": 3, "value": 2.0}, "final": 2.0}
    assert [adapter["name"] for adapter in report["adapters"]] == list(run.names)
    assert report["adapters"][1]["last"]["delta_norm"] == 4
    assert report["measured_at"] == {"delta_norm": 3, "relative_norm": 3, "scale": 3}
    assert (report["config"], report["versions"]) == ({"model": "made-up"}, {"torch": "2"})
    assert report["notes"] == ["a note"]
    assert report["started"] <= report["updated"]
    assert not (tmp_path / "new" / "folder" / "alerts.jsonl").exists()
    assert {file.name for file in (tmp_path / "new" / "folder").iterdir()} == {"report.json", LOCK}


def test_all_json_is_strict(tmp_path: Path) -> None:
    everywhere: Any = {"a": NAN, "b": [INF, (-INF,), np.float32(NAN)], "c": np.array([NAN]), "d": Path("x"), 5: None}
    run = run_of(config=everywhere, rules=(everywhere,), peak_lr=(INF,), notes=("odd \udcff name",))
    run = replace(run, adapters=tuple(replace(a, scale=INF, alpha=NAN, base_norm=INF) for a in run.adapters))
    sink = ReportSink(tmp_path)
    sink.start(run, 0)
    alert = alert_of(1, threshold=INF, adapters=[("a", NAN), ("b", -INF)])
    metrics = {"delta_norm": np.array([NAN, INF, -INF])}
    sink.write(record_of(run, 1, metrics=metrics, loss=NAN, lr=(NAN,), overhead=NAN, scalars={"x": NAN}), [alert])
    sink.finish("failed", "NaN")
    report = report_in(tmp_path)
    assert report["config"] == {"a": "NaN", "b": ["Infinity", ["-Infinity"], "NaN"], "c": ["NaN"], "d": "x", "5": None}
    assert [float(adapter["last"]["delta_norm"]) for adapter in report["adapters"]] == pytest.approx(
        [NAN, INF, -INF], nan_ok=True
    )
    assert report["loss"] == {"start": "NaN", "last": {"step": 1, "value": "NaN"}, "final": None}
    (line,) = lines_in(tmp_path)
    assert line["threshold"] == "Infinity"


def test_an_alert_has_a_line_when_it_opens_and_one_when_it_closes(tmp_path: Path) -> None:
    run, sink = run_of(), ReportSink(tmp_path)
    sink.start(run, 0)
    alert = alert_of(1, "LW203", Severity.WARNING)
    sink.write(record_of(run, 1), [alert])
    alert.last_step = 2
    sink.write(record_of(run, 2), [alert])  # goes on: no line
    alert.closed_step = 3
    sink.write(record_of(run, 3), [alert])
    sink.write(record_of(run, 4), [alert_of(4, "LW203", closed_step=4)])  # both at once
    sink.finish("ok", None)
    told = [(line["event"], line["step"], line["closed_step"]) for line in lines_in(tmp_path)]
    assert told == [("opened", 1, None), ("closed", 1, 3), ("opened", 4, 4), ("closed", 4, 4)]
    assert [alert["lasted"] for alert in report_in(tmp_path)["alerts"]] == [2, 1]


def test_a_second_session_in_the_folder(tmp_path: Path) -> None:
    run = run_of()
    for verdict, step, alert in (("failed", 0, alert_of(6)), ("ok", 5, alert_of(7, "LW203", Severity.WARNING))):
        (tmp_path / "last_good").mkdir(exist_ok=True)
        sink = ReportSink(tmp_path)
        sink.start(run, step)
        assert (tmp_path / "last_good").exists() == (step > 0)
        sink.write(record_of(run, 6), [alert])
        assert not (tmp_path / "report.html").exists(), "a page of the session before does not stand for this one"
        (tmp_path / "report.html").write_text(verdict)
        sink.finish(verdict, None)  # type: ignore[arg-type]
        assert [left.rule for left in sink.before.alerts] == [alert.rule]
    assert (tmp_path / "last_good.previous").is_dir()
    assert (tmp_path / "report.previous.html").read_text() == "failed"
    previous, latest = parse((tmp_path / "report.previous.json").read_bytes()), report_in(tmp_path)
    assert [(each["verdict"], each["session"]) for each in (previous, latest)] == [("failed", 1), ("ok", 2)]
    assert [alert["rule"] for alert in latest["alerts"]] == ["LW203"]
    assert [line["run_id"] for line in lines_in(tmp_path)] == [previous["run_id"], latest["run_id"]]
    assert previous["run_id"] != latest["run_id"]


@pytest.mark.skipif(os.name != "posix", reason="limits of other systems")
def test_the_report_before_does_not_stand_for_a_session_that_cannot_write_its_own(tmp_path: Path) -> None:
    import resource

    folder = write_run(tmp_path) / "lora_watch"
    assert judge([tmp_path]).exit_code == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match=str(folder)):
            ReportSink(folder).start(run_of(), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert judge([tmp_path]).exit_code == 2


@pytest.mark.parametrize("old", [b"", b"{ half a rep", b"[1]", b'{"session": null}'])
def test_an_old_report_that_cannot_be_read_is_kept_and_in_nobodys_way(tmp_path: Path, old: bytes) -> None:
    (tmp_path / "report.json").write_bytes(old)
    sink = ReportSink(tmp_path)
    with patch("lora_watch.sinks.report.read_report", wraps=read_report) as read:
        assert (sink.before.sessions, sink.start(run_of(), 0), read.call_count) == (1, None, 1)
    assert report_in(tmp_path)["session"] == 2
    assert (tmp_path / "report.previous.json").read_bytes() == old


def test_half_a_line_of_a_killed_session_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").write_bytes(b'{"event": "opened"}\n{"event": "clo')
    run, sink = run_of(), ReportSink(tmp_path)
    sink.start(run, 0)
    sink.write(record_of(run, 1), [alert_of(1)])
    lines = (tmp_path / "alerts.jsonl").read_bytes().splitlines()
    assert (lines[1], parse(lines[2])["rule"]) == (b'{"event": "clo', "LW102")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_a_full_disk_is_an_os_error_that_names_the_file_and_leaves_the_old_report(tmp_path: Path) -> None:
    run, sink = run_of(), ReportSink(tmp_path)
    sink.start(run, 0)
    whole = (tmp_path / "report.json").read_bytes()
    full = patch("os.fsync", side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with full, pytest.raises(OSError, match=rf"{os.strerror(errno.ENOSPC)}.*report\.json'"):
        sink.finish("ok", None)
    assert (tmp_path / "report.json").read_bytes() == whole
    assert not (tmp_path / "report.json.part").exists()

    sink = ReportSink(tmp_path)
    sink.start(run, 0)
    (tmp_path / "alerts.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"the alerts.*alerts\.jsonl"):
        sink.write(record_of(run, 1), [alert_of(1)])
