"""A sample of the corpus gives the alerts that were kept: ``python -m benchmarks.corpus.golden`` replays all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.corpus.generate import files, load_all, plan
from benchmarks.corpus.golden import changes, plain, read
from benchmarks.corpus.plan import Spec
from benchmarks.corpus.replay import judge
from benchmarks.corpus.traces import load, names, save
from lora_watch.rules import BarelyMoves, NormExplosion

EVERY = 40
"""One in so many runs of the plan is replayed: some 35, every label and several faults among them."""


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {**read()}


def test_every_trace_has_its_alerts_kept(kept: dict[str, Any]) -> None:
    assert {*kept} == {name for file in files() for name in names(file)} & {spec.name for spec in plan()}


def test_a_sample_gives_the_alerts_that_were_kept(kept: dict[str, Any]) -> None:
    moved = {}
    for spec, trace in load_all(plan()[::EVERY]).items():
        now = json.loads(json.dumps(plain(judge(trace))))
        if found := changes(kept[spec.name], now):
            moved[spec.name] = found
    assert moved == {}


def test_a_moved_threshold_shows(kept: dict[str, Any]) -> None:
    rules = [
        NormExplosion(threshold_if_worse=1000.0, threshold=1000.0),
        BarelyMoves(reach=0.0, slow=0.0),
    ]
    some = load_all(spec for spec in plan() if spec.name in SHOWS)
    moved = {spec.name for spec, trace in some.items() if changes(kept[spec.name], plain(judge(trace, rules)))}
    assert moved == SHOWS


SHOWS = {Spec(lr=1e-5, seed=0, steps=60, batch=4).name, Spec(lr=1e-2, scale=16.0, seed=2).name}


def test_packing_again_changes_nothing(tmp_path: Path) -> None:
    """What is left of numbers after one packing goes through the next as it is, so that runs can be added."""
    traces = {spec.name: trace for spec, trace in load_all(plan()[::400]).items()}
    save(tmp_path / "once.zip", traces)
    save(tmp_path / "twice.zip", load(tmp_path / "once.zip"))
    assert (tmp_path / "once.zip").read_bytes() == (tmp_path / "twice.zip").read_bytes()
    again = load(tmp_path / "twice.zip", names(tmp_path / "twice.zip")[1:])
    assert len(again) == len(traces) - 1 > 1
    for name, trace in again.items():
        for then, now in zip(traces[name].records, trace.records, strict=True):
            assert {*then.metrics} == {*now.metrics}
            assert all(
                np.array_equal(then.metrics[m].values, now.metrics[m].values, equal_nan=True) for m in now.metrics
            )
