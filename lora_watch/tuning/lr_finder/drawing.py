"""A sweep drawn: two lines of bars for terminals, and an SVG without a library."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lora_watch.base.records import FloatArray
from lora_watch.base.text import sparkline
from lora_watch.tuning.lr_finder.sweep import BASELINE, Curve, smoothed

if TYPE_CHECKING:
    from lora_watch.tuning.lr_finder.suggestion import Suggestion

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM, GAP = 60, 16, 30, 42, 26
LOSS, RATIO, FOUND, EDGE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc0000", "#808080"
"""Okabe and Ito's, which colour-blind people can tell apart, on light and dark pages."""


def lines(suggestion: Suggestion) -> list[str]:
    """Loss and output ratio over the rates, one column a step, and under them where the suggestion is."""
    curve = suggestion.curve
    if len(curve) < 2:
        return []
    loss = sparkline(list(shown_loss(suggestion)), len(curve))
    ratios = np.log10(np.where(curve.sizes > 0, curve.sizes, np.nan))
    known, ratio = np.isfinite(ratios), "not measured"
    if known.any():
        ratio = sparkline(list(np.where(known, ratios, ratios[known].min())), len(curve))
    low, high = f"{curve.rates[0]:.1g}", f"{curve.rates[-1]:.1g}"
    axis = list(f"{low}{high.rjust(max(len(curve) - len(low), 0))}")
    if suggestion.rate is not None:
        at = int(np.argmin(np.abs(np.log(curve.rates / suggestion.rate))))
        label = f"▲ {suggestion.rate:g}"
        at = min(at, max(len(axis) - len(label), 0))
        axis[at : at + len(label)] = label
    return [f"  loss          {loss}", f"  output ratio  {ratio}", f"  rate          {''.join(axis)}"]


def svg(suggestion: Suggestion) -> str:
    """The smoothed and the single losses, and below them the depth-scaled output ratio, over the learning rate."""
    curve = suggestion.curve
    parts = [_text(LEFT, 18, suggestion.sentences()[0], anchor="start", size=13)]
    if len(curve) > 1:
        x = _axis(curve.rates[0], curve.rates[-1], LEFT, WIDTH - RIGHT, log=True)
        divide = TOP + (HEIGHT - TOP - BOTTOM - GAP) * 0.6
        parts += _loss_panel(suggestion, x, TOP, divide) + _ratio_panel(curve, x, divide + GAP, HEIGHT - BOTTOM)
        parts += [*_marks(suggestion, x), _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "learning rate")]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="11" fill="{GREY}">\n{body}\n</svg>\n'
    )


Axis = Callable[[float], float]
"""From values to pixels."""


def _axis(low: float, high: float, start: float, end: float, log: bool = False) -> Axis:
    of = math.log10 if log else float
    span = (of(high) - of(low)) or 1.0
    return lambda value: start + (of(value) - of(low)) / span * (end - start)


def shown_loss(suggestion: Suggestion) -> FloatArray:
    """``[steps]``: the smoothed loss, cut off above where the sweep began: what explodes would hide the rest."""
    smooth, begun = smoothed(suggestion.curve.losses), suggestion.curve.losses[:BASELINE]
    start = float(np.nanmean(begun)) if np.isfinite(begun).any() else math.nan
    spread = max(start - float(np.nanmin(smooth)), 0.05 * abs(start)) if np.isfinite(smooth).any() else math.nan
    return np.where(np.isfinite(smooth), np.minimum(smooth, start + 0.5 * spread), math.nan)


def _loss_panel(suggestion: Suggestion, x: Axis, top: float, bottom: float) -> list[str]:
    shown, curve = shown_loss(suggestion), suggestion.curve
    if not np.isfinite(shown).any():
        return [_text(LEFT, top + 20, "no finite loss", anchor="start")]
    lowest, highest = float(np.nanmin(curve.losses)), float(np.nanmax(shown))
    y = _axis(lowest, highest, bottom, top)
    dots = [
        f'<circle cx="{x(rate):.1f}" cy="{y(loss):.1f}" r="2" fill="{LOSS}" opacity="0.4"/>'
        for rate, loss in zip(curve.rates, curve.losses)
        if math.isfinite(loss) and loss <= highest
    ]
    ticks = [_text(LEFT - 6, y(value) + 4, f"{value:.3g}", anchor="end") for value in (lowest, highest)]
    label = _text(LEFT + 6, bottom - 6, "loss", anchor="start", fill=LOSS)
    return [_frame(top, bottom), *dots, _line(curve.rates, shown, x, y, LOSS), *ticks, label]


def _ratio_panel(curve: Curve, x: Axis, top: float, bottom: float) -> list[str]:
    sizes = np.where(np.isfinite(curve.sizes) & (curve.sizes > 0), curve.sizes, math.nan)
    y = _axis(np.nanmin([*sizes, 0.5]), np.nanmax([*sizes, 2.0]), bottom, top, log=True)
    one = y(1.0)
    powers = range(math.ceil(math.log10(curve.rates[0])), math.floor(math.log10(curve.rates[-1])) + 1)
    return [
        _frame(top, bottom),
        _text(LEFT + 6, top + 14, "depth-scaled output ratio", anchor="start", fill=RATIO),
        *(_text(x(10.0**power), bottom + 16, f"1e{power}") for power in powers),
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{one:.1f}" y2="{one:.1f}" stroke="{GREY}" stroke-dasharray="3"/>',
        _text(LEFT - 6, one + 4, "1", anchor="end"),
        _line(curve.rates, sizes, x, y, RATIO),
    ]


def _marks(suggestion: Suggestion, x: Axis) -> list[str]:
    """The suggestion, its range and the edge, over both panels."""
    ends = suggestion.curve.rates[0], suggestion.curve.rates[-1]
    marks, span = [], f'y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
    if suggestion.low is not None and suggestion.high is not None:
        left, right = (x(np.clip(rate, *ends)) for rate in (suggestion.low, suggestion.high))
        marks.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            f'fill="{FOUND}" opacity="0.15"/>'
        )
    for rate, colour, name in ((suggestion.rate, FOUND, "suggestion"), (suggestion.edge, EDGE, "edge")):
        if rate is not None:
            at = x(np.clip(rate, *ends))
            marks.append(f'<line x1="{at:.1f}" x2="{at:.1f}" {span} stroke="{colour}" stroke-width="1.5"/>')
            marks.append(_text(at - 4, TOP + 12, name, anchor="end", fill=colour))
    return marks


def _frame(top: float, bottom: float) -> str:
    width = WIDTH - LEFT - RIGHT
    return f'<rect x="{LEFT}" y="{top:.1f}" width="{width}" height="{bottom - top:.1f}" fill="none" stroke="{GREY}"/>'


def _line(rates: FloatArray, values: FloatArray, x: Axis, y: Axis, colour: str) -> str:
    path = " ".join(f"{x(rate):.1f},{y(value):.1f}" for rate, value in zip(rates, values) if math.isfinite(value))
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", fill: str = GREY, size: int = 11) -> str:
    said = html.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{said}</text>'
