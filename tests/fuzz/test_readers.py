"""Every reader against files that hold anything: a verdict or one line, never a traceback, and no text that acts.

A few examples in the suite; ``pytest tests/fuzz --hypothesis-profile=explore --timeout=0`` looks for an hour.
"""

import copy
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from typer.testing import CliRunner

from lora_watch.cli.app import app
from tests.runs.written import write_run
from tests.sinks.made_up import alert_of

NESTED: Any = []
for _ in range(300):
    NESTED = [NESTED]
HOSTILE = [
    None, True, -1, 0, 7, 10**400, 2**63, 1e308, -0.5, float("inf"), float("nan"), "NaN", "", "r", [], {}, [1], NESTED,
    "\x1b[2J\x1b[31m", "\n::error::pwned", "\u202e\u2066gnp.exe", "##[error]x", "\x9b31m", "\ud800", "[bold]x[/]",
    "x" * 5000, {"a": {"\x1b]0;x\x07": 1}},
]  # fmt: skip
GONE = object()
ANNOTATION = re.compile(r"::(error|warning) title=(LW\d+ in |lora_watch::)")
short = settings(max_examples=settings().max_examples // 5)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every item of every list and mapping in ``document``, as its container and its key."""
    keys = document.keys() if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in list(keys):
        yield document, key
        yield from places(document[key])


@st.composite
def spoiled(draw: st.DrawFn, document: Any) -> bytes:
    """``document`` as JSON with up to three items replaced, renamed or gone."""
    out = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(out)) or [(out, None)]))
        value = draw(st.sampled_from([*HOSTILE, GONE]))
        if isinstance(container, dict) and value is GONE:
            del container[key]
        elif isinstance(container, dict) and isinstance(value, str) and draw(st.booleans()):
            container[value] = container.pop(key)
        elif key is not None and value is not GONE:
            container[key] = copy.deepcopy(value)
    return json.dumps(out).encode()


def inert(lines: Iterable[str]) -> None:
    """No line can move a cursor, turn what stands around it or command a CI."""
    for line in lines:
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs")], line


def run(*words: Any) -> None:
    """Runs a command. Whatever it raises but an exit is raised here; what it prints must be inert."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "GITHUB_ACTIONS": None}
    result = CliRunner().invoke(app, list(map(str, words)), env=environment, catch_exceptions=False)
    assert result.exit_code in (0, 1, 2)
    inert(line for line in result.output.splitlines() if not ANNOTATION.match(line))
    if result.exit_code == 2 and not result.stdout:
        assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that a reader may find, and a baseline."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_run(folder / "run", steps=6, alerts=[alert_of(2, metric="delta_norm", threshold=1.0)], verdict="failed")
    write_run(folder / "good", steps=6)
    return folder


def content(path: Path) -> Any:
    return json.loads(path.read_bytes())


@short
@given(data=st.data())
def test_check_and_compare(folder: Path, data: st.DataObject) -> None:
    file = folder / "run/lora_watch/report.json"
    whole = file.read_bytes()
    try:
        file.write_bytes(data.draw(spoiled(json.loads(whole))))
        run("check", folder / "run", "--format", data.draw(st.sampled_from(["text", "json", "github"])))
        run("compare", folder / "run")
    finally:
        file.write_bytes(whole)


@short
@given(data=st.data())
def test_check_with_a_baseline(folder: Path, data: st.DataObject) -> None:
    (folder / "spoiled.json").write_bytes(data.draw(spoiled(content(folder / "good/lora_watch/report.json"))))
    face = data.draw(st.sampled_from(["text", "github"]))
    run("check", folder / "run", "--baseline", folder / "spoiled.json", "--format", face)


@short
@given(data=st.data())
def test_a_saved_adapter(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-adapter"
    folder.mkdir(exist_ok=True)
    name = data.draw(st.sampled_from(["layers.0.q_proj", *(h for h in HOSTILE if isinstance(h, str) and h.isascii())]))
    start = f"base_model.model.{name}.lora_"
    save_file({f"{start}A.weight": torch.ones(2, 4), f"{start}B.weight": torch.ones(4, 2)}, folder / SAFE)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"q_proj": 2}, "use_rslora": False}
    config |= {"use_bdlora": None, "base_model_name_or_path": "x", "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_bytes(data.draw(spoiled(config)))
    run("inspect", folder, *data.draw(st.sampled_from([(), ("--json",)])))


SAFE = "adapter_model.safetensors"
SETTINGS = {"r": 8, "lora_alpha": 16, "learning_rate": 2e-4, "target_modules": ["q_proj"], "rank_pattern": {"q": 4}}


@short
@given(data=st.data())
def test_settings(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.getbasetemp() / data.draw(st.sampled_from(["settings.json", "settings.yaml"]))
    file.write_bytes(data.draw(spoiled(SETTINGS)))
    run("preflight", file)


MODEL = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2,
    "vocab_size": 64, "architectures": ["LlamaForCausalLM"], "torch_dtype": "float32",
}  # fmt: skip


@settings(max_examples=settings().max_examples // 20)
@given(data=st.data())
def test_a_models_configuration(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(data.draw(spoiled(MODEL)))
    run("advise", folder)
