"""LW104: adapters that stay too small."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import count
from lora_watch.rules.base import NON_FINITE, Finding, Rule, worst_first
from lora_watch.rules.forecast import ORDINARY_SCALE, end_of, has_new_head, is_gentle
from lora_watch.rules.harm import projected, wanted_at_the_end
from lora_watch.rules.remedies import improved, stronger
from lora_watch.rules.size import began_large, size_of

STEPS = 12
"""A run of fewer planned steps is not judged: it stays small at a sound learning rate, too. Nor is the size before."""
BATCHES = 3
"""Batches whose losses decide. One is noise."""
OF_A_BATCH = 0.001
"""What the mean loss of a batch may be wrong by in bf16, as a share of it."""


@dataclass
class BarelyMoves(Rule):
    """At this pace the adapter will not have moved the model enough by the end of the schedule.

    The rule decides once, when ``spent`` of the schedule's Σ lr and 12 steps are done. It fires when the adapters, as
    large as they become if every further update agrees, stay below a depth-scaled output ratio of ``reach``, or of
    twice that where a classifier's head learns from nothing. It also fires when each of three batches costs less by
    ``gain`` with adapters of twice that size, or, where the first full step was below ``slow`` of a useful one, when
    they cost less together. Preferences (DPO) and adapters that were not zero at the start (PiSSA) are not judged.
    """

    id = "LW104"
    name = "barely-moves"
    severity = Severity.WARNING
    zone = "barely-moves"
    lasting = True
    yields_to = (*NON_FINITE, "LW304", "LW301", "LW302", "LW303", "LW306", "LW307")

    reach: float = 0.125
    spent: float = 0.25
    gain: float = 0.005
    slow: float = 1.0 / 16.0
    judged: bool = field(default=False, init=False)
    """The size has had its judgement."""
    asked: int = field(default=0, init=False)
    """How often a comparison was asked for."""
    losses: list[list[float]] = field(default_factory=list, init=False)
    """Of each comparison so far the two of ``Projected``."""
    compared: bool = field(default=False, init=False)
    """The comparisons have had theirs."""

    def check(self, record: StepRecord) -> Finding | None:
        if (self.judged and self.compared) or record.run.config.get("preference"):
            return None
        if began_large(record):  # batches differ by more than such adapters grow
            return None
        if (record.run.max_steps or STEPS) < STEPS or not (record.lr_fraction or 0.0) >= self.spent:
            return None
        size, threshold = size_of(record), None
        falls = self._falls(record)
        if size is None or record.first_step is None:
            return None
        reach = self.reach_of(record.run)
        has_loss = "loss_start" in record.scalars  # a reward does not say what size is enough
        judges = not self.judged and has_loss and record.step >= STEPS
        too_small = judges and end_of(record, size.overall) < reach
        self.judged |= judges
        if too_small:
            self.compared, threshold, why = True, reach / size.depth, f" (threshold {reach:g})"
        elif (why := falls) is None:
            return None
        change = stronger(record, size.overall)
        step = change.by * record.first_step
        causes = ["the learning rate is too low, such as one for full fine-tuning: LoRA wants about ten times more"]
        if max(adapter.scale for adapter in record.run.adapters) < ORDINARY_SCALE / 2:
            causes.append("the scale is small: alpha was kept while r was raised")
        if not improved(record) and not is_gentle(record, self.slow):
            causes.append("the gradients are noise: labels that do not belong to their inputs")
        return Finding(
            f"Adapter output stays small: output_ratio {size}, and at most {end_of(record, size.overall):.2g} by the "
            f"end of the schedule{why}.",
            adapters=worst_first(record, size.values, np.isfinite(size.values))[:10],
            metric="output_ratio",
            threshold=threshold,
            causes=causes,
            remedies=[
                *change.words,
                f"check the rate early: {change.by:.4g}× is extrapolated from {count(record.step, 'step')}. One full "
                f"step should add {step:.2g} to output_ratio p90 × depth {size.depth:.3g}; above {2 * step:.2g}, halve "
                "the learning rate",
            ],
            settings=change.settings,
            follows=("LW409",),
        )

    def reach_of(self, run: RunInfo) -> float:
        """The least size by the end of a run."""
        return (2.0 if has_new_head(run) else 1.0) * self.reach

    def _falls(self, record: StepRecord) -> str | None:
        """Batch after batch costs less with larger adapters. The first that does not has the last word, unless the run
        is slow."""
        if self.compared:
            return None
        if self.asked and (now := projected(record)) is not None:
            self.losses.append(list(now))
            end, twice = np.mean(self.losses, axis=0)
            falls = all(larger < (1.0 - self.gain) * as_large for as_large, larger in self.losses)
            slow = is_gentle(record, self.slow)
            self.compared = len(self.losses) >= BATCHES or not (falls or slow)
            if self.compared and (falls or (slow and twice < (1.0 - OF_A_BATCH) * end)):
                return (
                    f". Larger adapters are better: {len(self.losses)} batches cost {end:.5g} on average at that "
                    f"size, and {twice:.5g} at twice that"
                )
        if record.comparable and not self.compared and self.asked < 2 * BATCHES:
            self.compared = has_new_head(record.run)
            if not self.compared:
                self.asked += 1
                self.wants = wanted_at_the_end(record)
        return None
