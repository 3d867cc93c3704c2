"""What docstrings show is true: every call in them fits what it calls, and the loops that they begin with run."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

import lora_watch
from lora_watch import LoraWatchCallback, Monitor, rules
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

IMPORTABLE = {**vars(rules), **{name: getattr(lora_watch, name) for name in lora_watch.__all__}}


def documented() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, docstring and module's names of everything public in the package."""
    for info in pkgutil.walk_packages(lora_watch.__path__, "lora_watch."):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # a library that is optional
            continue
        yield info.name, module.__doc__ or "", vars(module)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != info.name:
                continue
            yield f"{info.name}.{name}", inspect.getdoc(thing) or "", vars(module)
            for part, method in vars(thing).items() if inspect.isclass(thing) else ():
                if not part.startswith("_") and inspect.isfunction(method):
                    yield f"{info.name}.{name}.{part}", inspect.getdoc(method) or "", vars(module)


def examples(text: str) -> Iterator[str]:
    """Code between double backquotes, and indented blocks after a double colon."""
    yield from re.findall(r"``([^`]+)``", text)
    yield from (textwrap.dedent(block) for block in re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", text + "\n"))


def calls(code: str) -> Iterator[tuple[str, list[ast.expr], dict[str, ast.expr]]]:
    try:
        tree = ast.parse(code.replace("…", "..."))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.args, {word.arg: word.value for word in node.keywords if word.arg is not None}


FOUND = [
    pytest.param(known[callee], args, words, id=f"{name}:{callee}")
    for name, text, names in documented()
    for known in [{**IMPORTABLE, **names}]
    for code in examples(text)
    for callee, args, words in calls(code)
    if getattr(known.get(callee), "__module__", "").startswith("lora_watch")
]


@pytest.mark.parametrize(("callee", "args", "words"), FOUND)
def test_calls_in_docstrings_fit_what_they_call(callee: Any, args: list[ast.expr], words: dict[str, ast.expr]) -> None:
    inspect.signature(callee).bind(*args, **words)
    if inspect.isclass(callee) and issubclass(callee, rules.Rule):
        values = {name: ast.literal_eval(value) for name, value in words.items()}
        assert callee(**values).thresholds.items() >= values.items()


def test_there_are_examples_to_check() -> None:
    assert {param.id.rpartition(":")[2] for param in FOUND if param.id} >= {"NormExplosion", "Monitor", "Plan"}


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
