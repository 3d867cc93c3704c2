"""Names inside an event file, shared by the sink that writes them and by whoever reads them back.

A reader runs inside TensorBoard, so nothing heavy is imported here: no torch, no tensorboard, no numpy.
"""

from collections.abc import Iterable

FORMAT_VERSION = 1
"""Stands in the schema."""

PLUGIN_NAME = "lora_watch"

SCHEMA = "lora_watch/schema"
"""Scalar string, JSON: see ``lora_watch.sinks.numbers.schema``. Written at the start and when it changes."""
ALERTS = "lora_watch/alerts"
"""Scalar string, JSON list of ``Alert.to_dict()``: the episodes that opened, changed or closed at the step."""
METRIC_PREFIX = "lora_watch/m/"
"""``lora_watch/m/<metric>``: float32 ``[n_adapters]`` in the schema's order, NaN kept."""
UNKNOWN_BITS = 0x7FC007A2
"""The bits of a float32 NaN that stands for "not measured" in such a vector. A measured NaN has other bits.

The payload is 1954, by which R has always told its NA from NaN; whoever does not look at the bits sees NaN.
"""
VERDICT = "lora_watch/verdict"
"""Scalar string, JSON ``{"verdict", "message"}``: ``running`` from the start, at the end ``ok``,
``unhealthy``, ``unknown``, ``failed`` or ``interrupted``; a killed run stays at ``running``."""
SERIES_PREFIX = "lora_watch/s/"
"""``lora_watch/s/<name>``: float32 ``[1]``, or ``[n_groups]`` for ``lr`` and ``effective_lr``, NaN kept.

``effective_lr`` is lr times the largest scale in the group. ``size`` is that of ``StepRecord``, ``zone`` a place in the
schema's list ``zones``.
"""

EVAL_LOSS = "eval_loss"


def eval_losses(metrics: Iterable[str]) -> list[str]:
    """Those of the names that are an evaluation's losses: each of several sets has its own."""
    return [name for name in metrics if name.startswith("eval_") and name.endswith("_loss")]


SCALAR_PREFIX = "lora/"
"""Plain scalars, charts and hyperparameters for viewers that know nothing of this format."""
