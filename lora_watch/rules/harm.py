"""What the loss of one batch says with other adapters: whether they do harm, and whether larger ones would help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lora_watch.base.records import StepRecord
from lora_watch.base.text import plain
from lora_watch.rules.forecast import end_of

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
        return f"A batch costs {plain(self.adapted)} with the adapters and {plain(self.base)} {other}"

    def harms(self, factor: float = 1.0) -> bool:
        """The adapters make the loss ``factor`` times as high or more; also where it is NaN with them."""
        return not self.adapted < factor * self.base

    def helps(self, record: StepRecord, factor: float = CLEAR) -> bool:
        """The loss is ``factor`` times as high without the adapters, or more, and that proves something."""
        return self.base > factor * self.adapted and not self.is_void(record)

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


def guessing(record: StepRecord) -> float:
    """What guessing costs by the model's own loss. Where the number of classes is not known, that of the start if more
    than the adapters is trained; else infinite: the first batches may have been easy."""
    classes, start = record.run.config.get("classes"), record.scalars.get("loss_start", math.inf)
    classes = classes if isinstance(classes, int) else record.run.own_classes
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
