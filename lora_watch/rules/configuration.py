"""LW405 to LW409: whether the settings fit the task, the model and the run, judged before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.rules.base import Finding, RuleOnSettings, worst_first
from lora_watch.rules.reference import Reference, reference_of
from lora_watch.rules.remedies import nearest, with_rank
from lora_watch.rules.tasks import SOURCES, find_task


@dataclass
class RankForTask(RuleOnSettings):
    """The rank is far from the usual start for this task. Silent unless the run's configuration names a task.

    Fires as an INFO when the median rank is below the usual range divided by ``far``, or above it times ``far``:

    | task | ranks to start from | source |
    |---|---|---|
    | classification | 4 to 8 | Aghajanyan et al. 2021, arXiv:2012.13255 |
    | domain-adaptation | 8 to 16 | Hu et al. 2021, arXiv:2106.09685 |
    | instruction-tuning | 16 to 64 | Biderman et al. 2024, arXiv:2405.09673 |
    | continued-pretraining | 64 to 256, or full fine-tuning | Biderman et al. 2024, arXiv:2405.09673 |

    These are rules of thumb. Only the held-out quality, rank by rank, decides.
    """

    id = "LW405"
    name = "rank-for-task"
    severity = Severity.INFO

    far: float = 2.0

    def check(self, record: StepRecord) -> Finding | None:
        name = record.run.config.get("task")
        if not record.run.adapters or not name:
            return None
        try:
            task = find_task(str(name))
        except ValueError:
            return None
        low, high = task.ranks
        r = int(np.median([a.r for a in record.run.adapters]))
        if low / self.far <= r <= high * self.far:
            return None
        adapter = min(record.run.adapters, key=lambda a: abs(a.r - r))
        better = low if r < low else high
        change = with_rank(record, adapter, better)
        return Finding(
            f"Rank {r} is far {'below' if r < low else 'above'} {low} to {high}, where one starts for {task.name}.",
            metric="r",
            threshold=float(better),
            causes=[f"{task.why}: {task.source}"],
            remedies=[*change.words, "or measure held-out quality: double r until it no longer improves"],
            settings=change.settings,
        )


@dataclass
class CopiedAcrossSizes(RuleOnSettings):
    """Settings of another model are used on one of another width. Silent without a reference in the configuration.

    Fires as an INFO when

    - the rank is the reference's and the widths differ by more than ``width``, or
    - the scale and learning rate are the reference's and the size of the first full step differs by more than ``step``.
      That size is ‖ΔW‖/‖W₀‖ summed over the transformer blocks.

    A wider layer wants a higher rank, about with the square root of the hidden size. That is a rule of thumb.
    """

    id = "LW406"
    name = "copied-across-sizes"
    severity = Severity.INFO

    width: float = 1.5
    step: float = 2.0

    def check(self, record: StepRecord) -> Finding | None:
        old = Reference.from_plain(record.run.config.get("reference"))
        if old is None or not record.run.adapters:
            return None
        new = reference_of(record.run)
        ratio = new.width / old.width
        same_rank = new.r == old.r and not 1 / self.width <= ratio <= self.width
        factor = new.first_step / old.first_step if new.first_step and old.first_step else math.nan
        as_strong = math.isclose(new.effective_lr or 0.0, old.effective_lr or -1.0, rel_tol=0.01)
        carried_over = as_strong and (factor > self.step or factor < 1 / self.step)
        if not same_rank and not carried_over:
            return None
        says, remedies, settings = [], [], dict[str, float]()
        if same_rank:
            says.append(f"rank {new.r} is that of a model {old.width} wide, and this one is {new.width} wide")
            median = min(record.run.adapters, key=lambda a: abs(a.r - new.r))
            change = with_rank(record, median, nearest_rank(new.r * math.sqrt(ratio)))
            remedies, settings = [*change.words], {**change.settings}
        if carried_over:
            says.append(
                f"at the same scale and learning rate the first full step, summed over {new.blocks} blocks, is "
                f"{factor:.2g} times that of the reference"
            )
            lr = new.learning_rate or math.nan
            settings["learning_rate"] = better = nearest(lr / factor, (1, 2, 3, 5), 10)
            remedies.append(f"learning rate {lr:g} → {better:g}")
        return Finding(
            f"Settings copied from another model ({old.model}): {'; '.join(says)}.",
            causes=["rank and learning rate were tuned on a model of another size, and do not transfer as they are"],
            remedies=remedies,
            settings=settings,
        )


@dataclass
class AdaLoraSchedule(RuleOnSettings):
    """AdaLoRA's schedule does not fit the run: its ranks are cut too late, too soon, or in too few steps.

    Fires as an INFO when

    - ``total_step`` is off the run's number of steps by more than ``off``,
    - there are fewer than ``cuts`` cuts, or
    - ``tinit`` is 0, so that the first cut has no measure of importance yet.

    AdaLoRA starts at ``init_r`` and cuts down to ``target_r`` between ``tinit`` and ``total_step − tfinal``, every
    ``deltaT`` steps (Zhang et al. 2023, arXiv:2303.10512). The Trainer does not call ``update_and_allocate``: without a
    callback that does, no rank is ever cut.
    """

    id = "LW407"
    name = "adalora-schedule"
    severity = Severity.INFO

    off: float = 0.1
    cuts: int = 5

    def check(self, record: StepRecord) -> Finding | None:
        adalora = (c for c in _peft_configs(record) if str(c.get("peft_type")).upper() == "ADALORA")
        config = next((c for c in adalora if isinstance(c.get("total_step"), int) and c["total_step"] > 0), None)
        steps = record.run.max_steps
        if config is None or not (says := self._misfits(config, steps)):
            return None
        remedies = []
        fitting: dict[str, float] = {}
        if steps:
            tenth = max(steps // 10, 1)
            fitting = {"total_step": steps, "tinit": tenth, "tfinal": 2 * tenth, "deltaT": max(steps // 100, 1)}
            remedies.append(f"AdaLoraConfig({', '.join(f'{name}={value}' for name, value in fitting.items())})")
        remedies.append(
            "call model.base_model.update_and_allocate(step) before the gradients are cleared: Trainer does not"
        )
        return Finding(
            f"AdaLoRA's schedule does not fit: {'; '.join(says)}.",
            causes=[f"the schedule was written for a run of another length: {SOURCES['adalora']}"],
            remedies=remedies,
            settings=fitting,
        )

    def _misfits(self, config: dict[str, Any], steps: int | None) -> list[str]:
        total = config["total_step"]
        start, end, every = (int(config.get(k) or 0) for k in ("tinit", "tfinal", "deltaT"))
        says = []
        if steps and total > steps * (1 + self.off):
            says.append(f"total_step is {total} and the run has {steps} steps: the target rank is not reached")
        elif steps and total < steps * (1 - self.off):
            says.append(f"total_step is {total} and the run has {steps} steps: the ranks are fixed early")
        cuts = (total - end - start) // max(every, 1)
        if cuts < self.cuts:
            says.append(f"with deltaT {every} the ranks are cut {max(cuts, 0)} times between {start} and {total - end}")
        if start == 0:
            says.append("tinit is 0: ranks are cut before their importance is known")
        return says


@dataclass
class DoraOverZeroRows(RuleOnSettings):
    """DoRA is on a frozen weight with an all-zero row: the layer's output is NaN from the first forward pass.

    Fires when such a row is found before the first step.

    DoRA divides by the norm of each row of W₀ + ΔW, for an embedding of each column (Liu et al. 2024,
    arXiv:2402.09353). If that norm is zero, its magnitude is zero too, and the layer computes 0/0. Such rows come from
    padding, pruning or zero-initialised layers.
    """

    id = "LW408"
    name = "dora-over-zero-rows"
    severity = Severity.ERROR

    def check(self, record: StepRecord) -> Finding | None:
        zeros = np.array([a.zero_magnitudes for a in record.run.adapters], dtype=np.float64)
        if not zeros.any():
            return None
        worst = record.run.adapters[int(np.argmax(zeros))]
        return Finding(
            f"DoRA over all-zero rows of the frozen weight in {int((zeros > 0).sum())} of {len(zeros)} adapters "
            f"({int(zeros.max())} in {worst.name}): its output there is 0/0, and the loss will be NaN.",
            adapters=worst_first(record, zeros, zeros > 0),
            metric="zero_magnitudes",
            threshold=0.0,
            causes=[f"padded, pruned or zero-initialised rows; DoRA divides by their norm: {SOURCES['dora']}"],
            remedies=["take these modules out of target_modules (exclude_modules), or set use_dora=False"],
        )


WITHOUT_WARM_UP = ("constant", "reduce_lr_on_plateau", "greedy")
"""Schedules of transformers that take no notice of a warm-up."""


@dataclass
class WarmUpTooLong(RuleOnSettings):
    """The warm-up is longer than the run, or takes most of it: the learning rate is reached late or never.

    Fires as a WARNING when the run ends in its warm-up, and as an INFO when the warm-up takes more than ``share`` of
    the run's steps. A schedule of your own that reaches its learning rate does not count as ending in it.
    """

    id = "LW409"
    name = "warm-up-too-long"
    severity = Severity.WARNING

    share: float = 0.5

    def check(self, record: StepRecord) -> Finding | None:
        config, steps = record.run.config, record.run.max_steps
        if str(config.get("lr_scheduler_type")) in WITHOUT_WARM_UP:
            return None
        name = "warmup_steps" if config.get("warmup_steps") else "warmup_ratio"
        given = float(config.get(name) or 0.0)
        if is_share := given < 1.0:  # of the steps, as warmup_ratio is, too
            share = given
        else:
            share = given / steps if steps else 0.0
        if not share > self.share:
            return None
        new = 0.1 if is_share else steps // 10 if steps else 0
        what, rest = f"The warm-up takes {100 * share:.0f} % of the run", f" (threshold {100 * self.share:.0f} %)"
        if ends_in_it := share > 1.0:
            if not self._ends_in_it(record, share):
                return None
            what = f"The run of {steps} steps ends in its warm-up of {given:g}"
            rest = f": it uses {100 / share:.0f} % of its learning rate at most"
        return Finding(
            f"{what}{rest}.",
            metric=name,
            threshold=self.share,
            causes=["the warm-up was written for a longer run"],
            remedies=[f"{name} {given:g} → {new:g}"],
            settings={name: float(new)},
            severity=Severity.WARNING if ends_in_it else Severity.INFO,
        )

    @staticmethod
    def _ends_in_it(record: StepRecord, share: float) -> bool:
        """What is known of the schedule agrees: a Trainer's own may be another."""
        rate, peaks = record.run.config.get("learning_rate"), set(record.run.peak_lr)
        return not rate or len(peaks) != 1 or math.isclose(min(peaks), rate / share, rel_tol=0.2)


def nearest_rank(value: float) -> int:
    """The nearest rank, by ratio, of 1, 2, 3, 4, 6, 8, 12, 16 …"""
    return max(int(nearest(value, (1, 3), 2)), 1)


def _peft_configs(record: StepRecord) -> list[dict[str, Any]]:
    configs = record.run.config.get("lora")
    return [c for c in configs.values() if isinstance(c, dict)] if isinstance(configs, dict) else []
