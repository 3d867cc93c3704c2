"""Pooling: nothing that stands out is lost."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_watch.format import tags
from lora_watch.runs.data import INF, NAN, UNKNOWN, Series
from lora_watch.tensorboard_plugin.pooling import pool


def series_of(values: np.ndarray) -> Series:
    return Series.of(np.arange(1, len(values) + 1), values.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 40), st.randoms(use_true_random=False))
def test_pooling_says_what_looking_at_every_step_says(rows: int, columns: int, random) -> None:
    choices = [0.0, 1.0, -2.5, 1e30, np.nan, np.inf, -np.inf]
    values = np.array([[random.choice(choices) for _ in range(3)] for _ in range(rows)], np.float32)
    pooled = pool(series_of(values), columns)

    assert len(pooled.first) <= columns
    assert len(pooled.first) == rows or 2 * len(pooled.first) > min(rows, columns)
    assert pooled.first[0] == 1
    assert pooled.last[-1] == rows
    np.testing.assert_array_equal(pooled.first[1:], pooled.last[:-1] + 1)
    for c, (first, last) in enumerate(zip(pooled.first, pooled.last)):
        part = values[first - 1 : last]
        for i in range(3):
            finite = part[np.isfinite(part[:, i]), i]
            if len(finite):
                assert (pooled.low[c, i], pooled.high[c, i]) == (finite.min(), finite.max())
            assert bool(pooled.flags[c, i] & NAN) == np.isnan(part[:, i]).any()
            assert bool(pooled.flags[c, i] & INF) == np.isinf(part[:, i]).any()


def test_a_column_is_unknown_only_if_nothing_in_it_was_measured() -> None:
    values = np.ones((6, 2), np.float32)
    values.view(np.uint32)[[0, 1, 2], 0] = tags.UNKNOWN_BITS
    values.view(np.uint32)[4, 1] = tags.UNKNOWN_BITS
    pooled = pool(series_of(values), 2)
    np.testing.assert_array_equal(pooled.flags, [[UNKNOWN, 0], [0, 0]])
    np.testing.assert_array_equal(pooled.high, np.float32([[np.nan, 1], [1, 1]]))
