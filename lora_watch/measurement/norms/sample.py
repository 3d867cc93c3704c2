"""A few elements of a tensor, always the same ones, to see bit for bit whether it has moved.

Both classes below take a few operations a device and dtype, however many adapters there are. Nothing waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Adapter
from lora_watch.adapters.live import Live, Resolved
from lora_watch.adapters.tensors import here, part_of, sharded
from lora_watch.base.deferred import Deferred, ready, with_float64
from lora_watch.base.records import BoolArray, Due, FloatArray, Reading, Readings

ELEMENTS = 64
"""How many elements of a tensor are compared."""

Kind = tuple[torch.device, torch.dtype]


class _Views(NamedTuple):
    places: list[tuple[int, ...]]
    sizes: list[int]
    """How many numbers each tensor has: of another size other ones are taken."""
    rows: list[Tensor]
    """``[ELEMENTS]`` each."""

    def values(self) -> Tensor:
        """A copy, ``[len(places), ELEMENTS]``, where there is float64: they are compared in it."""
        return with_float64(torch.stack(self.rows))


@torch.no_grad()
def _elements_of(tensors: Sequence[tuple[tuple[int, ...], Tensor]]) -> dict[Kind, _Views]:
    """``ELEMENTS`` of each tensor, by device and dtype."""
    kinds: dict[Kind, _Views] = {}
    for place, tensor in tensors:
        places, sizes, rows = kinds.setdefault((tensor.device, tensor.dtype), _Views([], [], []))
        places.append(place)
        sizes.append(tensor.numel())
        rows.append(_elements(tensor))
    return kinds


def _elements(tensor: Tensor) -> Tensor:
    """``[ELEMENTS]``, spread evenly; a view of it, unless it is small or not contiguous."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() < ELEMENTS:
        return flat.repeat(-(-ELEMENTS // flat.numel()))[:ELEMENTS]
    stride = flat.numel() // ELEMENTS
    stride -= stride % 2 == 0  # an odd one does not stay in one column of a matrix
    elements = flat[::stride][:ELEMENTS]
    return elements if tensor.is_contiguous() else elements.clone()


def _is_seen_through(tensor: Tensor) -> bool:
    """Its ``_elements`` are a view, which shows what is written to it."""
    return tensor.numel() >= ELEMENTS and tensor.is_contiguous()


class Changed:
    """Which share of its elements the latest update has changed, of each factor that is kept in half precision.

    There an update smaller than half the distance to the next number leaves the old one standing. Factors in float32
    are left out; so are those of embeddings and experts, of which an update touches what the batch has used.
    """

    def __init__(self, live: Live, since: int = 0):
        self._since = since
        """The step after which it begins: there is nothing to say of that one."""
        self._live = live
        self._factors = [
            (row, i)
            for i, (adapter, parameters) in enumerate(zip(live.adapters, live.now.parameters))
            if adapter.kind not in ("Embedding", "Experts")
            for row, factor in enumerate(parameters)
            if factor.dtype in (torch.bfloat16, torch.float16)
        ]
        self._views: tuple[Resolved, dict[Kind, _Views]] | None = None
        self._held = self._now()

    def _now(self) -> dict[Kind, tuple[list[tuple[int, ...]], Tensor]]:
        """Places and elements."""
        now = self._live.now
        if self._views is not None and self._views[0] is now:
            views = self._views[1]
        else:
            factors = [((row, i), now.parameters[i][row]) for row, i in self._factors]
            views = _elements_of([(place, factor) for place, factor in factors if here(factor) and not sharded(factor)])
            self._views = (now, views) if all(_is_seen_through(factor) for _, factor in factors) else None
        return {kind: (of.places, of.values()) for kind, of in views.items()}

    @torch.no_grad()
    def begin(self, due: Due) -> Deferred[Readings]:
        """``a_changed`` and ``b_changed`` since the last call; nothing where no factor is in half precision."""
        if not due.norms or due.step == self._since:
            return ready({})
        before, self._held = self._held, self._now()
        pairs = [(before[kind], now) for kind, now in self._held.items() if kind in before]
        same = [(places, then, now) for (old, then), (places, now) in pairs if places == old]
        shares = [(then != now).double().mean(1) for _, then, now in same]

        def finish(values: Sequence[FloatArray]) -> Readings:
            out = np.full((2, len(self._live.adapters)), np.nan)
            for (places, *_), numbers in zip(same, values):
                out[tuple(np.array(places).T)] = numbers
            names = ("a_changed", "b_changed") if same else ()
            return {name: Reading(numbers, ~np.isnan(numbers)) for name, numbers in zip(names, out)}

        return Deferred(shares, finish)


class FrozenWeights:
    """How far the weights under the adapters have moved from where they were when first seen, unmerged.

    A resumed run's weights are compared with those it went on from. Of a weight that is dealt out over ranks each rank
    compares its own part, and asks no other. Weights that are quantised, ZeRO-3's and FSDP1's are unknown.
    """

    def __init__(self) -> None:
        self._adapters: Sequence[Adapter] = ()
        self._start: dict[str, tuple[Kind, int, Tensor]] = {}
        """By the adapter's name: of what kind its frozen weight is, how many numbers it has here, and ``[ELEMENTS]`` of
        them."""
        self.trainable: BoolArray | None = None
        """``[n_adapters]``: which of them require a gradient, as of the latest measurement; None if it was not due."""

    def watch(self, adapters: Sequence[Adapter]) -> None:
        """Measure the weights under ``adapters`` from now on, and remember those that have not been seen yet."""
        self._adapters = adapters
        new = [adapter for adapter in adapters if adapter.name not in self._start]
        for kind, views in _weights_of(new, [adapter.base_weight for adapter in new]).items():
            for (place,), size, values in zip(views.places, views.sizes, views.values()):
                self._start[new[place].name] = kind, size, values

    @torch.no_grad()
    def begin(self, due: Due) -> Deferred[Readings]:
        """``base_drift``, ‖W − W₀‖/‖W₀‖ over the elements: 0 where they are bit for bit what they were."""
        adapters, self.trainable = self._adapters, None
        if not due.full or not adapters:
            return ready({})
        weights = [adapter.base_weight for adapter in adapters]
        self.trainable = np.array([w is not None and w.requires_grad for w in weights], dtype=bool)
        drifts: list[tuple[list[int], Tensor]] = []
        for kind, views in _weights_of(adapters, weights).items():
            begun = [self._start.get(adapters[place].name) for (place,) in views.places]
            # Neither moved to another device, nor cast to another dtype, nor cut in another way since.
            same = [
                (place, row, was[2])
                for (place,), size, row, was in zip(views.places, views.sizes, views.rows, begun)
                if was is not None and was[:2] == (kind, size)
            ]
            if same:
                where, now, start = zip(*same)
                start = torch.stack(start).double()
                size = torch.linalg.vector_norm(start, dim=1).clamp_min(torch.finfo(torch.float64).tiny)
                moved = with_float64(torch.stack(now)).double() - start
                drifts.append((list(where), torch.linalg.vector_norm(moved, dim=1) / size))

        def finish(values: Sequence[FloatArray]) -> Readings:
            out = np.full(len(adapters), np.nan)
            for (where, _), numbers in zip(drifts, values):
                out[where] = numbers
            return {"base_drift": Reading(out, ~np.isnan(out))}

        return Deferred([drift for _, drift in drifts], finish)


def _weights_of(adapters: Sequence[Adapter], weights: Sequence[Tensor | None]) -> dict[Kind, _Views]:
    """Elements of the frozen weights that are here, as far as no product has been added to them."""
    there = [(i, w) for i, (a, w) in enumerate(zip(adapters, weights)) if w is not None and not a.merged]
    parts = [((i,), part_of(weight)) for i, weight in there]
    return _elements_of([(place, part) for place, part in parts if here(part)])
