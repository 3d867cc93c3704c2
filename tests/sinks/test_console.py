"""What a person reads while a run trains: one line for what opens and what closes, and one for the end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from lora_watch.sinks import ConsoleSink
from tests.sinks.made_up import alert_of, record_of, run_of

Captured = pytest.CaptureFixture[str]


def test_an_alert_is_told_when_it_opens_and_when_it_closes(capsys: Captured) -> None:
    sink, alert = ConsoleSink(), alert_of(3)
    sink.write(record_of(run_of(), 3), [alert])
    assert capsys.readouterr().err == f"{alert}\n"
    alert.last_step, alert.closed_step = 7, 13
    sink.write(record_of(run_of(), 13), [alert])
    assert capsys.readouterr().err.strip().endswith("is over at step 13, after 5 steps")


def test_the_end_is_one_line_with_all_that_one_needs_next(capsys: Captured) -> None:
    sink = ConsoleSink(lambda: Path("out/lora_watch"), lambda: Path("out/runs/a"))
    sink.write(record_of(run_of(), 3), [alert_of(3)])
    capsys.readouterr()
    sink.finish("ok", None)
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("ended well", "1 ERROR alert", "out/lora_watch/report.json", "--logdir out/runs/a"):
        assert part in line


@pytest.mark.parametrize("verdict", ["failed", "interrupted", "unhealthy"])
def test_no_other_end_reads_like_a_good_one(verdict: str, capsys: Captured) -> None:
    ConsoleSink().finish(verdict, "why")
    assert "ended well" not in capsys.readouterr().err


def test_a_line_is_not_glued_to_a_progress_bar_when_piped(capsys: Captured) -> None:
    with tqdm(total=10, file=sys.stderr, mininterval=0) as bar:
        bar.update(3)
        ConsoleSink().write(record_of(run_of(), 3), [alert_of(3)])
    assert f"\n{alert_of(3)}\n" in capsys.readouterr().err
    ConsoleSink().finish("ok", None)
    assert not capsys.readouterr().err.startswith("\n")


def test_a_name_cannot_write_to_the_terminal(capsys: Captured) -> None:
    alert = alert_of(3)
    alert.adapters = [("layers.0\x1b[2J\r::error::", 1.0)]
    ConsoleSink().write(record_of(run_of(), 3), [alert])
    assert not {"\x1b", "\r"} & set(capsys.readouterr().err)
