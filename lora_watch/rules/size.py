"""How large the adapters are, as LW102, LW104 and the zone of a step compare it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lora_watch.base.records import FloatArray, StepRecord
from lora_watch.rules.base import known_values, worst_first


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
    """``RunInfo.depth``."""

    def worst(self, record: StepRecord) -> list[tuple[str, float]]:
        """``(adapter, value)`` of the tenth of the layers that are largest, the largest first."""
        return worst_first(record, self.values, np.isfinite(self.values) & (self.values >= self.p90))


def size_of(record: StepRecord, metric: str = "output_ratio") -> Size | None:
    """``metric`` over the layers where it is known, if those are at least half of them.

    Without those of ``small_base``: relative to such a weight a useful adapter is as large as a broken one. Where
    adapters began with a part of W₀ in them (PiSSA), or had been trained before, what has come since, taken to be
    orthogonal; None where the beginning is not known.
    """
    if began_large(record):
        return _size_of(record, metric)
    if (name := f"size of {metric}") not in record.derived:
        record.derived[name] = _size_of(record, metric)
    return record.derived[name]


def _size_of(record: StepRecord, metric: str) -> Size | None:
    values = known_values(record, metric)
    if values is None:
        return None
    if began_large(record):
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


def began_large(record: StepRecord) -> bool:
    return bool(record.run.init_from_base) or record.run.nonzero_start


SPECTRAL = 0.3
"""What ``relative_spectral_norm`` is multiplied by where it stands in for ``output_ratio``."""


def extent(record: StepRecord) -> float | None:
    """The size of the adapters in ``output_ratio``, or from their weights alone; None where neither is known."""
    if (size := size_of(record)) is not None:
        return size.overall
    size = size_of(record, "relative_spectral_norm")
    return None if size is None else SPECTRAL * size.overall


@dataclass
class FirstStep:
    """What the first update of a run has added to the size of its adapters. Holds plain numbers, for checkpoints."""

    before: float = 0.0
    """The size before it, 0 where B begins at zero."""
    spent: float = 0.0
    """Σ of the highest learning rate of each update that the first measured size has seen."""
    per_rate: float | None = None
    """What it has added for each unit of that."""

    def see(self, record: StepRecord) -> None:
        """Take the records of a run in order."""
        if self.per_rate is not None:
            return
        # A forward pass sees the updates before its own step.
        if (size := size_of(record)) is not None:
            if self.spent > 0:  # what comes first is taken to be orthogonal to what was there
                self.per_rate = math.sqrt(max(size.overall**2 - self.before**2, 0.0)) / self.spent
                return
            self.before = size.overall
        self.spent += max(record.lr, default=0.0) if record.updated else 0.0

    def at(self, rates: Sequence[float]) -> float | None:
        """What an update at the highest of ``rates`` adds; None where unknown."""
        return self.per_rate * max(rates) if self.per_rate is not None and len(rates) else None


def began_with(record: StepRecord, before: dict[str, float]) -> dict[str, float]:
    """``output_ratio`` of the first forward pass by adapter, where they were not zero in it; else ``before``."""
    values = known_values(record, "output_ratio")
    return record.run.by_name(values) if began_large(record) and record.step == 1 and values is not None else before
