"""What guessing costs a classifier: the cross-entropy of a model that knows nothing but how frequent the labels are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FEW = 20
"""Most classes for which a loss is compared with guessing where no label has been seen."""


@dataclass
class Chance:
    """What a classifier's loss is when its outputs do not depend on its inputs, from the labels seen so far.

    The least that such a model can reach is the entropy of the labels' distribution; where labels are smoothed, that of
    the smoothed one. Where no label has been seen it is the logarithm of the number of classes, which is at least that.
    """

    classes: int = 0
    """Number of classes; 0 where the loss is not known to be a cross-entropy."""
    smoothing: float = 0.0
    """Share of each target that is spread over all classes."""
    counts: list[float] = field(default_factory=list)
    """How often each label has been seen."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Chance:
        """For a run with these settings: ``classes`` and ``label_smoothing_factor``."""
        classes, smoothing = config.get("classes"), config.get("label_smoothing_factor")
        return cls(classes if isinstance(classes, int) and classes > 1 else 0, float(smoothing or 0.0))

    def update(self, counts: Sequence[float] | None) -> dict[str, float]:
        """``counts``, how often each label was seen in this step, ``[classes]``; the record's scalars, in nats.

        ``chance_loss`` is what guessing costs, ``best_loss`` what a model that is always right can reach: more than 0
        where labels are smoothed. Empty where neither is known.
        """
        if counts is not None and sum(counts) > 0:
            before = self.counts or [0.0] * len(counts)
            self.counts = [float(a + b) for a, b in zip(before, counts)]
        if not self.counts and not 1 < self.classes <= FEW:
            return {}
        classes = len(self.counts) or self.classes
        seen = sum(self.counts)
        shares = [count / seen for count in self.counts] or [1.0 / classes] * classes
        # Of few labels the entropy comes out too low by about (classes - 1) / (2 * labels) (Miller 1955).
        missing = (sum(share > 0 for share in shares) - 1) / (2.0 * seen) if seen else 0.0
        chance = min(self._entropy(shares) + missing, math.log(classes))
        return {"chance_loss": chance, "best_loss": self._entropy([1.0] + [0.0] * (classes - 1))}

    def _entropy(self, shares: Sequence[float]) -> float:
        spread = self.smoothing / len(shares)
        smoothed = ((1.0 - self.smoothing) * share + spread for share in shares)
        return -sum(share * math.log(share) for share in smoothed if share > 0)
