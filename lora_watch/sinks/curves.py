"""A run so far, small enough to be kept, and drawn in a notebook: loss, size, and the adapters over time."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import reduce
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lora_watch.base.alerts import Alert, Severity, discarded, in_order
from lora_watch.base.names import by_block
from lora_watch.base.records import FloatArray, StepRecord
from lora_watch.sinks import Sink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_STEPS = 64
"""Columns of the heatmap, at most: evenly spaced steps, and the last one."""
MOST_POINTS = 2048
"""Points of a curve. Of a longer run each stands for several steps: the largest loss of them, and the largest size."""
_METRICS = ("output_ratio", "delta_norm")
"""What the heatmap shows: the first of these that was measured."""
_MOST_NAMED = 6
"""Alerts that are drawn, the worst first."""
_LOSS, _SIZE, _BROKEN = "#0072b2", "#d55e00", "#d6008d"
_ALERT = {Severity.WARNING: "#e69f00", Severity.ERROR: "#cc0000"}


class Picture:
    """A figure that a notebook shows by itself."""

    def __init__(self, figure: Figure):
        self.figure = figure
        """matplotlib's, to change or to save."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png")
        return drawn.getvalue()


class _Point(NamedTuple):
    step: int
    loss: float
    """NaN where it is unknown, too."""
    broken: bool
    """The loss was measured, and is not finite."""
    size: float


class Heatmap:
    """Keeps ``metric`` of every adapter at some steps. A set of other adapters begins it anew."""

    def __init__(self, metric: str = "delta_norm") -> None:
        self._metric = metric
        self.names: tuple[str, ...] = ()
        self._columns: dict[int, FloatArray] = {}
        self._last: dict[int, FloatArray] = {}
        self._every = 1

    def take(self, record: StepRecord) -> None:
        reading = record.metrics.get(self._metric)
        if reading is None or not reading.known.any():
            return
        if record.run.names != self.names:
            self.names, self._columns, self._every = record.run.names, {}, 1
        if any(step >= record.step for step in self._last):  # trained again
            self._columns = {step: column for step, column in self._columns.items() if step < record.step}
        self._last = {record.step: reading.measured}
        if record.step % self._every == 0:
            self._columns |= self._last
        if len(self._columns) >= MOST_STEPS:  # one is left for the last step
            self._every *= 2
            self._columns = {step: column for step, column in self._columns.items() if step % self._every == 0}

    @property
    def columns(self) -> dict[int, FloatArray]:
        """``[n_adapters]`` by step, in the order of ``names``; empty where nothing was taken."""
        return self._columns | self._last


class Curves(Sink):
    """A sink that keeps what it draws."""

    def __init__(self) -> None:
        self._points: list[_Point] = []
        self._every = 1
        """Steps that a point stands for."""
        self._maps = {metric: Heatmap(metric) for metric in _METRICS}

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        if record.step:
            loss, size = (math.nan if value is None else value for value in (record.loss, record.size))
            self._add(_Point(record.step, loss, record.loss is not None and not math.isfinite(loss), size))
        for kept in self._maps.values():
            kept.take(record)

    def _add(self, point: _Point) -> None:
        points = self._points
        while points and points[-1].step >= point.step:  # written again, or trained again
            points.pop()
        if points and points[-1].step // self._every == point.step // self._every:
            point = _both(points.pop(), point)
        points.append(point)
        if len(points) > MOST_POINTS:
            self._every *= 2
            together = groupby(points, lambda each: each.step // self._every)
            self._points = [reduce(_both, group) for _, group in together]

    def draw(self, alerts: Sequence[Alert]) -> Picture:
        """The curves with the steps at which ``alerts`` opened. Steps that a recovery has discarded are hatched. Raises
        ImportError when matplotlib is not there."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 7), layout="constrained")
        loss, size, heat = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 3))
        steps, losses, broken, sizes = np.array(self._points, dtype=float).reshape(-1, 4).T
        _line(loss, "loss", steps, losses, _LOSS)
        _line(size, "size", steps, sizes, _SIZE)
        for step in steps[broken > 0]:
            loss.axvspan(step, step + self._every, color=_BROKEN, lw=0)
        for gone in discarded(alerts):
            for axes in (loss, size, heat):
                axes.axvspan(gone[0], gone[-1] + 1, fill=False, hatch="//", color="grey", lw=0)
        named = [alert for alert in in_order(alerts) if alert.severity in _ALERT][:_MOST_NAMED]
        for alert in named:
            loss.axvline(alert.step, color=_ALERT[alert.severity], linestyle=":")
            loss.annotate(alert.rule, (alert.step, 1), xycoords=("data", "axes fraction"), fontsize="small")
        metric = next((name for name, kept in self._maps.items() if kept.columns), None)
        if metric is None:
            heat.set_ylabel("no adapter was measured")
        else:
            image = _heatmap(heat, self._maps[metric], int(max(steps, default=0)))
            figure.colorbar(image, ax=heat, label=f"{metric}, largest of a block")
        heat.set_xlabel("step")
        return Picture(figure)


def _both(one: _Point, other: _Point) -> _Point:
    """Those of two neighbouring steps as one."""
    worse = max(one, other, key=lambda point: (point.broken, -math.inf if math.isnan(point.loss) else point.loss))
    return worse._replace(size=float(np.fmax(one.size, other.size)))


def _line(axes: Axes, name: str, steps: FloatArray, values: FloatArray, colour: str) -> None:
    known = np.isfinite(values)
    axes.plot(steps[known], values[known], color=colour)
    axes.set_ylabel(name)
    axes.grid(alpha=0.2)


def _heatmap(axes: Axes, kept: Heatmap, last: int) -> Any:
    """Blocks × steps up to ``last``, logarithmic: a measurement holds until the next one. What is unknown, zero or not
    finite stays empty."""
    from matplotlib.colors import LogNorm

    steps, blocks = list(kept.columns), by_block(kept.names)
    all_values = np.stack(list(kept.columns.values()), axis=1)
    finite = np.where(np.isfinite(all_values), all_values, np.nan)
    values = np.stack([np.fmax.reduce(finite[places]) for places in blocks.values()])
    shown = np.ma.masked_invalid(np.where(values > 0, values, np.nan))
    ends = [*steps, max(last, steps[-1]) + 1]
    axes.set_ylabel("block")
    axes.set_yticks(range(len(blocks)), ["none" if block < 0 else str(block) for block in blocks])
    axes.locator_params(axis="y", nbins=12)
    norm = LogNorm() if shown.count() else None
    return axes.pcolormesh(ends, np.arange(len(blocks) + 1) - 0.5, shown, cmap="viridis", norm=norm)
