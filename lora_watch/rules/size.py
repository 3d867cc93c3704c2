"""How large the adapters are, and what the loss of one batch says of that: do they harm, would larger ones help?"""

import math
from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.records import FloatArray, StepRecord
from lora_watch.base.text import plain
from lora_watch.rules.base import worst_first
from lora_watch.rules.forecast import end_of


@dataclass(frozen=True)
class Size:
    """One metric of a step, over its layers."""

    p90: float
    """90th percentile over layers."""
    overall: float
    """The same times ``depth``, which serves any number of blocks and of adapted modules with one threshold."""
    values: FloatArray
    """``[n_adapters]``, NaN where a layer does not count."""
    depth: float

    def worst(self, record: StepRecord) -> list[tuple[str, float]]:
        """``(adapter, value)`` of the tenth of the layers that are largest, the largest first."""
        return worst_first(record, self.values, np.isfinite(self.values) & (self.values >= self.p90))


def size_of(record: StepRecord, metric: str = "output_ratio") -> Size | None:
    """``metric`` over the layers where it is known, if those are at least half of them.

    Without those of ``small_base``: relative to such a weight a useful adapter is as large as a broken one. Where
    adapters began with a part of W₀ in them (PiSSA), or had been trained before, what has come since, taken to be
    orthogonal; None where the beginning is not known.
    """
    if metric not in record.metrics:
        return None
    name = f"size of {metric}"
    if name not in record.derived or record.run.began_large:  # relative to what rules learn of the beginning meanwhile
        record.derived[name] = _size_of(record, metric)
    return record.derived[name]


def _size_of(record: StepRecord, metric: str) -> Size | None:
    values = record.metrics[metric].measured
    if record.run.began_large:
        if metric == "output_ratio":
            began = record.run.of_each(record.derived.get("began", {}), math.nan)
            values = np.maximum(values - began, 0.0) / np.hypot(1.0, began)
        elif record.run.init_from_base:
            return None
    if record.run.small_base.any():
        values = np.where(record.run.small_base, np.nan, values)
    finite = np.sort(values[np.isfinite(values)])
    if 2 * len(finite) < len(values) or not len(finite):
        return None
    place = 0.9 * (len(finite) - 1)  # np.percentile's own, at a tenth of its cost
    p90 = float(np.interp(place, np.arange(len(finite)), finite))
    depth = record.run.depth
    return Size(p90, p90 * depth, values, depth)


FAR_TOO_LARGE = 12.0
"""Depth-scaled output ratio from which on the adapters are the first suspect of a loss that is high, or NaN."""
SPECTRAL = 0.3
"""What ``relative_spectral_norm`` is multiplied by where it stands in for ``output_ratio``."""


def extent(record: StepRecord) -> float | None:
    """The size of the adapters in ``output_ratio``, or from their weights alone; None where neither is known."""
    for metric, unit in (("output_ratio", 1.0), ("relative_spectral_norm", SPECTRAL)):
        if metric in record.metrics and (size := size_of(record, metric)) is not None:  # of a plain step neither
            return unit * size.overall
    return None


@dataclass
class Growth:
    """What is known of the adapters' size from step to step. Holds plain numbers, for checkpoints."""

    began: dict[str, float] = field(default_factory=dict)
    """``output_ratio`` of the first forward pass by adapter, where they were not zero in it."""
    latest: float | None = None
    """The size as it was measured last."""
    before: float = 0.0
    """The size before the first update, 0 where B begins at zero."""
    spent: float = 0.0
    """Σ of the highest learning rate of each update that the first measured size has seen."""
    per_rate: float | None = None
    """What it has added for each unit of that."""

    def tell(self, record: StepRecord, urgent: bool) -> None:
        """Give ``record`` what rules ask of the steps before it, and see it, unless it is a part of one to come,
        ``urgent``. Takes the records of a run in order."""
        record.derived["size before"] = self.latest
        if not urgent:
            self.begin(record)
            self._see_first(record)
        rates = record.run.peak_lr or record.lr
        record.derived["first step"] = self.per_rate * max(rates) if self.per_rate is not None and rates else None

    def begin(self, record: StepRecord) -> None:
        """See how the adapters began, and tell ``record``."""
        if record.run.began_large and record.step == 1 and "output_ratio" in record.metrics:
            self.began = record.run.by_name(record.metrics["output_ratio"].measured)
        record.derived["began"] = self.began

    def _see_first(self, record: StepRecord) -> None:
        """What the first update has added to the size."""
        if self.per_rate is not None:
            return
        # A forward pass sees the updates before its own step.
        if (size := size_of(record)) is not None:
            if self.spent > 0:  # what comes first is taken to be orthogonal to what was there
                self.per_rate = math.sqrt(max(size.overall**2 - self.before**2, 0.0)) / self.spent
                return
            self.before = size.overall
        self.spent += max(record.lr, default=0.0) if record.updated else 0.0


