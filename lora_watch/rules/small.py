"""LW104: adapters that stay too small."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import count
from lora_watch.rules.base import NON_FINITE, Finding, Rule, worst_first
from lora_watch.rules.forecast import ORDINARY_SCALE, end_of, has_new_head, is_gentle
from lora_watch.rules.harm import projected, wanted_at_the_end
from lora_watch.rules.remedies import improved, stronger
from lora_watch.rules.size import Size, began_large, size_of


@dataclass
class BarelyMoves(Rule):
    """At this pace the adapter will not have moved the model enough by the end of the schedule.

    The rule decides once, when ``spent`` of the schedule's Σ lr is done. The projection is the most that the adapter
    can reach: its size now × (total Σ lr / Σ lr so far), as if every update agreed. The rule fires when

    - the projected depth-scaled output ratio stays below ``reach`` after ``steps`` steps, unless the loss has fallen by
      more than its noise and more than ``fall`` of its start, or
    - the loss of each of ``batches`` batches is lower by ``gain`` with adapters of twice the projected size than with
      the projected size. In a slow run they need only cost less together, by ``together``: its first full step was less
      than ``slow`` of a useful one. It takes a run of ``shortest_compared`` planned steps, where LW102 can compare
      losses with the frozen model, and no new head.

    ``with_a_head`` takes the place of ``reach`` where a classifier's head learns from nothing. A run of fewer than
    ``shortest`` planned steps is not judged: it stays small at a sound learning rate, too. Nor is one on preferences
    (DPO), where small adapters are enough, nor one of adapters that were not zero at the start (PiSSA). The advice is a
    forecast from the measured growth, and names what to check.
    """

    id = "LW104"
    name = "barely-moves"
    severity = Severity.WARNING
    zone = "barely-moves"
    lasting = True
    yields_to = (*NON_FINITE, "LW304", "LW301", "LW302", "LW303", "LW306", "LW307")

    reach: float = 0.13
    with_a_head: float = 0.25
    fall: float = 0.05
    spent: float = 0.25
    steps: int = 10
    shortest: int = 12
    batches: int = 3
    gain: float = 0.005
    slow: float = 1.0 / 16.0
    together: float = 0.001  # the mean over a batch in bf16 is wrong by less
    shortest_compared: int = 24
    judged: bool = field(default=False, init=False)
    """The size has had its judgement."""
    asked: int = field(default=0, init=False)
    """How often a comparison was asked for."""
    losses: list[list[float]] = field(default_factory=list, init=False)
    """Of each comparison so far the two of ``Projected``."""
    compared: bool = field(default=False, init=False)
    """The comparisons have had theirs."""

    def check(self, record: StepRecord) -> Finding | None:
        run = record.run
        if (self.judged and self.compared) or run.config.get("preference"):
            return None
        if began_large(record):  # batches differ by more than such adapters grow
            return None
        shortest = record.run.max_steps is not None and record.run.max_steps < self.shortest
        if shortest or not record.lr_fraction or record.lr_fraction < self.spent or record.first_step is None:
            return None
        size, threshold = size_of(record), None
        falls = self._falls(record)
        if size is None:
            return None
        reach = self.with_a_head if has_new_head(record.run) else self.reach
        if (why := self._small(record, size, reach)) is not None:
            threshold = reach / size.depth
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

    def _small(self, record: StepRecord, size: Size, reach: float) -> str | None:
        """Once: the size, as projected, is too small for any model."""
        start, recent = record.scalars.get("loss_start"), record.scalars.get("loss_recent")
        if self.judged or record.step < self.steps or record.loss is None or start is None or recent is None:
            return None
        self.judged = True
        learns = improved(record) and start - recent > self.fall * abs(start)
        if learns or end_of(record, size.overall) >= reach:
            return None
        self.compared = True
        return f" (threshold {reach:g}), while the mean loss went {start:.4g} → {recent:.4g}"

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
            self.compared = len(self.losses) >= self.batches or not (falls or slow)
            if self.compared and (falls or (slow and twice < (1.0 - self.together) * end)):
                return (
                    f". Larger adapters are better: {len(self.losses)} batches cost {end:.5g} on average at that "
                    f"size, and {twice:.5g} at twice that"
                )
        if record.comparable and not self.compared and self.asked < 2 * self.batches:
            shortest = (record.run.max_steps or self.shortest_compared) < self.shortest_compared
            self.compared = shortest or has_new_head(record.run)
            if not self.compared:
                self.asked += 1
                self.wants = wanted_at_the_end(record)
        return None
