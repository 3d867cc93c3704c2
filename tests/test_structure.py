"""The shape of the code: rooms without circles, types."""

import ast
import functools
import graphlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lora_watch"


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# -- rooms -------------------------------------------------------------------------------------------------------------
def room_of(module: str) -> str:
    """The first name below the package: a folder or a file of it."""
    return module.split(".")[1]


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of ours that are imported anywhere, also inside functions, but for what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("lora_watch."))
        elif isinstance(node, ast.ImportFrom) and node.module == "lora_watch":
            yield from (f"lora_watch.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lora_watch."):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # those that are modules
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # import_module does it by a text
            yield from [node.value] if re.fullmatch(r"lora_watch(\.\w+)+", node.value) else []
        yield from imported(node)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package is its ``__init__``."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def test_rooms_do_not_need_each_other_in_a_circle():
    needs: dict[str, set[str]] = {}
    for name, path in modules().items():
        room = room_of(f"{name}.")
        needs.setdefault(room, set()).update({room_of(module) for module in imported(parsed(path))} - {room})
    needs["drivers"].remove("tune")  # the callback's find_lr alone, which asks for it when it is wanted
    assert "run" in needs["drivers"]  # imports are seen
    list(graphlib.TopologicalSorter(needs).static_order())  # else CycleError, which names the rooms


def test_modules_do_not_need_each_other_in_a_circle():
    """Also inside a room. What a package imports of its own modules is what it exports."""
    known = modules()
    needs = {name: {module for module in imported(parsed(path)) if module in known} for name, path in known.items()}
    needs = {name: {module for module in found if not name.startswith(module)} for name, found in needs.items()}
    list(graphlib.TopologicalSorter(needs).static_order())


def test_only_the_command_line_and_the_callbacks_sweep_need_what_comes_before_a_run():
    users = {name for name, path in modules().items() if "tune" in map(room_of, imported(parsed(path)))}
    others = {name for name in users if not name.startswith(("lora_watch.tune", "lora_watch.cli"))}
    assert others == {"lora_watch.drivers.callback"}  # and lora_watch itself, by name, on first use


def test_importing_the_callback_loads_nothing_of_what_comes_before_a_run():
    """It is the only one that needs it, and asks for it inside a function."""
    body = parsed(modules()["lora_watch.drivers.callback"]).body
    at_once = ast.Module([node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
    found = set(map(room_of, imported(at_once)))
    assert "drivers" in found  # imports are seen
    assert "tune" not in found


def test_the_page_on_the_architecture_has_a_line_for_each_room_and_names_files_that_there_are():
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {word.rstrip("/").removesuffix(".py") for row in rows for word in re.findall(r"`([^`]+)`", row)}
    rooms = {name.split(".")[1] for name in modules() if name.count(".") and not name.startswith("lora_watch.__")}
    assert rooms - named == set()
    assert named - rooms == set()
    named = re.findall(r"`([\w/]+\.(?:py|yaml|js|md))`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    files = [file.as_posix() for folder in ("lora_watch", "tests", "docs") for file in (ROOT / folder).rglob("*.*")]
    assert len(named) > 30
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []


# -- types -------------------------------------------------------------------------------------------------------------
def test_types_hold():
    pytest.importorskip("pyright")
    done = subprocess.run([sys.executable, "-m", "pyright"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_benchmarks_import_and_name_parts_that_are_there(monkeypatch: pytest.MonkeyPatch):
    """Nothing else imports all of them, and what they time moves."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # where they are when they run as scripts
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        importlib.import_module(path.stem)
    host_time = importlib.import_module("host_time")
    assert all(hasattr(owner, name) for parts in host_time.PARTS.values() for owner, name in parts)
