"""Which steps of a long run are written."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_watch.sinks.thinning import ALL_OF, Thinning, stride


def written(steps: range, alerts: Set[int] = frozenset(), full_every: int = 1) -> list[int]:
    thinning: Thinning[int] = Thinning()
    out = []
    for step in steps:
        worth = 2 if step % full_every == 0 else 1
        out += thinning.take(step, step, worth=worth, keep=step in alerts)
    return [*out, *thinning.rest()]


def test_the_first_ten_thousand_are_all_written_and_then_ever_fewer() -> None:
    out = np.array(written(range(1, 80_001)))
    counts = [np.count_nonzero((out > low) & (out <= 2 * low)) for low in (10_000, 20_000, 40_000)]
    assert list(out[:ALL_OF]) == list(range(1, ALL_OF + 1))
    assert max(abs(count - 5_000) for count in counts) <= 1
    assert (np.diff(out) > 0).all()
    assert out[-1] == 80_000
    assert [stride(step) for step in (0, 1, 10_000, 10_001, 20_000, 20_001, 40_001)] == [1, 1, 1, 2, 2, 4, 8]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200_000), st.lists(st.integers(0, 400), max_size=6), st.integers(1, 400))
def test_steps_of_alerts_their_neighbours_and_the_last_are_written(first: int, places: list[int], length: int) -> None:
    steps = range(first, first + length)
    alerts = {first + place for place in places if place < length}
    out = written(steps, alerts)
    assert out == sorted(set(out))
    for step in alerts:
        assert {step - 1, step, step + 1} & set(steps) <= set(out)
    assert out[-1] == steps[-1]
    assert len(out) <= length // stride(first) + 3 * len(alerts) + 3


def test_what_is_measured_seldom_is_what_is_written() -> None:
    out = written(range(100_001, 101_001), full_every=12)
    assert stride(100_001) == 16
    assert sum(step % 12 == 0 for step in out) >= len(out) - 2
