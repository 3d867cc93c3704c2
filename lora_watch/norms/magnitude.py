"""DoRA's magnitude vectors: how large they are, and how far they have gone from where they began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, DenseAdapter
from lora_watch.deferred import Deferred
from lora_watch.records import BoolArray, FloatArray


class Magnitudes:
    """Remembers each adapter's magnitude vector m as it was when first seen (one copy), by the adapter's name.

    A resumed run's drift counts from where it went on.
    """

    def __init__(self) -> None:
        self._start: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, adapters: Sequence[Adapter | DenseAdapter]) -> None:
        """Copy the vectors that are not held yet. Adapters without one are passed over."""
        for adapter in adapters:
            if adapter.name not in self._start and (m := adapter.magnitude) is not None:
                self._start[adapter.name] = m.detach().clone()

    @torch.no_grad()
    def measure(self, adapters: Sequence[Adapter | DenseAdapter]) -> Deferred[tuple[dict[str, FloatArray], BoolArray]]:
        """``magnitude_norm`` ‖m‖ and ``magnitude_drift`` max|mᵢ − m₀ᵢ|/|m₀ᵢ|, float64 ``[n_adapters]`` by name, and
        which adapters have a magnitude; no names where none has.

        Outputs whose magnitude began at 0 are passed over: DoRA divides by zero there. NaN in m is NaN here.
        """
        by_device: dict[torch.device, tuple[list[int], list[Tensor]]] = {}
        for i, adapter in enumerate(adapters):
            if (m := adapter.magnitude) is not None:
                m = (m.cpu() if m.device.type == "mps" else m).detach().double().flatten()
                start = self._start.get(adapter.name)
                begun = m if start is None or start.numel() != m.numel() else start.flatten().to(m)
                change = torch.where(begun != 0, (m - begun) / begun, 0 * m)
                indices, rows = by_device.setdefault(m.device, ([], []))
                indices.append(i)
                rows += [torch.linalg.vector_norm(m), change.abs().max()]

        def finish(values: Sequence[FloatArray]) -> tuple[dict[str, FloatArray], BoolArray]:
            out = np.full((2, len(adapters)), np.nan)
            known = np.zeros(len(adapters), dtype=bool)
            for (indices, _), numbers in zip(by_device.values(), values):
                out[:, indices], known[indices] = numbers.reshape(-1, 2).T, True
            return dict(zip(("magnitude_norm", "magnitude_drift"), out)) if by_device else {}, known

        return Deferred([torch.stack(rows) for _, rows in by_device.values()], finish)
