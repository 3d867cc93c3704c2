"""One measurement of a whole model, outside training: ``measure(model)``."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import nn

from lora_watch.adapters import find_adapters
from lora_watch.base.records import BoolArray, FloatArray
from lora_watch.base.text import count, short, table
from lora_watch.measurement.norms.bank import AdapterBank
from lora_watch.measurement.norms.base import base_norms

_ROWS = 20
_SHOWN = ("scale", "delta_norm", "spectral_norm", "stable_rank", "effective_rank", "relative_norm")


@dataclass(frozen=True, repr=False)
class Measurement:
    """Every norm of every adapter of a model. Arrays are float64 ``[n_adapters]`` in the order of ``names``."""

    names: tuple[str, ...]
    methods: tuple[str, ...]
    """``lora``, ``dora``, ``adalora`` …"""
    r: tuple[int, ...]
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
    """‖ΔW‖_F/‖W₀‖_F; NaN where the frozen weight is unknown (sharded away, say) or zero."""
    relative_spectral_norm: FloatArray
    """σ₁(ΔW)/σ₁(W₀); NaN where the frozen weight is unknown or zero."""

    def to_dict(self) -> dict[str, Any]:
        """Plain lists by name: ``names``, ``methods``, ``r``, and each metric, where None means unknown and NaN was
        measured."""
        facts = {"names": list(self.names), "methods": list(self.methods), "r": list(self.r)}
        metrics = [field.name for field in fields(self) if field.name not in (*facts, "known")]
        return facts | {name: [self._value(name, i) for i in range(len(self.names))] for name in metrics}

    def _value(self, name: str, i: int) -> float | None:
        value = float(getattr(self, name)[i])
        no_base = name.startswith("relative") and np.isnan(value) and np.isfinite(self.delta_norm[i])
        return value if self.known[i] and not no_base else None

    def __repr__(self) -> str:
        """A table, largest ``relative_norm`` first (``delta_norm`` where that is unknown), NaN before everything."""
        by = self.delta_norm if np.isnan(self.relative_norm).all() else self.relative_norm
        order = sorted(range(len(self.names)), key=lambda i: (not self.known[i], -np.nan_to_num(by[i], nan=np.inf)))
        labels = [name if method == "lora" else f"{name} ({method})" for name, method in zip(self.names, self.methods)]
        rows = [[labels[i], str(self.r[i]), *(short(self._value(name, i)) for name in _SHOWN)] for i in order[:_ROWS]]
        more = [f"… and {len(order) - _ROWS} more"] if len(order) > _ROWS else []
        return "\n".join(
            [f"Measurement of {count(len(self.names), 'adapter')}", *table(("adapter", "r", *_SHOWN), rows), *more]
        )


def measure(model: nn.Module) -> Measurement:
    """Measure every LoRA adapter of ``model``, and the weights they adapt. Changes nothing, draws no random number.

    Reads each frozen weight some dozens of times for its σ₁: seconds for a small model, minutes for billions of
    parameters on a CPU. Raises NoAdaptersError when there is no LoRA adapter.
    """
    adapters = find_adapters(model)
    bank = AdapterBank(adapters, base=base_norms(adapters))
    values = bank.measure()
    return Measurement(
        names=tuple(adapter.name for adapter in adapters),
        methods=tuple(adapter.variant for adapter in adapters),
        r=tuple(adapter.r for adapter in adapters),
        known=bank.known,
        **values,
    )
