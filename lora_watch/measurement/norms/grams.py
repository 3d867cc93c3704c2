"""A·Aᵀ and Bᵀ·B of many blocks in float64: the only place that reads whole factors.

float64 because squares must neither overflow (float32 does at 1e20) nor lose the small singular values. Products in
float32, 4,096 columns at a time and added up in float64, would save a third of the time of the norms, and on random
numbers be good to 5e-7; on rows of equal numbers, where rounding goes one way, they are off by 1.4e-6, more than is
promised, and nothing would tell (``benchmarks/measure_vs_naive.py``). Two ways with one result: one matrix at a time,
in pieces that stay in the cache (large factors on a CPU), and many at a time through a staging buffer (an accelerator,
or factors so small that calls are what costs). Neither forms a product B·A.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Factors
from lora_watch.base.deferred import is_far, on_host
from lora_watch.base.records import FloatArray

HOST_PIECE = 2 << 20
"""Bytes in float64 of the pieces in which the host converts a factor: one at a time, of memory that the next reuses."""

DEVICE_STAGING = 64 << 20
"""Bytes of the staging buffer on each accelerator; more only if a single factor is larger in float64."""

Solvable = tuple[FloatArray, FloatArray, FloatArray | None]
"""A·Aᵀ and Bᵀ·B, ``[n, r, r]``, and the diagonals between them, ``[n, r]``, ones where there is none; or None."""

_Stack = tuple[list[int], Tensor]
"""Which factors of one shape lie in a place of the staging buffer, ``[n, rows, columns]``."""

_SIZE = 8  # bytes of a float64

_foreach_copy: Callable[[list[Tensor], list[Tensor]], object] = torch._foreach_copy_  # pyright: ignore[reportPrivateImportUsage]


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
    is taken in float64, element by element. On an accelerator x is formed there whole."""
    if is_far(now.device):
        return _difference_gram_there(now, then)
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


def _difference_gram_there(now: Tensor, then: Tensor) -> FloatArray:
    y = then.detach().double()
    x = torch.cat((now.detach().double() - y, y))
    return (x @ x.T).cpu().numpy()


