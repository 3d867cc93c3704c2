"""What a sweep says: a learning rate, a range, or nothing. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lora_watch.base.records import FloatArray
from lora_watch.rules.forecast import OF_WEIGHTS, Rates, by_crossing, by_sweep
from lora_watch.tune.suggestion import Suggestion, for_length, rounded
from lora_watch.tune.sweep import BASELINE, WINDOW, Curve, Edge, Sweep, smoothed

CLEAR = 3.5
"""A fall of the smoothed loss counts from this many standard errors on: 3 in 100 sweeps of pure noise have one."""
TOO_EARLY = 0.1
"""A lowest loss below this share of the rate at which the output ratio passes 1 is chance: the adapters hardly move."""
SAFE_FROM_EDGE = 4.0
"""A suggestion is at most the edge divided by this."""
SAFE_FOR_A_FORECAST = 2.0
"""The same where the rate comes from the weights, which do not depend on the sweep's few batches."""
NEW_HEAD = "A new head is trained, whose loss is no measure of the adapters."
FORECAST = "The rate is the forecast of the weights (lora-watch advise), at most half the rate that does harm."


def suggestion(
    sweep: Sweep,
    ratios: tuple[float, ...],
    steps: int | None = None,
    new_head: bool = False,
    predicted: float | None = None,
    **facts: Any,
) -> Suggestion:
    """The suggestion of a finished ``sweep``. ``ratios``: each parameter group's rate to the reference's. All further
    arguments are fields of the suggestion."""
    found = estimate(sweep.curve, sweep.edge, new_head, predicted)
    lowered = for_length(1.0, None, steps, new_head)
    rate = None if found.rate is None else rounded(found.rate * lowered)
    low = None if found.low is None else found.low * lowered  # and ``high`` as it is: on some texts the rate falls less
    rates = () if rate is None else tuple(rate * ratio for ratio in ratios)
    return replace(found, rate=rate, low=low, rates=rates, steps=steps, **facts)


def estimate(curve: Curve, edge: Edge | None, new_head: bool = False, predicted: float | None = None) -> Suggestion:
    """What the curve alone says, for a short run and the reference parameter group.

    The smoothed loss is lowest at a rate that is too high for a whole run, and the depth-scaled output ratio passes 1
    at one that is too low: the rate is their geometric mean, and at most a quarter of the edge.

    With a ``new_head`` the loss tells of the head, and of batches that are right or very wrong. The rate is then the
    one ``predicted`` by the weights, at most half the edge; without a forecast there is a range alone.
    """
    smooth = smoothed(curve.losses)
    fall, noise = fall_and_noise(curve.losses, smooth)
    one = crossing(curve.rates, curve.sizes)
    lowest = None if (turn := _turn(smooth)) is None else float(curve.rates[turn])
    ends_at = math.inf if edge is None else edge.rate
    cap = ends_at / SAFE_FROM_EDGE
    by_chance = lowest is not None and one is not None and lowest < TOO_EARLY * one

    said = partial(
        Suggestion,
        edge=None if edge is None else edge.rate,
        edge_rule="" if edge is None else edge.rule,
        curve=curve,
        lowest_loss_at=lowest,
        ratio_one_at=one,
        fall=fall,
        noise=noise,
        predicted=predicted,
        new_head=new_head,
    )
    if lowest is None or by_chance or not fall > CLEAR * noise:
        known = None if one is None else by_crossing(one)
        low, high = (None, None) if known is None else sorted((known.low, min(known.high, cap)))
        return said(None, low=low, high=high, why=_why_not(fall, noise, len(curve), by_chance))
    if new_head and predicted is not None:
        forecast, most = Rates.around(predicted, OF_WEIGHTS), ends_at / SAFE_FOR_A_FORECAST
        low, rate, high = (min(each, most) for each in (forecast.low, forecast.best, forecast.high))
        return said(rate, low=low, high=high, why=f"{NEW_HEAD} {FORECAST}")
    # Where the lowest loss is as low as its neighbours but for noise, any of them may be the lowest.
    near = curve.rates[smooth <= np.nanmin(smooth) + noise]
    rate, low, high = (by_sweep(at, one) for at in (lowest, float(near.min()), float(near.max())))
    rate = min(rate, cap)
    low, high = min(low, rate), max(min(high, 2.0 * cap), rate)
    if new_head:
        return said(None, low=low, high=high, why=NEW_HEAD)
    last = float(curve.rates[-1])
    still = f"The loss still falls at {last:.2g}, where the sweep ends: a higher rate may be better."
    return said(rate, low=low, high=high, why=still if edge is None and lowest >= last / 1.5 else "")


def fall_and_noise(losses: FloatArray, smooth: FloatArray) -> tuple[float, float]:
    """How far the smoothed loss falls, and the standard error of that. NaN for fewer than ``BASELINE`` losses."""
    sound = losses[: (_turn(smooth) or 0) + 1]
    if len(losses) < BASELINE or len(sound) < WINDOW or not np.isfinite(losses[:BASELINE]).all():
        return math.nan, math.nan
    jumps = np.abs(np.diff(losses[: max(len(sound), BASELINE)]))
    sd = 1.4826 * float(np.median(jumps)) / math.sqrt(2.0)
    start = float(losses[:BASELINE].mean())
    return start - float(np.nanmin(smooth[WINDOW - 1 :])), sd * math.sqrt(1.0 / BASELINE + 1.0 / WINDOW)


def crossing(rates: FloatArray, sizes: FloatArray, level: float = 1.0) -> float | None:
    """The rate at which ``sizes`` pass ``level`` for good, between two steps in proportion to the logarithms."""
    known = np.isfinite(sizes) & (sizes > 0)
    rates, sizes = rates[known], sizes[known]
    below = np.flatnonzero(sizes <= level)
    if not len(sizes) or sizes[-1] <= level:
        return None
    if not len(below):
        return float(rates[0])
    i = int(below[-1])
    share = math.log(level / sizes[i]) / math.log(sizes[i + 1] / sizes[i])
    return float(rates[i] * (rates[i + 1] / rates[i]) ** share)


def _turn(smooth: FloatArray) -> int | None:
    """Index of the lowest smoothed loss, of those that are means of ``WINDOW``; None where none is finite."""
    whole = smooth[WINDOW - 1 :]
    return WINDOW - 1 + int(np.nanargmin(whole)) if np.isfinite(whole).any() else None


def _why_not(fall: float, noise: float, steps: int, by_chance: bool) -> str:
    """Why there is no suggestion, and what would tell."""
    if math.isnan(fall):
        return f"{steps} steps are too few: the loss was known at fewer than {BASELINE} of them."
    said = f"The loss falls by {max(fall, 0.0):.2g} at most, and its noise is {noise:.2g}"
    if by_chance or not fall > 0.0:
        return f"{said}: no learning rate lowers it by more than chance. Check the data and the trained parameters."
    times = math.ceil((CLEAR * noise / fall) ** 2 * 1.2)
    more = f"gradient_accumulation_steps × {times}"
    return f"{said}: it may be chance. A batch {times} times as large would tell ({more})."
