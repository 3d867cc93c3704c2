"""What a sweep says: a learning rate, a range, or nothing; for people and for programs."""

import math
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lora_watch.base.prescription import in_figures
from lora_watch.base.records import FloatArray
from lora_watch.base.strict_json import strict_json
from lora_watch.base.text import count, sparkline
from lora_watch.format.files import replace_file
from lora_watch.rules.forecast import LENGTH_LAW, OF_WEIGHTS, Rates, at_steps, by_crossing, by_sweep
from lora_watch.rules.remedies import typed_rate
from lora_watch.tune.sweep import BASELINE, WINDOW, Curve, Sweep, smoothed

VERSION = 1
CLEAR = 3.5
"""A fall of the smoothed loss counts from this many standard errors on: 3 in 100 sweeps of pure noise have one."""
TOO_EARLY = 0.1
"""A lowest loss below this share of the rate at which the output ratio passes 1 is chance: the adapters hardly move."""
SAFE_FROM_EDGE = 4.0
"""A suggestion is at most the edge divided by this."""
SAFE_FOR_A_FORECAST = 2.0
"""The same where the rate comes from the weights, which do not depend on the sweep's few batches."""
LEAST_SPREAD = 1.5
"""The best rate may lie this far from the suggested one, however sharp the curve: 35 of 36 cases of FIND_LR.md."""
NEW_HEAD = "A new head is trained, whose loss is no measure of the adapters."
FORECAST = "The rate is the forecast of the weights (lora-watch advise), at most half the rate that does harm."


