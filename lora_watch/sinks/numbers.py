"""What a run's event file says of the run and of each step, as plain numbers."""

import math
from collections.abc import Sequence
from statistics import mode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.records import FloatArray, Reading, RunInfo, StepRecord
from lora_watch.base.strict_json import adapter_fields
from lora_watch.format import tags
from lora_watch.format.quantiles import QUANTILES, quantiles
from lora_watch.rules.zone import NUMBER, described

ONE_NUMBER_IS_ENOUGH = ("scale", "effective_lr")
"""Metrics that seldom differ between adapters: their largest value stands for all."""
USUAL_METRICS = ("output_ratio", "delta_norm", *ONE_NUMBER_IS_ENOUGH)
"""Metrics among the plain scalars: more would flood TensorBoard's own dashboards."""
USUAL_QUANTILES = ("max", "median")
OF_A_RUN = ("optimizer", "peak_lr", "lr_factor", "rules", "muted", "config", "versions")
"""Fields of ``RunInfo`` that its report and its event files have."""
OF_RULES = (
    "kept_gradient", "came_gradient", "labels_seen", "labels_class", "labels_share",
    "labels_a_row", "labels_token", "targets_mean", "targets_spread", "targets_far", "chance_of_batch",
    "loss_before", "loss_rise", "loss_without_highest", "loss_noise", "loss_improved", "loss_sound",
    "reward_start", "reward_recent", "reward_noise", "reward_rows", "reward_flat",
)  # fmt: skip
"""Scalars of a record that rules read and no chart shows, or that stand at another step (``Sink.logged``): they are not
written."""


def schema(run: RunInfo) -> dict[str, Any]:
    """What a reader must know before the vectors mean anything. ``adapters`` is in the order of every vector."""
    return {
        "version": tags.FORMAT_VERSION,
        "adapters": [adapter_fields(adapter) for adapter in run.adapters],
        "zones": described(run.rules),
        **{name: getattr(run, name) for name in ("run_id", "depth", "max_steps", *OF_A_RUN, "notes")},
    }


def unknown_marked(reading: Reading) -> FloatArray | NDArray[np.float32]:
    """``[n]``, as float32 with the format's own NaN where a number is unknown, if any is."""
    if reading.known.all():
        return reading.values
    marked = reading.values.astype(np.float32)
    marked.view(np.uint32)[~reading.known] = tags.UNKNOWN_BITS
    return marked


def series(record: StepRecord) -> dict[str, FloatArray]:
    """The small vectors of one step: float64 ``[1]``, or ``[n_groups]`` for ``lr`` and ``effective_lr``: lr times the
    largest scale of the group's adapters, NaN where that is unknown."""
    named = {"loss": record.loss, "lr_fraction": record.lr_fraction, "overhead": record.overhead}
    out = {name: np.array([value]) for name, value in named.items() if value is not None}
    if record.loss is not None and math.isfinite(record.loss):  # else they repeat what the steps before have said
        out |= {name: np.array([value]) for name, value in record.scalars.items() if name not in OF_RULES}
    out["zone"] = np.array([float(NUMBER[record.zone])])
    if record.size is not None:
        out["size"] = np.array([record.size])
    if record.lr:
        out["lr"] = np.array(record.lr)
        rates, of = record.metrics.get("effective_lr"), [adapter.group for adapter in record.run.adapters]
        its_own = np.equal.outer(np.arange(len(record.lr)), np.array(of, dtype=float))
        scaled = np.where(its_own, np.nan if rates is None else rates.measured, np.nan)
        out["effective_lr"] = np.fmax.reduce(scaled, axis=1, initial=np.nan)
    return out


def plain_scalars(record: StepRecord) -> dict[str, float]:
    """The step for viewers without the plugin, by full tag. Adapters a metric cannot have are left out of it."""
    out = {} if record.loss is None else {"loss": record.loss}
    readings = record.metrics
    if readings and (known := np.stack([reading.known for reading in readings.values()])).any():
        bad = known & ~np.isfinite([reading.values for reading in readings.values()])
        out["nonfinite_adapters"] = float(bad.any(0).sum())
    usual = {name: readings[name] for name in USUAL_METRICS if name in readings}
    shown = {name: reading.measured for name, reading in usual.items() if reading.known.any()}
    for name in ONE_NUMBER_IS_ENOUGH:
        if name in shown:
            out[name] = float(np.fmax.reduce(shown.pop(name)))
    for name, numbers in zip(shown, quantiles(np.stack([*shown.values()])).tolist() if shown else ()):
        by_quantile = dict(zip(QUANTILES, numbers))
        out |= {f"{name}/{q}": by_quantile[q] for q in USUAL_QUANTILES}
    return {tags.SCALAR_PREFIX + name: value for name, value in out.items()}


def layout(metrics: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Custom Scalars as torch takes it: adapters and run, of what ``plain_scalars`` gives. Lines are regexes."""
    spread = [name for name in metrics if name in USUAL_METRICS and name not in ONE_NUMBER_IS_ENOUGH]
    return {
        "LoRA: adapters, largest and median": {
            f"{name}, max and median": ["Multiline", [f"lora/{name}/(max|median)$"]] for name in spread
        },
        "LoRA: run": {
            "loss": ["Multiline", ["lora/loss$"]],
            "scale": ["Multiline", ["lora/scale$"]],
            "adapters with NaN or Inf": ["Multiline", ["lora/nonfinite_adapters$"]],
        },
    }


def hyperparameters(run: RunInfo) -> dict[str, float | str]:
    """r, alpha and scale as most adapters have them, rsLoRA if any has it, and the highest learning rate."""
    out: dict[str, float | str | None] = {}
    if run.adapters:
        out = {name: mode(getattr(each, name) for each in run.adapters) for name in ("r", "alpha", "scale")}
    out["rslora"] = str(any(adapter.scale_formula == "alpha/sqrt(r)" for adapter in run.adapters)).lower()
    if run.peak_lr:
        out["lr"] = max(run.peak_lr)
    return {name: value for name, value in out.items() if value is not None}
