"""The CI examples, as far as they go without the services: their steps, in their shells, with their variables."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import yaml

from tests.gate import github_runner
from tests.gate.junit_form import broken_rules
from tests.processes import Python

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "ci"
STEPS = "--steps 12"
EXPLODES = "--steps 12 --lr 0.03 --alpha 128"


class Job(NamedTuple):
    failed: bool
    log: str
    junit: bytes | None


def shell(script: str, folder: Path, **variables: str) -> tuple[int, str]:
    """``bash -eo pipefail``, as both services call it, in a checkout where pip has been."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "CI", "LORA_WATCH_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=outside | {"PATH": path, "PYTHONPATH": str(ROOT), "CI": "true"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def checkout(folder: Path) -> None:
    """The training script, where the example expects it."""
    (folder / "examples").mkdir()
    (folder / "examples" / "ci_gate.py").write_bytes((ROOT / "examples" / "ci_gate.py").read_bytes())


def with_arguments(script: str, arguments: str) -> str:
    """The example's command with fewer steps, or with other settings."""
    return script.replace("--output-dir out", f"--output-dir out {arguments}")


def github_job(folder: Path, arguments: str, python: Python | None = None) -> Job:
    """With ``python`` the training is a fork of it, without the seconds of its imports."""
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    checkout(folder)
    failed, logs = False, []
    for step in job["steps"]:
        condition = re.sub(r"[${}\s]", "", step.get("if", "success()"))
        goes = {"success()": not failed, "!cancelled()": True, "failure()": failed}[condition]
        if "run" not in step or "pip install" in step["run"] or not goes:
            continue
        script = with_arguments(step["run"], arguments)
        variables = {"GITHUB_ACTIONS": "true"}
        if python is not None and script.startswith("lora-watch run "):
            done = python("-m", "lora_watch", *shlex.split(script)[1:], folder=folder, **variables)
            code, log = done.returncode, done.stdout + done.stderr
        else:
            code, log = shell(script, folder, **variables)
        failed |= code != 0
        logs.append(log)
    return Job(failed, "\n".join(logs), read(folder / "lora-watch.xml"))


def gitlab_job(folder: Path, arguments: str, python: Python | None = None) -> Job:
    config: dict[str, Any] = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text("utf-8"))
    (job,) = config.values()
    assert all("pip install" in line for line in job["before_script"])
    checkout(folder)
    code, log = shell(with_arguments("\n".join(job["script"]), arguments), folder, GITLAB_CI="true")
    _, after = shell("\n".join(job["after_script"]), folder, GITLAB_CI="true")  # its exit code does not count
    return Job(code != 0, log + after, read(folder / job["artifacts"]["reports"]["junit"]))


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.fixture(
    scope="module", params=[github_job, pytest.param(gitlab_job, marks=pytest.mark.thorough)], ids=["github", "gitlab"]
)
def service(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def good(service: Any, python: Python, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return service(tmp_path_factory.mktemp("good"), STEPS, python)


@pytest.fixture(scope="module")
def bad(service: Any, python: Python, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return service(tmp_path_factory.mktemp("bad"), EXPLODES, python)


def test_a_good_fine_tune_passes(good: Job) -> None:
    assert not good.failed, good.log
    assert re.search("1 run .*, none failed", good.log)
    assert [c for c in github_runner.commands(good.log) if c.name == "error"] == []
    assert good.junit is not None
    assert broken_rules(good.junit) == []
    assert ElementTree.fromstring(good.junit).get("failures") == "0"


def test_a_bad_one_fails_and_says_why(bad: Job) -> None:
    assert bad.failed
    assert "(LW102)" in bad.log
    assert bad.junit is not None
    assert broken_rules(bad.junit) == []
    (failure,) = ElementTree.fromstring(bad.junit).findall("testsuite/testcase/failure")
    assert "(LW102)" in str(failure.text)
    assert "Next run: lora_alpha 128" in str(failure.text)


def test_github_shows_it(bad: Job, service: Any) -> None:
    annotations = [c for c in github_runner.commands(bad.log) if c.name == "error"]
    if service is github_job:
        assert annotations[0].properties["title"].startswith("LW102 ")
    else:
        assert annotations == []  # GitLab would show the commands as they are
