"""Which steps of a long run are written."""

from lora_watch.sinks.tensorboard import ALL_OF, stride


def test_every_step_at_first_and_then_one_of_ever_more() -> None:
    out = [step for step in range(1, 4 * ALL_OF + 1) if step % stride(step) == 0]
    assert out[:ALL_OF] == list(range(1, ALL_OF + 1))
    assert [sum(low < step <= 2 * low for step in out) for low in (ALL_OF, 2 * ALL_OF)] == [ALL_OF / 2, ALL_OF / 2]
    full = range(100_000, 160_000, 16)  # what is measured seldom is what is written
    assert stride(100_001) == 16
    assert all(step % stride(step) == 0 for step in full)
