"""A run as one screen of a terminal: verdict, curves, blocks, alerts."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lora_watch.base.alerts import Severity, discarded, in_order
from lora_watch.base.names import by_block
from lora_watch.base.text import count, short, sparkline
from lora_watch.gate.formats.text import ending
from lora_watch.runs.data import INF, NAN, UNKNOWN, Series
from lora_watch.runs.run import FinishedRun, spread

METRICS = ("output_ratio", "relative_spectral_norm", "delta_norm")
"""The blocks are shown by the first of these that the run has measured."""
_COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}
MOST_ALERTS = 5
_BARS = str.maketrans("▁▂▃▄▅▆▇█", "_.,-=+*#")
_ROOM = 18
"""Columns of the screen that a curve leaves."""


def screen(run: FinishedRun, console: Console) -> RenderableType:
    """One screen of ``console``'s size."""
    width, plain = max(min(console.width, 110) - _ROOM, 20), not _draws_blocks(console)
    steps = spread([step for step in run.data.steps if step > 0], 4 * width)
    parts: list[RenderableType] = [_head(run)]
    if run.next_run is not None:
        parts.append(Text(f"Next run: {run.next_run}", style="bold"))
    parts.append(_lines({name: curve(run, name, steps) for name in ("loss", "size")}, width, plain))
    for gone in discarded(run.alerts)[:MOST_ALERTS]:
        said = f"steps {gone[0]} to {gone[-1]} were" if gone[1:] else f"step {gone[0]} was"
        parts.append(Text(f"blank: {said} discarded", style="dim"))
    if (measured := _measured(run)) is not None:
        title = f"{measured[0]}, the largest of each block, each row from its least to its greatest, and the last"
        rows = blocks_over_time(run, measured[1], steps, max(console.height - 20, 6))
        parts += [Text(), Text(title, style="dim"), _lines(rows, width, plain)]
    return Group(*parts, Text(), *_alerts(run, console.width))


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


def _lines(rows: Mapping[str, list[float | None]], width: int, plain: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, values in rows.items():
        if any(value is not None for value in values):
            bars = sparkline(values, width - 10)
            table.add_row(name, bars.translate(_BARS) if plain else bars, short(values[-1]))
    return table


def _alerts(run: FinishedRun, width: int) -> Iterator[RenderableType]:
    if not run.alerts:
        yield Text("no alerts", style="green")
        return
    still = in_order(alert for alert in run.alerts if alert.closed_step is None)
    for alert in still[:MOST_ALERTS]:
        title, *rest = alert.text(width).splitlines()
        yield Text(title, style=_COLOURS[alert.severity])
        yield from map(Text, rest)
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


def blocks_over_time(run: FinishedRun, found: Series, steps: Sequence[int], most: int) -> dict[str, list[float | None]]:
    """What of a metric still held at each of ``steps``, by transformer block: the largest of its adapters. Neighbouring
    blocks are together where there are more than ``most``."""
    there, places, out = found.steps.tolist(), by_block(run.data.names), {}
    held, blocks, width = _held(run, there, steps), list(places), -(-len(places) // most)
    for group in (blocks[i : i + width] for i in range(0, len(blocks), width)):
        largest = dict(zip(there, _largest(found, [place for block in group for place in places[block]])))
        out[_label(group)] = [None if step is None else largest[step] for step in held]
    return out


def _largest(found: Series, columns: list[int]) -> list[float | None]:
    """Of these columns at each step, NaN kept; None where none is known."""
    known = found.flags[:, columns] != UNKNOWN
    largest = np.where(known, found.values[:, columns], -np.inf).max(axis=1).tolist()
    return [value if is_known else None for value, is_known in zip(largest, known.any(axis=1))]


def _label(blocks: list[int]) -> str:
    ends = ["–" if block < 0 else str(block) for block in blocks]
    return ends[0] if len(ends) == 1 else f"{ends[0]}-{ends[-1]}"
