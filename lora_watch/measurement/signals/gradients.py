"""Gradient norms of the adapters, as they stand when the optimizer is about to use them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lora_watch.adapters.live import Live, Resolved
from lora_watch.adapters.sharding import dtensor
from lora_watch.adapters.tensors import sharded, whole
from lora_watch.base.deferred import Deferred, is_far, ready, with_float64
from lora_watch.base.records import BoolArray, Due, FloatArray, Reading, Readings

NAMES = ("a_grad_norm", "b_grad_norm")
NOTHING: Deferred[Readings] = ready({})

SMALL, ALL_SMALL = 1 << 13, 1 << 21
"""Numbers in a parameter on a CPU, and in all of them, up to which a call costs more than a copy: those of one shape
are then stacked."""

_foreach_norm: Any = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage]


class Gradients:
    """The gradient norms of one step, read before the optimizer's step or after it, whichever comes first."""

    def __init__(self, live: Live):
        self.adapters, self._live = live.adapters, live
        self._parameters: tuple[Resolved, Parameters] | None = None
        self._read: Deferred[Readings] | None = None
        self._unclipped: Deferred[BoolArray] | None = None

    @property
    def latest(self) -> Deferred[Readings]:
        """What ``read`` gave."""
        return self._read or NOTHING

    def see_unclipped(self) -> None:
        """They are about to be clipped, which may spread one NaN to all: see where they are finite before that."""
        self._unclipped = sound_gradients(self._now())

    def read(self) -> Deferred[Readings]:
        """Read them now, for the coming ``begin`` as well. See ``gradient_norms``."""
        self._read = NOTHING  # where it fails: other ranks, which have read theirs, do not come a second time
        self._read = gradient_norms(self._now(), self._unclipped)
        return self._read

    def keep(self, readings: Readings) -> None:
        """What ``read`` has led to: it need not be copied to the host a second time."""
        self._read = ready(readings)

    def begin(self, due: Due) -> Deferred[Readings]:
        read, self._read = self._read, None
        unclipped, self._unclipped = self._unclipped, None
        if not due.trained:
            return NOTHING
        return read or gradient_norms(self._now(), unclipped)

    def _now(self) -> Parameters:
        now = self._live.now
        if self._parameters is None or self._parameters[0] is not now:
            self._parameters = now, Parameters(now.parameters)
        return self._parameters[1]


def overflow(metrics: Readings) -> bool:
    """Whether some gradient is not finite."""
    return any((reading.known & ~np.isfinite(reading.values)).any() for reading in _norms_in(metrics))


def any_seen(metrics: Readings) -> bool:
    """Whether some adapter has a gradient."""
    return any(reading.known.any() for reading in _norms_in(metrics))


def _norms_in(metrics: Readings) -> list[Reading]:
    return [metrics[name] for name in NAMES if name in metrics]


class Parameters:
    """The parameters of some adapters, with those side by side whose gradients are read by one operation.

    Those that are not whole in this process are left out, unless they are DTensors.
    """

    def __init__(self, parameters: Sequence[tuple[nn.Parameter, nn.Parameter]]):
        self.shape = len(NAMES), len(parameters)
        found = [(p, row, i) for i, own in enumerate(parameters) for row, p in enumerate(own)]
        found = [item for item in found if sharded(item[0]) or whole(item[0])]
        spread = any(is_far(p.device) or p.device.type != "cpu" or sharded(p) for p, *_ in found)
        sizes = [p.numel() for p, *_ in found]
        stacked = not spread and max(sizes, default=0) <= SMALL and sum(sizes) <= ALL_SMALL

        def kind(item: tuple[nn.Parameter, int, int]) -> tuple[Any, ...]:
            return str(item[0].device), str(item[0].dtype), sharded(item[0]), tuple(item[0].shape) if stacked else ()

        self.kinds: list[Kind] = []
        for _, members in groupby(sorted(found, key=kind), kind):
            own, rows, columns = zip(*members)
            self.kinds.append(Kind(list(own), np.array((rows, columns)), stacked, sharded(own[0])))


