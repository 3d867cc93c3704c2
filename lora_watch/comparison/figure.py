"""A comparison as a picture: the quality along each curve, and under it the norms."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lora_watch.comparison.comparing import Comparison
from lora_watch.comparison.curves import QualityCurve, number
from lora_watch.figures import new_figure, plain

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which colour-blind people can tell apart."""
_SHOWN = {"relative_norm": "‖ΔW‖/‖W₀‖", "output_ratio": "output ratio"}


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


def draw(comparison: Comparison, path: Path) -> None:
    """Writes the picture of ``comparison`` to ``path``, in the format of its suffix.

    Raises:
        ValueError: there is no curve to draw, or the suffix is another than ``.png``, ``.svg`` and ``.pdf``.
        ImportError: matplotlib is not there.
        OSError: the file cannot be written.
    """
    shown = panels(comparison)
    if not shown:
        raise ValueError("there are no two ranks and no two scales with a quality to draw")
    rows = math.ceil(len(shown) / 2)
    figure = new_figure(path, 9.2, 3.2 * rows)
    for i, panel in enumerate(shown):
        axes = figure.add_subplot(rows, min(2, len(shown)), i + 1)
        axes.set(title=panel.title, xlabel=panel.x_label, ylabel=plain(panel.y_label), xscale="log")
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


def panels(comparison: Comparison) -> list[Panel]:
    """For the rank, then for the scale, where there are curves: quality, and norms."""
    out: list[Panel] = []
    for along, what, x_label in (("r", "rank", "rank r"), ("scale", "scale", "scale s")):
        curves = [curve for curve in comparison.curves if curve.along == along][: len(COLOURS)]
        if curves:
            better = "higher" if comparison.higher_is_better else "lower"
            lines = [_quality(curve, comparison.metric) for curve in curves]
            out.append(Panel(f"Quality against {what} ({better} is better)", x_label, comparison.metric, lines))
            norms = list(_norms(curves[0]))
            out.append(Panel(f"At the end, {curves[0].held()}", x_label, "median adapter", norms, log=True))
    return out


def _quality(curve: QualityCurve, metric: str) -> Line:
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


def _norms(curve: QualityCurve) -> Iterator[Line]:
    for metric, label in _SHOWN.items():
        points = []
        for each in curve.configurations:
            medians = [trial.norms[metric][0] for trial in each.trials if metric in trial.norms and trial.out is None]
            if medians and 0 < (y := statistics.fmean(medians)) < math.inf:
                points.append((_x(curve, each), y))
        if points:
            yield Line(label, points)
    scales = [(_x(curve, each), each.scale) for each in curve.configurations if each.scale]
    yield Line("s", scales)


def _x(curve: QualityCurve, each: object) -> float:
    return float(getattr(each, curve.along))
