"""One measurement of a whole model, outside training: ``measure(model)``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import nn

from lora_watch.adapters import find_adapters
from lora_watch.norms.bank import AdapterBank
from lora_watch.norms.base import base_norms
from lora_watch.records import BoolArray, FloatArray

_ROWS = 20
_SHOWN = ("scale", "delta_norm", "spectral_norm", "stable_rank", "effective_rank", "relative_norm")


@dataclass(frozen=True, repr=False)
class Measurement:
    """Every norm of every adapter of a model. Arrays are float64 ``[n_adapters]`` in the order of ``names``."""

    names: tuple[str, ...]
    r: tuple[int, ...]
    """Ranks."""
    known: BoolArray
    """False where the factors could not be read; the numbers are NaN there."""
    scale: FloatArray
    """The live factor s of ΔW = s·B·A."""
    product_norm: FloatArray
    """‖B·A‖_F."""
    delta_norm: FloatArray
    """‖ΔW‖_F."""
    spectral_norm: FloatArray
    """σ₁(ΔW)."""
    stable_rank: FloatArray
    """‖ΔW‖_F²/σ₁²; 0 for ΔW = 0."""
    effective_rank: FloatArray
    """exp of the entropy of σ/Σσ; 0 for ΔW = 0."""
    a_norm: FloatArray
    """‖A‖_F."""
    b_norm: FloatArray
    """‖B‖_F."""
    relative_norm: FloatArray
    """‖ΔW‖_F/‖W₀‖_F; NaN where the frozen weight is unknown (quantised, sharded away)."""
    relative_spectral_norm: FloatArray
    """σ₁(ΔW)/σ₁(W₀); NaN where the frozen weight is unknown."""

    def to_dict(self) -> dict[str, Any]:
        """Plain lists by name: ``names``, ``r``, and each metric, where None means unknown and NaN was measured."""
        return {
            "names": list(self.names),
            "r": list(self.r),
            **{
                name: [float(value) if known else None for value, known in zip(getattr(self, name), self.known)]
                for name in self._metrics()
            },
        }

    def _metrics(self) -> list[str]:
        return [field.name for field in fields(self) if field.name not in ("names", "r", "known")]

    def __repr__(self) -> str:
        """A table, largest ``relative_norm`` first (``delta_norm`` where that is unknown), NaN before everything."""
        by = self.delta_norm if np.isnan(self.relative_norm).all() else self.relative_norm
        order = sorted(range(len(self.names)), key=lambda i: (not self.known[i], -np.nan_to_num(by[i], nan=np.inf)))
        shown = order[:_ROWS]
        cells = [["adapter", "r", *_SHOWN]] + [
            [self.names[i], str(self.r[i]), *(self._cell(name, i) for name in _SHOWN)] for i in shown
        ]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))])
            for row in cells
        ]
        title = f"Measurement of {len(self.names)} adapters"
        more = [f"… and {len(order) - len(shown)} more"] if len(order) > len(shown) else []
        return "\n".join([title, *lines, *more])

    def _cell(self, name: str, i: int) -> str:
        return f"{getattr(self, name)[i]:.4g}" if self.known[i] else "unknown"


def measure(model: nn.Module) -> Measurement:
    """Measure every adapter of ``model``, and the weights they adapt. Changes nothing, draws no random number.

    Reads each frozen weight some dozens of times for its σ₁: seconds for a small model, minutes for billions of
    parameters on a CPU. Raises NoAdaptersError when there is no adapter.
    """
    adapters = find_adapters(model)
    bank, base = AdapterBank(adapters), base_norms(adapters)
    metrics = bank.measure()
    return Measurement(
        names=tuple(adapter.name for adapter in adapters),
        r=tuple(adapter.r for adapter in adapters),
        known=bank.known,
        **metrics,
        relative_norm=metrics["delta_norm"] / base.norm,
        relative_spectral_norm=metrics["spectral_norm"] / base.spectral_norm,
    )
