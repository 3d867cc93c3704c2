"""How far each adapter's change of its layer is from what it was: ``drift_norm`` and ``step_norm``.

With ΔW = B·c·A, where c = diag(s·diagonal), and D_A = A − A₀, D_B = B − B₀ taken element by element,

    ΔW − ΔW₀ = [D_B  B₀] · K · [D_A; A₀],    K = ⎡c      c   ⎤
                                                 ⎣c   c − c₀ ⎦

whose norm comes from the two 2r × 2r Grams: nothing as large as the layer is formed, and a small step is not the
difference of two large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters import Adapter, Factors
from lora_watch.adapters.live import Measurable
from lora_watch.base.deferred import Deferred, on_host, ready
from lora_watch.base.records import Due, FloatArray, Reading, Readings
from lora_watch.measurement.norms.spectrum import F2, NOISE, TOLERANCE, solve_precisely


class _Held(NamedTuple):
    blocks: list[Factors]
    core: FloatArray
    """s·diagonal, ``[r]``."""


class Snapshot:
    """The adapters as they were at one moment, to measure how far they have gone since.

    Memory: one copy of all factors, in their own dtypes and on their own devices (gathered whole if sharded), and some
    of one adapter in float64 on the host while measuring. Adapters are told apart by ``name``.
    """

    def __init__(self, adapters: Sequence[Measurable]):
        self._held: dict[str, _Held] = {}
        self.add(adapters)

    def add(self, adapters: Sequence[Measurable]) -> None:
        """Copy those that are not held yet. One that is not readable now is unknown until an ``update``."""
        self._held |= {adapter.name: _hold(adapter) for adapter in adapters if adapter.name not in self._held}

    def update(self, adapters: Sequence[Measurable]) -> None:
        """Hold ``adapters`` as they are now, and no others."""
        self._held = {adapter.name: _hold(adapter) for adapter in adapters}

    @torch.no_grad()
    def distance(self, adapters: Sequence[Measurable]) -> Reading:
        """‖ΔW − ΔW_held‖_F.

        Good to 1e-6, relative, also where they differ in their last digits, in ``scale`` or in ``diagonal`` alone; two
        ways to write one ΔW are 0 but for rounding (1e-15·‖A‖‖B‖). NaN and known where a factor holds a NaN or an
        infinity; NaN and unknown for an adapter that is not held or not readable, or has another shape now. A changed
        rank is no other shape. The factors are read on the host: an accelerator is waited for.
        """
        out, known = np.full(len(adapters), np.nan), np.zeros(len(adapters), dtype=bool)
        with np.errstate(all="ignore"):  # NaN and infinities are results here
            for i, adapter in enumerate(adapters):
                held, blocks = self._held.get(adapter.name), adapter.factors()
                if held is None or not blocks or _sides(blocks) != _sides(held.blocks):
                    continue
                known[i] = True
                core = _core(adapter, blocks)
                square = sum(_square(now, core, then, held.core) for now, then in zip(blocks, held.blocks))
                out[i] = np.sqrt(square) if np.isfinite(square) else np.nan
        return Reading(out, known)


class Drift:
    """``drift_norm`` and ``step_norm``, from two snapshots: of when an adapter was first seen, and of the last step."""

    def __init__(self) -> None:
        self._adapters: Sequence[Adapter] = ()
        self._start, self._before = Snapshot([]), Snapshot([])

    def watch(self, adapters: Sequence[Adapter]) -> None:
        """Measure ``adapters`` from now on, and copy those that have not been seen yet."""
        self._adapters = adapters
        self._start.add(adapters)

    def arm(self) -> None:
        """Copy the adapters as they are before the coming step, which is measured in full."""
        self._before.update(self._adapters)

    def begin(self, due: Due) -> Deferred[Readings]:
        if not (due.full and due.trained):
            return ready({})
        pairs = (("drift_norm", self._start), ("step_norm", self._before))
        return ready({name: snapshot.distance(self._adapters) for name, snapshot in pairs})


def _square(now: Factors, c: FloatArray, then: Factors, c0: FloatArray) -> float:
    """‖B·c·A − B₀·c₀·A₀‖_F², in float64: a few copies of one adapter."""
    a, b, a0, b0 = map(on_host, (*now, *then))
    k, k0 = torch.from_numpy(c), torch.from_numpy(c0)
    if len(c) != len(c0):  # AdaLoRA has cut ranks
        return _precise_square(torch.cat((a, a0)), torch.cat((b * k, -b0 * k0), 1))
    left, right = torch.cat((b - b0, b0), 1), torch.cat((a - a0, a0))
    core = torch.cat((torch.cat((k.diag(), k.diag()), 1), torch.cat((k.diag(), (k - k0).diag()), 1)))
    gram_a, gram_b = right @ right.T, left.T @ left
    square = float(((core.T @ gram_b @ core) * gram_a).sum())
    # Σ‖terms‖, of which the norm is what did not cancel.
    size = float(gram_b.diagonal().sqrt() @ core.abs() @ gram_a.diagonal().sqrt())
    if square * TOLERANCE < NOISE / 2 * size**2:
        return _precise_square(torch.cat((a, a - a0, a0)), torch.cat(((b - b0) * k, b0 * k, b0 * (k - k0)), 1))
    return square


def _precise_square(a: Tensor, b: Tensor) -> float:
    """‖B·A‖_F² by QR."""
    return float(solve_precisely(Factors(a, b), None, np.zeros(6))[0][F2])


def _hold(adapter: Measurable) -> _Held:
    """A copy of what ``adapter`` is now."""
    blocks = adapter.factors()
    return _Held([Factors(a.detach().clone(), b.detach().clone()) for a, b in blocks], _core(adapter, blocks))


def _core(adapter: Measurable, blocks: Sequence[Factors]) -> FloatArray:
    diagonal = adapter.diagonal if blocks else None
    if diagonal is None:
        return np.full(blocks[0].a.shape[0] if blocks else 0, float(adapter.scale))
    return adapter.scale * on_host(diagonal).numpy()


def _sides(blocks: Sequence[Factors]) -> list[tuple[int, int]]:
    return [(b.shape[0], a.shape[1]) for a, b in blocks]
