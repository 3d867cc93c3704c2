"""LW107 and LW108: adapters that shrink, a layer apart from its kind."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules.base import Finding, Rule, in_a_row, known_values, medians, worst_first


@dataclass
class AdapterDecays(Rule):
    """Weight decay takes more from the adapters than learning adds: they shrink while they train.

    Fires when ‖B·A‖ of the median layer has fallen by more than ``shrunk`` below its highest so far, and the decay
    since then accounts for at least half of that. Every step with learning rate lr and decay λ takes lr·λ of A and of
    B, so 2·lr·λ of their product. Adam's decay inside the gradient is not counted.
    """

    id = "LW107"
    name = "adapter-decays"
    severity = Severity.WARNING
    yields_to = ("LW101", "LW102", "LW201", "LW301", "LW302")

    shrunk: float = 0.1
    """Share of the highest ‖B·A‖ that must be gone."""
    peaks: list[float] = field(default_factory=list, init=False)
    """The highest ‖B·A‖ of each adapter."""
    decayed: list[float] = field(default_factory=list, init=False)
    """Σ 2·lr·λ of each adapter since then."""

    def check(self, record: StepRecord) -> Finding | None:
        total = len(record.run.adapters)
        if len(self.peaks) != total:
            self.peaks, self.decayed = [0.0] * total, [0.0] * total
        peaks, decayed = np.array(self.peaks), np.array(self.decayed)
        taken = np.zeros(total)
        if record.updated and any(record.weight_decay):
            taken = np.nan_to_num(record.run.per_adapter(record.lr) * record.run.per_adapter(record.weight_decay))
            decayed += 2.0 * taken
            self.decayed = decayed.tolist()
        now = known_values(record, "product_norm")
        if now is None or not total:
            return None
        higher = now > peaks
        peaks, decayed = np.where(higher, now, peaks), np.where(higher, 0.0, decayed)
        self.peaks, self.decayed = peaks.tolist(), decayed.tolist()
        if not decayed.any():
            return None
        with np.errstate(all="ignore"):
            left = now / peaks
            lost = -np.log(left)
        known = np.isfinite(lost)
        if not known.any() or np.median(left[known]) >= 1.0 - self.shrunk:
            return None
        if np.median(decayed[known]) < 0.5 * np.median(lost[known]):
            return None
        decay = max(record.weight_decay)
        usual = 0.01 if decay > 0.01 else 0.0
        gone = 1.0 - left
        return Finding(
            f"‖B·A‖ of the median layer shrinks while it trains: it is {100 * np.median(gone[known]):.0f} % "
            f"below its highest (threshold {100 * self.shrunk:.0f} %), and weight decay has taken at least half "
            "of that.",
            adapters=worst_first(record, gone, known & (gone > self.shrunk))[:10],
            metric="product_norm",
            threshold=self.shrunk,
            causes=[
                f"weight_decay {decay:g} takes {100 * taken.max():.2g} % of A and of B at every step",
                "the gradients have become small, so only the decay is left: nothing more is learned",
            ],
            remedies=[f"weight_decay {decay:g} → {usual:g}, as is usual for adapters"],
            settings={"weight_decay": usual},
        )


@dataclass
class LayerOutlier(Rule):
    """One layer's adapter has become far larger, relative to its base weight, than its siblings in other blocks.

    Fires when a layer's robust z is above ``z`` at ``lasting_for`` measured steps in a row. The z is the distance of
    log(relative_norm) from the median of the modules of the same name in other blocks, over 1.4826·MAD or ``spread``.
    AdaLoRA is not judged, because it takes directions from some layers on purpose.
    """

    id = "LW108"
    name = "layer-outlier"
    severity = Severity.WARNING
    needs = "relative_norm"
    yields_to = ("LW101", "LW102", "LW201")

    z: float = 9.0
    spread: float = 0.25
    """Least standard deviation of log(relative_norm) within a family that is believed."""
    siblings: int = 4
    lasting_for: int = 5
    streaks: dict[str, int] = field(default_factory=dict, init=False)
    """By name, for how many measured steps each adapter has been above ``z``."""

    def check(self, record: StepRecord) -> Finding | None:
        sizes = known_values(record, "relative_norm")
        if sizes is None or record.step == 0 or record.run.cuts_ranks:
            return None
        least, most = sizes.min(initial=math.inf), sizes.max(initial=0.0)
        if most <= math.exp(self.z * self.spread) * least:  # none can be above z
            self.streaks = {}
            return None
        scores, distances = np.zeros(len(sizes)), np.zeros(len(sizes))
        with np.errstate(all="ignore"):  # a family with a NaN, or mostly of zeros, has no scores
            logs = np.log(sizes)
            for columns in record.run.families:
                if columns.shape[1] < self.siblings:
                    continue
                distance = logs[columns] - medians(logs[columns])
                spread = 1.4826 * medians(np.abs(distance))
                score = distance / np.maximum(spread, self.spread)
                scores[columns] = np.where(np.isfinite(score), score, 0.0)
                distances[columns] = distance
        self.streaks = in_a_row(self.streaks, record.run, scores > self.z)
        lasting = record.run.of_each(self.streaks) >= self.lasting_for
        if not lasting.any():
            return None
        worst = int(np.argmax(np.where(lasting, sizes, -np.inf)))
        name = record.run.names[worst]
        return Finding(
            f"{name} is {math.exp(distances[worst]):.3g} times as large relative to its base weight as the median "
            f"of its siblings in other blocks (robust z {scores[worst]:.3g}, threshold {self.z:g}), for "
            f"{self.streaks[name]} measured steps.",
            adapters=worst_first(record, sizes, lasting),
            metric="relative_norm",
            threshold=self.z,
            causes=[
                *_set_apart(record, worst),
                "its base weight is damaged or far smaller than those of its siblings",
                "few tokens reach it",
            ],
            remedies=[
                f"give {name} the learning rate, rank and alpha of its siblings, or take it out of target_modules"
            ],
        )


def _set_apart(record: StepRecord, column: int) -> list[str]:
    """In which settings an adapter differs from most of its family, in words."""
    adapters, rates = record.run.adapters, record.run.per_adapter(record.run.peak_lr or record.lr)
    family = next(members for columns in record.run.families for members in columns if column in members)
    usual_lr, usual_scale = np.median(rates[family]), float(np.median([adapters[i].scale for i in family]))
    found = []
    if np.isfinite(usual_lr) and rates[column] > 1.5 * usual_lr:
        found.append(f"its parameter group has the learning rate {rates[column]:g}, its siblings {usual_lr:g}")
    if adapters[column].scale > 1.5 * usual_scale:
        found.append(f"its scale is {adapters[column].scale:g}, that of its siblings {usual_scale:g} (alpha_pattern)")
    return found
