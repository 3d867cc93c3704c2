"""Which steps of a long run are written."""

from __future__ import annotations

from collections.abc import Iterable

from lora_watch.sinks.tensorboard import ALL_OF, Thinning, stride


def written(steps: Iterable[int], full_every: int = 4) -> list[int]:
    thinning = Thinning()
    return [step for step in steps if thinning.is_due(step, 14 if step % full_every == 0 else 9)]


def test_every_step_at_first_and_then_one_of_ever_more() -> None:
    out = written(range(1, 4 * ALL_OF + 1))
    assert out[:ALL_OF] == list(range(1, ALL_OF + 1))
    counts = [sum(low < step <= 2 * low for step in out) for low in (ALL_OF, 2 * ALL_OF)]
    assert max(abs(count - ALL_OF / 2) for count in counts) <= 1


def test_what_is_measured_seldom_is_what_is_written() -> None:
    out = written(range(100_001, 101_001), full_every=12)
    assert stride(100_001) == 16
    assert sum(step % 12 == 0 for step in out) >= len(out) - 2
