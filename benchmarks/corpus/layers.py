"""Is a NaN named by its own layer? One is put into layers of the packaged Llama in turn, in three ways.

    python -m benchmarks.corpus.layers

A minute of one core; the results are kept in layers.json.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.corpus import faults
from benchmarks.corpus.generate import RecordingCallback, train
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import Spec
from lora_watch import find_adapters

RESULTS = Path(__file__).with_name("layers.json")
PLACES = {
    "nan-in-base-weight": "a frozen weight, before the step",
    "nan-in-one-layer": "the adapter, in the update",
    "nan-gradient": "the adapter's gradient, before clipping",
}
STEPS, AT = 3, 2
STRUCK = range(0, 28, 5)
"""Places of adapters in module order: every kind of layer, and all four blocks."""


def struck(fault: str, place: int) -> dict[str, Any]:
    """The first alert's rule and its first layer, when ``fault`` strikes the adapter at ``place``."""
    names: list[str] = []

    def victim(model: Any) -> Any:
        adapter = find_adapters(model)[place]
        names.append(adapter.name)
        return adapter

    callback = RecordingCallback()
    with patch.object(faults, "victim", victim), tempfile.TemporaryDirectory() as folder:
        train(Spec(steps=STEPS, batch=1, seed=7, fault=fault, fault_step=AT), folder, callback)
    assert callback.monitor is not None
    alert = next(iter(callback.monitor.alerts), None)
    said = alert.adapters[0][0] if alert and alert.adapters else None
    return {"fault": fault, "layer": names[0], "rule": alert.rule if alert else None, "named": said}


def report() -> str:
    """A table for SCORES.md."""
    if not RESULTS.exists():
        return "Not run yet: `python -m benchmarks.corpus.layers`."
    entries = json.loads(RESULTS.read_text())
    rows = []
    for fault, where in PLACES.items():
        some = [entry for entry in entries if entry["fault"] == fault]
        rules = sorted({entry["rule"] or "none" for entry in some})
        rows.append([where, ", ".join(rules), share(sum(map(right, some)), len(some))])
    return table(["a NaN in", "rule", "right layer"], rows)


def right(entry: dict[str, Any]) -> bool:
    return entry["named"] == entry["layer"]


def _all() -> Iterator[dict[str, Any]]:
    for fault in PLACES:
        for place in STRUCK:
            yield struck(fault, place)


def main() -> None:
    torch.set_num_threads(1)
    entries = []
    for entry in _all():
        entries.append(entry)
        if not right(entry):
            print(entry, flush=True)
    RESULTS.write_text(json.dumps(entries, indent=1) + "\n")
    print(report())


if __name__ == "__main__":
    main()
