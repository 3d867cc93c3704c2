"""LW1xx: the size of what the adapters add."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lora_watch.alerts import Severity
from lora_watch.records import FloatArray, StepRecord
from lora_watch.rules.base import Finding, Rule, known_values, worst_first
from lora_watch.rules.strength import stronger, weaker
from lora_watch.signals.loss import WARM_UP

AIM = 0.3
"""The output_ratio (90th percentile over layers) that remedies aim at: where useful runs lie."""


@dataclass
class NonFiniteAdapter(Rule):
    """A NaN or an infinity in an adapter, or in the gradient that is about to reach it.

    Names the first layer in the order of the model. A non-finite gradient is found before the optimizer uses it, so
    with ``fail_on`` the run ends with its weights intact. Gradients under a loss scaler (fp16) are left to the
    scaler, which skips such steps itself, and a gradient behind a non-finite loss is reported as that.
    """

    id = "LW101"
    name = "non-finite-adapter"
    severity = Severity.ERROR
    yields_to = ("LW201",)

    def check(self, record: StepRecord) -> Finding | None:
        bad, what, metric = self._where(record)
        if not bad.any():
            return None
        first = record.run.adapters[int(np.argmax(bad))]
        change = weaker(record, 10.0)
        return Finding(
            f"{what} of {first.name} (the first of {int(bad.sum())} in {len(bad)} adapters) is NaN or infinite "
            f"at step {record.step}.",
            adapters=[(record.run.adapters[i].name, float("nan")) for i in np.flatnonzero(bad)],
            metric=metric,
            causes=[
                "an overflow in half precision, or a division by zero, in the backward pass of this layer",
                "a learning rate so high that the update itself overflows",
            ],
            remedies=["train in bf16 or fp32 instead of fp16", "set max_grad_norm=1.0", *change.words],
            settings=change.settings,
        )

    @staticmethod
    def _where(record: StepRecord) -> tuple[np.ndarray, str, str]:
        total = len(record.run.adapters)
        for names, what in ((("b_norm", "a_norm"), "The adapter"), (("b_grad_norm", "a_grad_norm"), "The gradient")):
            bad = np.zeros(total, dtype=bool)
            for name in names:
                values = record.metrics.get(name)
                if values is not None:
                    bad |= ~np.isfinite(values) & record.known.get(name, np.ones(total, dtype=bool))
            if bad.any():
                return bad, what, names[0]
        return np.zeros(total, dtype=bool), "", ""


@dataclass(frozen=True)
class _Size:
    """How loud the adapters are at a step: the 90th percentile over layers and the loudest layer."""

    p90: float
    top: float
    values: FloatArray


def _size(record: StepRecord, metric: str) -> _Size | None:
    """``metric`` over the layers where it is known, if those are at least half of them."""
    values = known_values(record, metric)
    if values is None:
        return None
    finite = np.sort(values[np.isfinite(values)])
    if 2 * len(finite) < len(values) or not len(finite):
        return None
    place = 0.9 * (len(finite) - 1)  # np.percentile's own, at a tenth of its cost
    p90 = float(np.interp(place, np.arange(len(finite)), finite))
    return _Size(p90, float(finite[-1]), values)


def _improved(record: StepRecord) -> bool:
    return record.scalars.get("loss_improved", 0.0) > 0


def _worse(record: StepRecord, factor: float) -> bool:
    """Early in the run, the mean of the last five losses is above ``factor`` × the start by more than its noise.

    Later on a rising loss is LW202's business: the adapters are then of a size at which other causes are likelier.
    """
    if record.step > WARM_UP:
        return False
    start, recent, noise = (record.scalars.get(k) for k in ("loss_start", "loss_recent", "loss_noise"))
    if start is None or recent is None or noise is None or not start > 0:
        return False
    return recent > factor * start + 2.0 * noise


@dataclass
class NormExplosion(Rule):
    """The adapter has become larger than a useful one gets, beside the layer it adapts.

    The size is ``output_ratio`` (‖s·B·A·x‖/‖W₀·x‖ on the step's own tokens), because it was the one that meant the
    same in models of different width; where it is unavailable, ``relative_spectral_norm`` stands in. Fires when

    - a tenth of the layers are drowned (90th percentile above ``drowned``): decisive alone, or
    - a tenth of the layers speak louder than what they adapt (90th percentile above ``loud``) and the loss has not
      improved on its start by more than its noise, or
    - within the first 20 steps, the loudest layer passes ``raised`` while the mean of the last five losses lies more
      than 10 % and its noise above the start.
    """

    id = "LW102"
    name = "norm-explosion"
    needs = "output_ratio"
    severity = Severity.ERROR
    yields_to = ("LW101", "LW201")

    drowned: float = 3.0
    loud: float = 1.0
    raised: float = 0.3
    loss_factor: float = 1.1
    spectral_drowned: float = 5.0
    spectral_loud: float = 1.5
    spectral_raised: float = 0.5

    def check(self, record: StepRecord) -> Finding | None:
        limits, metric = (self.drowned, self.loud, self.raised), "output_ratio"
        if (size := _size(record, metric)) is None:
            limits, metric = (self.spectral_drowned, self.spectral_loud, self.spectral_raised), "relative_spectral_norm"
            size = _size(record, metric)
        if size is None:
            return None
        drowned, loud, raised = limits
        if size.p90 > drowned:
            why, limit = f"a tenth of the layers are above {size.p90:.3g}", drowned
        elif size.p90 > loud and record.step >= 3 and not _improved(record):
            why, limit = f"a tenth of the layers are above {size.p90:.3g} and the loss has not improved", loud
        elif size.top > raised and _worse(record, self.loss_factor):
            start, recent = record.scalars["loss_start"], record.scalars["loss_recent"]
            why, limit = f"the loudest layer is at {size.top:.3g} and the loss went {start:.3g} → {recent:.3g}", raised
        else:
            return None
        beside = "beside the layer's own output" if metric == "output_ratio" else "beside the frozen weight"
        scale = max(a.scale for a in record.run.adapters)
        change = weaker(record, too_strong_by(record, size.p90))
        return Finding(
            f"The adapters have exploded {beside}: {why} ({metric}, limit {limit:g}).",
            adapters=worst_first(record, size.values, np.isfinite(size.values) & (size.values > limit)),
            metric=metric,
            limit=limit,
            causes=[
                f"the scale {scale:g} is too high for this learning rate: s·lr sets how fast ‖ΔW‖ grows"
                if scale > 2.0
                else f"the learning rate is too high: the scale {scale:g} is ordinary",
                "no warm-up, so that the first updates go at full speed in unsure directions",
            ],
            remedies=change.words,
            settings=change.settings,
        )


@dataclass
class NormRunaway(Rule):
    """The early sign of an explosion: the adapters are still growing fast at a size that few useful runs reach.

    Fires when the 90th percentile over layers of ``output_ratio`` is above ``size`` and has grown by more than
    ``growth`` over the last ``window`` measured steps.
    """

    id = "LW103"
    name = "norm-runaway"
    needs = "output_ratio"
    severity = Severity.WARNING
    yields_to = ("LW101", "LW102", "LW201")

    size: float = 1.0
    growth: float = 1.5
    window: int = 5
    history: list[float] = field(default_factory=list, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        size = _size(record, "output_ratio")
        if size is None:
            return None
        past = self.history[0] if len(self.history) == self.window else None
        self.history = [*self.history, size.p90][-self.window :]
        if size.p90 <= self.size or past is None or size.p90 <= self.growth * past:
            return None
        change = weaker(record, too_strong_by(record, size.p90))
        return Finding(
            f"The adapters grow fast: output_ratio reached {size.p90:.3g} in a tenth of the layers, from {past:.3g} "
            f"{self.window} steps ago (limit {self.size:g}).",
            adapters=worst_first(record, size.values, size.values > self.size),
            metric="output_ratio",
            limit=self.size,
            causes=["s·lr is high: at this pace the adapters drown the layers they adapt"],
            remedies=change.words,
            settings=change.settings,
        )


@dataclass
class BarelyMoves(Rule):
    """At this pace the adapter will not have moved the model by the end of the schedule, and the loss says the same.

    The size is projected to the end as if every update agreed, which is the most it can reach: ratio now × (total
    Σ lr / Σ lr so far). Judged once, when ``spent`` of the schedule's Σ lr and at least ``steps`` steps are done.
    Fires when the projection stays below ``reach`` and the loss has not improved on its start by more than its noise.
    The limit is low on purpose: SmolLM2-135M was already better for a projection of .007, where other models had gained
    nothing yet at .016. A weak run may go unnamed; a useful one is not named.
    """

    id = "LW104"
    name = "barely-moves"
    needs = "output_ratio"
    severity = Severity.WARNING
    lasting = True
    yields_to = ("LW301", "LW302", "LW303")

    reach: float = 0.005
    spent: float = 0.25
    steps: int = 10
    judged: bool = field(default=False, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        if self.judged or not record.lr_fraction or record.lr_fraction < self.spent or record.step < self.steps:
            return None
        size = _size(record, "output_ratio")
        if size is None or record.loss is None:
            return None
        self.judged = True
        reach = size.p90 / record.lr_fraction
        if reach >= self.reach or _improved(record):
            return None
        change = stronger(record, min(max(0.5 * AIM / max(reach, 1e-12), 3.0), 100.0))
        return Finding(
            f"The adapters barely move: output_ratio is {size.p90:.2g} in the loudest tenth of the layers, at most "
            f"{reach:.2g} by the end of the schedule (limit {self.reach:g}), and the loss has not improved on its "
            "start by more than its noise.",
            adapters=worst_first(record, size.values, np.isfinite(size.values))[:10],
            metric="output_ratio",
            limit=self.reach,
            causes=[
                "the learning rate is that of full fine-tuning: LoRA wants about ten times more",
                "the scale is small: alpha was kept while r was raised",
            ],
            remedies=change.words,
            settings=change.settings,
        )


def too_strong_by(record: StepRecord, p90: float) -> float:
    """By how much s·lr should come down for the run to end near ``AIM``: between 10 and 100.

    The size is carried on to the end of the schedule as if every update agreed, as early ones nearly do. At least 10,
    since useful runs of some models end far below ``AIM``, and a run that is a little slow is a smaller loss than one
    that has to be stopped again.
    """
    return min(max(p90 / (record.lr_fraction or 1.0) / AIM, 10.0), 100.0)
