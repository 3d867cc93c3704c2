"""LW1xx: the size of what the adapters add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lora_watch.alerts import Severity
from lora_watch.records import FloatArray, StepRecord
from lora_watch.rules.base import Finding, Rule, known_values, worst_first
from lora_watch.rules.remedies import (
    ORDINARY_SCALE,
    blocks,
    in_wider_numbers,
    stronger,
    stronger_by,
    weaker,
    weaker_by,
    why_strong,
)

EARLY = 20
"""Steps in which a loss above its start is blamed on the adapters; later on other causes are likelier (LW202)."""


_PLACES = (
    (("b_norm", "a_norm", "delta_norm"), "The adapter"),
    (("b_grad_norm", "a_grad_norm", "grad_norm"), "The gradient"),
)
"""Where a number that is not finite shows first; the last of each is all that methods without A and B have."""


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
    urgent = True
    yields_to = ("LW201",)

    def check(self, record: StepRecord) -> Finding | None:
        bad, what, metric = self._where(record)
        if not bad.any():
            return None
        first = record.run.adapters[int(np.argmax(bad))]
        change = weaker(record, 10.0)
        overflow = "an overflow or a division by zero in the backward pass of this layer"
        update = "a learning rate so high that the update itself overflows"
        return Finding(
            f"{what} of {first.name} is NaN or infinite at step {record.step}: "
            + (f"the first of {int(bad.sum())} such" if bad.sum() > 1 else "the only one")
            + f" among {len(bad)} adapters.",
            adapters=[(record.run.adapters[i].name, float("nan")) for i in np.flatnonzero(bad)],
            metric=metric,
            causes=[overflow, update] if what == "The gradient" else [update, overflow],
            remedies=[*in_wider_numbers(record), *change.words],
            settings=change.settings,
        )

    @staticmethod
    def _where(record: StepRecord) -> tuple[np.ndarray, str, str]:
        total = len(record.run.adapters)
        for names, what in _PLACES:
            bad = np.zeros(total, dtype=bool)
            if what == "The gradient" and not record.updated:  # the loss scaler has thrown it away
                continue
            for name in names:
                if (reading := record.metrics.get(name)) is not None:
                    bad |= reading.known & ~np.isfinite(reading.values)
            if bad.any():
                return bad, what, next(name for name in names if name in record.metrics)
        return np.zeros(total, dtype=bool), "", ""


@dataclass(frozen=True)
class _Size:
    """How loud the adapters are at a step."""

    p90: float
    """90th percentile over layers."""
    overall: float
    """The same times the number of transformer blocks: what each block adds is carried on by all that follow."""
    values: FloatArray
    blocks: int


def _size(record: StepRecord, metric: str, began: Sequence[float] = ()) -> _Size | None:
    """``metric`` over the layers where it is known, if those are at least half of them.

    Without those whose frozen weight is ``nearly_silent``: beside it a useful adapter is as loud as a broken one.
    Where adapters began with a part of W₀ in them (PiSSA), what has come since, beside the whole layer: ``began`` is
    ``_began``'s, and the two parts of the layer are taken to be orthogonal. None where that is not known.
    """
    values = known_values(record, metric)
    if values is None:
        return None
    if record.run.moved:
        if metric != "output_ratio" or len(began) != len(values):
            return None
        values = np.maximum(values - np.array(began), 0.0) / np.hypot(1.0, began)
    if record.run.nearly_silent.any():
        values = np.where(record.run.nearly_silent, np.nan, values)
    finite = np.sort(values[np.isfinite(values)])
    if 2 * len(finite) < len(values) or not len(finite):
        return None
    place = 0.9 * (len(finite) - 1)  # np.percentile's own, at a tenth of its cost
    p90 = float(np.interp(place, np.arange(len(finite)), finite))
    depth = blocks(record.run)
    return _Size(p90, p90 * depth, values, depth)


def _began(record: StepRecord, before: list[float]) -> list[float]:
    """``output_ratio`` of the first forward pass, where the adapters began with a part of W₀ in them; else empty."""
    values = known_values(record, "output_ratio")
    return values.tolist() if record.run.moved and record.step == 1 and values is not None else before


def _beyond(record: StepRecord) -> str:
    return f"beyond what {record.run.moved} put into them " if record.run.moved else ""


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _warms_up(record: StepRecord) -> bool:
    return any(record.run.config.get(name) for name in ("warmup_steps", "warmup_ratio"))


def _improved(record: StepRecord) -> bool:
    return record.scalars.get("loss_improved", 0.0) > 0


def _worse(record: StepRecord, factor: float) -> bool:
    """Early in the run, the mean of the last five losses is above ``factor`` × the start by more than its noise."""
    if record.step > EARLY:
        return False
    start, recent, noise = (record.scalars.get(k) for k in ("loss_start", "loss_recent", "loss_noise"))
    if start is None or recent is None or noise is None or not start > 0:
        return False
    return recent > factor * start + 2.0 * noise


@dataclass
class NormExplosion(Rule):
    """The adapters have become larger than useful ones get, beside the layers they adapt.

    The size is ``output_ratio`` (‖s·B·A·x‖/‖W₀·x‖ on the step's own tokens), its 90th percentile over layers. Times the
    number of transformer blocks it meant the same on every model of the corpus, from 4 blocks to 30; alone it did not.
    Where it is unavailable, ``relative_spectral_norm`` stands in. Layers whose frozen weight is less than a tenth of
    their siblings' in other blocks do not count. Fires when

    - within the first 20 steps, the size over all blocks passes ``raised`` while the mean of the last five losses lies
      more than 10 % and its noise above the start, or
    - from the third step on, it passes ``drowned`` and the loss has not improved on its start by more than its noise.

    Having fired, it holds until the size over all blocks is below ``raised``, or below ``drowned`` and the loss has
    improved: a run that creeps back after an explosion ends far behind. But a size alone is no fault: the fewer modules
    are adapted, the louder is each in the best of runs. Where adapters begin with a part of W₀ in them (PiSSA, OLoRA,
    CorDA, LoftQ), what they began with does not count.

    The limits: of the runs on which they were chosen, good ones reached 1.2 over all blocks within ten steps on MiniLM
    and SmolLM2 and 10 on the packaged Llama; damaged and diverged ones 4.4, 2.7 and 13 at least. The weights alone, in
    ``spectral_…``: 2.7, 3.4 and 12 against 7.2, 12 and 22.
    """

    id = "LW102"
    name = "norm-explosion"
    needs = "output_ratio"
    severity = Severity.ERROR
    yields_to = ("LW101", "LW201")

    raised: float = 1.5
    drowned: float = 12.0
    loss_factor: float = 1.1
    spectral_raised: float = 5.0
    spectral_drowned: float = 20.0
    holds: bool = field(default=False, init=False)
    began: list[float] = field(default_factory=list, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        self.began = _began(record, self.began)
        raised, drowned, metric = self.raised, self.drowned, "output_ratio"
        if (size := _size(record, metric, self.began)) is None:
            raised, drowned, metric = self.spectral_raised, self.spectral_drowned, "relative_spectral_norm"
            size = _size(record, metric)
        if size is None:
            return None
        over = f"{size.p90:.3g} in a tenth of the layers, {size.overall:.3g} over {_many(size.blocks, 'block')}"
        if size.overall > raised and _worse(record, self.loss_factor):
            start, recent = record.scalars["loss_start"], record.scalars["loss_recent"]
            why, limit = f"{over}, and the loss went {start:.3g} → {recent:.3g}", raised
        elif size.overall > drowned and record.step >= 3 and not _improved(record):
            why, limit = f"{over}, and the loss has not improved", drowned
        elif self.holds and size.overall > (limit := drowned if _improved(record) else raised):
            why = over
        else:
            self.holds = False
            return None
        self.holds = True
        beside = "beside the layer's own output" if metric == "output_ratio" else "beside the frozen weight"
        change, causes = weaker(record, weaker_by(record, size.overall)), why_strong(record)
        if record.step <= EARLY and not _warms_up(record):
            causes.append("no warm-up, so that the first updates go at full speed in unsure directions")
        return Finding(
            f"The adapters have exploded {beside}: {metric} {_beyond(record)}is {why} (limit {limit:g}).",
            adapters=worst_first(record, size.values, np.isfinite(size.values) & (size.values >= size.p90)),
            metric=metric,
            limit=limit / size.blocks,
            causes=causes,
            remedies=change.words,
            settings=change.settings,
        )


@dataclass
class NormRunaway(Rule):
    """The adapters are still growing fast at a size that no useful run of the corpus reached.

    Fires when the 90th percentile over layers of ``output_ratio``, times the number of transformer blocks, is above
    ``size`` and grows as fast as by ``growth`` in ``window`` steps, or faster; over more of them where it is measured
    less often. Says so even while the loss falls: a run that only creeps back after an explosion ends far behind. What
    PiSSA and its kin began with does not count, as in LW102.

    The limit is LW102's ``drowned``: within ten steps the largest good run of the corpus reached 10.
    """

    id = "LW103"
    name = "norm-runaway"
    needs = "output_ratio"
    severity = Severity.WARNING
    yields_to = ("LW101", "LW102", "LW201")

    size: float = 12.0
    growth: float = 1.5
    window: int = 5
    history: list[tuple[int, float]] = field(default_factory=list, init=False)
    """Step and size of the last ``window`` measurements."""
    began: list[float] = field(default_factory=list, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        self.began = _began(record, self.began)
        size = _size(record, "output_ratio", self.began)
        if size is None:
            return None
        earlier = [known for known in self.history if record.step - known[0] >= self.window]
        self.history = [*self.history, (record.step, size.p90)][-self.window :]
        if size.overall <= self.size or not earlier:
            return None
        step, past = earlier[-1]
        ago = record.step - step
        if size.p90 <= self.growth ** (ago / self.window) * past:
            return None
        change = weaker(record, weaker_by(record, size.overall))
        return Finding(
            f"The adapters grow fast: output_ratio {_beyond(record)}reached {size.p90:.3g} in a tenth of the layers "
            f"({size.overall:.3g} over {_many(size.blocks, 'block')}, limit {self.size:g}), from {past:.3g} {ago} "
            "steps ago.",
            adapters=worst_first(record, size.values, np.isfinite(size.values) & (size.values >= size.p90)),
            metric="output_ratio",
            limit=self.size / size.blocks,
            causes=why_strong(record),
            remedies=change.words,
            settings=change.settings,
        )


@dataclass
class BarelyMoves(Rule):
    """At this pace the adapter will not have moved the model by the end of the schedule, and the loss says the same.

    The size is projected to the end as if every update agreed, which is the most it can reach: ratio now × (total
    Σ lr / Σ lr so far), over all transformer blocks as in LW102. Judged once, when ``spent`` of the schedule's Σ lr and
    at least ``steps`` steps are done. Fires when the projection stays below ``reach``, unless the loss has fallen by
    more than its noise and more than ``fall`` of its start.

    The limit: of the runs on which it was chosen it names 26 of 31 wasted ones and none of 75 good ones.
    """

    id = "LW104"
    name = "barely-moves"
    needs = "output_ratio"
    severity = Severity.WARNING
    lasting = True
    yields_to = ("LW304", "LW301", "LW302", "LW303", "LW306", "LW307")

    reach: float = 0.12
    fall: float = 0.05
    spent: float = 0.25
    steps: int = 10
    judged: bool = field(default=False, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        if self.judged or not record.lr_fraction or record.lr_fraction < self.spent or record.step < self.steps:
            return None
        size = _size(record, "output_ratio")
        start, recent = record.scalars.get("loss_start"), record.scalars.get("loss_recent")
        if size is None or record.loss is None or start is None or recent is None:
            return None
        self.judged = True
        reach = size.overall / record.lr_fraction
        if reach >= self.reach or (_improved(record) and start - recent > self.fall * abs(start)):
            return None
        change = stronger(record, stronger_by(record, reach))
        if record.run.other_methods:
            causes = ["the learning rate is too low for this method"]
        else:
            causes = ["the learning rate is that of full fine-tuning: LoRA wants about ten times more"]
            if max(adapter.scale for adapter in record.run.adapters) < ORDINARY_SCALE / 2:
                causes.append("the scale is small: alpha was kept while r was raised")
        return Finding(
            f"The adapters barely move: output_ratio is {size.p90:.2g} in the loudest tenth of the layers and at most "
            f"{reach:.2g} over {_many(size.blocks, 'block')} by the end of the schedule (limit {self.reach:g}), and "
            f"the loss went {start:.4g} → {recent:.4g}.",
            adapters=worst_first(record, size.values, np.isfinite(size.values))[:10],
            metric="output_ratio",
            limit=self.reach / size.blocks,
            causes=causes,
            remedies=change.words,
            settings=change.settings,
        )