HARM = {"adapted_loss": 1.0, "base_loss": 0.0}
"""What ``compared`` needs (``Rule.wants``)."""
SLIGHT, CLEAR = 1.03, 1.1
"""The loss with the adapters over that without, from which three comparisons in a row, or two, are taken for harm."""
PAUSE = 4
"""Steps after a comparison that shows no harm before the next one."""
NEAR = 10
"""Steps from one comparison to the next, up to which the two are in a row."""


@dataclass(frozen=True)
class Compared:
    """The loss of one batch, computed twice."""

    adapted: float
    base: float
    """Without the adapters, or with them as they began (``RunInfo.nonzero_start``)."""
    nonzero_start: bool = False

    def __str__(self) -> str:
        other = "with them as they began" if self.nonzero_start else "without"
        return f"The loss of a batch is {plain(self.adapted)} with the adapters and {plain(self.base)} {other}"

    def harms(self, factor: float) -> bool:
        """The adapters make the loss ``factor`` times as high or more; also where it is NaN with them."""
        return not self.adapted < factor * self.base

    def is_void(self, record: StepRecord) -> bool:
        """Without the adapters, too, the model is far worse than at the start, and than guessing: what else is trained,
        such as a head, has been spoiled. Then the comparison does not acquit the adapters."""
        start = record.scalars.get("loss_start", math.inf)
        return record.run.trains_more and self.base > CLEAR * max(guessing(record), start)

    def in_a_row(self, before: int, factor: float, steps: int) -> int:
        """Comparisons in a row that harm by ``factor``, this one counted, ``steps`` after ``before`` of them."""
        if not self.harms(factor):
            return 0
        return before + 1 if steps <= NEAR else 1


def compared(record: StepRecord) -> Compared | None:
    """What was computed at this step (``signals.scaled_loss``); None at most steps."""
    adapted, base = record.scalars.get("adapted_loss"), record.scalars.get("base_loss")
    if adapted is None or base is None or not base > 0:
        return None
    return Compared(adapted, base, record.run.nonzero_start)


def classes_of(record: StepRecord) -> int:
    """Among how many classes the training's loss chooses; 0 if unknown."""
    classes = record.scalars.get("classes", record.run.config.get("classes"))
    return int(classes) if isinstance(classes, (int, float)) and classes > 1 else 0


def guessing(record: StepRecord) -> float:
    """What guessing costs by the model's own loss. Where the number of classes is not known, that of the start if more
    than the adapters is trained; else infinite: the first batches may have been easy."""
    classes, start = classes_of(record) or record.run.own_classes, record.scalars.get("loss_start", math.inf)
    return math.log(classes) if classes > 1 else start if record.run.trains_more else math.inf


AT_THE_END = ("end_loss", "twice_end_loss")


def wanted_at_the_end(record: StepRecord) -> dict[str, float]:
    """What ``projected`` needs (``Rule.wants``)."""
    end = end_of(record, 1.0)
    return dict(zip(AT_THE_END, (end, 2.0 * end)))


def projected(record: StepRecord) -> tuple[float, float] | None:
    """The loss of one batch with the adapters as large as they become by the end of the schedule, and twice as large,
    in the direction of now; None at most steps. A run whose loss would fall up to there, and beyond, learns too
    slowly."""
    end, twice = (record.scalars.get(name) for name in AT_THE_END)
    return None if end is None or twice is None else (end, twice)
