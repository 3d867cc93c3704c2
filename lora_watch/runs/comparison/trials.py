"""What is compared of a run: the settings it had, the quality it reached, the norms it ended with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_watch.base.alerts import Severity
from lora_watch.runs.run import FinishedRun

TRAIN_LOSS = "train_loss"
"""The one quality that every run with event files has: the mean loss of the last tenth of its steps."""
NORMS = ("delta_norm", "relative_norm", "output_ratio", "spectral_norm", "stable_rank", "effective_rank")
"""What is shown of the adapters at the end."""

_NOT_A_SETTING = {
    "seed", "data_seed", "learning_rate", "r", "init_r", "lora_alpha", "use_rslora",  # what the curves are made of
    "find_lr", "sweepable",  # where the learning rate comes from
    "parameters", "trainable_parameters",  # follow from the model and the rank
    "base_model_name_or_path", "peft_version", "inference_mode",  # said elsewhere, or of no effect on training
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One run, as it is compared. Every text is clean."""

    name: str
    r: int | None
    """Of most adapters; None where nothing is known of any."""
    alpha: float | None
    scale: float | None
    """s of most adapters when training began."""
    lr: float | None
    """Peak learning rate."""
    seed: int | None
    settings: Mapping[str, str]
    """Everything else that was set."""
    quality: Mapping[str, float]
    """By name: what the last evaluation found, and ``train_loss``."""
    norms: Mapping[str, tuple[float, float]]
    """By metric: the median adapter at the end, and the largest."""
    trainable_parameters: int | None
    step: int
    alerts: Mapping[str, int] = field(default_factory=dict)
    """How many, by severity."""
    out: str | None = None
    """Why its quality does not count, in words; None if it does."""


def trial_of(run: FinishedRun, loss: float | None) -> Trial:
    """What is compared of ``run``. ``loss``: its ``final_loss``."""
    rates = [run.config.get("learning_rate"), *sorted(run.peak_lr, reverse=True)]
    return Trial(
        name=run.name,
        r=_commonest([a.r for a in run.adapters.values()]),
        alpha=_commonest([a.alpha for a in run.adapters.values()]),
        scale=_commonest([a.scale for a in run.adapters.values()]),
        lr=next((float(rate) for rate in rates if rate is not None), None),
        seed=None if (seed := run.config.get("seed")) is None else int(seed),
        settings=_settings(run),
        quality={**run.evaluation, **({} if loss is None else {TRAIN_LOSS: loss})},
        norms={metric: found for metric in NORMS if (found := _median_and_max(run, metric)) is not None},
        trainable_parameters=run.trainable_parameters,
        step=run.step,
        alerts={
            severity.name.lower(): n
            for severity in sorted(Severity, reverse=True)
            if (n := sum(alert.severity is severity for alert in run.alerts))
        },
        out=_why_not(run),
    )


def _why_not(run: FinishedRun) -> str | None:
    if run.verdict in ("ok", "unhealthy", "unknown"):
        return None
    errors = [alert for alert in run.alerts if alert.severity >= Severity.ERROR]
    if run.verdict == "failed" and errors:
        return f"ended at step {run.step} by {errors[0].rule} {errors[0].name}"
    if run.verdict == "failed":
        return f"ended at step {run.step}: {run.message or 'by its own fail_on'}"
    return f"has no verdict: it broke off at step {run.step}, or is still going"


def _settings(run: FinishedRun) -> dict[str, str]:
    """Every setting of ``run`` that is not one of the columns, as text. One adapter's go by their own names."""
    found: dict[str, Any] = {key: value for key, value in run.config.items() if key not in ("lora", "max_steps")}
    found["steps planned"] = run.max_steps
    total, trained = found.get("parameters"), found.get("trainable_parameters")
    if isinstance(total, int) and isinstance(trained, int):
        found["frozen parameters"] = total - trained
    lora = run.config.get("lora") or {}
    for name, values in lora.items():
        prefix = "" if len(lora) == 1 else f"{name}."
        if isinstance(values, Mapping):
            found |= {prefix + key: value for key, value in values.items() if key not in _NOT_A_SETTING}
    found["adapters"] = len(run.adapters)
    ranks = {a.r for a in run.adapters.values()}
    if len(ranks) > 1:
        found["ranks within the run"] = sorted(ranks, key=lambda r: r or 0)
    return {key: str(value) for key, value in found.items() if key not in _NOT_A_SETTING and value is not None}


def _median_and_max(run: FinishedRun, metric: str) -> tuple[float, float] | None:
    values = [a.last[metric] for a in run.adapters.values() if metric in a.last]
    if not values:
        return None
    if any(map(math.isnan, values)):
        return math.nan, math.nan
    return statistics.median(values), max(values)


def _commonest(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return statistics.mode(known) if known else None
