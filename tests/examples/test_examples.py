"""Every example script, run as it is with fewer steps, and what it prints."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Ran:
    """``ran("dora.py", "--steps", "5")``: what the script printed, in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path):
        self._monkeypatch, self._capsys, self.folder = monkeypatch, capsys, folder
        self.errors = ""
        monkeypatch.chdir(folder)

    def __call__(self, script: str, *arguments: str) -> str:
        self._monkeypatch.setattr(sys, "argv", [script, *arguments])
        self._capsys.readouterr()
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        out, self.errors = self._capsys.readouterr()
        return out


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ran:
    return Ran(monkeypatch, capsys, tmp_path)


def numbers(pattern: str, text: str) -> tuple[float, ...]:
    found = re.search(pattern.replace("#", r"([-+\d.e]+)"), text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return tuple(map(float, found.groups()))


def test_a_classifier_learns_and_its_report_is_there(ran: Ran):
    out = ran("trainer_classification.py", "--steps", "40")
    before, after = numbers("held-out accuracy # -> #", out)
    assert after > before
    assert "verdict: ok, alerts: 0, adapters: 28" in out
    assert list(ran.folder.glob("classifier/**/events.out.tfevents.*"))


def test_trl_trains(ran: Ran):
    pytest.importorskip("trl")
    loss, change = numbers("step 12: loss #, median [^ ]* #", ran("trl_sft.py", "--steps", "12"))
    assert 3 < loss < 6.5
    assert 0.001 < change < 1


def test_trl_is_stopped_when_it_goes_wrong(ran: Ran):
    pytest.importorskip("trl")
    with pytest.raises(Exception, match=r"\(LW102\)"):
        ran("trl_sft.py", "--steps", "12", "--lr", "3e-2", "--alpha", "128")
    report = json.loads((ran.folder / "sft" / "lora_watch" / "report.json").read_text())
    assert report["verdict"] == "failed"


@pytest.mark.thorough
def test_a_policy_learns(ran: Ran):
    pytest.importorskip("trl")
    first, last = numbers(r"step 40: reward # -> #, alerts \[\]", ran("trl_grpo.py", "--steps", "40"))
    assert last > first + 0.3


def test_a_policy_collapses(ran: Ran):
    pytest.importorskip("trl")
    with pytest.raises(Exception, match=r"\(LW102\)"):
        ran("trl_grpo.py", "--steps", "12", "--lr", "0.3")


@pytest.mark.thorough
def test_adalora_cuts_ranks_only_when_it_is_asked_to(ran: Ran):
    cut = numbers("# directions of # are left", ran("adalora.py", "--steps", "24"))
    assert cut == (28 * 6, 28 * 12)
    forgotten = numbers("# directions of # are left", ran("adalora.py", "--steps", "6", "--without-allocation"))
    assert forgotten == (28 * 12, 28 * 12)


def test_rslora_is_eight_times_the_scale_and_moves_further(ran: Ran):
    out = ran("rslora.py", "--steps", "10")
    plain, plain_moved = numbers("use_rslora=False: scale #, median [^ ]* #", out)
    stabilised, change = numbers("use_rslora=True: scale #, median [^ ]* #", out)
    assert (plain, stabilised) == (0.25, 2)
    assert change > 2 * plain_moved


def test_dora_has_two_parts_that_move(ran: Ran):
    out = ran("dora.py", "--steps", "8")
    (direction,) = numbers("direction: median [^ ]* #", out)
    (magnitude,) = numbers(r"\|m - m0\|/\|m0\| #", out)
    assert direction > 0.01
    assert magnitude > 0


def test_a_rule_of_ones_own_fires_beyond_its_limit_alone(ran: Ran):
    out = ran("own_rule.py", "--limit", "0.02", "--steps", "24")  # more steps than those at which all is measured
    assert re.search(r"\b0\.02\b.*\(TEAM1", ran.errors)
    assert numbers(r"alerts: \[\('TEAM1', #\)\]", out)[0] <= 10
    assert "alerts: []" in ran("own_rule.py", "--limit", "0.5", "--steps", "24")
    assert "LW901" not in ran.errors


def test_a_plain_loop_is_monitored(ran: Ran):
    out = ran("plain_loop.py", "--steps", "30")
    assert "step 30: loss" in out
    loss, change = numbers(r"step 20: loss #, largest \|dW\| #", out)
    assert 3 < loss < 6.5
    assert 0.1 < change < 5


def test_a_plain_loop_ends_with_the_reason(ran: Ran):
    with pytest.raises(SystemExit, match=r"\(LW102\)"):
        ran("plain_loop.py", "--steps", "20", "--lr", "3e-2", "--alpha", "128")


def test_every_example_is_run_here_or_by_its_own_test():
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in EXAMPLES.parent.glob("tests/**/*.py"))
    assert {name for name in scripts if name not in elsewhere} <= {"screenshots.py"}
