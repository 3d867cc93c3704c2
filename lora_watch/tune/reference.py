"""What of a run says how its settings carry over to a model of another size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lora_watch.base.records import AdapterInfo, RunInfo
from lora_watch.base.untrusted import MISFITS, load_json
from lora_watch.rules.forecast import first_step_of


@dataclass(frozen=True)
class Reference:
    """The size and settings of one run."""

    model: str
    width: int
    """Hidden size: the most frequent d_in of its adapters."""
    blocks: int
    """Transformer blocks that hold adapters."""
    r: int
    alpha: float | None
    scale: float
    learning_rate: float | None
    """Peak of the schedule."""
    first_step: float | None
    """‖ΔW‖/‖W₀‖ of the first full step, summed over blocks (``forecast.first_step_of``); None where unknown."""

    @property
    def effective_lr(self) -> float | None:
        return None if self.learning_rate is None else self.scale * self.learning_rate


def reference_of(run: RunInfo) -> Reference:
    """The middle of a run's adapters. ``run.adapters`` must not be empty."""
    ranks = [a.r for a in run.adapters]
    typical = min(run.adapters, key=lambda a: abs(a.r - float(np.median(ranks))))
    width = Counter(a.d_in for a in run.adapters).most_common(1)[0][0]
    step = first_step_of(run)
    return Reference(
        model=str(run.config.get("model") or "unknown"),
        width=width,
        blocks=run.blocks,
        r=typical.r,
        alpha=typical.alpha,
        scale=typical.scale,
        learning_rate=max(run.peak_lr, default=None),
        first_step=step if math.isfinite(step) else None,
    )


def load_reference(path: str | Path) -> Reference:
    """The reference that a finished run left: its ``report.json``, or the folder (or output_dir) that holds it.

    Raises ValueError, which names the file, when there is no such report or it cannot be used.
    """
    path = Path(path)
    places = [path, path / "report.json", path / "lora_watch" / "report.json"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise ValueError(f"reference {path}: no report.json of an earlier run is there")
    try:
        report = load_json(file)
        adapters = tuple(_adapter(each) for each in report["adapters"])
        run = RunInfo(
            adapters,
            config=report["config"],
            optimizer=report["optimizer"],
            peak_lr=tuple(float(lr) for lr in report["peak_lr"]),
        )
        return reference_of(run)
    except (OSError, *MISFITS) as error:
        raise ValueError(f"reference {file}: not the report of a run with adapters ({error!r})") from None


def _adapter(plain: Mapping[str, Any]) -> AdapterInfo:
    known = {field.name for field in fields(AdapterInfo)}
    values = {name: value for name, value in plain.items() if name in known}
    for name in ("base_norm", "base_spectral_norm"):
        values[name] = math.nan if values.get(name) is None else float(values[name])
    return AdapterInfo(**values)
