"""What a trainer logs of a policy (GRPO, RLOO, PPO, DPO, KTO …): one name for each number, whatever TRL's version."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lora_watch.base.records import StepRecord
from lora_watch.base.text import plain
from lora_watch.measurement.signals.loss import LossProgress

NAMES: Mapping[str, tuple[str, ...]] = {
    "reward": ("reward", "objective/scores", "rewards/margins", "margin"),
    "accuracy": ("rewards/accuracies", "accuracy"),
    "no_spread": ("frac_reward_zero_std",),
    "reward_spread": ("reward_std",),
    "kl": ("kl", "objective/kl"),
    "entropy": ("entropy", "objective/entropy"),
    "clipped": ("clip_ratio/region_mean", "clip_ratio", "policy/clipfrac_avg"),
    "completion_length": ("completions/mean_length", "completion_length"),
    "sampling_gap": ("sampling/sampling_logp_difference/mean",),
}
"""By our name, TRL's: the first that a row holds counts. ``reward`` is the mean reward of the completions, in its own
unit, and of preferences the margin between chosen and rejected answers. ``accuracy``: share of pairs whose margin is
positive. ``no_spread``: share of the groups whose rewards are all equal. ``reward_spread``: standard deviation of the
rewards. ``kl`` (from the reference) and ``entropy``: nats a token. ``sampling_gap``: by how many nats the sampler's
log-probability of a token differs from the trainer's."""


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a Trainer's row, ``{name: value}``; empty where it is of no policy's training."""
    if "mean_reward" not in row:  # else RewardTrainer's, and not a script's own
        row = {name: row[name] for name in row.keys() - {"margin", "accuracy"}}
    found = {name: next((row[own] for own in theirs if own in row), None) for name, theirs in NAMES.items()}
    known = {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}
    return known if "reward" in known and "eval_loss" not in row else {}


class Course(NamedTuple):
    """Where the reward of a policy stands against its start, in its own unit: under DPO the margin, which begins at
    0."""

    start: float
    recent: float
    """Mean of the last five rows."""
    noise: float
    """Standard error of ``recent - start``. Of few rows it holds the rise itself, too."""
    rows: float
    """How many rows there are, 33 at most."""

    @property
    def has_risen(self) -> bool:
        return self.recent - self.start > 2.0 * self.noise

    def __str__(self) -> str:
        return f"from {plain(self.start)} to {plain(self.recent)}"


def course(record: StepRecord) -> Course | None:
    """None where no reward is logged, and before there are three."""
    latest = record.scalars if record.logged is None else record.logged.numbers  # the run's last row is in no scalars
    known = [latest.get(f"reward_{name}") for name in Course._fields]
    return None if None in known else Course(*known)  # type: ignore[arg-type]


@dataclass
class PolicySignals:
    """Whether the reward has risen above its start by more than its noise: the progress of a loss, upside down."""

    progress: LossProgress = field(default_factory=LossProgress)
    scalars: dict[str, float] = field(default_factory=dict)
    """``reward_start``, ``reward_recent`` and ``reward_noise`` in the reward's own unit, once three are known, and
    ``reward_rows``, how many of the last rows these are made of. ``reward_flat``: no group of completions had two
    different rewards in the latest row, so that there is no gradient."""

    def update(self, numbers: Mapping[str, float], size: float | None, rate: float) -> dict[str, float]:
        """``numbers_of`` a row, and the ``scalars`` with them. ``size`` and ``rate``: see ``LossProgress.update``."""
        numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}
        flat = numbers.get("no_spread", float(numbers.get("reward_spread", 1.0) == 0.0)) >= 1.0
        self.scalars.pop("reward_flat", None)
        if "reward" in numbers and (now := self.progress.update(-numbers["reward"], size, rate)) is not None:
            known = Course(0.0 - now.start, 0.0 - now.recent, now.noise, float(len(self.progress.recent)))  # not -0.0
            self.scalars = {f"reward_{name}": value for name, value in known._asdict().items()}
        told = {**numbers, **self.scalars}
        self.scalars["reward_flat"] = float(flat)
        return told
