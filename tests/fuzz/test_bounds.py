"""Whatever a file holds, a command ends within 5 s and 300 MB, and with one line where it cannot say more.

Memory is what a command takes beyond the interpreter and the libraries, which it would take for any file: 40 MiB for
``check`` and ``compare``, and torch and transformers for the others.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import save_file

from lora_watch.format import tags
from lora_watch.gate import judge
from lora_watch.gate.baseline import keep
from lora_watch.sinks import events
from tests.fuzz import hostile
from tests.fuzz.test_readers import ANNOTATION, inert
from tests.fuzz.test_tab import claiming
from tests.processes import Done, Python
from tests.runs.written import incident_of, write_run
from tests.sinks.made_up import alert_of

MOST_SECONDS, MOST_MEMORY = 5.0, 260.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
READING = [
    "rich.console",
    "tensorboard.compat.proto.event_pb2",
    "lora_watch.gate",
    "lora_watch.runs.comparison.comparing",
]
"""Imported once, before the commands are."""
Make = Callable[[Path], object]
Command = Callable[..., Done]


def command(python: Python) -> Command:
    return lambda *words: python("-m", "lora_watch", *words, COLUMNS="200", NO_COLOR="1")


@pytest.fixture(scope="module")
def run() -> Iterator[Command]:
    """For commands that need no torch, and must not load it."""
    with Python("lora_watch.cli.app", *READING) as python:
        yield command(python)


@pytest.fixture
def run_with_torch(python: Python) -> Command:
    return command(python)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that a reader may find, its baseline, a saved adapter and a model's configuration."""
    folder = tmp_path_factory.mktemp("whole")
    write_run(folder / "run", steps=6, alerts=[alert_of(2, metric="delta_norm", threshold=1.0)], verdict="failed")
    names = [f"layers.{i}.q_proj" for i in range(3)]
    incident = incident_of(names, range(6), delta_norm=[[1.0, 1.0, 10.0**step] for step in range(6)])
    (folder / "run/lora_watch/incident.json").write_text(json.dumps(incident))
    (folder / "baseline.json").write_bytes(keep(judge([folder / "run"]).runs[0].run).to_json())
    save_adapter(folder / "adapter", r=2, rows=2)
    (folder / "model").mkdir()
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    (folder / "model/config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 32, **shape}))
    return folder


def save_adapter(folder: Path, r: int, rows: int, **config: Any) -> None:
    folder.mkdir()
    start = "base_model.model.layers.0.self_attn.q_proj.lora_"
    save_file({f"{start}A.weight": torch.ones(r, 4), f"{start}B.weight": torch.ones(4, rows)}, folder / SAFE)
    settings = {"peft_type": "LORA", "r": r, "lora_alpha": 4, "target_modules": ["q_proj"], **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


SAFE = "adapter_model.safetensors"


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "w"))


def bounded(done: Done, *codes: int) -> None:
    output = done.stdout + done.stderr
    assert done.returncode in codes, output[-1000:]
    assert "Traceback" not in output
    inert(line for line in output.splitlines() if not ANNOTATION.match(line))
    assert done.seconds < MOST_SECONDS
    assert done.memory < MOST_MEMORY
    if done.returncode == 2:
        assert len(output.strip().splitlines()) <= 3


