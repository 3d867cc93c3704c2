"""What of a run has been judged and measured. Its verdict is decided from that, never from the absence of alerts."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import count, plain
from lora_watch.rules.size import size_of

JUDGED = 0.99
"""Of the steps done: the least share that must have been judged. The last step must be among them."""
MEASURED = 0.9
"""Of the adapters found: the least share that must have been measured. The notes name the others."""
EXCHANGED, FEW_EXCHANGED = 0.1, 2
"""Of the steps done, and at all: the most at which the adapters may have been exchanged so late that LW102 could not be
asked."""
KEPT = 0.25
"""Of the steps done: the least share that a run which went back must have kept."""
FEW_STEPS = 5
"""Steps of a run that no rule has had time to judge."""
ORDINARY = 5.0
"""The most of σ₁(ΔW)/σ₁(W₀) over all blocks in so short a run: LW102's threshold where the loss has risen."""


class Coverage:
    """Counts steps done and judged, and adapters found and measured. A step is judged when every rule has answered for
    it and nothing of the monitor has failed since the step before."""

    def __init__(self) -> None:
        self.done = 0
        """Optimizer steps of this session."""
        self.exchanged = 0
        """Of these, steps that were to be measured in full, in whose pass other adapters came into use."""
        self._judged = 0
        self._before = 0, 0
        """Steps done and judged in the sessions before."""
        self.failures = 0
        """Of the guard, up to the latest step that was judged or could not be."""
        self._sound = False
        """The latest step was judged."""
        self._last = StepRecord(RunInfo((), searched=False), 0, {})
        self._measured: set[str] = set()
        """Names of the adapters that have been."""
        self.concluded = False

    def judged(self, record: StepRecord, failures: int) -> None:
        """The rules have been asked about ``record``; the guard has caught so many ``failures`` so far."""
        self._sound, self.failures = failures == self.failures, failures
        self._judged += self._sound
        self._last = record
        if not self._measured.issuperset(record.run.names):
            for name in record.metrics.keys() & {"delta_norm", "output_ratio"}:
                self._measured.update(itertools.compress(record.run.names, record.metrics[name].known))

    @property
    def is_blind(self) -> bool:
        """Steps have been done, adapters are there, and none of them was measured."""
        run = self._last.run
        return self.done > 0 and not self._measured and bool(run.adapters or run.unmeasurable)

    def gap(self, failures: int, lost: int) -> str | None:
        """What is missing for a run to be called ``ok``, in words. ``lost``: steps that it has discarded."""
        return next(self._gaps(failures, lost), None)

    def _gaps(self, failures: int, lost: int) -> Iterator[str]:
        """The gravest first: what comes after one that is there may not hold."""
        done, judged = self.done + self._before[0], self._judged + self._before[1]
        if not done:
            yield "no optimizer step was seen"
        if judged < JUDGED * done:
            yield f"{judged} of {count(done, 'step')} were judged: the monitor failed at the others (LW901)"
        if not self.done:
            return
        run = self._last.run
        if not run.searched:
            yield "lora_watch failed while it looked for adapters (LW901)"
        if run.unmeasurable:
            yield f"what {' and '.join(run.unmeasurable)} trains is not measured"
        if not run.names:
            yield "no adapter was found"
        measured = len(self._measured.intersection(run.names))
        if measured < MEASURED * len(run.names):
            yield f"{measured or 'none'} of {count(len(run.names), 'adapter')} measured in {count(self.done, 'step')}"
        if self.exchanged > max(EXCHANGED * self.done, FEW_EXCHANGED):
            yield (
                f"{self.exchanged} of {count(self.done, 'step')} were not judged by the size of the adapters (LW102): "
                "other adapters came into use during the forward pass"
            )
        if not self._sound or failures != self.failures:
            yield f"the monitor failed at the end of the run, after {count(self._judged, 'judged step')} (LW901)"
        if not self.concluded:
            yield "the rules were not asked about the whole run"
        kept = self.done - lost
        if lost and kept < KEPT * self.done:
            yield f"{lost} of {count(self.done, 'step')} were discarded, which leaves {kept}: too few to judge"
        size = size_of(self._last, "relative_spectral_norm")
        if self.done < FEW_STEPS and size is not None and not size.overall <= ORDINARY:
            here = f"relative_spectral_norm {plain(size.overall)} over all blocks (ordinary up to {ORDINARY:g})"
            yield f"{count(self.done, 'step')} are too few to judge adapters of this size: {here}"

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done + self._before[0], "judged": self._judged + self._before[1]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._before = state.get("done", 0), state.get("judged", 0)
