"""What a person reads while a run trains: one line for what opens and what closes, and one for the end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lora_watch.sinks.console import ConsoleSink
from tests.sinks.made_up import alert_of, record_of, run_of

Captured = pytest.CaptureFixture[str]


def test_an_alert_is_reported_when_it_opens_and_when_it_closes(capsys: Captured) -> None:
    sink, alert = ConsoleSink(), alert_of(3)
    sink.write(record_of(run_of(), 3), [alert])
    assert capsys.readouterr().err == f"{alert}\n"
    alert.last_step, alert.closed_step = 7, 13
    sink.write(record_of(run_of(), 13), [alert])
    assert re.search(r"LW102 .*step 13, .*\b5 steps$", capsys.readouterr().err.strip())


def test_the_end_is_one_line_with_all_that_one_needs_next(capsys: Captured) -> None:
    sink = ConsoleSink(lambda: {"report": Path("out/lora_watch/report.json"), "curves": "out/runs/a"})
    sink.write(record_of(run_of(), 3), [alert_of(3)])
    capsys.readouterr()
    sink.finish("ok", None)
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("ended well", "1 ERROR alert", "out/lora_watch/report.json", "curves: out/runs/a"):
        assert part in line


@pytest.mark.parametrize("verdict", ["failed", "interrupted", "unhealthy"])
def test_no_other_end_reads_like_a_good_one(verdict: str, capsys: Captured) -> None:
    ConsoleSink().finish(verdict, "why")
    assert "ended well" not in capsys.readouterr().err