def each(made: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("make", list(made.values()), ids=list(made))


@each(hostile.ANY_FILE | hostile.LARGE_FILE | hostile.REPORT)
def test_a_report(run: Command, folder: Path, make: Make) -> None:
    make(folder / "run/lora_watch/report.json")
    bounded(run("check", folder / "run"), 1, 2)
    bounded(run("compare", folder / "run"), 0, 2)


@each(hostile.ANY_FILE | hostile.INCIDENT)
def test_an_incident_record(run: Command, folder: Path, make: Make) -> None:
    make(folder / "run/lora_watch/incident.json")
    bounded(run("check", folder / "run"), 1, 2)


@each(hostile.ANY_FILE | {"of ten million lines": lambda path: path.write_bytes(b"0\n" * 10_000_000)})
def test_the_list_of_alerts(run: Command, folder: Path, make: Make) -> None:
    make(folder / "run/lora_watch/alerts.jsonl")
    bounded(run("check", folder / "run"), 1, 2)


@each(hostile.ANY_FILE | hostile.BASELINE)
def test_a_baseline(run: Command, folder: Path, make: Make) -> None:
    make(folder / "baseline.json")
    bounded(run("check", folder / "run", "--baseline", folder / "baseline.json", "--format", "github"), 1, 2)


def with_events(*more: bytes) -> Make:
    """An event file with these records at its end."""

    def make(path: Path) -> None:
        with open(path, "ab") as stream:
            stream.write(b"".join(map(hostile.record, more)))

    return make


def event_of(value: Any) -> bytes:
    event = events.event([value])
    event.step, event.wall_time = 7, 2e9
    return event.SerializeToString()


EVENTS = {
    "a pipe": hostile.fifo,
    "without end": hostile.endless,
    "no text": hostile.ANY_FILE["no text"],
    "a billion numbers": with_events(claiming("lora_watch/m/delta_norm", 10**9).SerializeToString()),
    "two million values": with_events(hostile.of_nothing(1_990_000)),
    "a schema nested deeply": with_events(event_of(events.tensor(tags.SCHEMA, hostile.DEEP.encode(), b""))),
    "a schema of two million keys": with_events(
        event_of(events.tensor(tags.SCHEMA, b"{" + hostile.keys(300_000).encode() + b"}", b""))
    ),
    "alerts of 400 digits": with_events(
        event_of(events.tensor(tags.ALERTS, json.dumps([alert_of(2).to_dict() | {"step": 10**400}]).encode(), b""))
    ),
    "a record of 2**63 bytes": lambda path: path.write_bytes(path.read_bytes() + b"\xff" * 12),
}


@each(EVENTS)
def test_event_files(run: Command, folder: Path, make: Make) -> None:
    (file,) = (folder / "run/runs").rglob("events*")
    make(file)
    bounded(run("check", folder / "run"), 1, 2)
    bounded(run("check", file.parent), 1, 2)
    bounded(run("compare", file.parent), 0, 2)


@each(hostile.ANY_FILE | hostile.ADAPTER)
def test_an_adapters_configuration(run_with_torch: Command, folder: Path, make: Make) -> None:
    make(folder / "adapter/adapter_config.json")
    bounded(run_with_torch("inspect", folder / "adapter"), 0, 2)
    bounded(run_with_torch("preflight", folder / "adapter"), 0, 1, 2)


WEIGHTS = {
    "a pipe": hostile.fifo,
    "without end": hostile.endless,
    "no text": hostile.ANY_FILE["no text"],
    "a header of 2**63 bytes": lambda path: path.write_bytes(b"\xff" * 64),
    "numbers of half a byte": lambda path: path.write_bytes(hostile.halves()),
    "half a million tensors": lambda path: path.write_bytes(hostile.header(500_000)),
}


@each(WEIGHTS)
def test_an_adapters_weights(run_with_torch: Command, folder: Path, make: Make) -> None:
    make(folder / "adapter" / SAFE)
    bounded(run_with_torch("inspect", folder / "adapter"), 2)


def test_blocks_on_a_diagonal(run_with_torch: Command, tmp_path: Path) -> None:
    blocks = {"target_modules_bd_a": ["q_proj"], "nblocks": 4096}
    save_adapter(tmp_path / "a", r=4096, rows=4096, use_bdlora=blocks)
    bounded(run_with_torch("inspect", tmp_path / "a"), 0, 2)


@each(hostile.ANY_FILE)
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_settings(run_with_torch: Command, tmp_path: Path, suffix: str, make: Make) -> None:
    make(tmp_path / f"s.{suffix}")
    bounded(run_with_torch("preflight", tmp_path / f"s.{suffix}"), 2)


@each(hostile.SETTING)
def test_settings_that_grow(run_with_torch: Command, tmp_path: Path, make: tuple[str, str]) -> None:
    name, text = make
    (tmp_path / name).write_text(text)
    bounded(run_with_torch("preflight", tmp_path / name), 2)


@each(hostile.PATTERN)
def test_a_pattern_that_takes_for_ever(run_with_torch: Command, folder: Path, make: dict[str, Any]) -> None:
    if not make.keys() <= LoraConfig.__dataclass_fields__.keys():
        pytest.skip("newer than this PEFT")
    (folder / "s.json").write_text(json.dumps(hostile.SETTINGS | make))
    bounded(run_with_torch("preflight", folder / "s.json", "--model", folder / "model"), 1, 2)


@each(hostile.ANY_FILE | hostile.LARGE_FILE | hostile.MODEL)
def test_a_models_configuration(run_with_torch: Command, folder: Path, make: Make) -> None:
    make(folder / "model/config.json")
    bounded(run_with_torch("advise", folder / "model"), 0, 2)


@each(hostile.REPORT)
def test_a_reference(run_with_torch: Command, folder: Path, make: Make) -> None:
    (folder / "s.json").write_text(json.dumps(hostile.SETTINGS))
    make(folder / "run/lora_watch/report.json")
    bounded(run_with_torch("preflight", folder / "s.json", "--reference", folder / "run"), 0, 1, 2)
