"""The answer of a sweep, for people and for programs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lora_watch.base import markup
from lora_watch.base.records import FloatArray
from lora_watch.base.strict_json import strict_json
from lora_watch.base.text import sparkline
from lora_watch.format.files import replace_file
from lora_watch.rules.forecast import SHORT_RUN, Rates, at_scale, at_steps, length_law
from lora_watch.rules.remedies import typed_rate
from lora_watch.tune.sweep import BASELINE, Curve, smoothed

VERSION = 1


@dataclass(frozen=True)
class Suggestion:
    """The result of a sweep of the learning rate. ``print`` it, or leave it as the last line of a notebook's cell.

    Rates are peaks: a warm-up leads to them and a decay comes down from them. They are those of the first parameter
    group, and of ``learning_rate`` where the Trainer makes the optimizer; ``rates`` has every group's.
    """

    rate: float | None
    """The learning rate to take; None where the sweep does not tell, and ``why`` says what would."""
    edge: float | None
    """The rate at which the rules said ERROR, or the loss was not finite; None where the sweep did not get there."""
    curve: Curve
    low: float | None = None
    high: float | None = None
    """The range that the rate lies in, as far as one is known."""
    rates: tuple[float, ...] = ()
    """The rate for each parameter group: they keep their ratios (LoRA+). Empty where ``rate`` is None."""
    edge_rule: str = ""
    lowest_loss_at: float | None = None
    """Rate at which the smoothed loss is lowest: too high for a whole run."""
    ratio_one_at: float | None = None
    """Rate at which the depth-scaled output ratio passes 1: often too low for a whole run."""
    fall: float = float("nan")
    """Of the smoothed loss, from the mean of the first ``BASELINE`` losses to its lowest."""
    noise: float = float("nan")
    """Standard error of ``fall``, from the differences of neighbouring losses."""
    why: str = ""
    """Why ``rate`` is None, or what else there is to know of it."""
    scale: float | None = None
    """s of the adapters during the sweep; None where they differ."""
    predicted: float | None = None
    """The forecast of the weights alone, as in ``lora-watch advise``: the rate of a useful first step."""
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
        return rounded(math.sqrt(self.low * self.high))

    def at_scale(self, scale: float) -> float | None:
        """``rate`` for another scale of the same adapters, under Adam and the like: rate · (s/scale)^0.7. None
        where one of them is unknown."""
        if self.rate is None or not self.scale or not scale > 0:
            return None
        return rounded(at_scale(self.rate, self.scale, scale))

    def at_steps(self, steps: int) -> float | None:
        """``rate`` for a run of another length; None where it is unknown."""
        if self.rate is None:
            return None
        return rounded(for_length(self.rate, self.steps, steps, self.new_head))

    def sentences(self) -> list[str]:
        """One a fact, the answer first."""
        seen = []
        if self.lowest_loss_at is not None:
            seen.append(f"the smoothed loss is lowest at {self.lowest_loss_at:.2g}")
        if self.ratio_one_at is not None:
            seen.append(f"the depth-scaled output ratio passes 1 at {self.ratio_one_at:.2g}")
        harm = self.edge_rule or "a loss that is not finite"
        seen.append("no rate did harm" if self.edge is None else f"{harm} is an ERROR at {self.edge:.2g}")
        said = [self._answer(), f"Over {len(self.curve)} steps {', '.join(seen)}."]
        if not self.by_size:
            said.append(
                "The adapters do not start at zero, so only the loss was read: it is half the rate of the lowest loss."
            )
        if self.why:
            said.append(self.why)
        if self.rate is None:
            return [*said, *self._on_the_middle()]
        if self.predicted is not None and not self.new_head:
            by_weights = typed_rate(for_length(self.predicted, None, self.steps, self.new_head))
            said.append(f"At this alpha the weights alone predict {by_weights:g}. The measured rate counts.")
        if self.scale is not None:
            said.append(f"It belongs to the scale {self.scale:.3g}: keep alpha.")
        return said

    def _on_the_middle(self) -> list[str]:
        middle = self.rate_or_middle
        return [] if middle is None else [f"Without a second sweep take the middle of the range, {middle:g}."]

    @property
    def spread(self) -> str:
        """The range that the rate lies in, in brackets; empty where none is known."""
        return "" if self.low is None or self.high is None else f" ({Rates(self.low, self.low, self.high)})"

    def _answer(self) -> str:
        if self.rate is not None:
            *_, longest = length_law(self.new_head)
            lower = f"; {self.at_steps(longest):g} for {longest:,} steps or more"
            of = f" of {self.steps:,} steps" if self.steps else lower
            return f"Learning rate {self.rate:g}{self.spread}, as the peak of the schedule{of}."
        if self.low is not None and self.high is not None:
            return (
                f"Learning rate unknown: between {self.low:.2g} and {self.high:.2g} by the size of the adapters alone."
            )
        return "Learning rate unknown."

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

    def _repr_html_(self) -> str:
        """For notebooks."""
        return markup.lines(str(self))


def for_length(rate: float, steps: int | None, new: int | None, new_head: bool) -> float:
    """A rate that a sweep found for a run of ``steps`` steps, for one of ``new``; None counts as a short run. A shorter
    run has the rate of a short one: a higher rate was not swept."""
    of, to = (max(n or SHORT_RUN, SHORT_RUN) for n in (steps, new))
    return at_steps(rate, of, to, new_head)


def rounded(rate: float) -> float:
    """Two digits: no sweep knows more."""
    return float(f"{rate:.2g}")


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


def shown_loss(suggestion: Suggestion) -> FloatArray:
    """``[steps]``: the smoothed loss, cut off above where the sweep began: what explodes would hide the rest."""
    smooth, begun = smoothed(suggestion.curve.losses), suggestion.curve.losses[:BASELINE]
    start = float(np.nanmean(begun)) if np.isfinite(begun).any() else math.nan
    spread = max(start - float(np.nanmin(smooth)), 0.05 * abs(start)) if np.isfinite(smooth).any() else math.nan
    return np.where(np.isfinite(smooth), np.minimum(smooth, start + 0.5 * spread), math.nan)
