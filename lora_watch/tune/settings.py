"""A run that has not begun, as the rules see it, and what they say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lora_watch.adapters import Adapter
from lora_watch.adapters.find import describe
from lora_watch.base.alerts import Alert, in_order
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.rules import Episodes, Rule, catalogue


def demand_positive(**values: float | None) -> None:
    """Raises ValueError for the first of ``values`` that is given and is no positive number."""
    for name, value in values.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value!r}: a positive number")


def planned_run(
    adapters: Sequence[Adapter],
    base_norms: Sequence[float],
    lora: Mapping[str, Any],
    learning_rate: float | None = None,
    **config: Any,
) -> RunInfo:
    """The run that would begin with these settings: AdamW, one parameter group, no step yet. ``lora`` holds
    LoraConfig's fields; ``config`` what else is known of the run (``model`` …)."""
    group = None if learning_rate is None else 0
    return RunInfo(
        adapters=tuple(describe(adapter, group, norm) for adapter, norm in zip(adapters, base_norms)),
        config={"lora": {"default": dict(lora)}, **config},
        optimizer="AdamW",
        peak_lr=() if learning_rate is None else (learning_rate,),
    )


def preflight_rules() -> list[Rule]:
    """Those of the catalogue that judge settings."""
    return [rule for rule in catalogue() if rule.static]


def foresee(run: RunInfo, rules: Sequence[Rule]) -> list[Alert]:
    """What ``rules`` say before the first step, worst first."""
    return in_order(Episodes(rules).check(StepRecord(run, 0, {})))
