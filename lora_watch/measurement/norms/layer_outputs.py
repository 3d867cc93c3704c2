"""‖B·A·x‖ and ‖W₀·x‖ of many layers at once, from rows that are copied of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lora_watch.adapters import Adapter
from lora_watch.base.deferred import has_float64, is_far

_GOLDEN = 0.6180339887498949

_KINDS: dict[tuple[Any, ...], int] = {}
"""A number for each dtype, shape and device of the factors that there have been, for it is compared in every layer."""


class Part(NamedTuple):
    """What one adapter adds to its layer's output, as far as it is known before the layer is called. All detached."""

    a: Tensor | None
    """``[r, d_in]``; None where rows are kept of h = A·x and not of x."""
    b: Tensor
    """``[d_out, r]``."""
    diagonal: Tensor | None
    """``[r]``: what lies between B and A."""
    kind: int
    """Those of one kind can be measured together."""

    @classmethod
    def of(cls, a: Tensor, b: Tensor, diagonal: Tensor | None = None) -> Part:
        a, b, diagonal = a.detach(), b.detach(), None if diagonal is None else diagonal.detach()
        alike = tuple(None if t is None else (t.dtype, t.shape, t.device) for t in (a, b, diagonal))
        return cls(a, b, diagonal, _KINDS.setdefault(alike, len(_KINDS)))


class Rows:
    """Rows of layers of one kind in a forward pass, on their device: copies, for what they are of may be written to."""

    def __init__(self, weight: Tensor | None):
        self.weight = weight
        """``[rows]``: False for padding."""
        self.adapters: list[int] = []
        """Their places among all of them."""
        self.scales: list[float] = []
        self.parts: list[Part] = []
        self.x: list[Tensor] = []
        """``[rows, d_in]``; where the parts have no A, h = A·x itself, ``[r, rows]``."""
        self.y: list[Tensor] = []
        """The layers' own answers W₀·x, ``[rows, d_out]``."""
        self.bias: list[Tensor] = []
        """``[d_out]`` each; empty where they have none."""


class Sampled:
    """Which rows of its inputs and outputs are kept of a layer, and which of these count.

    Args:
        tokens: how many at most, evenly spaced, and more than half as many where there are so many.
        step: shifts them, so that over steps every position is sampled alike.
        mask: ``[batch, length]``, 0 for padding; None where none is known to be.
    """

    def __init__(self, tokens: int, step: int, mask: Any = None):
        self._tokens, self._phase = tokens, (step * _GOLDEN) % 1.0
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        self._of: dict[int, tuple[slice | None, Tensor | None]] = {}

    def of(self, count: int) -> tuple[slice | None, Tensor | None]:
        """Which of ``count`` rows, None for all of them; and their weights, 0 for padding, None where there is none."""
        stride = max(1, -(-count // self._tokens))
        rows = slice(int(self._phase * stride), None, stride)  # from end to end: answers stand at the end
        weight = None
        if self._mask is not None and self._mask.numel() == count:
            weight = self._mask.reshape(-1)[rows] != 0
            # Asking an accelerator whether all are ones would wait for it.
            weight = None if weight.device.type == "cpu" and bool(weight.all()) else weight
        return (None if count <= self._tokens else rows), weight

    def keep(self, kept: dict[Any, Rows], index: int, adapter: Adapter, part: Part, layer: Any, x: Any, y: Any) -> int:
        """Copy what is sampled to ``kept``, by its kind; how many bytes that are.

        ``part`` is what the adapter at the place ``index`` adds to the output ``y`` of the frozen ``layer`` for its
        input ``x``. The layer's bias is not counted. ``kept`` is made of this sample alone.
        """
        embedding = adapter.kind == "Embedding"
        count = x.numel() if embedding else x.numel() // x.shape[-1]
        if (found := self._of.get(count)) is None:
            found = self._of[count] = self.of(count)
        sample, weight = found
        if embedding:
            rows, part = _inside(part, x, sample), part._replace(a=None, kind=-1 - part.kind)
        else:
            rows = _rows(x, sample)
        own = _rows(y, sample)
        bias = getattr(layer, "bias", None) if (b := layer._parameters.get("bias")) is None else b  # HQQ's is none
        kind = part.kind, count, bias is None, own.shape[-1], own.dtype, own.device
        if (same := kept.get(kind)) is None:
            same = kept[kind] = Rows(weight)
        same.adapters.append(index)
        same.scales.append(adapter.scale)
        same.parts.append(part)
        same.x.append(rows)
        same.y.append(own)
        if bias is not None:
            same.bias.append(bias)
        return rows.nbytes + own.nbytes


def _rows(x: Tensor, sample: slice | None) -> Tensor:
    """A copy of the sampled rows of x ``[…, d]``: ``[rows, d]``."""
    rows = x.detach()
    if rows.dim() != 2:
        rows = rows.reshape(-1, x.shape[-1])
    return (rows if sample is None else rows[sample]).clone()


@torch.no_grad()
def _inside(part: Part, x: Tensor, sample: slice | None) -> Tensor:
    """h = A·x of an embedding's sampled rows, ``[r, rows]``."""
    assert part.a is not None
    with _as_written(x.device):
        ids = x.reshape(-1)
        return F.embedding(ids if sample is None else ids[sample], _wide(part.a).t()).t()


@torch.no_grad()
def squares_and_norms(kept: Rows) -> Tensor:
    """‖B·diag(diagonal)·A·x‖² and ‖W₀·x‖ of each, over its rows: ``[2, n]``.

    With h = A·x the first is tr(BᵀB·h·hᵀ): nothing as wide as the layer is made of it. On a CPU products with x are in
    single precision, of float64 factors in double; all else is in float64 (where there is one), and everything is on an
    accelerator, where TF32 may be on whatever we say.
    """
    parts, (a, _, diagonal, _) = kept.parts, kept.parts[0]
    with _as_written(kept.y[0].device):
        inside = _stack(kept.x)
        if a is not None:
            wide = _wide(_stack([part.a for part in parts]))
            inside = wide @ inside.to(wide.dtype).mT
        y = _stack(kept.y).to(inside.dtype)
        if kept.bias:
            y = y - _stack([bias.detach().unsqueeze(0) for bias in kept.bias]).to(y.dtype)
        inside, own = _precise(inside), _precise(torch.linalg.vector_norm(y, dim=2))
        if kept.weight is not None:
            inside, own = inside * kept.weight, own * kept.weight
        squares = inside @ inside.mT
        factor = _precise(_stack([part.b for part in parts]))
        if diagonal is not None:
            factor = factor * _precise(_stack([p.diagonal.reshape(1, -1) for p in parts if p.diagonal is not None]))
        squares = squares * (factor.mT @ factor)
        return torch.stack((squares.sum((1, 2)), torch.linalg.vector_norm(own, dim=1)))


def _stack(matrices: Sequence[Tensor | None]) -> Tensor:
    """``[n, rows, columns]``; of one, no copy."""
    there = [matrix for matrix in matrices if matrix is not None]
    return torch.stack(there) if len(there) > 1 else there[0].unsqueeze(0)


def _precise(x: Tensor) -> Tensor:
    """In float64 where there is one."""
    return x.double() if has_float64(x.device) else x.float()


def _wide(factor: Tensor) -> Tensor:
    """In float64 on an accelerator; else in single precision at least."""
    if is_far(factor.device):
        return factor.double()
    return factor.float() if factor.dtype in (torch.float16, torch.bfloat16) else factor


def _as_written(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast would compute our products in half precision."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()
