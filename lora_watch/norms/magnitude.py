"""DoRA's magnitude vectors: how large they are, and how far they have gone from where they began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Adapter
from lora_watch.records import BoolArray, FloatArray


class Magnitudes:
    """Remembers each adapter's magnitude vector m as it was when first seen (one float32 copy), by the adapter's name.

    A resumed run's drift counts from where it went on.
    """

    def __init__(self) -> None:
        self._start: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, adapters: Sequence[Adapter]) -> None:
        """Copy the vectors that are not held yet. Adapters without one are passed over."""
        for adapter in adapters:
            if adapter.name not in self._start and (m := adapter.magnitude) is not None:
                self._start[adapter.name] = m.detach().to(torch.float32, copy=True)

    @torch.no_grad()
    def measure(self, adapters: Sequence[Adapter]) -> tuple[dict[str, FloatArray], BoolArray]:
        """``magnitude_norm`` ‖m‖ and ``magnitude_drift`` max|mᵢ − m₀ᵢ|/|m₀ᵢ|, float64 ``[n_adapters]`` by name, and
        which adapters have a magnitude; both empty of names where none has.

        Outputs whose magnitude began at 0 are passed over: DoRA divides by zero there. NaN in m is NaN here.
        """
        rows: dict[int, Tensor] = {}
        for i, adapter in enumerate(adapters):
            if (m := adapter.magnitude) is not None:
                m = m.detach().double().flatten() if m.device.type != "mps" else m.detach().cpu().double().flatten()
                start = self._start.get(adapter.name)
                begun = m if start is None or start.numel() != m.numel() else start.flatten().to(m)
                change = torch.where(begun != 0, (m - begun) / begun, 0 * m)
                rows[i] = torch.stack((torch.linalg.vector_norm(m), change.abs().max()))
        known = np.zeros(len(adapters), dtype=bool)
        if not rows:
            return {}, known
        known[list(rows)] = True
        values = np.full((2, len(adapters)), np.nan)
        values[:, known] = torch.stack([row.cpu() for row in rows.values()]).numpy().T
        return {"magnitude_norm": values[0], "magnitude_drift": values[1]}, known
