"""A comparison as a picture: the quality along each curve, and under it the norms. SVG by hand, PNG with matplotlib."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from lora_watch.comparison.comparing import Comparison
from lora_watch.comparison.curves import Curve, number

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which colour-blind people can tell apart."""
_SHOWN = {"relative_norm": "‖ΔW‖/‖W₀‖", "output_ratio": "output ratio"}
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 320, 64, 16, 58, 46


@dataclass
class Line:
    """One line of a panel."""

    label: str
    points: list[tuple[float, float]]
    """``(x, y)`` of the line."""
    dots: list[tuple[float, float]] = field(default_factory=list)
    """Single runs."""
    chosen: tuple[float, float] | None = None
    plateau: tuple[float, float] | None = None
    """From and to which x a larger one does not pay."""
    beyond: str = ""
    """What is written there."""


@dataclass
class Panel:
    """One picture with two axes; x is logarithmic to base 2."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    log: bool = False
    """y is logarithmic."""


def draw(told: Comparison, path: Path) -> None:
    """Writes the picture of ``told`` to ``path``, in the format of its suffix.

    Raises:
        ValueError: there is no curve to draw.
        ImportError: matplotlib is wanted and not there.
        OSError: the file cannot be written.
    """
    shown = panels(told)
    if not shown:
        raise ValueError("there are no two ranks and no two scales with a quality to draw")
    if path.suffix == ".png":
        _png(shown, path)
    else:
        path.write_text(svg(shown), encoding="utf-8")


def panels(told: Comparison) -> list[Panel]:
    """For the rank, then for the scale, where there are curves: quality, and norms."""
    out: list[Panel] = []
    for along, what, x_label in (("r", "rank", "rank r"), ("scale", "scale", "scale s")):
        curves = [curve for curve in told.curves if curve.along == along][: len(COLOURS)]
        if curves:
            better = "higher" if told.higher_is_better else "lower"
            lines = [_quality(curve, told.metric) for curve in curves]
            out.append(Panel(f"Quality against {what} ({better} is better)", x_label, told.metric, lines))
            norms = list(_norms(curves[0]))
            out.append(Panel(f"At the end, {curves[0].held()}", x_label, "median adapter", norms, log=True))
    return out


def _quality(curve: Curve, metric: str) -> Line:
    values = {_x(curve, each): each.values(metric) for each in curve.configurations}
    means = {x: statistics.fmean(here.values()) for x, here in values.items()}
    chosen = _x(curve, curve.chosen)
    return Line(
        curve.held(),
        sorted(means.items()),
        [(x, value) for x, here in values.items() for value in here.values()],
        (chosen, means[chosen]),
        None if curve.plateau is None else (_x(curve, curve.plateau), max(means)),
        "no gain" if curve.turns else "plateau",
    )


def _norms(curve: Curve) -> Iterator[Line]:
    for metric, label in _SHOWN.items():
        points = []
        for each in curve.configurations:
            middles = [trial.norms[metric][0] for trial in each.trials if metric in trial.norms and trial.out is None]
            if middles and 0 < (y := statistics.fmean(middles)) < math.inf:
                points.append((_x(curve, each), y))
        if points:
            yield Line(label, points)
    scales = [(_x(curve, each), each.scale) for each in curve.configurations if each.scale]
    yield Line("s", scales)


def _x(curve: Curve, each: object) -> float:
    return float(getattr(each, curve.along))


# -- SVG ---------------------------------------------------------------------------------------------------------------
def svg(shown: Sequence[Panel]) -> str:
    """The panels, two in a row, as one SVG document."""
    rows = math.ceil(len(shown) / 2)
    width, height = _WIDTH * min(2, len(shown)), _HEIGHT * rows
    body = "".join(
        f'<g transform="translate({_WIDTH * (i % 2)} {_HEIGHT * (i // 2)})">{"".join(_panel(panel))}</g>\n'
        for i, panel in enumerate(shown)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="#333">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{body}</svg>\n"
    )


def _panel(panel: Panel) -> Iterator[str]:
    points = [p for line in panel.lines for p in (*line.points, *line.dots)]
    xs = sorted({x for line in panel.lines for x, _ in line.points})
    to_x = _Axis(xs[0], xs[-1], _LEFT, _WIDTH - _RIGHT, log=True)
    ys = [y for _, y in points]
    to_y = _Axis(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP, log=panel.log)
    yield f'<text x="{_LEFT}" y="20" font-size="13" font-weight="600">{escape(panel.title)}</text>'
    for y in _ticks(min(ys), max(ys), panel.log):
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{to_y(y):.1f}" y2="{to_y(y):.1f}" stroke="#e4e4e4"/>'
        yield f'<text x="{_LEFT - 6}" y="{to_y(y) + 4:.1f}" text-anchor="end">{number(y)}</text>'
    for x in xs:
        yield f'<text x="{to_x(x):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{number(x)}</text>'
    yield f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(panel.x_label)}</text>'
    yield (
        f'<text transform="translate(14 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(panel.y_label)}</text>'
    )
    for i, (line, colour) in enumerate(zip(panel.lines, COLOURS)):
        if line.plateau:
            left, right = map(to_x, line.plateau)
            height = _HEIGHT - _TOP - _BOTTOM
            yield (
                f'<rect class="plateau" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" height="{height}" '
                f'fill="{colour}" opacity="0.1"/><text x="{(left + right) / 2:.1f}" y="{_HEIGHT - _BOTTOM - 8}" '
                f'text-anchor="middle" fill="{colour}">{line.beyond}</text>'
            )
        path = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in line.points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in line.dots or line.points:
            yield f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="3" fill="{colour}" opacity="0.7"/>'
        if line.chosen:
            x, y = line.chosen
            yield (
                f'<circle class="chosen" cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="8" fill="none" stroke="{colour}" '
                'stroke-width="2"/>'
            )
        x, y = _LEFT + 130 * (i % 3), 36 + 14 * (i // 3)
        yield f'<text x="{x}" y="{y}" font-size="11" fill="{colour}">● {escape(line.label)}</text>'


class _Axis:
    """From a value to its place: ``low`` a little inside ``start``, ``high`` a little inside ``end``."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool):
        self.log = log
        a, b = self._of(low), self._of(high)
        margin = 0.08 * (b - a) or 1.0
        self.a, self.b, self.start, self.end = a - margin, b + margin, start, end

    def _of(self, value: float) -> float:
        return math.log(value) if self.log else value

    def __call__(self, value: float) -> float:
        return self.start + (self._of(value) - self.a) / (self.b - self.a) * (self.end - self.start)


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """A few round numbers between ``low`` and ``high``."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        decades = [10.0**k * step for k in range(first, last + 1) for step in ((1, 3) if last - first < 4 else (1,))]
        return [tick for tick in decades if low * 0.9 <= tick <= high * 1.1] or [low]
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    step *= next(k for k in (0.1, 0.2, 0.5, 1.0) if span / (step * k) <= 6)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]


# -- PNG ---------------------------------------------------------------------------------------------------------------
def _png(shown: Sequence[Panel], path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("a .png needs matplotlib: pip install matplotlib, or name a .svg") from None
    rows = math.ceil(len(shown) / 2)
    figure = Figure(figsize=(9.2, 3.2 * rows), layout="constrained")
    for i, panel in enumerate(shown):
        axes = figure.add_subplot(rows, min(2, len(shown)), i + 1)
        axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label, xscale="log")
        if panel.log:
            axes.set_yscale("log")
        xs = sorted({x for line in panel.lines for x, _ in line.points})
        axes.set_xticks(xs, map(number, xs), minor=False)
        axes.minorticks_off()
        for line, colour in zip(panel.lines, COLOURS):
            axes.plot(*zip(*line.points), color=colour, label=line.label)
            axes.plot(*zip(*(line.dots or line.points)), "o", color=colour, markersize=4, alpha=0.7)
            if line.plateau:
                axes.axvspan(*line.plateau, color=colour, alpha=0.1, label=line.beyond)
            if line.chosen:
                axes.plot(*line.chosen, "o", color=colour, markersize=12, fillstyle="none")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
