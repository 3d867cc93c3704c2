"""The documentation: it says what the program has, and its links lead somewhere."""

import contextlib
import importlib.util
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import lora_watch
from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.gate.judging import judge
from lora_watch.rules import catalogue
from lora_watch.rules.guide import pages
from lora_watch.rules.policy import MONITOR_FAILURE, OF_FINISHED_RUNS, RECOVERED
from tests.processes import Python
from tests.support import lora, report_of, stdlib_blocks, tiny_model, train

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_that_are_made_are_those_of_today(generate: ModuleType):
    """If this fails: ``python docs/generate.py``."""
    made = dict(generate.made())
    assert {"rules.md", "rules/LW102.md", "command-line.md", "python.md"} < made.keys()
    old = [name for name, text in made.items() if (DOCS / name).read_text(encoding="utf-8") != text]
    assert old == []
    assert {file.name for file in (DOCS / "rules").glob("*.md")} == {f"{id}.md" for id in pages()}


def test_every_finding_has_a_page_that_says_what_to_do():
    assert {rule.id for rule in catalogue()} | {*OF_FINISHED_RUNS, MONITOR_FAILURE, RECOVERED} == set(pages())
    assert [id for id, entry in pages().items() if not all((entry.means, entry.fix, entry.mute))] == []
    assert {id: pages()[id].name for id in OF_FINISHED_RUNS} == OF_FINISHED_RUNS


BUDGETS = {"README.md": 800, "docs/guidance.md": 1000, "docs/learning-rate.md": 1000, "docs/trust.md": 1000}
BUDGETS |= {"docs/cost.md": 400, "ARCHITECTURE.md": 1500}
OF_A_PAGE, OF_A_RULE, OF_ALL = 600, 150, 10_000


def words(text: str) -> int:
    """Words of a page, code and tables included; a table's lines are none."""
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def test_every_severity_that_a_rules_source_names_is_listed():
    for rule in catalogue():
        named = re.findall(r"Severity\.([A-Z]+)", inspect.getsource(type(rule)))
        assert pages()[rule.id].severity == ", ".join(dict.fromkeys([rule.severity.name, *named]))


def test_pages_keep_to_their_budgets_of_words(generate: ModuleType):
    made = dict(generate.made())
    pages = [
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        *(file for file in DOCS.glob("*.md") if file.name not in made),
    ]
    counted = {str(file.relative_to(ROOT)): words(file.read_text(encoding="utf-8")) for file in pages}
    assert {name: n for name, n in counted.items() if n > BUDGETS.get(name, OF_A_PAGE)} == {}
    assert sum(n for name, n in counted.items() if name.startswith("docs")) <= OF_ALL
    of_rules = {}
    for name, text in generate.rule_pages():
        tables = re.findall(r"\n\n\|", text)
        assert len(tables) <= 1, name
        prose = re.sub(r"^(```\n.*?^```|\|.*?|#.*?|!\[.*?)$", "", text, flags=re.M | re.S)  # no alert, table, heading
        of_rules[name] = words(prose)
    assert {name: n for name, n in of_rules.items() if n > OF_A_RULE} == {}


def test_the_index_leads_to_every_page():
    listed = set(re.findall(r"\]\(([\w-]+\.md)", (DOCS / "index.md").read_text(encoding="utf-8")))
    # The thresholds' evidence is reached from the page of rules.
    assert listed == {file.name for file in DOCS.glob("*.md")} - {"index.md", "evidence.md"}


def test_the_quickstart_runs_as_it_is_pasted(
    python: Python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- quickstart -->\n```python\n(.*?)```", readme, re.S)
    assert found
    for lr, code, verdict in (("5e-3", 0, "ok"), ("1.0", 1, "failed")):
        folder = tmp_path / verdict
        folder.mkdir()
        (folder / "train.py").write_text(found[1].replace("learning_rate=5e-3", f"learning_rate={lr}"))
        done = python("train.py", folder=folder)
        assert done.returncode == code, done.stderr[-2000:]
        report = report_of(folder / "out")
        assert report["verdict"] == verdict
        if verdict == "failed":  # the page for programs names every field
            checked = judge([folder / "out"]).to_dict()
            text = (DOCS / "programs.md").read_text(encoding="utf-8")
            (run,) = checked["runs"]
            fields = {*report, *report["next_run"], *report["alerts"][0], *checked, *run}
            assert {name for name in fields if f"`{name}`" not in text and f'"{name}"' not in text} == set()
            monkeypatch.chdir(folder)
            exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1], {})
            assert str(report["next_run"]["settings"]["learning_rate"]["to"]) in capsys.readouterr().out


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]


