"""Norms of changes that are whole matrices: those of PEFT's tuners that are not products of two factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lora_watch.adapters import DenseAdapter
from lora_watch.base.deferred import Deferred, ready, with_float64
from lora_watch.base.records import BoolArray, Due, Reading, Readings
from lora_watch.measurement.norms.base import matrix_norms

SPECTRUM_UP_TO = 512
"""Smaller side of a change up to which all its singular values are computed: below a second on one core."""


class DenseBank:
    """Measures a fixed list of adapters by making ΔW of one layer after the other, as PEFT does for merging.

    For each that is the work of a merge and some dozens of products of ΔW with a vector: much more than an
    ``AdapterBank`` takes, and hence only where that would measure the spectrum. Memory: one ΔW at a time. Waits for
    accelerators.
    """

    spectrum = None

    def __init__(self, adapters: Sequence[DenseAdapter]):
        self._adapters = list(adapters)
        self.known: BoolArray = np.ones(len(self._adapters), dtype=bool)
        """``[n_adapters]``, of the latest measurement: False where ΔW could not be had."""

    def begin(self, due: Due) -> Deferred[Readings]:
        """``delta_norm``, ``spectral_norm`` and ``stable_rank``: all in a full measurement, nothing else. NaN where ΔW
        holds a NaN or an infinity, or is not known."""
        if not due.full:
            return ready({})
        rows = [dense_norms(adapter) for adapter in self._adapters]
        self.known = known = np.array([bool(row) for row in rows], dtype=bool)
        names = ("delta_norm", "spectral_norm", "stable_rank")
        columns = {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in names}
        return ready({name: Reading(values, known) for name, values in columns.items()})


@torch.no_grad()
def dense_norms(adapter: DenseAdapter, effective_rank: bool = False) -> dict[str, float]:
    """``delta_norm``, ``spectral_norm`` and ``stable_rank`` of an adapter; nothing where its change cannot be had. Also
    ``effective_rank`` if asked for, where the smaller side of ΔW is at most ``SPECTRUM_UP_TO``."""
    blocks = adapter.delta_matrices()
    if not blocks:
        return {}
    norms = np.array([matrix_norms(block) for block in blocks])
    norm, top = float(np.linalg.norm(norms[:, 0])), float(norms[:, 1].max())
    out = {"delta_norm": norm, "spectral_norm": top, "stable_rank": (norm / top) ** 2 if top else 0.0}
    if effective_rank and np.isfinite(norm) and max(min(block.shape) for block in blocks) <= SPECTRUM_UP_TO:
        sigma = torch.cat([torch.linalg.svdvals(with_float64(block).double()) for block in blocks])
        out["effective_rank"] = float(torch.special.entr(sigma / sigma.sum()).sum().exp()) if top else 0.0
    return out
