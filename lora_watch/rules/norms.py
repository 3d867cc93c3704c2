"""LW1xx: the size of what the adapters add."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import count
from lora_watch.rules.base import NON_FINITE, Finding, Rule, known_values, medians
from lora_watch.rules.harm import CLEAR, HARM, NEAR, PAUSE, SLIGHT, Compared, compared
from lora_watch.rules.remedies import (
    first_suspect_first,
    improved,
    is_proven,
    sound_steps,
    weaker,
    why_strong,
    why_worse,
)
from lora_watch.rules.size import Size, size_of

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

    The size is the depth-scaled output ratio, or ``relative_spectral_norm`` scaled alike where that is unavailable.
    Fires when the size is above ``threshold_if_worse`` and training batches have a higher loss with the adapters than
    without. Two batches in a row must be higher by 10 %, or three by 3 %. Above ``threshold`` one batch is enough, by
    10 %. Above ``beyond``, a size that no good run has reached, it fires at any loss. Batches are computed when

    - the size nears ``threshold_if_worse`` within 20 steps after the learning rate has reached its highest, and the
      loss has not improved yet, or
    - the size is above ``threshold``.

    Some runs cannot compute a batch twice: several processes, a compiled model, a custom loss, modules or hooks of your
    own. Elsewhere a trained head may be spoiled, so that the model is far above its start without the adapters, too.
    LW102 then fires when the mean of the last five losses lies more than 10 % and twice its noise above the start, or
    at ``threshold`` alone.

    It holds until the size is below ``threshold_if_worse``, or below ``threshold`` and the loss has improved. Two
    batches in a row that cost 3 % more without the adapters show the latter, too. One in ten steps is computed.

    Layers whose base weight is less than a tenth of that of their siblings do not count. Nor does the size that
    adapters begin with: PiSSA, a random start, an earlier training. The latter two are compared as they began.
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
    spectral_threshold_if_worse: float = 5.0
    spectral_threshold: float = 20.0
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
    asked: bool = field(default=False, init=False)
    """The coming step has a comparison for this rule."""
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
        if_worse, always, metric = self.threshold_if_worse, self.threshold, "output_ratio"
        if (size := size_of(record, metric)) is None:
            if_worse, always = self.spectral_threshold_if_worse, self.spectral_threshold
            metric = "relative_spectral_norm"
            size = size_of(record, metric)
        if size is None:
            return None
        early = sound_steps(record) < LEARNED and record.step <= EARLY + self.warm_up
        too_large = record.step >= 3 and size.overall > always and not improved(record)
        suspected = size.overall > always or ((early or self.slight > 0) and size.overall > if_worse / 2.0)
        if self.holds:  # and holds above ``always``, whatever the loss
            suspected = size.overall <= always
        harm = self._harm(record, suspected, enough=1 if size.overall > always else 2)
        compares = self.compare and record.comparable and not self.void
        if metric == "output_ratio" and size.overall > self.beyond:
            why, threshold = ", which no good run has reached", self.beyond
        elif harm is not None and size.overall > if_worse:
            why, threshold = f", and {harm}", if_worse
        elif not compares and early and size.overall > if_worse and _worse(record, self.loss_factor):
            start, recent = record.scalars["loss_start"], record.scalars["loss_recent"]
            why, threshold = f", while the mean loss rose {start:.3g} → {recent:.3g}", if_worse
        elif not compares and too_large:
            why, threshold = ", and the loss is not below its start", always
        elif self.holds and size.overall > (threshold := always if improved(record) or self.helpful > 1 else if_worse):
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
        return Finding(
            f"Adapter {what} is too large: {metric}{_beyond(record)} {size} (threshold {threshold:g}){why}.",
            adapters=size.worst(record),
            metric=metric,
            threshold=threshold / size.depth,
            causes=causes,
            remedies=first_suspect_first(record, change.words) if proven else change.words,
            settings=change.settings,
        )

    def has_evidence(self, record: StepRecord) -> bool:
        weights = known_values(record, "relative_spectral_norm")
        return super().has_evidence(record) or (weights is not None and bool(np.isfinite(weights).any()))

    def _harm(self, record: StepRecord, suspected: bool, enough: int) -> Compared | None:
        """The comparison of this step, if it shows that the adapters do harm; asks for the next where it is due.

        ``enough``: comparisons in a row with clear harm; of slight harm it takes three.
        """
        now = compared(record)
        if now is not None and (self.asked or now.harms(SLIGHT)):  # what another rule has asked for acquits nobody
            steps = record.step - self.compared_at
            self.slight = now.in_a_row(self.slight, SLIGHT, steps)
            self.clear = now.in_a_row(self.clear, CLEAR, steps)
            self.compared_at, self.void = record.step, now.is_void(record)
            self.helpful = self.helpful + 1 if self.holds and now.helps(record, SLIGHT) else 0
        if self.holds:
            pause = PAUSE if self.helpful else NEAR
        else:
            pause = PAUSE if self.slight == 0 and self.compared_at else 0
        due = suspected and record.step >= self.compared_at + pause
        self.asked = self.compare and record.comparable and due
        self.wants = HARM if self.asked else {}
        return now if now is not None and (self.clear >= enough or self.slight > 2) else None


class _TooLarge(Rule):
    """What calls the adapters too large at any course of the loss. Weaker settings keep them down."""

    needs = "output_ratio"
    severity = Severity.WARNING
    zone = "growing"

    def check(self, record: StepRecord) -> Finding | None:
        size = size_of(record)
        if size is None or (exceeded := self._exceeded(record, size)) is None:
            return None
        threshold, what = exceeded
        change = weaker(record, size.overall)
        return Finding(
            f"Adapter output {what}.",
            adapters=size.worst(record),
            metric="output_ratio",
            threshold=threshold,
            causes=self._causes(record),
            remedies=change.words,
            settings=change.settings,
        )

    @abstractmethod
    def _exceeded(self, record: StepRecord, size: Size) -> tuple[float, str] | None:
        """The threshold for a single layer, and in words what is beyond it; None where nothing is."""

    def _causes(self, record: StepRecord) -> list[str]:
        return why_strong(record)


@dataclass
class NormRunaway(_TooLarge):
    """The adapters are still growing fast at a size that no useful run of the corpus reached.

    Fires when the depth-scaled output ratio is above ``size`` and grows by ``growth`` or more in ``window`` steps. If
    it is measured less often, the same pace over more steps counts.

    It fires even while the loss falls: a run that only recovers slowly after an explosion ends far behind. It first has
    a batch computed with and without the adapters, where LW102 can, and does not fire if they lower its loss by 10 %.
    The starting size of PiSSA and similar methods does not count, as in LW102.
    """

    id = "LW103"
    name = "norm-runaway"
    yields_to = ("LW101", "LW102", "LW201")

    size: float = 12.0
    growth: float = 1.5
    window: int = 5
    history: list[tuple[int, float]] = field(default_factory=list, init=False)
    """Step and size of the last ``window`` measurements."""
    holds: bool = field(default=False, init=False)
    helped_at: int = field(default=0, init=False)
    """The step of the latest comparison in which the adapters helped."""

    def check(self, record: StepRecord) -> Finding | None:
        finding, pair = super().check(record), compared(record)
        helps = pair is not None and pair.helps(record)
        if helps:
            self.helped_at = record.step
        if finding is not None and not self.holds and record.comparable and (pair is None or helps):
            self.wants = HARM if not self.helped_at or record.step >= self.helped_at + PAUSE else {}
            return None
        self.holds = finding is not None
        return finding

    def _exceeded(self, record: StepRecord, size: Size) -> tuple[float, str] | None:
        earlier = [known for known in self.history if record.step - known[0] >= self.window]
        self.history = [*self.history, (record.step, size.p90)][-self.window :]
        if size.overall <= self.size or not earlier:
            return None
        step, past = earlier[-1]
        ago = record.step - step
        if size.p90 <= self.growth ** (ago / self.window) * past:
            return None
        what = f"grows fast: output_ratio{_beyond(record)} {size} (threshold {self.size:g})"
        return self.size / size.depth, f"{what}, after a p90 of {past:.3g} {count(ago, 'step')} before"


@dataclass
class AdapterDominates(_TooLarge):
    """The adapters' outputs are several times those of the layers that they adapt, at any course of the loss.

    Fires when ``output_ratio`` of the median layer is above ``threshold`` at ``measured`` full measurements in a row.

    The loss may fall all the same. The frozen model is then hardly used, and little of its knowledge is left. The
    starting size of PiSSA and similar methods does not count, as in LW102.
    """

    id = "LW110"
    name = "adapter-dominates"
    yields_to = (*NON_FINITE, "LW102", "LW103")

    threshold: float = 10.0
    measured: int = 3
    streak: int = field(default=0, init=False)
    """Full measurements in a row above the threshold."""

    def _exceeded(self, record: StepRecord, size: Size) -> tuple[float, str] | None:
        median = float(medians(size.values[~np.isnan(size.values)][None])[0, 0])
        self.streak = self.streak + 1 if median > self.threshold else 0
        if self.streak < self.measured:
            return None
        what = f"dominates: output_ratio{_beyond(record)} {median:.3g} in the median layer"
        often = count(self.streak, "full measurement")
        return self.threshold, f"{what} (threshold {self.threshold:g}) at {often} in a row"


@dataclass
class NormCreep(_TooLarge):
    """The adapters grow for hundreds of steps without levelling off, at any course of the loss.

    Fires when the depth-scaled output ratio is above ``size`` and has grown by the factor ``growth`` or more in each of
    the last two stretches of ``window`` steps.

    Useful runs grow at first and level off. The starting size of PiSSA and similar methods does not count, as in LW102.
    """

    id = "LW111"
    name = "norm-creep"
    yields_to = (*NON_FINITE, "LW102", "LW103", "LW110")

    size: float = 18.0
    growth: float = 1.3
    window: int = 100
    history: list[tuple[int, float]] = field(default_factory=list, init=False)
    """Step and size of measurements a tenth of ``window`` apart, as far back as they are compared with."""

    def _exceeded(self, record: StepRecord, size: Size) -> tuple[float, str] | None:
        known = [pair for pair in self.history if record.step - pair[0] < 3 * self.window]
        if not known or record.step - known[-1][0] >= self.window / 10:
            known.append((record.step, size.overall))
        self.history = known
        recent, past = self._before(record.step - self.window), self._before(record.step - 2 * self.window)
        if recent is None or past is None or size.overall <= self.size:
            return None
        if size.overall < self.growth * recent or recent < self.growth * past:
            return None
        what = f"goes on growing: output_ratio{_beyond(record)} {size} (threshold {self.size:g})"
        before = f"{recent:.3g} and {past:.3g} at {self.window} and {2 * self.window} steps before"
        return self.size / size.depth, f"{what}, after {before}"

    def _causes(self, record: StepRecord) -> list[str]:
        constant = str(record.run.config.get("lr_scheduler_type", "")).startswith("constant")
        return [*why_strong(record), *(["the learning rate does not decay"] if constant else [])]

    def _before(self, step: int) -> float | None:
        """The size as last measured at ``step`` or before; None where that is forgotten or was not."""
        return next((size for at, size in reversed(self.history) if at <= step), None)
