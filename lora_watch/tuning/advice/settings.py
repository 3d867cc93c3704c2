"""A run that has not begun, as the rules see it, and what they say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lora_watch.adapters import Adapter
from lora_watch.adapters.describe import describe
from lora_watch.base.alerts import Alert, in_order
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.rules import Episodes, Rule, catalogue


def planned_run(
    adapters: Sequence[Adapter],
    base_norms: Sequence[float],
    lora: Mapping[str, Any],
    learning_rate: float | None = None,
    optimizer: str = "AdamW",
    **config: Any,
) -> RunInfo:
    """The run that would begin with these settings: one parameter group, no step yet.

    ``lora`` holds LoraConfig's fields; ``config`` what else rules read of a run's configuration (``task`` …).
    """
    group = None if learning_rate is None else 0
    return RunInfo(
        adapters=tuple(describe(adapter, group, norm) for adapter, norm in zip(adapters, base_norms)),
        config={"lora": {"default": dict(lora)}, **config},
        optimizer=optimizer,
        peak_lr=() if learning_rate is None else (learning_rate,),
    )


def preflight_rules() -> list[Rule]:
    """Those of the catalogue that judge settings."""
    return [rule for rule in catalogue() if rule.static]


def foresee(run: RunInfo, rules: Sequence[Rule] | None = None) -> list[Alert]:
    """What the pre-flight rules say before the first step, worst first."""
    alerts = Episodes(list(rules or preflight_rules())).check(StepRecord(run, 0, {}))
    return in_order(alerts)
