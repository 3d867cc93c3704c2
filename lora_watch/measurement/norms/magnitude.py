"""DoRA's magnitude vectors: how large they are, and how far they have gone from where they began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, DenseAdapter
from lora_watch.base.deferred import Deferred, ready, with_float64
from lora_watch.base.records import Due, FloatArray, Reading, Readings


class Magnitudes:
    """Remembers each adapter's magnitude vector m as it was when first seen (one copy), by the adapter's name.

    A resumed run's drift counts from where it went on.
    """

    def __init__(self) -> None:
        self._adapters: Sequence[Adapter | DenseAdapter] = ()
        self._having: list[tuple[int, Adapter | DenseAdapter]] = []
        """Those that have a magnitude vector, and their places."""
        self._start: dict[str, Tensor] = {}

    @torch.no_grad()
    def watch(self, adapters: Sequence[Adapter | DenseAdapter]) -> None:
        """Measure ``adapters`` from now on, and copy the vectors that are not held yet."""
        self._adapters = adapters
        self._having = [(i, a) for i, a in enumerate(adapters) if a.magnitude_parameter is not None]
        for _, adapter in self._having:
            if adapter.name not in self._start and (m := adapter.magnitude) is not None:
                self._start[adapter.name] = m.detach().clone()

    @torch.no_grad()
    def begin(self, due: Due) -> Deferred[Readings]:
        """``magnitude_norm`` ‖m‖ and ``magnitude_drift`` max|mᵢ − m₀ᵢ|/|m₀ᵢ|, known where there is a magnitude; nothing
        where no adapter has one.

        Outputs whose magnitude began at 0 are passed over: DoRA divides by zero there. NaN in m is NaN here.
        """
        by_device: dict[torch.device, tuple[list[int], list[Tensor]]] = {}
        for i, adapter in self._having if due.full else ():
            if (m := adapter.magnitude) is not None:
                m = with_float64(m).detach().double().flatten()
                start = self._start.get(adapter.name)
                begun = m if start is None or start.numel() != m.numel() else with_float64(start).flatten().to(m)
                change = torch.where(begun != 0, (m - begun) / begun, 0 * m)
                indices, rows = by_device.setdefault(m.device, ([], []))
                indices.append(i)
                rows += [torch.linalg.vector_norm(m), change.abs().max()]
        if not by_device:
            return ready({})
        total = len(self._adapters)

        def finish(values: Sequence[FloatArray]) -> Readings:
            out, known = np.full((2, total), np.nan), np.zeros(total, dtype=bool)
            for (indices, _), numbers in zip(by_device.values(), values):
                out[:, indices], known[indices] = numbers.reshape(-1, 2).T, True
            return {"magnitude_norm": Reading(out[0], known), "magnitude_drift": Reading(out[1], known)}

        return Deferred([torch.stack(rows) for _, rows in by_device.values()], finish)
