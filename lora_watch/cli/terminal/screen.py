"""The screen: verdict, curves, heatmap, alerts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lora_watch.base.alerts import Alert, Severity, in_order
from lora_watch.base.text import clean, count, short, sparkline
from lora_watch.cli.terminal.curves import Heatmap, heatmap, level, scale
from lora_watch.gate.formats.text import ending
from lora_watch.runs.run import FinishedRun

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
    parts: list[RenderableType] = [_head(run), _curves(run, width, plain)]
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


def _curves(run: FinishedRun, width: int, plain: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    for name in ("loss", "size"):
        if values := [value for _, value in run.curve(name, 4 * width)]:
            bars = sparkline(values, width - 10)
            table.add_row(name, bars.translate(_BARS) if plain else bars, short(values[-1]))
    return table


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
        yield from _alert(alert)
    over = len(run.alerts) - len(still)
    rest = [f"{len(still) - MOST_ALERTS} more open"] * (len(still) > MOST_ALERTS) + [f"{over} over"] * (over > 0)
    if rest:
        yield Text(", ".join(rest), style="dim")


def _alert(alert: Alert) -> Iterator[Text]:
    title = f"{alert.severity.name} {alert.rule} {alert.name}, step {alert.step}"
    yield Text.assemble((clean(title), _COLOURS[alert.severity]), "  ", clean(alert.message))
    for remedy in alert.remedies:
        yield Text(f"  try: {clean(remedy)}", style="bold")
