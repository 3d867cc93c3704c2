"""What is drawn of a run, from its files: loss, size, and a heatmap of blocks over time."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from lora_watch.base.names import by_block
from lora_watch.runs.run import FinishedRun

METRICS = ("output_ratio", "relative_spectral_norm", "delta_norm")
"""What the heatmap shows: the first of these that the run has measured."""


@dataclass(frozen=True)
class Heatmap:
    """``rows``: for each name the largest value of its adapters in each column, NaN kept, None where none is known."""

    metric: str
    rows: list[tuple[str, list[float | None]]]
    first: int
    last: int
    """The steps at which the first and the last column were measured."""


def heatmap(run: FinishedRun, columns: int, most_rows: int) -> Heatmap | None:
    """None for a run of which no adapter was measured."""
    for metric in METRICS:
        if steps := [step for step in run.log.measured(metric) if step > 0]:
            break
    else:
        return None
    chosen = _times(steps, columns)
    found = run.log.metric(metric, chosen)
    groups = _groups(list(run.adapters), most_rows)
    rows = [(name, [_largest(found.get(step, {}), members) for step in chosen]) for name, members in groups]
    return Heatmap(metric, rows, chosen[0], chosen[-1])


def _times(measured: list[int], columns: int) -> list[int]:
    """For each of the columns, which are evenly spaced in time, the step whose numbers still held."""
    first, last = measured[0], measured[-1]
    columns = min(columns, last - first + 1)
    at = [first + (last - first) * i // max(columns - 1, 1) for i in range(columns)]
    return [measured[bisect_right(measured, step) - 1] for step in at]


def _largest(values: dict[str, float], names: list[str]) -> float | None:
    known = [values[name] for name in names if name in values]
    return None if not known else math.nan if any(map(math.isnan, known)) else max(known)


def _groups(names: list[str], most: int) -> list[tuple[str, list[str]]]:
    """Adapters by transformer block, neighbouring blocks together where there are more than ``most``."""
    places = by_block(names)
    blocks, width = list(places), -(-len(places) // most)
    groups = [blocks[i : i + width] for i in range(0, len(blocks), width)]
    return [(_label(group), [names[i] for block in group for i in places[block]]) for group in groups]


def _label(blocks: list[int]) -> str:
    ends = ["–" if block < 0 else str(block) for block in blocks]
    return ends[0] if len(ends) == 1 else f"{ends[0]}-{ends[-1]}"


def scale(rows: list[tuple[str, list[float | None]]]) -> tuple[float, float] | None:
    """The ends of a logarithmic scale: the first decile of what is positive and finite, and the largest of it."""
    known = sorted(v for _, row in rows for v in row if v is not None and 0 < v < math.inf)
    if not known:
        return None
    low = known[len(known) // 10]
    return low, max(known[-1], low * 1.01)


def level(value: float, ends: tuple[float, float], levels: int) -> int:
    """Its place on that scale, 0 to ``levels`` - 1."""
    if value <= 0:
        return 0
    share = math.log(value / ends[0]) / math.log(ends[1] / ends[0])
    return max(0, min(levels - 1, int(share * levels)))
