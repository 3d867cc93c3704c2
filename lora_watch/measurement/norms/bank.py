"""Every norm and the whole spectrum of every adapter, at a cost near that of reading the adapters once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lora_watch.adapters.adapter import Factors
from lora_watch.adapters.live import Live, Measurable, Resolved
from lora_watch.base.deferred import Deferred, is_far, on_host, ready
from lora_watch.base.records import BoolArray, Due, FloatArray, Reading, Readings
from lora_watch.measurement.norms.grams import StackedGrams, host_grams
from lora_watch.measurement.norms.spectrum import A2, B2, F2, SUM, SUM_LOG, TOP, solve, solve_precisely

_BATCH = 1 << 15
"""Numbers in one stack of r × r matrices on the host (256 KiB): what is solved at a time."""
SMALL = 2 * 16384
"""Numbers of a block up to which the host measures many at a time: from there on one at a time is as fast."""


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
        self.r = self.blocks[0].a.shape[0]
        self._diagonals = [entry.diagonal for entry in entries]
        self._limits = np.array([min(block.b.shape[0], block.a.shape[1]) for block in self.blocks])
        self._places = np.array([entry.adapter for entry in entries])
        self._first = np.flatnonzero(np.diff(self._places, prepend=-1))  # of each adapter: its blocks lie side by side
        self._whose = self._places[self._first]

    def diagonals(self) -> Tensor | None:
        """``[n, r]`` in float64, on the device: what lies between B and A now, ones where there is nothing; None where
        that is so everywhere."""
        if all(diagonal is None for diagonal in self._diagonals):
            return None
        device = self.blocks[0].a.device
        ones = torch.ones(self.r, dtype=torch.float64, device=device if is_far(device) else None)
        there = (ones if d is None else d.detach().to(ones) if is_far(device) else on_host(d) for d in self._diagonals)
        return torch.stack(list(there))

    def add_to(
        self,
        totals: Totals,
        gram_a: FloatArray,
        gram_b: FloatArray,
        diagonals: FloatArray | None,
        spectrum: bool,
        block_of: Callable[[int], Factors] | None = None,
    ) -> int:
        """Add what the Grams tell to ``totals``; how many blocks had to be redone from their factors for that.

        ``gram_a``, ``gram_b``: A·Aᵀ and Bᵀ·B, ``[n, r, r]``; ``diagonals``: ``[n, r]``, ones for none; or None.
        ``block_of``: the factors that the Grams are of, where they may have changed since.
        """
        rows, sigmas, doubtful = solve(gram_a, gram_b, diagonals, self._limits, spectrum)
        redo = np.flatnonzero(doubtful).tolist()
        for i in redo:
            block = self.blocks[i] if block_of is None else block_of(i)
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


def _portions(entries: Iterable[Entry]) -> Iterator[tuple[list[int], Portion]]:
    """All of them, each portion as soon as it is full, and which of ``entries`` it has."""
    waiting: dict[int, tuple[list[int], list[Entry]]] = {}
    for i, entry in enumerate(entries):
        r = entry.block.a.shape[0]
        members, queue = waiting.setdefault(r, ([], []))
        members.append(i)
        queue.append(entry)
        if len(queue) >= _BATCH // max(r * r, 1):
            del waiting[r]
            yield members, Portion(queue)
    yield from ((members, Portion(queue)) for members, queue in waiting.values())


class _Stacked:
    """Blocks on one device that are measured many at a time."""

    def __init__(self, entries: Sequence[Entry]):
        self._grams = StackedGrams([entry.block for entry in entries])
        self._portions = list(_portions(entries))

    def begin(self, spectrum: bool) -> Deferred[Callable[[Totals], int]]:
        """What adds the blocks as they are now to totals: see ``Portion.add_to``."""
        grams, block = self._grams.compute()
        diagonals = [portion.diagonals() for _, portion in self._portions]

        def finish(values: Sequence[FloatArray]) -> Callable[[Totals], int]:
            rest = iter(values[len(grams) :])
            between = [None if there is None else next(rest).reshape(there.shape) for there in diagonals]

            def add(totals: Totals) -> int:
                redone = 0
                for (members, portion), diagonal in zip(self._portions, between):
                    of = self._grams.of(members, portion.r, values)
                    then = None if block is None else _at(block, members)
                    redone += portion.add_to(totals, *of, diagonal, spectrum, then)
                return redone

            return add

        return Deferred([*grams, *(there for there in diagonals if there is not None)], finish)


def _at(block: Callable[[int], Factors], members: Sequence[int]) -> Callable[[int], Factors]:
    return lambda i: block(members[i])


class AdapterBank:
    """Measures a fixed list of adapters, whose factors are read anew at each call.

    Exact: every number is within 1e-6 of the truth for the stored values, relative, for float16, bfloat16 and float32
    factors of any magnitude and float64 ones between 1e±70; blocks whose Grams cannot tell so are redone from the
    factors (``redone`` counts them). ‖B·A‖ must not be below 1e-8·‖A‖‖B‖: less is rounding in float64 itself.

    Memory on a CPU: less than 6 MiB while measuring, whatever the number of adapters. On an accelerator:
    ``grams.DEVICE_PIECE`` and the Grams.
    """

    def __init__(self, adapters: Sequence[Measurable], live: Live | None = None):
        """``live``: of the same adapters, kept up to date by the caller: what it keeps is not looked up again."""
        self._adapters, self._live = list(adapters), live
        self._of: Resolved | None = None
        """What the next two have been made of, if it can be used again: blocks one at a time, and many at a time."""
        self._one_by_one: list[Portion] = []
        self._together: list[_Stacked] = []
        self.known: BoolArray = np.zeros(len(self._adapters), dtype=bool)
        """``[n_adapters]``, of the latest measurement: False where the factors were not readable."""
        self.spectrum: FloatArray | None = None
        """``[n_adapters, r]``, of the latest measurement: every singular value of ΔW, the largest first; NaN beyond an
        adapter's own rank. None where that was no full one."""
        self.redone = 0
        """Number of blocks the latest measurement had to redo from their factors."""

    def measure(self, spectrum: bool = True) -> dict[str, FloatArray]:
        """What ``begin`` leads to, without ``known``: waits for accelerators."""
        readings = self.begin(Due(0, full=spectrum)).now()
        return {name: reading.values for name, reading in readings.items()}

    @torch.no_grad()
    def begin(self, due: Due) -> Deferred[Readings]:
        """Start a measurement; what is on an accelerator is only set going there. At most one at a time.

        ``scale``, ``product_norm``, ``delta_norm``, ``a_norm``, ``b_norm``; and in a full measurement also
        ``spectral_norm``, ``stable_rank``, ``effective_rank`` (entropy: Roy & Vetterli 2007), all of
        ΔW = s·B·diag(diagonal)·A, with |s| for s. An adapter whose factors hold a NaN or an infinity is NaN in all but
        ``scale``; so is one that is not readable here, and False in ``known``. Zero ΔW has zero ranks.

        On an accelerator this takes three operations for each shape and dtype of the factors. Blocks that have to be
        redone are read from what the Grams are of, or, where that was too much to keep, from the adapters: a step later
        they are those of that step.
        """
        if not due.norms:
            return ready({})
        now = self._live.now if self._live is not None else Resolved(self._adapters, known=False)
        spectrum = due.full
        totals = Totals(np.zeros((len(self._adapters), 6)), [])
        self.redone = 0
        with np.errstate(all="ignore"):  # NaN and infinities are results here
            for portion in self._portions(now):
                diagonals = portion.diagonals()
                between = None if diagonals is None else diagonals.numpy()
                self.redone += portion.add_to(totals, *host_grams(portion.blocks), between, spectrum)
        known, far, scale = self.known, [stacked.begin(spectrum) for stacked in self._together], now.scale
        if self._of is None:
            self._together = []  # copies that nothing else holds

        def finish(results: Sequence[FloatArray]) -> Readings:
            with np.errstate(all="ignore"), torch.no_grad():
                rest = iter(results)
                for part in far:
                    self.redone += part.finish([next(rest) for _ in part.tensors])(totals)
                totals.sums[~known] = np.nan
                self.spectrum = np.abs(scale)[:, None] * _spectra(len(scale), totals.sigmas) if spectrum else None
                metrics = _metrics(scale, totals.sums, spectrum)
                return {name: Reading(values, known) for name, values in metrics.items()}

        return Deferred([tensor for part in far for tensor in part.tensors], finish)

    def _portions(self, now: Resolved) -> Iterable[Portion]:
        """What is measured one at a time. The rest is then in ``_together``, and ``known`` is of these adapters."""
        if self._of is now:
            return self._one_by_one
        self._of = None
        if now.kept is None:
            return self._read(now)
        self._one_by_one, self._of = list(self._read(now)), now
        return self._one_by_one

    def _read(self, now: Resolved) -> Iterator[Portion]:
        """A portion at a time, so that copies are not all held at once."""
        self.known = known = np.zeros(len(self._adapters), dtype=bool)
        together: dict[torch.device, list[Entry]] = {}

        def one_by_one() -> Iterator[Entry]:
            for index, (blocks, diagonal) in enumerate(now.read()):
                known[index] = bool(blocks)
                for block in blocks:
                    entry, device = Entry(index, block, diagonal), block.a.device
                    small = device.type == "cpu" and block.a.numel() + block.b.numel() <= SMALL
                    if small or is_far(device):
                        together.setdefault(device, []).append(entry)
                    else:
                        yield entry

        yield from (portion for _, portion in _portions(one_by_one()))
        self._together = [_Stacked(entries) for entries in together.values()]


def _spectra(total: int, sigmas: Sequence[tuple[NDArray[np.intp], FloatArray]]) -> FloatArray:
    """``[total, r]``: all singular values of each adapter, the largest first, and NaN behind them. See ``Totals``."""
    widths = np.zeros(total, dtype=np.intp)
    for places, sigma in sigmas:
        widths += np.bincount(places, minlength=total) * sigma.shape[1]
    out = np.full((total, widths.max(initial=0)), np.nan)
    filled = [0] * total
    for places, sigma in sigmas:
        for place, values in zip(places.tolist(), sigma):
            out[place, filled[place] : filled[place] + len(values)] = values
            filled[place] += len(values)
    return -np.sort(-out, axis=1)


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
