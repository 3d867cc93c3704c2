"""A few elements of a tensor, always the same ones, to see bit for bit whether it has moved.

Both classes below compare all tensors of a device and dtype at once. Nothing waits.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.adapter import Adapter
from lora_watch.adapters.live import Live
from lora_watch.adapters.tensors import here, part_of, sharded
from lora_watch.base.deferred import Deferred, ready, with_float64
from lora_watch.base.records import BoolArray, Due, FloatArray, Reading, Readings

ELEMENTS = 64
"""How many elements of a tensor are compared."""

Key = TypeVar("Key", bound=Hashable)


class _Elements(NamedTuple):
    values: Tensor
    """A copy, ``[ELEMENTS]``."""
    size: int
    """Of the whole tensor."""


def _elements(tensor: Tensor) -> _Elements:
    flat = tensor.detach().reshape(-1)
    size = flat.numel()
    if size < ELEMENTS:
        return _Elements(flat.repeat(-(-ELEMENTS // size))[:ELEMENTS], size)
    stride = size // ELEMENTS
    stride -= stride % 2 == 0  # an odd one does not stay in one column of a matrix
    return _Elements(flat[::stride][:ELEMENTS].clone(), size)


def _compared(
    then: Mapping[Key, _Elements], now: Mapping[Key, _Elements]
) -> list[tuple[Sequence[Key], Tensor, Tensor]]:
    """Elements of before and of now in float64, ``[n, ELEMENTS]``, and whose they are: by device and dtype, of what
    was neither moved nor cast nor cut in another way in between."""
    alike: dict[Any, list[Key]] = {}
    for key, (values, size) in now.items():
        kind, was = (values.device, values.dtype, size), then.get(key)
        if was is not None and (was.values.device, was.values.dtype, was.size) == kind:
            alike.setdefault(kind[:2], []).append(key)

    def stacked(of: Mapping[Key, _Elements], keys: Sequence[Key]) -> Tensor:
        return with_float64(torch.stack([of[key].values for key in keys])).double()

    return [(keys, stacked(then, keys), stacked(now, keys)) for keys in alike.values()]


class Changed:
    """Which share of its elements the latest update has changed, of each factor that is kept in half precision.

    There an update smaller than half the distance to the next number leaves the old one standing. Factors in float32
    are left out; so are those of embeddings and experts, of which an update touches what the batch has used.
    """

    def __init__(self, live: Live, since: int = 0):
        """``since``: the step after which it begins; there is nothing to say of that one."""
        self._live, self._since = live, since
        self._factors = [
            (row, i)
            for i, (adapter, parameters) in enumerate(zip(live.adapters, live.now.parameters))
            if adapter.kind not in ("Embedding", "Experts")
            for row, factor in enumerate(parameters)
            if factor.dtype in (torch.bfloat16, torch.float16)
        ]
        self.is_needed = bool(self._factors)
        """Some factor is in half precision."""
        self._held = self._now()

    def _now(self) -> dict[tuple[int, int], _Elements]:
        factors = {(row, i): self._live.now.parameters[i][row] for row, i in self._factors}
        return {place: _elements(factor) for place, factor in factors.items() if here(factor) and not sharded(factor)}

    @torch.no_grad()
    def begin(self, due: Due) -> Deferred[Readings]:
        """``a_changed`` and ``b_changed`` since the last call; nothing where no factor is in half precision."""
        if not self._factors or not due.norms or due.step == self._since:
            return ready({})
        before, self._held = self._held, self._now()
        compared = _compared(before, self._held)

        def finish(values: Sequence[FloatArray]) -> Readings:
            out = np.full((2, len(self._live.adapters)), np.nan)
            for (places, *_), numbers in zip(compared, values):
                out[tuple(np.array(places).T)] = numbers
            names = ("a_changed", "b_changed") if compared else ()
            return {name: Reading(numbers, ~np.isnan(numbers)) for name, numbers in zip(names, out)}

        return Deferred([(then != now).double().mean(1) for _, then, now in compared], finish)


class FrozenWeights:
    """How far the weights under the adapters have moved from where they were when first seen, unmerged. Of a weight
    that is dealt out over ranks each compares its own part; quantised ones, ZeRO-3's and FSDP1's are unknown."""

    def __init__(self) -> None:
        self._adapters: Sequence[Adapter] = ()
        self._start: dict[str, _Elements] = {}
        """By the adapter's name."""
        self.trainable: BoolArray | None = None
        """``[n_adapters]``: which of them require a gradient, as of the latest measurement; None if it was not due."""

    def watch(self, adapters: Sequence[Adapter]) -> None:
        """Those under ``adapters`` from now on; what has not been seen yet is remembered."""
        self._adapters = adapters
        new = [adapter for adapter in adapters if adapter.name not in self._start]
        self._start |= _weights_of(new, [adapter.base_weight for adapter in new])

    @torch.no_grad()
    def begin(self, due: Due) -> Deferred[Readings]:
        """``base_drift``, ‖W − W₀‖/‖W₀‖ over the elements: 0 where they are bit for bit what they were."""
        adapters, self.trainable = self._adapters, None
        if not due.full or not adapters:
            return ready({})
        weights = [adapter.base_weight for adapter in adapters]
        self.trainable = np.array([w is not None and w.requires_grad for w in weights], dtype=bool)
        drifts: dict[Sequence[str], Tensor] = {}
        for names, start, now in _compared(self._start, _weights_of(adapters, weights)):
            size = torch.linalg.vector_norm(start, dim=1).clamp_min(torch.finfo(torch.float64).tiny)
            drifts[tuple(names)] = torch.linalg.vector_norm(now - start, dim=1) / size

        def finish(values: Sequence[FloatArray]) -> Readings:
            by_name = {name: number for names, numbers in zip(drifts, values) for name, number in zip(names, numbers)}
            out = np.array([by_name.get(adapter.name, np.nan) for adapter in adapters])
            return {"base_drift": Reading(out, ~np.isnan(out))}

        return Deferred(list(drifts.values()), finish)


def _weights_of(adapters: Sequence[Adapter], weights: Sequence[Tensor | None]) -> dict[str, _Elements]:
    """Of the frozen weights that are here and unmerged, by adapter."""
    there = [(a.name, part_of(w)) for a, w in zip(adapters, weights) if w is not None and not a.merged]
    return {name: _elements(part) for name, part in there if here(part)}
