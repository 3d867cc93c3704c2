"""LW1xx: the size of what the adapters add."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules.base import Finding, Rule, known_values
from lora_watch.rules.harm import HARM, NEAR, PAUSE, SLIGHT, Compared, compared
from lora_watch.rules.remedies import (
    first_suspect_first,
    improved,
    is_proven,
    sound_steps,
    weaker,
    why_strong,
    why_worse,
)
from lora_watch.rules.size import SPECTRAL, size_of

EARLY = 20
"""Steps after the end of a warm-up in which a loss above its start is blamed on the adapters; later on other causes are
likelier (LW202)."""
LEARNED = 5
"""Steps below the start after which a loss above it is no longer a bad start: a noisy run that has learned (LW202)."""


def _beyond(record: StepRecord) -> str:
    if record.run.nonzero_start:
        return ", beyond what they began with,"
    return f", beyond what {record.run.init_from_base} put in," if record.run.init_from_base else ""


def _worse(record: StepRecord, factor: float) -> bool:
    """The mean of the last five losses is above ``factor`` × the start by more than twice its noise.

    Not only by the highest of them: of a classifier on few examples one loss can be ten times the others.
    """
    start, recent, noise = (record.scalars.get(k) for k in ("loss_start", "loss_recent", "loss_noise"))
    if start is None or recent is None or noise is None or not start > 0:
        return False
    rest = record.scalars.get("loss_without_highest", recent)
    return recent > factor * start + 2.0 * noise and rest > (1.0 + factor) / 2.0 * start


@dataclass
class NormExplosion(Rule):
    """The adapters have become so large that they make the model worse.

    Fires when two batches in a row cost 10 % more with the adapters than without, or three cost 3 % more, while the
    depth-scaled output ratio is above ``threshold_if_worse``; above ``threshold`` one batch is enough. Where no batch
    can be computed twice, it fires when the mean of the last five losses lies 10 % and twice its noise above the start
    within the first steps, or when the size is above ``threshold`` and the loss is not below its start. Above
    ``beyond``, a size that no good run has reached, it fires at any loss.
    """

    id = "LW102"
    name = "norm-explosion"
    needs = "output_ratio"
    severity = Severity.ERROR
    zone = "exploding"
    yields_to = ("LW101", "LW201")

    threshold_if_worse: float = 1.5
    threshold: float = 12.0
    beyond: float = 500.0
    loss_factor: float = 1.1
    compare: bool = True
    """Compute a batch with and without the adapters where that can be done."""
    holds: bool = field(default=False, init=False)
    highest: float = field(default=0.0, init=False)
    """The highest learning rate so far."""
    warm_up: int = field(default=0, init=False)
    """The step at which it was reached."""
    slight: int = field(default=0, init=False)
    clear: int = field(default=0, init=False)
    """Comparisons in a row in which the adapters did slight or clear harm."""
    helpful: int = field(default=0, init=False)
    """Comparisons in a row, while it holds, in which the adapters help."""
    compared_at: int = field(default=0, init=False)
    """The step of the latest comparison."""
    void: bool = field(default=False, init=False)
    """That one proves nothing (``Compared.is_void``)."""

    @property
    def evidence(self) -> int:
        return super().evidence + PAUSE

    def check(self, record: StepRecord) -> Finding | None:
        if record.lr and max(record.lr) > self.highest:
            self.highest, self.warm_up = max(record.lr), record.step
        metric, unit = "output_ratio", 1.0
        if (size := size_of(record, metric)) is None:
            metric, unit = "relative_spectral_norm", SPECTRAL
            size = size_of(record, metric)
        if size is None:
            return None
        overall, if_worse, always = unit * size.overall, self.threshold_if_worse, self.threshold
        young = record.step <= EARLY + self.warm_up
        bad_start = young and sound_steps(record) < LEARNED
        suspected = overall > always or ((bad_start or self.slight > 0) and overall > if_worse / 2.0)
        if self.holds:  # and holds above ``always``, whatever the loss
            suspected = overall <= always
        harm = self._harm(record, suspected, at_once=overall > always, young=young)
        compares = self.compare and record.comparable and not self.void
        if metric == "output_ratio" and overall > self.beyond:
            why, threshold = ", which no good run has reached", self.beyond
        elif harm is not None and overall > if_worse:
            why, threshold = f", and {harm}", if_worse
        elif not compares and bad_start and overall > if_worse and _worse(record, self.loss_factor):
            start, recent = record.scalars["loss_start"], record.scalars["loss_recent"]
            why, threshold = f", while the mean loss rose {start:.3g} → {recent:.3g}", if_worse
        elif not compares and record.step >= 3 and overall > always and not improved(record):
            why, threshold = ", and the loss is not below its start", always
        elif self.holds and overall > (threshold := always if improved(record) or self.helpful > 1 else if_worse):
            why = ""
        else:
            self.holds, self.helpful = False, 0
            return None
        self.holds = True
        what = "output" if metric == "output_ratio" else "weight"
        change = weaker(record, size.overall)
        proven = is_proven(record)
        causes = why_worse(record) if proven else why_strong(record)
        if record.step <= EARLY and self.warm_up <= 1:
            causes.append(
                "there is no warm-up: the first updates have the full learning rate, and their direction is noise"
            )
        threshold /= unit
        return Finding(
            f"Adapter {what} is too large: {metric}{_beyond(record)} {size} (threshold {threshold:g}){why}.",
            adapters=size.worst(record),
            metric=metric,
            threshold=threshold / size.depth,
            causes=causes,
            remedies=first_suspect_first(record, change.words) if proven else change.words,
            settings=change.settings,
        )

    def at_the_end(self, record: StepRecord) -> Finding | None:
        """The last batch that was compared costs more with the adapters than it did before the last update, and more
        than without them. Where none can be: they are beyond any size that a good run has reached."""
        size, now = size_of(record, "relative_spectral_norm"), compared(record)
        if size is None or self.holds:
            return None
        before, factor = record.scalars.get("adapted_loss_before"), self.loss_factor
        if before is None or now is None:
            harm = "" if SPECTRAL * size.overall > self.beyond else None
        else:
            worse = not now.adapted < factor * before and (now.harms(factor) or now.is_void(record))
            harm = f", and {now}" if worse else None
        if harm is None:
            return None
        change = weaker(record, size.overall)
        return Finding(
            f"The adapters are too large after the last update: relative_spectral_norm {size}{harm}.",
            adapters=size.worst(record),
            metric="relative_spectral_norm",
            causes=["the last update was much too large", "something has written to the weights after the last step"],
            remedies=["go on from an earlier checkpoint, or from last_good/", *change.words],
            settings=change.settings,
        )

    def has_evidence(self, record: StepRecord) -> bool:
        weights = known_values(record, "relative_spectral_norm")
        return super().has_evidence(record) or (weights is not None and bool(np.isfinite(weights).any()))

    def _harm(self, record: StepRecord, suspected: bool, at_once: bool, young: bool) -> Compared | None:
        """The comparison of this step, if it shows that the adapters do harm; asks for the next where it is due."""
        now = compared(record)
        if now is not None:
            steps = record.step - self.compared_at
            self.slight = now.in_a_row(self.slight, SLIGHT, steps)
            self.clear = now.in_a_row(self.clear, self.loss_factor, steps)
            self.compared_at, self.void = record.step, now.is_void(record)
            self.helpful = self.helpful + 1 if self.holds and now.helps(record, SLIGHT) else 0
        if self.holds:
            pause = PAUSE if self.helpful else NEAR
        elif self.slight or not self.compared_at or (at_once and young and not improved(record)):
            pause = 0
        else:
            pause = PAUSE
        due = suspected and record.step >= self.compared_at + pause
        self.wants = HARM if self.compare and record.comparable and due else {}
        return now if now is not None and (self.clear >= (1 if at_once else 2) or self.slight > 2) else None
