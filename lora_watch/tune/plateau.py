"""Whether twice the rank still pays: paired differences over shared seeds, and their t-interval.

Two runs with the same seed see the same batches in the same order, so most of the noise cancels in their difference.
The interval of the differences is Student's, which is exact where they are normal. Where it leaves the gain open, more
seeds are wanted. Each test of the data is a chance to be wrong, so the error that is allowed is divided by the number
of looks (Bonferroni). Stopping needs proof, going on needs none: a curve too noisy to judge costs runs, not quality.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

WORTH = 0.01
"""The least gain that twice the rank is worth, as a share of the metric, where nobody says otherwise."""
Values = Mapping[int, float]
"""A metric by seed."""


@dataclass(frozen=True)
class Gain:
    """What the larger of two ranks gains over the smaller, positive where it is better, as a share of the metric."""

    mean: float
    error: float
    """Standard error of ``mean``; infinite for a single pair."""
    low: float
    high: float
    """The interval in which the gain lies, each end by itself with the confidence that was asked for."""
    pairs: int

    def verdict(self, worth: float) -> Literal["flat", "climbs", "open"]:
        """``flat``: the whole interval is below ``worth`` (one of the two one-sided tests of Schuirmann 1987).
        ``climbs``: it is above 0, and the mean is worth it."""
        if self.high < worth:
            return "flat"
        return "climbs" if self.low > 0 and self.mean >= worth else "open"

    def because(self, worth: float) -> str:
        """The verdict in words."""
        if self.high < 0:
            return "worse"
        if self.pairs == 1:
            return "open: one pair does not show the noise"
        return {
            "flat": f"flat, less than the {100 * worth:g} % that the larger rank must gain",
            "climbs": "it pays",
            "open": "open: there is too much noise to call it flat",
        }[self.verdict(worth)]

    def __str__(self) -> str:
        width = (self.high - self.low) / 2
        noise = f" ± {100 * width:.2g}" if math.isfinite(width) else ""
        return f"{100 * self.mean:+.2g}{noise} %"


def gain(before: Values, after: Values, confidence: float, higher_is_better: bool = False) -> Gain:
    """The gain from ``before`` to ``after`` over the seeds that both have. Raises ValueError where there is none."""
    shared = sorted(before.keys() & after.keys())
    if not shared:
        raise ValueError("the two have no seed in common")
    sign = 1 if higher_is_better else -1
    size = abs(statistics.fmean(before[seed] for seed in shared)) or 1.0  # a metric of 0 has no shares
    differences = [sign * (after[seed] - before[seed]) / size for seed in shared]
    mean, n = statistics.fmean(differences), len(differences)
    if n == 1:
        return Gain(mean, math.inf, -math.inf, math.inf, 1)
    error = statistics.stdev(differences) / math.sqrt(n)
    reach = t_quantile(confidence, n - 1) * error
    return Gain(mean, error, mean - reach, mean + reach, n)


def smallest_good(by_rank: Mapping[int, Values], worth: float, higher_is_better: bool = False) -> tuple[int, int]:
    """The smallest rank that is good enough, and the best one: Breiman's rule (Breiman et al. 1984, 3.4.3; Hastie et
    al. 2009, 7.10). Good enough: the best one's gain over it is within that gain's standard error, or ``worth``."""
    sign = 1 if higher_is_better else -1
    best = max(sorted(by_rank), key=lambda r: sign * statistics.fmean(by_rank[r].values()))
    for r in sorted(r for r in by_rank if r < best):
        if by_rank[r].keys() & by_rank[best].keys():
            left = gain(by_rank[r], by_rank[best], 0.95, higher_is_better)
            if left.mean <= max(worth, left.error if math.isfinite(left.error) else 0.0):
                return r, best
    return best, best


def the_best(proven: bool) -> str:
    """What the best of several is called, ``proven`` where no other one may be better."""
    return "the best" if proven else "so far the best"


def per_look(confidence: float, looks: int) -> float:
    """The confidence of each of ``looks`` looks that together have ``confidence``."""
    return 1 - (1 - confidence) / max(looks, 1)


def t_quantile(probability: float, freedom: int) -> float:
    """The t below which Student's distribution with ``freedom`` degrees has ``probability`` (between 0.5 and 1)."""
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"no quantile for probability {probability} with {freedom} degrees of freedom")
    low, high = 0.0, 1.0
    while t_share(high, freedom) < probability:
        high *= 2
    for _ in range(100):
        mean = (low + high) / 2
        low, high = (mean, high) if t_share(mean, freedom) < probability else (low, mean)
    return (low + high) / 2


def t_share(t: float, freedom: int) -> float:
    """The share of Student's distribution below ``t`` ≥ 0; exact for whole degrees (Abramowitz & Stegun 26.7.3–4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= square * (k - 1) / k
    inner = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + inner) / 2
