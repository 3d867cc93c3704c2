"""Every notebook runs from top to bottom, its own assertions hold, and what is committed of it is small and clean."""

import ast
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
A_MACHINES_PATH = re.compile(r"(?<![\w./])(?:/(?:home|root|tmp|opt|usr|var|work|mnt|private|Users)/|[A-Z]:\\)")
MOST_BYTES = 300_000

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """One for all of them, as importing what they need takes seconds."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),  # where the third one unpacks the larger model
        "HF_HUB_OFFLINE": "1",
        "LORA_WATCH_FAIL_ON": "never",  # whatever the job that runs these tests has set
    }
    manager, client = start_new_kernel(env=environment)
    client.stop_channels()
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.thorough
@each
def test_it_runs(path: Path, tmp_path: Path, kernel: KernelManager):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%reset -f -s\n%cd -q {tmp_path}"))
    NotebookClient(notebook, timeout=500, km=kernel).execute()


@each
def test_what_is_committed_was_executed_and_is_clean(path: Path):
    assert path.stat().st_size < MOST_BYTES
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    text = "\n".join(_text(output) for output in outputs)
    assert A_MACHINES_PATH.findall(text) == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


def _text(output: nbformat.NotebookNode) -> str:
    """All of an output that is text; a picture is none."""
    shown = [part for kind, part in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *shown])


@each
def test_its_imports_are_there(path: Path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            lines = [line for line in cell.source.splitlines() if not line.startswith("%")]
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lora_watch"):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names)
