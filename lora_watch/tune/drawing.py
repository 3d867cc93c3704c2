"""A sweep drawn: two lines of bars for terminals, and an SVG for notebooks."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from lora_watch.base.lazy import needed
from lora_watch.base.records import FloatArray
from lora_watch.base.text import sparkline
from lora_watch.tune.sweep import BASELINE, smoothed

if TYPE_CHECKING:
    from lora_watch.tune.suggestion import Suggestion

LOSS, RATIO, FOUND, EDGE = "#0072b2", "#d55e00", "#009e73", "#cc0000"
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
        heights = zip(curve.sizes, np.fmax(ratios, ratios[known].min()))  # zero has no logarithm
        ratio = sparkline([None if math.isnan(size) else height for size, height in heights], len(curve))
    axis, high = f"{curve.rates[0]:.1g}", f"{curve.rates[-1]:.1g}"
    if suggestion.rate is not None:
        label = f"▲ {suggestion.rate:g}"
        at = min(int(np.argmin(np.abs(np.log(curve.rates / suggestion.rate)))), max(len(curve) - len(label), 0))
        axis = (axis if at > len(axis) else "").ljust(at) + label
    if (right := high.rjust(len(curve) - len(axis))).startswith(" "):  # numbers never touch: an end gives way
        axis += right
    return [f"  loss          {loss}", f"  output ratio  {ratio}", f"  rate          {axis}"]


def svg(suggestion: Suggestion) -> str:
    """The smoothed and the single losses, and below them the depth-scaled output ratio, over the learning rate. Raises
    ImportError without matplotlib."""
    curve, shown = suggestion.curve, shown_loss(suggestion)
    figure = needed("matplotlib.figure").Figure(figsize=(8, 4.5), layout="constrained")
    loss, ratio = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    single = np.where(curve.losses <= np.nanmax([*shown, -math.inf]), curve.losses, np.nan)
    loss.semilogx(curve.rates, single, ".", color=LOSS, alpha=0.4)
    loss.semilogx(curve.rates, shown, color=LOSS)
    loss.set_ylabel("loss")
    ratio.loglog(curve.rates, np.where(curve.sizes > 0, curve.sizes, np.nan), color=RATIO)
    ratio.axhline(1.0, color="grey", linestyle=":")
    ratio.set_ylabel("depth-scaled output ratio", fontsize="small")
    ratio.set_xlabel("learning rate")
    for axes in (loss, ratio):
        if suggestion.low is not None and suggestion.high is not None:
            axes.axvspan(suggestion.low, suggestion.high, color=FOUND, alpha=0.15, label="range")
        for rate, colour, name in ((suggestion.rate, FOUND, "suggestion"), (suggestion.edge, EDGE, "edge")):
            if rate is not None:
                axes.axvline(rate, color=colour, label=name)
    if loss.get_legend_handles_labels()[0]:
        loss.legend(loc="best", fontsize="small")
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    content = drawn.getvalue()
    return content[content.index("<svg") :]  # inside a page there is no XML header


def shown_loss(suggestion: Suggestion) -> FloatArray:
    """``[steps]``: the smoothed loss, cut off above where the sweep began: what explodes would hide the rest."""
    smooth, begun = smoothed(suggestion.curve.losses), suggestion.curve.losses[:BASELINE]
    start = float(np.nanmean(begun)) if np.isfinite(begun).any() else math.nan
    spread = max(start - float(np.nanmin(smooth)), 0.05 * abs(start)) if np.isfinite(smooth).any() else math.nan
    return np.where(np.isfinite(smooth), np.minimum(smooth, start + 0.5 * spread), math.nan)
