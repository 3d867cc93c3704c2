"""A·Aᵀ and Bᵀ·B of many blocks in float64: the only place that reads whole factors.

float64 because squares must neither overflow (float32 does at 1e20) nor lose the small singular values. Products in
float32, 4,096 columns at a time and added up in float64, would save a third of the time of the norms, and on random
numbers be good to 5e-7; on rows of equal numbers, where rounding goes one way, they are off by 1.4e-6, more than is
promised, and nothing would tell (``benchmarks/measure_vs_naive.py``). Two ways with one result: one matrix at a time,
in pieces that stay in the cache (large factors on a CPU), and those of one shape at a time (an accelerator, or factors
so small that calls are what costs). Neither forms a product B·A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Factors
from lora_watch.base.deferred import is_far, on_host
from lora_watch.base.records import FloatArray

HOST_PIECE = 2 << 20
"""Bytes in float64 of what the host converts at a time, of memory that the next reuses."""

DEVICE_PIECE = 64 << 20
"""Bytes in float64 of what an accelerator converts at a time; more only if a single factor is larger."""

_SIZE = 8  # bytes of a float64


def host_grams(blocks: Sequence[Factors]) -> tuple[FloatArray, FloatArray]:
    """A·Aᵀ and Bᵀ·B, each float64 ``[n, r, r]`` on the host, of n blocks of one rank r."""
    r = blocks[0].a.shape[0]
    grams = np.zeros((2, len(blocks), r, r))
    for i, (a, b) in enumerate(blocks):
        _gram(a.detach(), grams[0, i])
        _gram(b.detach().T, grams[1, i])
    return grams[0], grams[1]


def _gram(x: Tensor, out: FloatArray) -> None:
    """``out += x·xᵀ`` for x ``[r, d]`` of any dtype and layout; ``out`` is zero."""
    r, d = x.shape
    step = max(HOST_PIECE // (_SIZE * max(r, 1)), 1)
    # numpy sees that this is symmetric and has BLAS compute one half (syrk): twice as fast as torch.mm.
    if d <= step:
        y = on_host(x).numpy()
        np.dot(y, y.T, out=out)
        return
    for start in range(0, d, step):
        y = on_host(x[:, start : start + step]).numpy()
        out += np.dot(y, y.T)


def difference_gram(now: Tensor, then: Tensor) -> FloatArray:
    """x·xᵀ, float64 ``[2r, 2r]``, of x = [now − then; then] for two ``[r, d]`` of any dtype and layout. The difference
    is taken in float64 on the host, element by element."""
    r, d = now.shape
    out = np.zeros((2 * r, 2 * r))
    step = max(HOST_PIECE // (_SIZE * max(2 * r, 1)), 1)
    for start in range(0, d, step):
        new, old = (on_host(x[:, start : start + step]).numpy() for x in (now, then))
        new = new - old
        out[:r, :r] += np.dot(new, new.T)
        out[r:, r:] += np.dot(old, old.T)
        out[:r, r:] += np.dot(new, old.T)
    out[r:, :r] = out[:r, r:].T
    return out


class StackedGrams:
    """Grams of some blocks on one device: three operations for all factors of one shape and dtype. Nothing waits, and
    in float64 there is no TF32 that could be on."""

    def __init__(self, blocks: Sequence[Factors]):
        self._factors = [factor.detach() for block in blocks for factor in block]  # A₀, B₀, A₁, B₁ …
        self._limit = (DEVICE_PIECE if is_far(self._factors[0].device) else HOST_PIECE) // _SIZE
        self._stacks: list[list[int]] = []
        """Which factors are computed together."""
        self._of_rank: dict[int, list[int]] = {}
        """The stacks of each rank."""
        self._place: dict[int, tuple[int, int]] = {}
        """Of each factor its stack, and its row there."""
        self._row: dict[int, int] = {}
        """Its row among all of its rank."""
        rows = dict[int, int]()

        def alike(i: int) -> tuple[object, ...]:
            return str(self._factors[i].dtype), i % 2, self._factors[i].shape

        for _, run in groupby(sorted(range(len(self._factors)), key=alike), alike):
            same = list(run)
            shape = self._factors[same[0]].shape
            r, most = shape[same[0] % 2], max(self._limit // max(shape.numel(), 1), 1)
            for start in range(0, len(same), most):
                stack = same[start : start + most]
                self._place |= {i: (len(self._stacks), row) for row, i in enumerate(stack)}
                self._row |= {i: rows.get(r, 0) + row for row, i in enumerate(stack)}
                rows[r] = rows.get(r, 0) + len(stack)
                self._of_rank.setdefault(r, []).append(len(self._stacks))
                self._stacks.append(stack)

    def compute(self) -> tuple[list[Tensor], Callable[[int], Factors] | None]:
        """The Grams of each stack as they are now, for ``of``; and what gives the block that they are of by its place,
        in float64, for who reads them when the factors have changed: None where all take more than is to be kept."""
        stacks = [] if sum(factor.numel() for factor in self._factors) <= self._limit else None
        grams = []
        for same in self._stacks:
            x = torch.stack([self._factors[i] for i in same]).double()
            turned = x.mT if same[0] % 2 else x  # [n, r, d]
            grams.append(turned @ turned.mT)
            if stacks is not None:
                stacks.append(x)

        def block(i: int) -> Factors:
            assert stacks is not None
            (a, row_a), (b, row_b) = self._place[2 * i], self._place[2 * i + 1]
            return Factors(stacks[a][row_a], stacks[b][row_b])

        return grams, None if stacks is None else block

    def of(self, members: Sequence[int], r: int, values: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """A·Aᵀ and Bᵀ·B, ``[n, r, r]`` each, of the blocks ``members``, all of rank r. ``values``: ``compute``'s Grams,
        flat, on the host."""
        grams = np.concatenate([values[stack] for stack in self._of_rank[r]]).reshape(-1, r, r)
        a, b = ([self._row[2 * i + is_b] for i in members] for is_b in (0, 1))
        return grams[a], grams[b]
