"""Blocks that are solved together: what can be said of them before their numbers are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lora_watch.adapters.adapter import Factors
from lora_watch.base.deferred import on_host
from lora_watch.base.records import FloatArray
from lora_watch.measurement.norms.spectrum import TOP, solve, solve_precisely

_BATCH = 1 << 15
"""Numbers in one stack of r × r matrices on the host (256 KiB): what is solved at a time."""


class Entry(NamedTuple):
    adapter: int
    """Which adapter it is of."""
    block: Factors
    diagonal: Tensor | None


class Totals(NamedTuple):
    sums: FloatArray
    """``[n_adapters, 6]``: see ``spectrum.A2`` and what follows it."""
    sigmas: list[tuple[NDArray[np.intp], FloatArray]]
    """Blocks of one rank, those of an adapter side by side: of which adapters they are, ``[n]``, and their singular
    values, the largest first, ``[n, r]``."""


class Portion:
    """Some blocks of one rank, in the order of their adapters, and which of the sums they go to."""

    def __init__(self, entries: Sequence[Entry]):
        self.blocks = [entry.block for entry in entries]
        self._diagonals = [entry.diagonal for entry in entries]
        self._limits = np.array([min(block.b.shape[0], block.a.shape[1]) for block in self.blocks])
        self._places = np.array([entry.adapter for entry in entries])
        self._first = np.flatnonzero(np.diff(self._places, prepend=-1))  # of each adapter: its blocks lie side by side
        self._whose = self._places[self._first]

    def diagonals(self) -> FloatArray | None:
        """``[n, r]``: what lies between B and A now, ones where there is nothing; None where that is so everywhere."""
        if all(diagonal is None for diagonal in self._diagonals):
            return None
        ones = torch.ones(self.blocks[0].a.shape[0], dtype=torch.float64)
        there = [ones if diagonal is None else on_host(diagonal) for diagonal in self._diagonals]
        return torch.stack(there).numpy()

    def add_to(
        self,
        totals: Totals,
        gram_a: FloatArray,
        gram_b: FloatArray,
        diagonals: FloatArray | None,
        spectrum: bool,
        blocks: Sequence[Factors] | None = None,
    ) -> int:
        """Add what the Grams tell to ``totals``; how many blocks had to be redone from their factors for that.

        ``gram_a``, ``gram_b``: A·Aᵀ and Bᵀ·B, ``[n, r, r]``; ``diagonals``: ``[n, r]``, ones for none; or None.
        ``blocks``: the factors that the Grams are of, where they may have changed since.
        """
        rows, sigmas, doubtful = solve(gram_a, gram_b, diagonals, self._limits, spectrum)
        redo = np.flatnonzero(doubtful).tolist()
        for i in redo:
            block = self.blocks[i] if blocks is None else blocks[i]
            rows[i], sigma = solve_precisely(block, None if diagonals is None else diagonals[i], rows[i])
            if spectrum:
                sigmas[i] = 0.0
                sigmas[i, : len(sigma)] = sigma
        sums, whose = totals.sums, self._whose
        tops = np.maximum(sums[whose, TOP], np.maximum.reduceat(rows[:, TOP], self._first))
        sums[whose] += np.add.reduceat(rows, self._first)
        sums[whose, TOP] = tops
        if spectrum:
            totals.sigmas.append((self._places, sigmas))
        return len(redo)


def batch(r: int) -> int:
    """Blocks of rank r that are solved at a time."""
    return max(_BATCH // max(r * r, 1), 1)


def portions(entries: Sequence[Entry]) -> list[tuple[list[int], Portion]]:
    """All of them, and of each portion which of ``entries`` it has."""
    by_rank: dict[int, list[int]] = {}
    for i, entry in enumerate(entries):
        by_rank.setdefault(entry.block.a.shape[0], []).append(i)
    parts = [members[i : i + batch(r)] for r, members in by_rank.items() for i in range(0, len(members), batch(r))]
    return [(part, Portion([entries[i] for i in part])) for part in parts]
