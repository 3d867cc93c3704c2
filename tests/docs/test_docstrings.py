"""What docstrings show is true: every call in them fits what it calls, and the loops that they begin with run."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from lora_watch import LoraWatchCallback, Monitor
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


def examples(text: str) -> Iterator[str]:
    """Code between double backquotes, and indented blocks after a double colon."""
    yield from re.findall(r"``([^`]+)``", text)
    yield from (textwrap.dedent(block) for block in re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", text + "\n"))


def block(thing: Any) -> str:
    return next(code for code in examples(inspect.getdoc(thing) or "") if "\n" in code)


def test_the_loop_of_monitor_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it writes to "out"
    model = lora(tiny_model())
    rows = [torch.tensor([row["input_ids"]]) for row in stdlib_blocks(2)]
    names = {
        "model": model,
        "optimizer": torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3),
        "data": [{"input_ids": row, "labels": row} for row in rows],
        "Monitor": Monitor,
    }
    exec(block(Monitor), names)
    assert names["monitor"].last.step == 2


def test_the_lines_of_the_callback_run() -> None:
    names = {
        "model": lora(tiny_model()),
        "args": build_trainer(lora(tiny_model()), steps=2).args,
        "data": stdlib_blocks(),
        "Trainer": Trainer,
        "LoraWatchCallback": LoraWatchCallback,
    }
    exec(block(LoraWatchCallback), names)
    assert names["trainer"].state.global_step == 2