class Kind(NamedTuple):
    """Parameters of one kind."""

    parameters: list[nn.Parameter]
    places: NDArray[np.intp]
    """``[2, n]``: row and column of each in what is measured."""
    stacked: bool
    """They are of one shape, on a CPU, and few."""
    sharded: bool

    def read(self) -> tuple[list[Tensor], NDArray[np.intp]]:
        """The gradients that are there, and their places."""
        grads = [parameter.grad for parameter in self.parameters]
        there = [grad for grad in grads if grad is not None]
        if len(there) == len(grads):
            return there, self.places
        return there, self.places[:, [grad is not None for grad in grads]]

    def norms(self, grads: list[Tensor], order: float = 2.0) -> Tensor:
        """``[len(grads)]``. Squares are added in float64, so that they neither vanish nor overflow. Of DTensors every
        rank adds its own to those of the others: a collective."""
        if self.sharded:
            return dtensor.norms(grads)
        if self.stacked:
            return torch.linalg.vector_norm(torch.stack(grads).flatten(1), order, dim=1, dtype=torch.float64)
        grads = [with_float64(grad) for grad in grads]
        return torch.stack(_foreach_norm(grads, order, dtype=torch.float64 if order == 2 else None))


@torch.no_grad()
def gradient_norms(parameters: Parameters, unclipped: Deferred[BoolArray] | None = None) -> Deferred[Readings]:
    """``a_grad_norm`` and ``b_grad_norm``, known where there is a gradient.

    A factor without a gradient (frozen, or gradients kept elsewhere as DeepSpeed does) is NaN, and so is one of whose
    gradient a part is here (FSDP1). A collective where gradients are DTensors. Two operations for each
    device and dtype that holds adapters, however many they are (on a CPU, where they are small, for each shape);
    nothing waits.

    ``unclipped``: ``sound_gradients`` of before clipping; a norm that clipping alone has made non-finite is then no
    measurement.
    """
    there = np.zeros(parameters.shape, dtype=bool)
    norms: list[Tensor] = []
    places: list[tuple[NDArray[np.intp], ...]] = []
    for kind in parameters.kinds:
        grads, where = kind.read()
        if grads:
            norms.append(kind.norms(grads))
            places.append(tuple(where))
            there[places[-1]] = True

    def finish(values: Sequence[FloatArray]) -> Readings:
        out = np.full(parameters.shape, np.nan)
        for where, numbers in zip(places, values):
            out[where] = numbers
        known = there
        if unclipped is not None and not np.isfinite(out[there]).all():
            sound = unclipped.finish(values[len(places) :])
            if not sound.all():  # else they became so after clipping
                known = there & ~(sound & ~np.isfinite(out))
        return {name: Reading(*pair) for name, *pair in zip(NAMES, out, known)}

    return Deferred([*norms, *(unclipped.tensors if unclipped is not None else ())], finish)


@torch.no_grad()
def sound_gradients(parameters: Parameters) -> Deferred[BoolArray]:
    """Whether each adapter's gradients are finite, ``[n_adapters]``. Of sharded ones nothing is read: they are. It is
    seldom asked. Small ones on a CPU are copied, which takes less than looking, and looked at then."""
    read = [(kind, *kind.read()) for kind in parameters.kinds if not kind.sharded]
    read = [item for item in read if item[1]]
    copies = [(torch.stack(grads), where) for kind, grads, where in read if kind.stacked]
    norms = [(kind.norms(grads, torch.inf), where) for kind, grads, where in read if not kind.stacked]

    def finish(values: Sequence[FloatArray]) -> BoolArray:
        looked_at = [torch.isfinite(copy).flatten(1).all(1).numpy() for copy, _ in copies]
        known = [*looked_at, *map(np.isfinite, values)]
        sound = np.ones(parameters.shape[1], dtype=bool)
        for (_, where), finite in zip([*copies, *norms], known):
            sound[where[1][~finite]] = False
        return sound

    return Deferred([norm for norm, _ in norms], finish)
