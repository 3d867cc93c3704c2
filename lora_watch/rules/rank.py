"""LW105 and LW106: whether the rank was used, judged from the spectrum when a run has ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import FloatArray, StepRecord
from lora_watch.rules.base import Finding, Rule, known_values, worst_first
from lora_watch.rules.remedies import Change, with_rank

_FAILED = (
    *("LW101", "LW102", "LW103", "LW104", "LW107", "LW201", "LW202", "LW204", "LW206"),
    *("LW301", "LW302", "LW303", "LW304", "LW305", "LW306"),
)
"""Rules after whose alerts the spectrum says nothing of the task."""


_WIDEST = 576
"""Width of the widest model on which a full rank was seen to mean something."""


def _largest_ranks(record: StepRecord) -> FloatArray:
    """The rank that each ΔW can have at most, ``[n_adapters]``; 0 under AdaLoRA, which sees to its ranks itself."""
    ranks = [0 if a.scale_formula == "alpha/ranknum" else min(a.r, a.d_out, a.d_in) for a in record.run.adapters]
    return np.array(ranks, dtype=np.float64)


@dataclass
class _RuleOnRank(Rule):
    """What judges the last spectrum of a run that was not stopped."""

    severity = Severity.INFO
    lasting = True
    yields_to = _FAILED

    last: list[float] = field(default_factory=list, init=False)
    """The effective rank of each adapter at the last measurement."""

    def check(self, record: StepRecord) -> Finding | None:
        if (ranks := known_values(record, "effective_rank")) is not None:
            self.last = ranks.tolist()
        return None


@dataclass
class RankUnderused(_RuleOnRank):
    """At the end of the run ΔW uses far fewer than r directions: a smaller rank may be enough.

    Fires when ``effective_rank`` of the median layer is below ``share`` of the rank, among adapters with r ≥ ``least``.
    It is read at the last measurement of a run that was not stopped.

    ``effective_rank`` is the number of singular values that matter, exp of the entropy of σ/Σσ. Take it with caution:
    small singular values can carry signal if training data and use differ sharply. Only the held-out quality at the
    smaller rank decides.
    """

    id = "LW105"
    name = "rank-underused"

    share: float = 0.25
    least: int = 8

    def conclude(self, record: StepRecord) -> Finding | None:
        ranks, most = np.array(self.last), _largest_ranks(record)
        if len(ranks) != len(most):
            return None
        wide = np.isfinite(ranks) & (ranks > 0) & (most >= self.least)
        if not wide.any() or not np.median(ranks[wide] / most[wide]) < self.share:
            return None
        adapter = record.run.adapters[int(np.argmax(np.where(wide, most, 0.0)))]
        used = float(np.percentile(ranks[wide], 90))
        enough = 2 ** math.ceil(math.log2(max(2.0 * used, 2.0)))
        change = with_rank(record, adapter, enough) if enough < adapter.r else Change([], {})
        return Finding(
            f"The adapters use far fewer directions than they have: the effective rank of the median layer is "
            f"{np.median(ranks[wide]):.2g} of {np.median(most[wide]):g} (threshold {self.share:g}). Small singular "
            "values can still carry signal if the data of training and of use differ sharply.",
            adapters=worst_first(record, ranks, wide)[::-1][:10],
            metric="effective_rank",
            threshold=self.share,
            causes=["the task needs fewer directions than r", "there are few different examples"],
            remedies=[
                f"try {words}: twice what a layer in ten uses, and compare held-out quality" for words in change.words
            ],
            settings=change.settings,
        )


@dataclass
class RankSaturated(_RuleOnRank):
    """At the end of the run nearly every layer uses all of its r directions and is still growing.

    Fires when both hold at the last measurement of a run that was not stopped:

    - ``effective_rank`` is above ``share`` of the rank in nine layers of ten.
    - ‖ΔW‖ of the median layer still grows over the last quarter of the schedule's Σ lr, by more than its power
      ``growth``. A power of 1 is in proportion to Σ lr, ½ a random walk, 0 a standstill.

    The rank may then be too low for much new knowledge. Ranks below ``least`` fill in any run and are not judged. A run
    whose loss has not improved by more than its noise, or is unknown, is not judged: noise fills all directions too.
    """

    id = "LW106"
    name = "rank-saturated"

    share: float = 0.9
    growth: float = 0.1
    least: int = 4
    before: list[float] = field(default_factory=list, init=False)
    """‖ΔW‖ of each adapter when three quarters of the schedule's Σ lr were spent."""
    spent: float = field(default=0.0, init=False)
    """The share of Σ lr spent at that step."""

    def check(self, record: StepRecord) -> Finding | None:
        sizes, spent = known_values(record, "delta_norm"), record.lr_fraction or 0.0
        if sizes is not None and not self.before and spent >= 0.75:
            self.before, self.spent = sizes.tolist(), spent
        return super().check(record)

    def conclude(self, record: StepRecord) -> Finding | None:
        ranks, most, before = np.array(self.last), _largest_ranks(record), np.array(self.before)
        now, spent = known_values(record, "delta_norm"), record.lr_fraction or 0.0
        if not record.scalars.get("loss_improved", 0.0) > 0:
            return None
        if now is None or not len(ranks) == len(most) == len(before) or not spent > self.spent > 0:
            return None
        judged = np.isfinite(ranks) & (before > 0) & np.isfinite(now) & (most >= self.least)
        if not judged.any():
            return None
        used = float(np.percentile(ranks[judged] / most[judged], 10))
        grown = float(np.median(np.log(now[judged] / before[judged])))
        if not used > self.share or not grown > self.growth * math.log(spent / self.spent):
            return None
        adapter = record.run.adapters[int(np.argmax(np.where(judged, most, 0.0)))]
        causes = ["the data hold more than r directions can represent, as in continued pretraining"]
        if any(min(a.d_in, a.d_out) > _WIDEST for a in record.run.adapters):
            causes.append(f"noise fills all directions of wide layers; none was measured beyond {_WIDEST}")
        rest, change = 1.0 - self.spent / spent, with_rank(record, adapter, 2 * adapter.r)
        return Finding(
            f"Nine layers of ten use more than {100 * used:.0f} % of their directions (threshold "
            f"{100 * self.share:.0f} %) and still grow, by {100 * math.expm1(grown):.2g} % over the last "
            f"{100 * rest:.0f} % of the schedule. The rank may be too low for this task.",
            adapters=worst_first(record, ranks, judged)[:10],
            metric="effective_rank",
            threshold=self.share,
            causes=causes,
            remedies=[f"try {words}, and compare held-out quality" for words in change.words],
            settings=change.settings,
        )
