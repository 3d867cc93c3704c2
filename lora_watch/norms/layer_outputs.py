"""‖B·A·x‖ and ‖W₀·x‖ of many layers at once, from rows that are copied of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lora_watch.adapters import Adapter, DenseAdapter
from lora_watch.deferred import is_far

_GOLDEN = 0.6180339887498949


class Part(NamedTuple):
    """What one adapter adds to its layer's output, as far as it is known before the layer is called."""

    a: Tensor | None
    """``[r, d_in]``; None where rows are kept of h = A·x and not of x."""
    b: Tensor | None
    """``[d_out, r]``; None where there is none."""
    middle: Tensor | None
    """``[r]``: what lies between B and A."""
    kind: tuple[Any, ...]

    @classmethod
    def of(cls, a: Tensor | None, b: Tensor | None, middle: Tensor | None = None) -> Part:
        kind = (None if t is None else (t.dtype, t.shape) for t in (a, b, middle))
        return cls(a, b, middle, tuple(kind))


NOT_FACTORED = Part.of(None, None)


class Kept(NamedTuple):
    """Rows of one layer in a forward pass, on its device: copies, for what they are of may be written to."""

    adapter: int
    """Its place among all of them."""
    scale: float
    part: Part
    x: Tensor
    """``[rows, d_in]``; where ``part`` has no A, h = A·x itself, ``[r, rows]``."""
    y: Tensor
    """The layer's own answer W₀·x, ``[rows, d_out]``."""
    bias: Tensor | None
    weight: Tensor | None
    """``[rows]``: False for padding. The same object for layers that are to be taken together."""

    @property
    def bytes(self) -> int:
        return self.x.nbytes + self.y.nbytes

    @property
    def kind(self) -> tuple[Any, ...]:
        """Those of one kind are measured together."""
        _, _, part, x, y, bias, weight = self
        return part.kind, x.dtype, x.shape, x.device, y.shape, bias is None, id(weight)


class Sampled:
    """Which rows of its inputs and outputs are kept of a layer, and which of these count.

    Args:
        tokens: how many, evenly spaced.
        step: shifts them, so that over steps every position is sampled alike.
        mask: ``[batch, length]``, 0 for padding; None where none is known to be.
    """

    def __init__(self, tokens: int, step: int, mask: Any = None):
        self._tokens, self._phase = tokens, (step * _GOLDEN) % 1.0
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        self._of: dict[int, tuple[slice | None, Tensor | None]] = {}

    def of(self, count: int) -> tuple[slice | None, Tensor | None]:
        """Which of ``count`` rows, None for all of them; and their weights, 0 for padding, None where there is none."""
        if count not in self._of:
            stride = max(1, count // self._tokens)
            first = int(self._phase * stride)
            rows = slice(first, first + stride * self._tokens, stride)
            weight = None
            if self._mask is not None and self._mask.numel() == count:
                weight = self._mask.reshape(-1)[rows] != 0
                # Asking an accelerator whether all are ones would wait for it.
                weight = None if weight.device.type == "cpu" and bool(weight.all()) else weight
            self._of[count] = (None if count <= self._tokens else rows), weight
        return self._of[count]

    def keep(self, index: int, adapter: Adapter | DenseAdapter, part: Part, layer: Any, x: Tensor, y: Tensor) -> Kept:
        """Copy what is sampled. ``index``: the adapter's place; ``part``: what it adds to the output y of ``layer``."""
        embedding = adapter.kind == "Embedding"
        sample, weight = self.of(x.numel() if embedding else x.numel() // x.shape[-1])
        if embedding or part.a is None:
            rows, part = _inside(adapter, part, x, sample), part._replace(a=None)
        else:
            rows = _rows(x, sample)
        # HQQ's bias is no parameter
        return Kept(index, adapter.scale, part, rows, _rows(y, sample), getattr(layer, "bias", None), weight)


def _rows(x: Tensor, sample: slice | None) -> Tensor:
    """A copy of the sampled rows of x ``[…, d]``: ``[rows, d]``."""
    rows = x.detach()
    if rows.dim() != 2:
        rows = rows.reshape(-1, x.shape[-1])
    return (rows if sample is None else rows[sample]).clone()


@torch.no_grad()
def _inside(adapter: Adapter | DenseAdapter, part: Part, x: Tensor, sample: slice | None) -> Tensor:
    """h = A·x of the sampled rows, ``[r, rows]``; where there is no A, ‖ΔW·x‖, ``[1, rows]``."""
    with _as_written(x.device):
        if isinstance(adapter, DenseAdapter):
            (delta,) = adapter.delta_matrices()
            a = _wide(delta)
        else:
            a = _wide(_present(part.a))
        if adapter.kind == "Embedding":
            ids = x.reshape(-1)
            h = F.embedding(ids if sample is None else ids[sample], a.t()).t()
        else:
            h = a @ _rows(x, sample).to(a.dtype).t()
        return torch.linalg.vector_norm(h, dim=0, keepdim=True) if part.b is None else h


@torch.no_grad()
def squares_and_norms(kept: Sequence[Kept]) -> Tensor:
    """‖B·diag(middle)·A·x‖² and ‖W₀·x‖ of each, over its rows: ``[2, n]``. All are of one kind.

    With h = A·x the first is tr(BᵀB·h·hᵀ): nothing as wide as the layer is made of it. On a CPU products with x are in
    single precision, of float64 factors in double; all else is in float64 (which MPS has not), and everything is on an
    accelerator, where TF32 may be on whatever we say.
    """
    first = kept[0]
    with _as_written(first.y.device):
        if first.part.a is None:
            inside = _stack([k.x for k in kept])
        else:
            a = _wide(_stack([_present(k.part.a) for k in kept]))
            inside = a @ _stack([k.x for k in kept]).to(a.dtype).mT
        y = _stack([k.y for k in kept]).to(inside.dtype)
        if first.bias is not None:
            y = y - _stack([_present(k.bias) for k in kept]).to(y.dtype).unsqueeze(1)
        inside, own = _precise(inside), _precise(torch.linalg.vector_norm(y, dim=2))
        if (weight := first.weight) is not None:
            inside, own = inside * weight, own * weight
        squares = inside @ inside.mT
        if first.part.b is not None:
            squares = squares * _grams(kept)
        return torch.stack((squares.sum((1, 2)), torch.linalg.vector_norm(own, dim=1)))


def _grams(kept: Sequence[Kept]) -> Tensor:
    """diag(middle)·BᵀB·diag(middle), ``[n, r, r]``."""
    b = _precise(_stack([_present(k.part.b) for k in kept]))
    if kept[0].part.middle is not None:
        b = b * _precise(_stack([_present(k.part.middle).flatten() for k in kept])).unsqueeze(1)
    return b.mT @ b


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """Of one, no copy."""
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0].unsqueeze(0)


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None  # as of the first of its kind
    return tensor.detach()


def _precise(x: Tensor) -> Tensor:
    """In float64, which MPS has not."""
    return x.float() if x.device.type == "mps" else x.double()


def _wide(factor: Tensor) -> Tensor:
    """In float64 on an accelerator; else in single precision at least."""
    if is_far(factor.device):
        return factor.double()
    return factor.float() if factor.dtype in (torch.float16, torch.bfloat16) else factor


def _as_written(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast would compute our products in half precision."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()
