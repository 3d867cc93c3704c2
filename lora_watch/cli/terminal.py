"""A run as one screen of a terminal: verdict, curves, heatmap, alerts."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lora_watch.base.alerts import Severity, discarded, in_order
from lora_watch.base.names import by_block
from lora_watch.base.text import clean, count, short, sparkline
from lora_watch.gate.formats.text import ending
from lora_watch.runs.data import INF, NAN, UNKNOWN, Series
from lora_watch.runs.run import FinishedRun, spread

METRICS = ("output_ratio", "relative_spectral_norm", "delta_norm")
"""The heatmap shows the first of these that the run has measured."""
_COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}
_RAMP = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
"""From low to high, readable with any colour vision."""
_LETTERS = ".,:-=+*%#"
"""The same without colours, as many."""
_NOT_FINITE, _UNKNOWN = "!", " "
MOST_ALERTS = 5
_BARS = str.maketrans("▁▂▃▄▅▆▇█", "_.,-=+*#")
_ROOM = 18
"""Columns of the screen that a curve leaves."""


def screen(run: FinishedRun, console: Console) -> RenderableType:
    """One screen of ``console``'s size."""
    width = max(min(console.width, 110) - _ROOM, 20)
    plain = not _draws_blocks(console)
    parts: list[RenderableType] = [_head(run), *_curves(run, width, plain)]
    shown = heatmap(run, width, max(console.height - 20, 6))
    if shown is not None:
        parts += [Text(), _heat(shown, plain or console.color_system is None)]
    parts += [Text(), *_alerts(run)]
    return Group(*parts)


def _draws_blocks(console: Console) -> bool:
    try:
        "▁█".encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _head(run: FinishedRun) -> Text:
    steps = f"step {run.step}" + (f" of {run.max_steps}" if run.max_steps else "")
    worst = max((alert.severity for alert in run.alerts if alert.closed_step is None), default=None)
    said = ending(run) + ("" if run.message is None or worst is not None else f": {run.message}")
    colour = "green" if run.verdict == "ok" else _COLOURS[worst] if worst is not None else "bold"
    return Text.assemble(
        (run.name, "bold"), " · ", (said, colour), " · ", steps, " · ", count(len(run.adapters), "adapter")
    )


def _curves(run: FinishedRun, width: int, plain: bool) -> Iterator[RenderableType]:
    table, steps = Table.grid(padding=(0, 1)), spread([step for step in run.data.steps if step > 0], 4 * width)
    for name in ("loss", "size"):
        values = curve(run, name, steps)
        if any(value is not None for value in values):
            bars = sparkline(values, width - 10)
            table.add_row(name, bars.translate(_BARS) if plain else bars, short(values[-1]))
    yield table
    for gone in discarded(run.alerts)[:MOST_ALERTS]:
        said = f"steps {gone[0]} to {gone[-1]} were" if gone[1:] else f"step {gone[0]} was"
        yield Text(f"blank: {said} discarded", style="dim")


def _heat(shown: Heatmap, plain: bool) -> Group:
    ends = scale(shown.rows)
    table = Table.grid(padding=(0, 1))
    for name, row in shown.rows:
        table.add_row(Text(name, style="dim"), Text.assemble(*(_cell(value, ends, plain) for value in row)))
    if ends is None:
        legend = "nothing is above zero"
    else:
        legend = f"{short(ends[0])} to {short(ends[1])}, logarithmic; {_NOT_FINITE} is NaN or infinite"
    head = f"{shown.metric}, the largest of each block, steps {shown.first} to {shown.last}: {legend}"
    return Group(Text(head, style="dim"), table)


def _cell(value: float | None, ends: tuple[float, float] | None, plain: bool) -> tuple[str, str]:
    if value is None:
        return _UNKNOWN, ""
    if not math.isfinite(value):
        return _NOT_FINITE, "bold white on #d6008d"
    place = 0 if ends is None else level(value, ends, len(_RAMP))
    return (_LETTERS[place], "") if plain else (" ", f"on {_RAMP[place]}")


def _alerts(run: FinishedRun) -> Iterator[RenderableType]:
    if not run.alerts:
        yield Text("no alerts", style="green")
        return
    still = in_order(alert for alert in run.alerts if alert.closed_step is None)
    for alert in still[:MOST_ALERTS]:
        title = f"{alert.severity.name} {alert.rule} {alert.name}, step {alert.step}"
        yield Text.assemble((clean(title), _COLOURS[alert.severity]), "  ", clean(alert.message))
        yield from (Text(f"  try: {clean(remedy)}", style="bold") for remedy in alert.remedies)
    over = len(run.alerts) - len(still)
    rest = [f"{len(still) - MOST_ALERTS} more open"] * (len(still) > MOST_ALERTS) + [f"{over} over"] * (over > 0)
    if rest:
        yield Text(", ".join(rest), style="dim")


# -- the numbers -------------------------------------------------------------------------------------------------------
def curve(run: FinishedRun, name: str, steps: Sequence[int]) -> list[float | None]:
    """``loss`` or ``size`` as it still held at each of ``steps``. NaN where an adapter was not finite, which has no
    size; None where nothing is known and where a recovery has discarded the step."""
    values: dict[int, float | None] = {**run.data.series_at(name)}
    if name == "size" and (measured := _measured(run)) is not None:
        broken = np.any(measured[1].flags & (NAN | INF), axis=1).tolist()
        for step, is_broken in zip(measured[1].steps.tolist(), broken):
            values[step] = math.nan if is_broken else values.get(step)
    held = _held(run, run.trained(sorted(values)), steps)
    return [None if step is None else values[step] for step in held]


def _measured(run: FinishedRun) -> tuple[str, Series] | None:
    """The first of METRICS that the run has, at the steps that were not discarded."""
    for metric in METRICS:
        found, _ = run.data.metric(metric)
        if trained := run.trained(found.steps.tolist()):
            return metric, found.rows(np.isin(found.steps, trained))
    return None


def _held(run: FinishedRun, measured: list[int], steps: Sequence[int]) -> list[int | None]:
    """For each of ``steps`` the one whose numbers still held; None before the first, and for a discarded step."""
    own = set(run.trained(steps))
    places = [bisect_right(measured, step) if step in own else 0 for step in steps]
    return [measured[place - 1] if place else None for place in places]


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
    if (measured := _measured(run)) is None:
        return None
    metric, found = measured
    there = found.steps.tolist()
    first, last = there[0], there[-1]
    columns = min(columns, last - first + 1)
    at = [first + (last - first) * i // max(columns - 1, 1) for i in range(columns)]
    chosen = _held(run, there, at)
    places = by_block(run.data.names)
    blocks, width = list(places), -(-len(places) // most_rows)
    rows = []
    for group in (blocks[i : i + width] for i in range(0, len(blocks), width)):
        largest = dict(zip(there, _largest(found, [place for block in group for place in places[block]])))
        rows.append((_label(group), [None if step is None else largest[step] for step in chosen]))
    return Heatmap(metric, rows, first, last)


def _largest(found: Series, columns: list[int]) -> list[float | None]:
    """Of these columns at each step, NaN kept; None where none is known."""
    known = found.flags[:, columns] != UNKNOWN
    largest = np.where(known, found.values[:, columns], -np.inf).max(axis=1).tolist()
    return [value if is_known else None for value, is_known in zip(largest, known.any(axis=1))]


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
