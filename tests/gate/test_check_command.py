"""``lora-watch check`` as a shell and a CI service see it: exit codes, streams, files."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lora_watch.base.alerts import Severity
from tests.gate import github_runner
from tests.runs.written import write_run
from tests.sinks.made_up import alert_of
from tests.support import lora_watch

check = functools.partial(lora_watch, "check")


def test_exit_codes(healthy: Path, exploded: Path, tmp_path: Path) -> None:
    assert check(healthy).exit_code == 0
    assert check(exploded).exit_code == 1
    assert check(healthy, exploded).exit_code == 1
    assert check(tmp_path).exit_code == 2
    assert check(tmp_path / "nowhere").exit_code == 2
    assert check(healthy, tmp_path).exit_code == 2
    assert check().exit_code == 2


def test_runs_below_a_run_fail_nothing(tmp_path: Path) -> None:
    """Trials of a search."""
    write_run(tmp_path)
    write_run(tmp_path / "run-0", verdict="failed", message="LW102", alerts=[alert_of(3, "LW102", Severity.ERROR)])
    found = check(tmp_path)
    assert (found.exit_code, "\n1 run checked" in found.stdout) == (0, True)
    assert f"runs below it are judged only where they are named: {tmp_path / 'run-0'}" in found.stdout
    assert check(tmp_path, tmp_path / "run-0").exit_code == 1


@pytest.mark.parametrize(("command", "exit_code"), [("check", 1), ("compare", 0)])
def test_in_a_process_of_its_own_without_torch(command: str, exit_code: int, exploded: Path) -> None:
    code = (
        "import sys\n"
        "from lora_watch.cli.app import main\n"
        f"sys.argv = ['lora-watch', {command!r}, {str(exploded)!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print('heavy:', sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**{k: v for k, v in os.environ.items() if k != "GITHUB_ACTIONS"}, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == exit_code, done.stderr
    assert "heavy: []" in done.stdout
    assert "LW102" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code"), [("check {}", 0), ("check {}/none", 2), ("rules", 0), ("show {}", 0)]
)
def test_a_pipe_that_is_closed_is_no_finding(arguments: str, exit_code: int, healthy: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)  # as head does in the end
    command = [sys.executable, "-m", "lora_watch", *arguments.format(healthy).split()]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (exit_code, "")


def test_formats(exploded: Path) -> None:
    assert json.loads(check(exploded, "--format", "json").stdout)["exit_code"] == 1
    assert github_runner.commands(check(exploded).stdout) == []
    for said in (check(exploded, "--format", "github"), check(exploded, GITHUB_ACTIONS="true")):
        assert github_runner.commands(said.stdout)[0].properties["title"].startswith("LW102")
    assert json.loads(check(exploded, "--format", "json", GITHUB_ACTIONS="true").stdout)["exit_code"] == 1


def test_junit(exploded: Path, tmp_path: Path) -> None:
    file = tmp_path / "made" / "on the way" / "junit.xml"
    assert check(exploded, "--junit", file).exit_code == 1
    assert ElementTree.parse(file).getroot().get("failures") == "1"
    said = check(exploded, "--junit", tmp_path)
    assert said.exit_code == 2
    assert f"{tmp_path}: cannot write the report" in said.stderr


def test_a_baseline_from_first_to_last(healthy: Path, exploded: Path, tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    said = check(healthy, "--baseline", file)
    assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
    assert str(file) in said.stderr

    shutil.copy(healthy / "lora_watch" / "report.json", file)
    said = check(healthy, "--baseline", file)
    assert said.exit_code == 0
    assert re.search("nothing .*tolerances", said.stdout)
    assert "copy of this run's own" in said.stderr
    (tmp_path / "link").symlink_to(healthy)
    for itself in (healthy, os.path.relpath(healthy), tmp_path / "link", healthy / "lora_watch" / "report.json"):
        said = check(healthy, "--baseline", itself)
        assert (said.exit_code, "is the run itself" in said.stderr) == (2, True), itself

    said = check(exploded, "--baseline", file)
    assert said.exit_code == 1
    assert "(LW814)" in said.stdout
    assert "(LW812)" not in said.stdout  # it ended early
    assert "not fit" in check(healthy, "--baseline", exploded).stderr


def test_the_policy_of_the_command_counts_and_that_of_the_environment(tmp_path: Path) -> None:
    write_run(tmp_path, alerts=[alert_of(3, "LW203", Severity.WARNING)])
    policies = ("error", "warning", "dreadful")
    assert [check(tmp_path, "--fail-on", policy).exit_code for policy in policies] == [check(tmp_path).exit_code, 1, 2]
    assert check(tmp_path, LORA_WATCH_FAIL_ON="warning").exit_code == 1
    assert check(tmp_path, LORA_WATCH_FAIL_ON="warning,LW203=never").exit_code == 0
    assert check(tmp_path, "--fail-on", "error", LORA_WATCH_FAIL_ON="warning").exit_code == 0
    for name in ("LORA_WATCH_FAIL_ON", "LORA_WATCH_FAILON"):
        assert name in check(tmp_path, **{name: "dreadful"}).stderr


def test_a_policy_of_single_rules_is_no_amnesty(tmp_path: Path) -> None:
    write_run(tmp_path, alerts=[alert_of(3), alert_of(4, "LW901", Severity.WARNING)])
    policies = ("LW203=never", ",,,", "error,LW812=never,LW901=never", "LW102=never", "LW102=never,LW901=never")
    assert [check(tmp_path, "--fail-on", policy).exit_code for policy in policies] == [1, 1, 1, 1, 0]
