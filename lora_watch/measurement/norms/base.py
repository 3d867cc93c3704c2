"""How large the frozen weights are: ‖W₀‖_F and σ₁(W₀), once, without a second copy of the model."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lora_watch.adapters import Adapter
from lora_watch.adapters.sharding import zero
from lora_watch.base.deferred import with_float64
from lora_watch.base.records import FloatArray, Reading, Readings

_PIECE = 8 << 20
"""Bytes of float64 to which the rows of a weight are converted at a time."""

_TOLERANCE = 1e-7
"""Estimated relative error of σ₁ at which the iteration stops."""

_NARROW = 128
"""Columns up to which all eigenvalues of WᵀW take less time than the iteration."""


@dataclass(frozen=True)
class BaseNorms:
    """Float64 ``[n_adapters]``. NaN where a weight is unknown or holds a NaN or infinity."""

    norm: FloatArray
    """‖W₀‖_F."""
    spectral_norm: FloatArray
    """σ₁(W₀)."""

    def relative(self, readings: Readings) -> Readings:
        """``relative_norm`` and ``relative_spectral_norm`` of what was read; unknown where a weight is, or is zero."""
        sizes = {"norm": ("delta_norm", self.norm), "spectral_norm": ("spectral_norm", self.spectral_norm)}
        return {
            f"relative_{name}": Reading(relative(there.values, size), there.known & (size > 0))
            for name, (of, size) in sizes.items()
            if (there := readings.get(of)) is not None
        }


def relative(change: FloatArray, size: FloatArray) -> FloatArray:
    """``change / size`` for norms of changes and of the weights they change; NaN where a weight is unknown or zero."""
    return np.divide(change, size, out=np.full(len(size), np.nan), where=size > 0)


@torch.no_grad()
def base_norms(adapters: Sequence[Adapter]) -> BaseNorms:
    """``BaseNorms`` of the weights under ``adapters``; a weight that several adapters share is read once.

    Both norms are good to 1e-7, relative, and reproducible. Takes about 20 to 100 products of a large weight with a
    vector. Extra memory: 16 MiB, the vectors, and of quantised weights one at a time as numbers.
    """
    out = np.full((2, len(adapters)), np.nan)
    seen: dict[object, tuple[float, float]] = {}
    for i, adapter in enumerate(adapters):
        layer = adapter.base_layer
        with zero.gathered([] if layer is None else list(layer.parameters(recurse=False))):
            norms = _block_norms(adapter, seen)
        if norms:
            out[:, i] = np.sqrt(sum(norm**2 for norm, _ in norms)), np.max([top for _, top in norms])
    return BaseNorms(*out)


def _block_norms(adapter: Adapter, seen: dict[object, tuple[float, float]]) -> list[tuple[float, float]]:
    """``matrix_norms`` of each block of W₀; none where it is unknown. ``seen`` remembers them."""
    if (weight := adapter.base_weight) is None:
        layer = adapter.base_layer
        if layer not in seen and (weight := dequantised(layer)) is not None:
            seen[layer] = matrix_norms(weight)
        return [seen[layer]] if layer in seen else []
    norms = []
    for place, block in enumerate(adapter.base_matrices()):
        key = weight, place  # not the block's address: that of a gathered copy is soon another's
        if key not in seen:
            seen[key] = matrix_norms(block.detach())
        norms.append(seen[key])
    return norms


@torch.no_grad()
def matrix_norms(weight: Tensor) -> tuple[float, float]:
    """‖W‖_F and σ₁(W) of a matrix of any floating-point dtype, layout and device; (NaN, NaN) if it is not finite.

    σ₁ is ‖W·v‖ in float64 for the v of ``_top_right_vector``, unless W is narrow: off by the square of v's error only.
    """
    weight = with_float64(weight)
    if weight.stride(0) < weight.stride(1):
        weight = weight.T  # rows are what is read together
    norm = frobenius_norm(weight)
    if norm == 0 or not math.isfinite(norm):
        return (0.0, 0.0) if norm == 0 else (math.nan, math.nan)
    if weight.shape[1] <= _NARROW:
        grams = [(unit := piece / norm).T @ unit for piece in _pieces(weight, torch.float64)]
        return norm, norm * float(np.linalg.eigvalsh(sum(grams[1:], grams[0]).cpu())[-1]) ** 0.5
    v = _top_right_vector(weight, norm)
    image = torch.cat([piece @ v for piece in _pieces(weight, torch.float64)])
    return norm, float(torch.linalg.vector_norm(image))


@torch.no_grad()
def frobenius_norm(weight: Tensor) -> float:
    """‖W‖_F of a matrix of any floating-point dtype, in float64; NaN or infinite if W is."""
    pieces = _pieces(with_float64(weight), torch.float64)
    return sum(float(torch.linalg.vector_norm(piece)) ** 2 for piece in pieces) ** 0.5


def _top_right_vector(weight: Tensor, norm: float) -> Tensor:
    """The right singular vector of σ₁, ``[d_in]`` float64: the Lanczos iteration for WᵀW, fully reorthogonalised.

    WᵀW·P = P·T with orthonormal columns and T tridiagonal (Lanczos 1950): σ₁² is approached by the largest eigenvalue
    of T. Stops when min(ρ, ρ²/gap) ≤ 2·``_TOLERANCE``·σ₁², where ρ is the residual and gap the distance to T's second
    eigenvalue. Products with W are in float32 (float64 for a float64 W, and where float32 would overflow). ``norm``,
    ‖W‖_F, is divided by, so that squares neither vanish nor overflow.
    """
    columns = weight.shape[1]
    kind = torch.float32 if weight.dtype != torch.float64 and 1e-30 < norm < 1e38 else torch.float64
    start = np.random.default_rng(0).standard_normal(columns)  # a generator of its own
    v = torch.from_numpy(start).to(weight.device)
    basis = [v / v.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        v, count = basis[-1].to(kind), len(basis)
        image = torch.zeros_like(basis[0])
        for piece in _pieces(weight, kind):
            image += (piece.T @ ((piece @ v) / norm)).double() / norm
        diagonal.append(float(basis[-1] @ image))
        beside.append(_orthonormalise(image, torch.stack(basis)))
        last = beside[-1] == 0 or count == columns
        if last or count % 4 == 0:
            values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], -1))  # of the lower half
            residual = beside[-1] * abs(vectors[-1, -1])
            gap = values[-1] - values[-2] if count > 1 else 0.0
            error = residual**2 / gap if gap > residual else residual
            if last or error <= 2 * _TOLERANCE * values[-1]:
                return torch.stack(basis, 1) @ torch.from_numpy(vectors[:, -1]).to(weight.device)
        basis.append(image)


def _orthonormalise(x: Tensor, basis: Tensor) -> float:
    """Makes x, in place, orthogonal to the rows of ``basis`` and of length one; its length before, 0 if nothing was
    left."""
    scale = float(x.norm())
    for _ in range(2):  # twice is enough (Kahan; Parlett 1980)
        x -= basis.T @ (basis @ x)
    length = float(x.norm())
    if length <= 1e-14 * scale:
        return 0.0
    x /= length
    return length


def _pieces(weight: Tensor, kind: torch.dtype) -> Iterator[Tensor]:
    """Rows of W as ``kind``: all at once where nothing is to be converted."""
    step = len(weight) if weight.dtype == kind else max(_PIECE // (8 * weight.shape[1]), 1)
    return (piece.to(kind) for piece in weight.split(step))


def dequantised(layer: nn.Module | None) -> Tensor | None:
    """The numbers a quantised ``layer`` computes with (bitsandbytes' 8 and 4 bits, HQQ, torchao): a new matrix,
    ``[d_out, d_in]``. None where it is not quantised, in another way, or sharded away."""
    weight: Any = getattr(layer, "weight", None)
    if (state := getattr(weight, "quant_state", None)) is not None:
        # On a CPU with AVX512-BF16 an evaluation reshuffles the numbers and rounds their scales.
        repacked = getattr(state, "packing_format_for_cpu", False)
        if repacked or 2 * weight.data.nbytes < math.prod(state.shape):
            return None
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(weight.data, state)
    # bitsandbytes' largest magnitude of each row; it moves from the weight to the layer in the first forward pass.
    scales = (getattr(of, "SCB", None) for of in (weight, getattr(layer, "state", None)))
    scale = next((scale for scale in scales if scale is not None), None)
    if scale is not None and weight.dtype == torch.int8 and weight.ndim == 2 and len(weight) == scale.numel():
        return weight.data.float().mul_(scale.view(-1, 1) / 127)
    if hasattr(layer, "W_q"):  # HQQ
        return layer.dequantize()  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    if type(weight).__module__.startswith("torchao."):
        return weight.dequantize()
    return None
