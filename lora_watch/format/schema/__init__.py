"""JSON Schemas of the files that a run leaves and of what commands write as JSON: the files next to this one.

``python -m lora_watch.format.schema FOLDER`` copies them.
Every number may be ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILES = sorted(Path(__file__).parent.glob("*.json"))


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file."""
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in _FILES}


def write(folder: Path) -> None:
    """Write every schema to ``folder``, which must exist."""
    for file in _FILES:
        (folder / file.name).write_bytes(file.read_bytes())
