"""What is said of settings in words, and is no fault: the rank and the task, another model's settings, AdaLoRA's
schedule. Nothing of it can be measured in a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lora_watch.base.records import RunInfo
from lora_watch.rules.remedies import nearest
from lora_watch.tune.reference import Reference, reference_of
from lora_watch.tune.tasks import Task

FAR_FROM_TASK = 2.0
"""A rank is far from the usual ones below the lowest divided by this, or above the highest times this."""
OTHER_WIDTH, OTHER_STEP = 1.5, 2.0
"""From these ratios on a hidden size, and a first step, are another model's."""
FEW_CUTS = 5
"""Of AdaLoRA's ranks."""
OTHER_LENGTH = 0.1
"""From this difference on a schedule is that of a run of another length."""


def on_rank(run: RunInfo, task: Task) -> list[str]:
    """Where the rank is far from where one starts for ``task``. A rule of thumb: held-out quality, rank by rank,
    decides."""
    (low, high), r = task.ranks, int(np.median([adapter.r for adapter in run.adapters]))
    if low / FAR_FROM_TASK <= r <= high * FAR_FROM_TASK:
        return []
    side = "below" if r < low else "above"
    return [f"Rank {r} is far {side} {low} to {high}, where one starts for {task.name}: {task.why} ({task.source})."]


def on_other_model(run: RunInfo, old: Reference) -> list[str]:
    """Where settings that suited ``old`` do not carry over as they are."""
    new, said = reference_of(run), []
    ratio = new.width / old.width
    if new.r == old.r and not 1 / OTHER_WIDTH <= ratio <= OTHER_WIDTH:
        said.append(
            f"Rank {new.r} is that of {old.model}, which is {old.width} wide, and this model is {new.width} wide: a "
            f"rule of thumb says {nearest_rank(new.r * math.sqrt(ratio))}."
        )
    factor = new.first_step / old.first_step if new.first_step and old.first_step else math.nan
    as_strong = math.isclose(new.effective_lr or 0.0, old.effective_lr or -1.0, rel_tol=0.01)
    if as_strong and not 1 / OTHER_STEP <= factor <= OTHER_STEP and math.isfinite(factor):
        rate = new.learning_rate or math.nan
        said.append(
            f"Scale and learning rate are those of {old.model}, and the first full step, summed over {new.blocks} "
            f"blocks, is {factor:.2g} times as large here: learning rate {rate:g} → "
            f"{nearest(rate / factor, (1, 2, 3, 5), 10):g}."
        )
    return said


def on_adalora(config: Mapping[str, Any], steps: int | None) -> list[str]:
    """Where AdaLoRA's ranks are cut too late, too soon, or in too few steps. It cuts every ``deltaT`` steps between
    ``tinit`` and ``total_step − tfinal`` (Zhang et al. 2023, arXiv:2303.10512)."""
    total = config.get("total_step")
    if str(config.get("peft_type")).upper().rpartition(".")[2] != "ADALORA" or not isinstance(total, int) or total <= 0:
        return []
    start, end, every = (int(config.get(name) or 0) for name in ("tinit", "tfinal", "deltaT"))
    cuts, said = max((total - end - start) // max(every, 1), 0), []
    if steps and abs(total - steps) > OTHER_LENGTH * steps:
        outcome = "the target rank is not reached" if total > steps else "the ranks are fixed early"
        said.append(f"total_step is {total} and the run has {steps} steps: {outcome}")
    if cuts < FEW_CUTS:
        said.append(f"with deltaT {every} the ranks are cut {cuts} times between {start} and {total - end}")
    if start == 0:
        said.append("tinit is 0: ranks are cut before their importance is known")
    if not said:
        return []
    fitting = ""
    if steps:
        tenth, every = max(steps // 10, 1), max(steps // 100, 1)
        fitting = f" AdaLoraConfig(total_step={steps}, tinit={tenth}, tfinal={2 * tenth}, deltaT={every})."
    calls = "The Trainer does not call model.base_model.update_and_allocate(step): a callback has to."
    return [f"AdaLoRA's schedule does not fit: {'; '.join(said)}.{fitting} {calls}"]


def nearest_rank(value: float) -> int:
    """The nearest rank, by ratio, of 1, 2, 3, 4, 6, 8, 12, 16 …"""
    return max(int(nearest(value, (1, 3), 2)), 1)