class StagedGrams:
    """Grams of a fixed set of shapes on one device by few operations and one copy to the host.

    Factors of one shape lie side by side in a float64 staging buffer: one ``_foreach_copy_`` fills it and one ``bmm`` a
    shape empties it: 1 + shapes operations, independent of the number of adapters. Where the buffer is too small for
    all, this is done in rounds: at most 2·rounds + shapes. In float64 there is no TF32 that could be on.

    ``_foreach_copy_`` is one launch on CUDA where torch has a fused kernel for two dtypes.
    """

    def __init__(self, blocks: Sequence[Factors], diagonals: Sequence[Tensor | None], limit: int = DEVICE_STAGING):
        self._signature = _signature(blocks, diagonals)
        device = blocks[0].a.device
        factors = _factors(blocks)
        rounds = list(_rounds(factors, max(limit // _SIZE, max(factor.numel() for factor in factors))))
        length = max(sum(factors[i].numel() for i in members) for members in rounds)
        staging = torch.empty(length, dtype=torch.float64, device=device)
        self._ranks = [block.a.shape[0] for block in blocks]
        sizes = {r: 2 * count * r * r for r, count in Counter(self._ranks).items()}
        lengths = [0 if diagonal is None else r for r, diagonal in zip(self._ranks, diagonals)]
        ends = list(accumulate([*sizes.values(), *lengths]))
        self._results = torch.empty(ends[-1], dtype=torch.float64, device=device)
        self._regions = {r: slice(end - size, end) for (r, size), end in zip(sizes.items(), ends)}
        """Of each rank, the part of the results that holds its Grams."""
        places = zip(lengths, ends[len(sizes) :])
        self._places = [slice(end - length, end) if length else None for length, end in places]
        """Of each block, the part that holds its diagonal."""
        self._diagonals = [self._results[place] for place in self._places if place is not None]
        rows = dict.fromkeys(sizes, 0)
        self._rows = [0] * len(factors)  # of each factor's Gram among those of its rank
        self._rounds: list[tuple[list[_Stack], list[tuple[Tensor, Tensor, Tensor]]]] = []
        self._computed = 0
        rooms: dict[int, Tensor] = {}
        for members in rounds:
            stacks, products, used = [], [], 0
            for (is_b, shape), run in groupby(members, lambda i: (i % 2, factors[i].shape)):
                same, r = list(run), shape[1] if is_b else shape[0]
                stack = staging[used : used + len(same) * shape.numel()].view(len(same), *shape)
                place = self._regions[r].start + rows[r] * r * r
                result = self._results[place : place + len(same) * r * r].view(len(same), r, r)
                stacks.append((same, stack))
                products.append((stack.mT, stack, result) if is_b else (stack, stack.mT, result))
                for i, room in zip(same, stack):
                    rooms[i] = room
                    self._rows[i] = rows[r]
                    rows[r] += 1
                used += stack.numel()
            self._rounds.append((stacks, products))
        staged = [Factors(rooms[i], rooms[i + 1]) for i in range(0, len(factors), 2)]
        self._staged = staged if len(rounds) == 1 else None

    def is_for(self, blocks: Sequence[Factors], diagonals: Sequence[Tensor | None]) -> bool:
        """They have the shapes and dtypes that it was made for."""
        return self._signature == _signature(blocks, diagonals)

    def of(self, blocks: Sequence[Factors], diagonals: Sequence[Tensor | None]) -> Callable[[], Tensor]:
        """What computes all Grams of these as they are when it is called: float64, on the device, for ``reader``s
        once they are on the host. The next call of any such function overwrites them."""
        factors = _factors(blocks)
        fill = _fill_at_once if is_far(self._results.device) else _fill_each
        rounds = [(fill(stacks, factors), products) for stacks, products in self._rounds]
        present = [diagonal.detach() for diagonal in diagonals if diagonal is not None]

        def compute() -> Tensor:
            self._computed += 1
            for filled, products in rounds:
                filled()
                for left, right, result in products:
                    torch.bmm(left, right, out=result)
            if present:
                _foreach_copy(self._diagonals, present)
            return self._results

        return compute

    def latest(self) -> Callable[[], list[Factors] | None]:
        """What gives the factors as the latest call has read them, in float64 on the device: None where they did not
        fit into the staging buffer together, or another call has been since."""
        call = self._computed
        return lambda: self._staged if self._computed == call else None

    def reader(self, members: Sequence[int]) -> Callable[[FloatArray], Solvable]:
        """What finds the results of some of the blocks, which are of one rank, in all results, on the host."""
        r = self._ranks[members[0]]
        region = self._regions[r]
        rows_a, rows_b = (np.array([self._rows[2 * i + is_b] for i in members]) for is_b in (0, 1))
        places = [self._places[i] for i in members]
        there = any(place is not None for place in places)

        def read(host: FloatArray) -> Solvable:
            grams = host[region].reshape(-1, r, r)
            diagonals = [np.ones(r) if place is None else host[place] for place in places] if there else []
            return grams[rows_a], grams[rows_b], np.stack(diagonals) if there else None

        return read


def _fill_at_once(stacks: Sequence[_Stack], factors: Sequence[Tensor]) -> Callable[[], object]:
    """What copies the factors to their places by one operation."""
    targets = [target for _, room in stacks for target in room.unbind()]
    sources = [factors[i] for members, _ in stacks for i in members]
    return lambda: _foreach_copy(targets, sources)


def _fill_each(stacks: Sequence[_Stack], factors: Sequence[Tensor]) -> Callable[[], object]:
    """The same by two operations a shape. On a CPU ``_foreach_copy_`` is one after the other, ten times as slow."""
    pairs = [(room.flatten(0, 1), [factors[i] for i in members]) for members, room in stacks]

    def fill() -> None:
        for room, sources in pairs:
            room.copy_(torch.cat(sources))

    return fill


def _signature(blocks: Sequence[Factors], diagonals: Sequence[Tensor | None]) -> tuple[object, ...]:
    return tuple((b.a.shape, b.b.shape, b.a.dtype, b.b.dtype, m is not None) for b, m in zip(blocks, diagonals))


def _factors(blocks: Sequence[Factors]) -> list[Tensor]:
    """A₀, B₀, A₁, B₁ …, detached."""
    return [factor.detach() for block in blocks for factor in block]


def _rounds(factors: Sequence[Tensor], limit: int) -> Iterator[list[int]]:
    """Indices of factors, one dtype and at most ``limit`` numbers a round, equal shapes side by side."""
    order = sorted(range(len(factors)), key=lambda i: (str(factors[i].dtype), i % 2, factors[i].shape))
    for _, same in groupby(order, lambda i: factors[i].dtype):
        members: list[int] = []
        used = 0
        for i in same:
            if used + factors[i].numel() > limit:
                yield members
                members, used = [], 0
            members.append(i)
            used += factors[i].numel()
        yield members
