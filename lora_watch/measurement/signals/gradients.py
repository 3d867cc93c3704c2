"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lora_watch.adapters.live import Live, Resolved
from lora_watch.adapters.sharding import dtensor
from lora_watch.adapters.tensors import sharded, whole
from lora_watch.base.deferred import Deferred, has_float64, is_far, ready
from lora_watch.base.records import Due, FloatArray, Reading, Readings

NAMES = ("a_grad_norm", "b_grad_norm")
NOTHING: Deferred[Readings] = ready({})


class Gradients:
    """``a_grad_norm`` and ``b_grad_norm`` of one step, read before the optimizer's step or after it, whichever comes
    first.

    Unknown are a factor without a whole gradient here (frozen, DeepSpeed, FSDP1), and a norm that clipping alone has
    made non-finite. Nothing waits. A collective where gradients are DTensors.
    """

    def __init__(self, live: Live):
        self.adapters, self._live = live.adapters, live
        self._alike: tuple[Resolved, list[_Alike]] | None = None
        self._read: Deferred[Readings] | None = None
        self._unclipped: Deferred[tuple[FloatArray, NDArray[np.bool_]]] | None = None

    @property
    def latest(self) -> Deferred[Readings]:
        return self._read or NOTHING

    def see_unclipped(self) -> None:
        """They are about to be clipped, which may spread one NaN to all: see where they are finite before that."""
        self._unclipped = self._norms([alike for alike in self._now() if not alike.sharded], sums=True)

    def read(self) -> Deferred[Readings]:
        """Read them now, for the coming ``begin`` as well."""
        self._read = NOTHING  # where it fails: other ranks, which have read theirs, do not come a second time
        self._read = self._readings()
        return self._read

    def keep(self, readings: Readings) -> None:
        """It need not be copied to the host a second time."""
        self._read = ready(readings)

    def begin(self, due: Due) -> Deferred[Readings]:
        read = self._read or (self._readings() if due.trained else NOTHING)
        self._read = self._unclipped = None
        return read if due.trained else NOTHING

    def _readings(self) -> Deferred[Readings]:
        now, before = self._norms(self._now()), self._unclipped
        late = [] if before is None else before.tensors
        late = late if any(map(is_far, {tensor.device for tensor in late})) else []

        def finish(values: Sequence[FloatArray]) -> Readings:
            norms, known = now.finish(values[: len(now.tensors)])
            if before is not None and not np.isfinite(norms[known]).all():
                unclipped, seen = before.finish(values[len(now.tensors) :]) if late else before.now()
                sound = ~(seen & ~np.isfinite(unclipped)).any(0)
                if not sound.all():  # else they became so after clipping
                    known = known & ~(sound & ~np.isfinite(norms))
            return {name: Reading(*pair) for name, *pair in zip(NAMES, norms, known)}

        return Deferred([*now.tensors, *late], finish)

    def _now(self) -> "list[_Alike]":
        now = self._live.now
        if self._alike is None or self._alike[0] is not now:
            self._alike = now, list(_alike(now.parameters))
        return self._alike[1]

    def _norms(
        self, parameters: "Sequence[_Alike]", sums: bool = False
    ) -> Deferred[tuple[FloatArray, NDArray[np.bool_]]]:
        """‖∂A‖_F and ‖∂B‖_F, ``[2, n_adapters]``, and where there are such gradients. Squares are added in float64, so
        that they neither vanish nor overflow. ``sums``, in half the time, are finite where all that they add is."""
        there = np.zeros((len(NAMES), len(self.adapters)), dtype=bool)
        norms, places = [], []
        for alike in parameters:
            gradients = [parameter.grad for parameter in alike.parameters]
            own = [gradient for gradient in gradients if gradient is not None]
            if not own:
                continue
            all_have = len(own) == len(gradients)
            places.append(alike.places if all_have else alike.places[:, [g is not None for g in gradients]])
            there[tuple(places[-1])] = True
            if alike.sharded:
                norms.append(dtensor.norms(own))
            else:
                x = torch.stack(own)
                x, each = x if has_float64(x.device) else x.cpu(), tuple(range(1, x.ndim))
                if sums:
                    norms.append(x.sum(each, dtype=torch.promote_types(x.dtype, torch.float32)))
                else:
                    norms.append(torch.linalg.vector_norm(x, dim=each, dtype=torch.float64))

        def finish(values: Sequence[FloatArray]) -> tuple[FloatArray, NDArray[np.bool_]]:
            out = np.full(there.shape, np.nan)
            for where, numbers in zip(places, values):
                out[tuple(where)] = numbers
            return out, there

        return Deferred(norms, finish)


class _Alike(NamedTuple):
    """Parameters of one shape, or DTensors, whose gradients are read together."""

    parameters: list[nn.Parameter]
    places: NDArray[np.intp]
    """``[2, n]``: row and column of each in what is measured."""
    sharded: bool


def _alike(parameters: Sequence[tuple[nn.Parameter, nn.Parameter]]) -> Iterator[_Alike]:
    """Those that are whole in this process, or DTensors."""
    found = [(p, row, i) for i, own in enumerate(parameters) for row, p in enumerate(own) if sharded(p) or whole(p)]

    def kind(item: tuple[nn.Parameter, int, int]) -> tuple[Any, ...]:
        parameter, spread = item[0], sharded(item[0])
        return spread, str(parameter.device), str(parameter.dtype), () if spread else tuple(parameter.shape)

    for (spread, *_), members in groupby(sorted(found, key=kind), kind):
        same = list(members)
        most = len(same) if spread else max((1 << 20) // same[0][0].numel(), 1)  # so many numbers, or one gradient
        for start in range(0, len(same), most):
            own, rows, columns = zip(*same[start : start + most])
            yield _Alike(list(own), np.array((rows, columns)), spread)


def overflow(metrics: Readings) -> bool:
    """Whether some gradient is not finite."""
    return any((metrics[name].known & ~np.isfinite(metrics[name].values)).any() for name in NAMES if name in metrics)


def any_seen(metrics: Readings) -> bool:
    return any(metrics[name].known.any() for name in NAMES if name in metrics)
