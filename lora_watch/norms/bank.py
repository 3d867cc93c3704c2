"""Every norm and the whole spectrum of every adapter, at a cost near that of reading the adapters once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Factors
from lora_watch.deferred import Deferred, ready
from lora_watch.norms.grams import HOST_PIECE, StagedGrams, host_grams, staging_signature, uses_staging
from lora_watch.norms.spectrum import A2, B2, F2, SUM, SUM_LOG, TOP, solve, solve_precisely
from lora_watch.records import BoolArray, Due, FloatArray, Reading, Readings

_BATCH = 1 << 15
"""Numbers in one stack of r × r matrices on the host (256 KiB): what is solved at a time."""


class Factored(Protocol):
    """What can be measured: a change s·B·diag(middle)·A. See ``Adapter`` for what each of these is."""

    @property
    def scale(self) -> float: ...

    @property
    def middle(self) -> Tensor | None: ...

    def factors(self) -> Sequence[Factors]: ...


class _Entry(NamedTuple):
    adapter: int
    block: Factors
    middle: Tensor | None


class _Totals(NamedTuple):
    sums: FloatArray
    """``[n_adapters, 6]``: see ``spectrum.A2`` and its kin."""
    sigmas: list[list[FloatArray]]
    """Of each adapter, the singular values of its blocks."""


class AdapterBank:
    """Measures a fixed list of adapters, whose factors are read anew at each call.

    Exact: every number is within 1e-6 of the truth for the stored values, relative, for float16, bfloat16 and float32
    factors of any magnitude and float64 ones between 1e±70; blocks whose Grams cannot tell so are redone from the
    factors (``redone`` counts them). ‖B·A‖ must not be below 1e-8·‖A‖‖B‖: less is rounding in float64 itself.

    Memory on a CPU: less than 6 MiB while measuring, whatever the number of adapters; for small models 2 MiB are kept.
    On an accelerator: a staging buffer (``grams.DEVICE_STAGING``) and the Grams.
    """

    def __init__(self, adapters: Sequence[Factored]):
        self._adapters = list(adapters)
        self._small = False
        """All factors would fit into one piece: calls then cost more than the arithmetic, and are batched."""
        self._staged: dict[torch.device, StagedGrams] = {}
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
        ΔW = s·B·diag(middle)·A, with |s| for s. An adapter whose factors hold a NaN or an infinity is NaN in all but
        ``scale``; so is one that is not readable here, and False in ``known``. Zero ΔW has zero ranks.

        On an accelerator this takes 2 + the number of different shapes of factors operations, the copy to the host
        counted, however many adapters there are, as long as they fit into the staging buffer. Blocks that have to be
        redone are read when the result is: a step later they are those of that step.
        """
        if not due.norms:
            return ready({})
        spectrum = due.full
        totals = _Totals(np.zeros((len(self._adapters), 6)), [[] for _ in self._adapters])
        self.known = known = np.zeros(len(self._adapters), dtype=bool)
        self.redone = 0
        waiting: dict[int, list[_Entry]] = {}
        on_device: dict[torch.device, list[_Entry]] = {}
        numbers = 0
        with np.errstate(all="ignore"):  # NaN and infinities are results here
            for index, adapter in enumerate(self._adapters):
                blocks = adapter.factors()
                middle = adapter.middle if blocks else None
                self.known[index] = bool(blocks)
                for block in blocks:
                    entry = _Entry(index, block, middle)
                    numbers += block.a.numel() + block.b.numel()
                    if uses_staging(block.a.device, self._small):
                        on_device.setdefault(block.a.device, []).append(entry)
                        continue
                    queue = waiting.setdefault(block.a.shape[0], [])
                    queue.append(entry)
                    if len(queue) >= _batch(block.a.shape[0]):
                        self._add_host(totals, queue, spectrum)
                        queue.clear()
            for queue in waiting.values():
                self._add_host(totals, queue, spectrum)
        self._small = 8 * numbers <= HOST_PIECE
        scale = np.array([adapter.scale for adapter in self._adapters], dtype=np.float64)
        staged = [(self._staging_for(device, entries), entries) for device, entries in on_device.items()]

        def finish(results: Sequence[FloatArray]) -> Readings:
            with np.errstate(all="ignore"), torch.no_grad():
                for (staging, entries), result in zip(staged, results):
                    self._add_staged(totals, entries, staging.unpack(result), spectrum)
                totals.sums[~known] = np.nan
                self.spectrum = np.abs(scale)[:, None] * _padded(totals.sigmas) if spectrum else None
                metrics = _metrics(scale, totals.sums, spectrum)
                return {name: Reading(values, known) for name, values in metrics.items()}

        return Deferred([staging(*_of(entries)) for staging, entries in staged], finish)

    def _add_host(self, totals: _Totals, entries: Sequence[_Entry], spectrum: bool) -> None:
        if not entries:
            return
        grams = host_grams([entry.block for entry in entries])
        middles = [None if e.middle is None else e.middle.detach().to("cpu", torch.float64).numpy() for e in entries]
        self._add(totals, entries, *grams, middles, spectrum)

    def _staging_for(self, device: torch.device, entries: Sequence[_Entry]) -> StagedGrams:
        blocks, middles = _of(entries)
        staged = self._staged.get(device)
        if staged is None or staged.signature != staging_signature(blocks, middles):
            self._staged.pop(device, None)  # before the new one takes its memory
            self._staged[device] = staged = StagedGrams(blocks, middles)
        return staged

    def _add_staged(
        self,
        totals: _Totals,
        entries: Sequence[_Entry],
        grams: Sequence[tuple[FloatArray, FloatArray, FloatArray | None]],
        spectrum: bool,
    ) -> None:
        by_rank: dict[int, list[int]] = {}
        for i, entry in enumerate(entries):
            by_rank.setdefault(entry.block.a.shape[0], []).append(i)
        for r, members in by_rank.items():
            for start in range(0, len(members), _batch(r)):
                chosen = members[start : start + _batch(r)]
                a, b, diagonals = zip(*(grams[i] for i in chosen))
                self._add(totals, [entries[i] for i in chosen], np.stack(a), np.stack(b), diagonals, spectrum)

    def _add(
        self,
        totals: _Totals,
        entries: Sequence[_Entry],
        gram_a: FloatArray,
        gram_b: FloatArray,
        middles: Sequence[FloatArray | None],
        spectrum: bool,
    ) -> None:
        diagonals = None
        if any(middle is not None for middle in middles):
            ones = np.ones(gram_a.shape[1])
            diagonals = np.stack([ones if middle is None else middle for middle in middles])
        limits = np.array([min(block.b.shape[0], block.a.shape[1]) for _, block, _ in entries])
        rows, sigmas, doubtful = solve(gram_a, gram_b, diagonals, limits, spectrum)
        for i in np.flatnonzero(doubtful).tolist():
            rows[i], sigma = solve_precisely(entries[i].block, middles[i], rows[i])
            if spectrum:
                sigmas[i] = 0.0
                sigmas[i, : len(sigma)] = sigma
        self.redone += int(doubtful.sum())
        places = np.array([entry.adapter for entry in entries])
        first = np.flatnonzero(np.diff(places, prepend=-1))  # of each adapter: its blocks lie side by side
        whose, sums = places[first], totals.sums
        tops = np.maximum(sums[whose, TOP], np.maximum.reduceat(rows[:, TOP], first))
        sums[whose] += np.add.reduceat(rows, first)
        sums[whose, TOP] = tops
        if spectrum:
            for place, sigma in zip(places.tolist(), sigmas):
                totals.sigmas[place].append(sigma)


def _of(entries: Sequence[_Entry]) -> tuple[list[Factors], list[Tensor | None]]:
    return [entry.block for entry in entries], [entry.middle for entry in entries]


def _batch(r: int) -> int:
    return max(_BATCH // max(r * r, 1), 1)


def _padded(sigmas: Sequence[Sequence[FloatArray]]) -> FloatArray:
    """``[n, r]``: all singular values of each adapter, the largest first, and NaN behind them."""
    width = max((sum(map(len, blocks)) for blocks in sigmas), default=0)
    out = np.full((len(sigmas), width), np.nan)
    for row, blocks in zip(out, sigmas):
        if len(blocks) == 1:
            row[: len(blocks[0])] = blocks[0]
        elif blocks:
            union = np.sort(np.concatenate(blocks))[::-1]
            row[: len(union)] = union
    return out


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