@dataclass(frozen=True)
class Suggestion:
    """The result of a sweep of the learning rate. ``print`` it.

    Rates are peaks: a warm-up leads to them and a decay comes down from them. They are those of the first parameter
    group; the others keep their ratio to it (LoRA+).
    """

    rate: float | None
    """The learning rate to take; None where the sweep does not tell, and ``why`` says what would."""
    edge: float | None
    """The rate at which the rules said ERROR; None where the sweep did not get there."""
    curve: Curve
    low: float | None = None
    high: float | None = None
    """The range that the rate lies in, as far as one is known."""
    edge_rule: str = ""
    fault: str = ""
    """The rule that found what is broken at any rate, as wrong labels are; ``why`` has its words."""
    lowest_loss_at: float | None = None
    """Rate at which the smoothed loss is lowest: mostly above the best one of a whole run."""
    ratio_one_at: float | None = None
    """Rate at which the depth-scaled output ratio passes 1: mostly below the best one of a whole run."""
    why: str = ""
    """Why ``rate`` is None, or what else there is to know of it."""
    scale: float | None = None
    """s of the adapters during the sweep; None where they differ."""
    predicted: float | None = None
    """What the weights alone forecast for a run of this length, as in ``lora-watch advise``."""
    by_size: bool = True
    """The depth-scaled output ratio was read: not where the adapters begin with something in them (PiSSA)."""
    new_head: bool = False
    """A classifier's head learns from nothing: ``rate`` is the forecast of the weights, and the sweep has the edge."""
    steps: int | None = None
    """Optimizer steps of the run that the rates are for; None where its length is unknown: it counts as short then."""

    @property
    def rate_or_middle(self) -> float | None:
        """``rate``, else the geometric middle of the range that is left; None where nothing is known."""
        if self.rate is not None or self.low is None or self.high is None:
            return self.rate
        return _rounded(math.sqrt(self.low * self.high))

    def at_steps(self, steps: int) -> float | None:
        """``rate`` for a run of another length; None where it is unknown."""
        if self.rate is None:
            return None
        rate = at_steps(self.rate, self.steps, steps, self.new_head)
        return _rounded(min(rate, max(self.rate, (self.edge or math.inf) / SAFE_FOR_A_FORECAST)))

    def sentences(self) -> list[str]:
        """One a fact, the answer first."""
        if self.fault:
            return [self._answer(), *self.why.splitlines()]
        seen = []
        if self.lowest_loss_at is not None:
            seen.append(f"the loss was lowest at {self.lowest_loss_at:.2g}")
        if self.ratio_one_at is not None:
            seen.append(f"all adapters together added as much as a layer's own output at {self.ratio_one_at:.2g}")
        seen.append("no rate did harm" if self.edge is None else f"{self.edge:.2g} did harm ({self.edge_rule})")
        said = [self._answer(), f"In {count(len(self.curve), 'step')} {'; '.join(seen)}."]
        if not self.by_size:
            said.append(
                "The adapters do not start at zero, so only the loss was read: it is half the rate of the lowest loss."
            )
        if self.why:
            said.append(self.why)
        if self.rate is None:
            if (middle := self.rate_or_middle) is not None:
                said.append(f"Without a second sweep take the middle of the range, {middle:g}.")
            return said
        if self.predicted is not None and not self.new_head:
            alone = f"Estimated from the model's weights alone it would be {self.predicted:g}"
            said.append(f"{alone}: use the measured one.")
        if self.scale is not None:
            said.append("Keep alpha: the rate belongs to it.")
        return said

    def _answer(self) -> str:
        if self.rate is not None:
            *_, longest = LENGTH_LAW[self.new_head]
            lower = f"; {self.at_steps(longest):g} for {longest:,} steps or more"
            of = f" of {self.steps:,} steps" if self.steps else lower
            spread = "" if self.low is None else f" ({self.low:g} to {self.high:g})"
            return f"Learning rate {self.rate:g}{spread}, as the peak of the schedule{of}."
        if self.low is not None and self.high is not None:
            return f"Learning rate unknown: between {self.low:g} and {self.high:g} by the size of the adapters alone."
        return f"Learning rate unknown{': the training is broken, whatever its rate' * bool(self.fault)}."

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in ``find_lr.json`` and in the settings of the run that follows: all that a picture needs."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "curve"}
        curve = {
            "rate": self.curve.rates.tolist(),
            "loss": self.curve.losses.tolist(),
            "smoothed": shown_loss(self).tolist(),
            "output_ratio": self.curve.sizes.tolist(),
        }
        return {"version": VERSION, "sentences": self.sentences(), **facts, "curve": curve}

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``find_lr.json`` to ``folder``; its path. Raises OSError, which names the file."""
        path = Path(folder) / "find_lr.json"
        replace_file(path, strict_json(self.to_dict()))
        return path

    def __str__(self) -> str:
        return "\n".join([self.sentences()[0], *lines(self), *self.sentences()[1:]])


def suggestion(
    sweep: Sweep, steps: int | None = None, new_head: bool = False, predicted: float | None = None, **facts: Any
) -> Suggestion:
    """The suggestion of a finished ``sweep``. All further arguments are fields of it."""
    facts |= {"new_head": new_head, "steps": steps}
    facts["predicted"] = predicted and typed_rate(at_steps(predicted, None, steps, new_head))
    if (error := sweep.error) is not None and sweep.edge is None:
        return Suggestion(None, None, sweep.curve, fault=error.rule, why="\n".join(error.lines()), **facts)
    lowered = at_steps(1.0, None, steps, new_head)
    found = estimate(sweep.curve, sweep.edge, new_head, predicted and predicted * max(lowered, 1.0))
    lowered = min(lowered, 1.0)  # but not ``high``: on some texts the rate falls less
    facts["rate"] = rate = found.rate and _rounded(found.rate * lowered)
    if found.low is not None and found.high is not None:
        low, high = found.low * lowered, found.high
        facts["low"], facts["high"] = in_figures(low, rate or math.sqrt(low * high), high)
    facts |= {"edge_rule": error.rule if error else "", "why": " ".join(filter(None, [found.why, *sweep.warnings]))}
    return replace(found, **facts)


def estimate(curve: Curve, edge: float | None, new_head: bool = False, predicted: float | None = None) -> Suggestion:
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
    ends_at = math.inf if edge is None else edge
    cap = ends_at / SAFE_FROM_EDGE
    by_chance = lowest is not None and one is not None and lowest < TOO_EARLY * one

    said = partial(Suggestion, edge=edge, curve=curve, lowest_loss_at=lowest, ratio_one_at=one)
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
    low, high = min(low, rate / LEAST_SPREAD), max(min(high, 2.0 * cap), rate * LEAST_SPREAD)
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
        return f"The loss was known at {count(steps, 'step')}, and {BASELINE} at least are needed."
    said = f"The loss falls by {max(fall, 0.0):.2g} at most, and its noise is {noise:.2g}"
    if by_chance or not fall > 0.0:
        return f"{said}: no learning rate lowers it by more than chance. Check the data and the trained parameters."
    times = math.ceil((CLEAR * noise / fall) ** 2 * 1.2)
    more = f"A batch {times} times as large would tell (gradient_accumulation_steps × {times})."
    return f"{said}: it may be chance. {more}"


def _rounded(rate: float) -> float:
    """Two digits: no sweep knows more."""
    return float(f"{rate:.2g}")


def lines(suggestion: Suggestion) -> list[str]:
    """Loss and size of the adapters over the rates, one column a step, and under them where the suggestion is."""
    curve = suggestion.curve
    if len(curve) < 2 or suggestion.fault:
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
    return [f"  loss            {loss}", f"  adapters' size  {ratio}", f"  rate            {axis}"]


def shown_loss(suggestion: Suggestion) -> FloatArray:
    """``[steps]``: the smoothed loss, cut off above where the sweep began: what explodes would hide the rest."""
    smooth, begun = smoothed(suggestion.curve.losses), suggestion.curve.losses[:BASELINE]
    start = float(np.nanmean(begun)) if np.isfinite(begun).any() else math.nan
    spread = max(start - float(np.nanmin(smooth)), 0.05 * abs(start)) if np.isfinite(smooth).any() else math.nan
    return np.where(np.isfinite(smooth), np.minimum(smooth, start + 0.5 * spread), math.nan)
