"""A sample of the corpus gives the alerts that were kept: ``python -m benchmarks.corpus.golden`` replays all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.corpus.generate import load_all, path_of, plan
from benchmarks.corpus.golden import CADENCES, changes, plain, read
from benchmarks.corpus.plan import Spec
from benchmarks.corpus.replay import judge
from lora_watch.rules import BarelyMoves, NormExplosion

EVERY = 25
"""One in so many runs of the plan is replayed: some 56, every label and several faults among them."""


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {**read()}


def test_every_trace_has_its_alerts_kept(kept: dict[str, Any]) -> None:
    assert {spec.name for spec in plan() if path_of(spec).exists()} == {*kept}


@pytest.mark.parametrize("cadence", CADENCES)
def test_a_sample_gives_the_alerts_that_were_kept(kept: dict[str, Any], cadence: str) -> None:
    moved = {}
    for spec, trace in load_all(plan()[::EVERY]).items():
        now = json.loads(json.dumps(plain(judge(trace, sparse=CADENCES[cadence]))))
        if found := changes(kept[spec.name][cadence], now):
            moved[spec.name] = found
    assert moved == {}


def test_a_moved_threshold_shows(kept: dict[str, Any]) -> None:
    rules = [
        NormExplosion(
            threshold_if_worse=100.0, threshold=1000.0, spectral_threshold_if_worse=1000.0, spectral_threshold=1000.0
        ),
        BarelyMoves(slow=0.0),
    ]
    some = load_all(spec for spec in plan() if spec.name in SHOWS)
    moved = {spec.name for spec, trace in some.items() if changes(kept[spec.name]["full"], plain(judge(trace, rules)))}
    assert moved == SHOWS


SHOWS = {Spec(lr=1e-5, seed=0, steps=60, batch=4).name, Spec(lr=1e-2, scale=16.0, seed=2).name}