def test_commands_that_pages_quote_exist_with_their_options():
    import typer

    from lora_watch.cli.app import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    quoted = [line for page in PAGES for line in re.findall(r"lora-watch ([a-z].*)", page.read_text(encoding="utf-8"))]
    assert len(quoted) > 30
    for line in quoted:
        called = re.match(r"([a-z-]+)([^`#|]*)", line)
        assert called
        if called[1] not in commands:
            assert not called[2].strip().startswith("--"), line
            continue
        known = {option for parameter in commands[called[1]].params for option in parameter.opts}
        ours = re.split(r"\.py|-m [\w.]+", called[2])[0]  # what follows a script is the script's own
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", ours)) <= known | {"--help"}, line


def test_arguments_that_pages_quote_exist():
    """Of the callback and of ``Monitor``, which take the same and some of their own."""
    known = {*inspect.signature(LoraWatchCallback).parameters, *inspect.signature(lora_watch.Monitor).parameters}
    quoted = set()
    for page in PAGES:
        for call in re.findall(r"(?:LoraWatchCallback|Monitor)\(([^()\n]*)", page.read_text(encoding="utf-8")):
            quoted |= set(re.findall(r"(\w+)=", call))
    assert {"fail_on", "recover", "find_lr"} <= quoted <= known


def test_links_between_the_files_of_the_repository_lead_somewhere():
    files = [*ROOT.glob("*.md"), ROOT / "examples" / "README.md", *DOCS.rglob("*.md")]
    link = re.compile(r"\]\(([^)#:]*)#?([^)#:]*)\)")
    links = [(file, *parts) for file in files for parts in link.findall(file.read_text(encoding="utf-8"))]
    assert len(links) > 100
    assert [each for each in links if not (each[0].parent / each[1]).exists()] == []
    lost = [(file, to, at) for file, to, at in links if at and at not in anchors(file.parent / to if to else file)]
    assert lost == []


def anchors(page: Path) -> set[str]:
    """What a link to a heading of ``page`` is called."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_one_run_has_one_prescription_on_all_pages():
    (told,) = re.findall(
        r"sample: next_run -->\n```json\n(.*?)```", (DOCS / "programs.md").read_text("utf-8"), re.DOTALL
    )
    assert json.loads(told)["text"] in (ROOT / "README.md").read_text("utf-8")


def test_tests_that_promises_name_are_there():
    named = re.findall(r"`(tests/[^`]+\.py)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_rule_of_ones_own_fires_when_it_should():
    text = (DOCS / "own-rules.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found
    namespace: dict = {}
    exec(found[1], namespace)
    model = lora(tiny_model())
    # One A is made small and kept so: the product stays behind, as that of a layer that no gradient reaches.
    small = model.base_model.model.model.layers[1].self_attn.q_proj.lora_A["default"].weight
    small.requires_grad_(False).mul_(1e-6)
    for made, fires in ((model, True), (lora(tiny_model()), False)):
        callback = LoraWatchCallback(rules=[namespace["LayerStandsStill"](times=50)], console=False)
        train(made, steps=12, callbacks=[callback])
        found_alerts = [alert for alert in callback.monitor.alerts if alert.rule == "MY001"]
        assert bool(found_alerts) is fires
        if fires:
            assert found_alerts[0].adapters[0][0] == "model.layers.1.self_attn.q_proj"
            assert np.isfinite(found_alerts[0].threshold or np.nan)


@pytest.mark.parametrize(("lr", "verdict"), [(1e-3, "ok"), (3.0, "failed")])
def test_the_trainer_of_ones_own_is_monitored(lr: float, verdict: str, tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", (DOCS / "own-trainer.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    assert len(found[1].splitlines()) <= 80
    namespace: dict = {}
    exec(found[1], namespace)
    model = lora(tiny_model())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    batches = [{name: torch.tensor([row[name]]) for name in row} for row in stdlib_blocks(n=12)]
    monitored = namespace["Monitored"](fail_on="error", output_dir=tmp_path, console=False)
    failed = pytest.raises(LoraWatchError) if verdict == "failed" else contextlib.nullcontext()
    with failed:
        namespace["ToyTrainer"](model, optimizer, batches, [monitored]).fit()
    report = report_of(tmp_path)
    assert report["verdict"] == verdict
    assert (report["step"] == len(batches)) is (verdict == "ok")
