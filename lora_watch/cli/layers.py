"""Tables of layers: names may be longer than a terminal is wide, and a number is never broken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import takewhile

from rich.console import Console

from lora_watch.base.text import table
from lora_watch.base.text import width as width_of

_NO_WIDTH = 10_000


def console() -> Console:
    """The console that a command prints to. A pipe or a file has no width, so nothing is wrapped there."""
    made = Console(highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _NO_WIDTH
    return made


def layer_table(headings: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines of text no wider than ``width`` where that can be: names to the left, everything else to the right.

    Each of ``lines`` is a layer, its name first. If the whole is too wide, the heading takes the beginning that all
    names share. If that is still too wide, each name gets its own line above its numbers. A heading may hold line
    breaks.
    """
    whole = table(headings, lines)
    if _fits(whole, width):
        return whole
    start = _shared([line[0] for line in lines])
    below = [[line[0].removeprefix(start), *line[1:]] for line in lines]
    shorter = table([f"{start}…", *headings[1:]], below)
    if start and _fits(shorter, width):
        return shorter
    numbers = table(headings[1:], [line[1:] for line in lines], left=())
    head = len(numbers) - len(lines)
    out = [headings[0], *(f"  {line}" for line in numbers[:head])]
    for line, row in zip(lines, numbers[head:]):
        out += [line[0], f"  {row}"]
    return out


def _fits(lines: Sequence[str], width: int) -> bool:
    return max(map(width_of, lines)) <= width


def _shared(names: Sequence[str]) -> str:
    """``model.layers.``, where all begin so; empty where nothing is shared. Every name keeps its last part."""
    places = zip(*(name.split(".")[:-1] for name in names))
    return "".join(f"{parts[0]}." for parts in takewhile(lambda parts: len(set(parts)) == 1, places))
