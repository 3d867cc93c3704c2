"""Whether the adapters do harm: the loss of one batch with them against that without them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lora_watch.base.records import StepRecord

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

    def __str__(self) -> str:
        return f"one batch costs {self.adapted:.4g} with the adapters and {self.base:.4g} without"

    def harms(self, factor: float = 1.0) -> bool:
        """The adapters make the loss ``factor`` times as high or more; also where it is NaN with them."""
        return not self.adapted < factor * self.base

    def is_void(self, record: StepRecord) -> bool:
        """Without the adapters, too, the model is far worse than at the start, and than guessing: what else is trained,
        such as a head, has been spoiled. Then the comparison does not acquit the adapters."""
        return record.run.trains_more and self.base > CLEAR * max(
            guessing(record), record.scalars.get("loss_start", math.inf)
        )

    def in_a_row(self, before: int, factor: float, steps: int) -> int:
        """Comparisons in a row that harm by ``factor``, this one counted, ``steps`` after ``before`` of them."""
        if not self.harms(factor):
            return 0
        return before + 1 if steps <= NEAR else 1


def compared(record: StepRecord) -> Compared | None:
    """What was computed at this step (``signals.base_loss``); None at most steps."""
    adapted, base = record.scalars.get("adapted_loss"), record.scalars.get("base_loss")
    return None if adapted is None or base is None or not base > 0 else Compared(adapted, base)


def guessing(record: StepRecord) -> float:
    """The loss of guessing, or of the start where the number of classes is not known; infinite where neither is."""
    classes, start = record.run.config.get("classes"), record.scalars.get("loss_start", math.inf)
    return math.log(classes) if isinstance(classes, int) and classes > 1 else start
