"""The command line: it teaches, it is light, and misuse is one clear line."""

import subprocess
import sys
from importlib.metadata import files

import pytest

from lora_watch import __version__
from lora_watch.base.alerts import Alert, Severity
from lora_watch.rules import catalogue
from lora_watch.rules.guide import pages
from tests.support import lora_watch


@pytest.mark.parametrize("command", [[], ["check"], ["run"]])
def test_help_says_what_a_flag_takes(command: list[str]):
    said = lora_watch(*command, "--help").output
    assert "<bool>" not in said
    assert '"default"' not in said, "a form that Python alone takes"


def test_help_and_version():
    assert "lora-watch demo --quick" in lora_watch().output
    shown = lora_watch("--version")
    assert (shown.exit_code, shown.output.strip()) == (0, f"lora-watch {__version__}")


def test_the_command_is_installed_under_its_name():
    assert {"lora-watch", "lora-watch.exe"} & {file.name for file in files("lora-watch") or ()}


def test_help_does_not_import_torch_or_transformers():
    code = (
        "import sys\n"
        "from lora_watch.cli.app import app\n"
        "for arguments in (['--help'], ['demo', '--help'], ['--version']):\n"
        "    app(arguments, standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'tensorboard', 'peft'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rules_lists_the_whole_catalogue():
    shown = lora_watch("rules")
    assert shown.exit_code == 0
    for rule in catalogue():
        line = next(line for line in shown.output.splitlines() if line.startswith(rule.id))
        assert rule.name in line
        assert rule.severity.name in line
    severities = [word for word in ("ERROR", "WARNING", "INFO") if word in lora_watch("rules", "LW209").output]
    assert len(severities) == 3, "LW209 has them all"


@pytest.mark.parametrize("rule", catalogue(), ids=lambda rule: rule.id)
def test_each_rule_is_explained_with_its_limits(rule):
    by_id, by_name = lora_watch("rules", rule.id.lower()), lora_watch("rules", rule.name)
    assert by_id.exit_code == 0
    assert by_id.output == by_name.output
    assert rule.name in by_id.output
    for name, value in rule.thresholds.items():
        assert f"{name} = {value}" in by_id.output
    if rule.thresholds:
        assert f"rules=[{type(rule).__name__}(" in " ".join(by_id.output.split())
    assert f'mute=["{rule.id}"]' in by_id.output


def test_an_alert_ends_with_the_command_that_explains_it():
    last = str(Alert("LW102", "norm-explosion", Severity.ERROR, 3, "…", remedies=["less"])).splitlines()[-1]
    shown = lora_watch(*last.partition("lora-watch ")[2].split())
    assert shown.exit_code == 0
    assert "norm-explosion" in shown.output
    assert "lora-watch" not in str(Alert("MY001", "own", Severity.ERROR, 3, "…"))


@pytest.mark.parametrize("finding", ["LW801", "LW812", "norms-shifted", "LW901"])
def test_findings_without_a_rule_are_explained_too(finding: str):
    shown = lora_watch("rules", finding)
    (page,) = [page for page in pages().values() if finding in (page.id, page.name)]
    assert shown.exit_code == 0
    assert page.summary in " ".join(shown.output.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rules", "LW999"], "no rule is called 'LW999'; `lora-watch rules` lists them"),
        (["rules", "norm-explosions"], "did you mean LW102 (norm-explosion)?"),
        (["train"], "train"),
        (["run", "."], "there is no script .: a Python file is wanted"),
        (["demo", "--fast"], "--fast"),
        (["check", "out", "--fail-on", "never", "--fail-on=error"], "--fail-on is given twice"),
    ],
)
def test_misuse_exits_with_2_and_says_what_was_wrong(arguments: list[str], says: str):
    shown = lora_watch(*arguments)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert "Traceback" not in shown.output


def test_what_is_to_be_installed_first_is_one_line(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    shown = lora_watch("demo", "--output-dir", str(tmp_path))
    assert shown.exit_code == 2
    assert shown.stderr.count("\n") == 1
    assert "pip install peft" in shown.stderr
