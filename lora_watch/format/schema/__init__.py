"""JSON Schemas of the files that a run leaves and of what commands write as JSON: the files next to this one.

``python -m lora_watch.format.schema FOLDER`` copies them.
Every number may be ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``.
"""

from pathlib import Path

FILES = sorted(Path(__file__).parent.glob("*.json"))
