"""Every norm and the whole spectrum of every adapter, at a cost near that of reading the adapters once: A·Aᵀ and Bᵀ·B
are taken of all factors of one shape and dtype at a time, and no product B·A is ever formed.

In float64, because squares must neither overflow (float32 does at 1e20) nor lose the small singular values.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Factors
from lora_watch.adapters.live import Live, Resolved
from lora_watch.base.deferred import Deferred, has_float64, is_far, ready, with_float64
from lora_watch.base.records import BoolArray, Due, FloatArray, Reading, Readings
from lora_watch.measurement.norms.base import BaseNorms
from lora_watch.measurement.norms.spectrum import A2, B2, F2, SUM, SUM_LOG, TOP, solve, solve_precisely

HOST_PIECE, DEVICE_PIECE = 1 << 18, 1 << 23
"""Numbers that are converted to float64 at a time, on a CPU (what its caches hold) and on an accelerator."""

_BATCH = 1 << 15
"""Numbers in one stack of r × r matrices on the host (256 KiB): what is solved at a time."""


class _Entry(NamedTuple):
    adapter: int
    block: Factors
    diagonal: Tensor | None


class _Group:
    """Blocks of one rank on one device, in the order of their adapters."""

    def __init__(self, entries: Sequence[_Entry]):
        adapters = np.array([entry.adapter for entry in entries])
        self.first = np.flatnonzero(np.diff(adapters, prepend=-1))
        """Where the blocks of each adapter begin, side by side as they are."""
        self.adapters = adapters[self.first]
        self._blocks = [entry.block for entry in entries]
        self._diagonals = [entry.diagonal for entry in entries]
        self._turns = any(diagonal is not None for diagonal in self._diagonals)
        self._limits = np.array([min(block.b.shape[0], block.a.shape[1]) for block in self._blocks])
        self._r, self._device = self._blocks[0].a.shape[0], self._blocks[0].a.device
        self._fetches = not has_float64(self._device)
        most = DEVICE_PIECE if is_far(self._device) else HOST_PIECE
        self._stacks = [stack for side in (0, 1) for stack in self._stacks_of(side, most)]
        """Which factors are read together: 0 for A or 1 for B, and the places of their blocks."""
        numbers = sum(factor.numel() for block in self._blocks for factor in block)
        self._keeps = is_far(self._device) and numbers <= most

    def _stacks_of(self, side: int, most: int) -> list[tuple[int, list[int]]]:
        factors = [block[side] for block in self._blocks]

        def alike(i: int) -> tuple[object, ...]:
            return str(factors[i].dtype), factors[i].shape

        stacks = []
        for _, members in groupby(sorted(range(len(factors)), key=alike), alike):
            same = list(members)
            step = max(most // max(factors[same[0]].numel(), 1), 1)
            stacks += [(side, same[start : start + step]) for start in range(0, len(same), step)]
        return stacks

    def begin(self, spectrum: bool) -> Deferred[FloatArray]:
        """Measure the n blocks as they are now: ``[n, 6]``, see ``spectrum.A2`` and what follows it. Nothing waits."""
        grams, kept = list[Any](), []
        for side, members in self._stacks:
            x = torch.stack([self._blocks[i][side] for i in members])
            x = (x.cpu() if self._fetches else x).double()
            kept.append(x if self._keeps else None)
            numbers = x if is_far(x.device) else x.numpy()  # whose product takes half as long: it sees the symmetry
            turned = numbers.swapaxes(1, 2) if side else numbers  # [n, r, d]
            grams.append(turned @ turned.swapaxes(1, 2))
        diagonals = self._between() if self._turns else None

        def block(i: int) -> Factors:
            """What the Grams are of, for the factors have changed since; where that is not kept, the factors."""
            if not self._keeps:
                return self._blocks[i]
            there = [x[members.index(i)] for (_, members), x in zip(self._stacks, kept) if i in members]
            return Factors(*there)

        def finish(values: Sequence[FloatArray]) -> FloatArray:
            both = np.empty((2, len(self._blocks), self._r, self._r))
            sent = iter(values)
            for (side, members), gram in zip(self._stacks, grams):
                numbers = next(sent) if isinstance(gram, Tensor) else gram
                both[side, members] = numbers.reshape(-1, self._r, self._r)
            between = None if diagonals is None else next(sent).reshape(-1, self._r)
            return self._solved(both, between, spectrum, block)

        return Deferred([each for each in (*grams, diagonals) if isinstance(each, Tensor)], finish)

    def _between(self) -> Tensor:
        """``[n, r]`` in float64, on the device: what lies between B and A now, ones where there is nothing."""
        there = [None if diagonal is None else with_float64(diagonal).double() for diagonal in self._diagonals]
        like = next(diagonal for diagonal in there if diagonal is not None)
        return torch.stack([torch.ones_like(like) if diagonal is None else diagonal for diagonal in there])

    def _solved(
        self, grams: FloatArray, diagonals: FloatArray | None, spectrum: bool, block: Callable[[int], Factors]
    ) -> FloatArray:
        """``grams``: A·Aᵀ and Bᵀ·B, ``[2, n, r, r]``; ``diagonals``: ``[n, r]``, or None."""
        step = max(_BATCH // max(self._r**2, 1), 1)
        parts = []
        for start in range(0, len(self._blocks), step):
            part = slice(start, start + step)
            between = None if diagonals is None else diagonals[part]
            parts.append(solve(grams[0, part], grams[1, part], between, self._limits[part], spectrum))
        rows, doubtful = map(np.concatenate, zip(*parts))
        for i in np.flatnonzero(doubtful).tolist():
            rows[i] = solve_precisely(block(i), None if diagonals is None else diagonals[i], rows[i])
        return rows


class AdapterBank:
    """Measures a fixed list of adapters, whose factors are read anew at each call.

    Exact: every number is within 1e-6 of the truth for the stored values, relative, for float16, bfloat16 and float32
    factors of any magnitude and float64 ones between 1e±70; blocks whose Grams cannot tell so are redone from the
    factors. ‖B·A‖ must not be below 1e-8·‖A‖‖B‖: less is rounding in float64 itself.

    Memory: ``HOST_PIECE`` or ``DEVICE_PIECE`` numbers in float64, and the Grams.
    """

    def __init__(self, adapters: Sequence[Any], live: Live | None = None, base: BaseNorms | None = None):
        """``adapters``: with a ``scale``, a ``diagonal`` and ``factors()``, as ``Adapter`` has them. ``live``: of the
        same ones, kept up to date by the caller. ``base``: the norms of the weights under them, where these are known.
        """
        self._adapters, self._live, self._base = list(adapters), live, base
        self._groups: tuple[Resolved, list[_Group]] | None = None
        """All blocks, and what they have been made of, if they can be used again."""
        self.known: BoolArray = np.zeros(len(self._adapters), dtype=bool)
        """``[n_adapters]``, of the latest measurement: False where the factors were not readable."""

    @torch.no_grad()
    def measure(self, spectrum: bool = True) -> dict[str, FloatArray]:
        """Waits for accelerators."""
        with np.errstate(all="ignore"):  # NaN and infinities are results here
            readings = self.begin(Due(0, full=spectrum)).now()
        return {name: reading.values for name, reading in readings.items()}

    def begin(self, due: Due) -> Deferred[Readings]:
        """Start a measurement; at most one at a time.

        ``scale``, ``product_norm``, ``delta_norm``, ``a_norm``, ``b_norm``; in a full one also ``spectral_norm``,
        ``stable_rank``, ``effective_rank`` (entropy: Roy & Vetterli 2007), all of ΔW = s·B·diag(diagonal)·A, with |s|
        for s. With ``base`` also ``relative_norm`` and ``relative_spectral_norm``. Where a factor holds a NaN or an
        infinity all but ``scale`` are NaN; where it is not readable they are unknown. Zero ΔW has zero ranks.

        Blocks that have to be redone are read from what the Grams are of, or, where that was too much to keep, from the
        adapters: on an accelerator, a step later, they are those of that step.
        """
        if not due.norms:
            return ready({})
        now = self._live.now if self._live is not None else Resolved(self._adapters, known=False)
        groups = self._groups_of(now)
        begun = [group.begin(due.full) for group in groups]
        known, scale = self.known, now.scale

        def finish(values: Sequence[FloatArray]) -> Readings:
            rest = iter(values)
            solved = [part.finish(list(islice(rest, len(part.tensors)))) for part in begun]
            sums = _sums(known, zip(groups, solved))
            metrics = _metrics(scale, sums, due.full)
            readings = {name: Reading(values, known) for name, values in metrics.items()}
            return {**readings, **(self._base.relative(readings) if self._base is not None else {})}

        return Deferred([tensor for part in begun for tensor in part.tensors], finish)

    def _groups_of(self, now: Resolved) -> list[_Group]:
        """By rank and device; ``known`` is then of these adapters."""
        if self._groups is not None and self._groups[0] is now:
            return self._groups[1]
        self.known = np.zeros(len(self._adapters), dtype=bool)
        entries: dict[tuple[torch.device, int], list[_Entry]] = {}
        for index, (blocks, diagonal) in enumerate(now.read()):
            self.known[index] = bool(blocks)
            for block in blocks:
                entries.setdefault((block.a.device, len(block.a)), []).append(_Entry(index, block, diagonal))
        groups = list(map(_Group, entries.values()))
        self._groups = None if now.kept is None else (now, groups)  # else copies that nothing else holds
        return groups


def _sums(known: BoolArray, found: Iterable[tuple[_Group, FloatArray]]) -> FloatArray:
    """``[n_adapters, 6]``: the rows of all blocks of each adapter together."""
    sums = np.zeros((len(known), 6))
    for group, rows in found:
        whose = group.adapters
        tops = np.maximum(sums[whose, TOP], np.maximum.reduceat(rows[:, TOP], group.first))
        sums[whose] += np.add.reduceat(rows, group.first)
        sums[whose, TOP] = tops
    sums[~known] = np.nan
    return sums


def _metrics(scale: FloatArray, totals: FloatArray, spectrum: bool) -> dict[str, FloatArray]:
    s = np.abs(scale)
    product = np.sqrt(totals[:, F2])
    out = {
        "scale": scale,
        "product_norm": product,
        "delta_norm": s * product,
        "a_norm": np.sqrt(totals[:, A2]),
        "b_norm": np.sqrt(totals[:, B2]),
    }
    if spectrum:
        top, total = totals[:, TOP], totals[:, SUM]
        nothing = (top == 0) | (s == 0) & np.isfinite(top)
        out["spectral_norm"] = s * top
        out["stable_rank"] = np.where(nothing, 0.0, totals[:, F2] / top**2)
        out["effective_rank"] = np.where(nothing, 0.0, np.exp(np.log(total) - totals[:, SUM_LOG] / total))
    return out
