"""From the Grams of A and B to the norms and singular values of B·diag(diagonal)·A, in float64 on the host.

With AAᵀ = L·Lᵀ (Cholesky), the squared singular values of B·A are the eigenvalues of the r × r matrix Lᵀ·BᵀB·L, and
‖B·A‖_F² = Σᵢⱼ (AAᵀ)ᵢⱼ(BᵀB)ᵢⱼ. Squaring costs half of the digits: a singular value below 1e-8·‖A‖‖B‖ is lost.
What that does to each number is estimated here, and where it might be seen the block is redone from its factors.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from lora_watch.adapters.adapter import Factors
from lora_watch.base.records import BoolArray, FloatArray

A2, B2, F2, TOP, SUM, SUM_LOG = range(6)
"""Columns of what is known of a block: ‖A‖_F², ‖B‖_F², ‖B·diag(diagonal)·A‖_F², σ₁, Σσ and Σσ·ln σ.

For a change made of several blocks all of them add but ``TOP``, which is a maximum. The entropy of the union is
ln Σσ − Σσ·ln σ / Σσ.
"""

NOISE = 4 * np.finfo(np.float64).eps
"""Error of a squared singular value in units of ‖A‖_F²‖B‖_F²: rounding of Grams, Cholesky and eigenvalues together."""

_TINY, _HUGE = 1e-250, 1e250
"""‖A‖²‖B‖² of which sums of products are neither lost nor infinite."""

TOLERANCE = 1e-7
"""Relative error of any metric above which a block is redone: a tenth of what is promised."""


def solve(
    gram_a: FloatArray,
    gram_b: FloatArray,
    diagonal: FloatArray | None,
    rank_limit: NDArray[np.int64],
    spectrum: bool = True,
) -> tuple[FloatArray, BoolArray]:
    """Rows ``[n, 6]`` (see ``A2`` …) for n blocks of rank r, and which of them need ``solve_precisely``.

    Args:
        gram_a: A·Aᵀ, ``[n, r, r]``.
        gram_b: Bᵀ·B, ``[n, r, r]``.
        diagonal: the diagonals between B and A, ``[n, r]``, or None.
        rank_limit: ``[n]``, the smaller side of each product: more singular values than that are zero.
        spectrum: without it the columns from ``TOP`` on may be zero.

    A block with a number in it that is not finite is a row of NaN, and disturbs no other.
    """
    if not spectrum and diagonal is None and (norms := _norms(gram_a, gram_b)) is not None:
        return norms
    rows = np.zeros((len(gram_a), 6))
    rows[:, A2], rows[:, B2] = np.trace(gram_a, axis1=1, axis2=2), np.trace(gram_b, axis1=1, axis2=2)
    if diagonal is not None:
        gram_a = diagonal[:, :, None] * gram_a * diagonal[:, None, :]
    square_a, square_b = (np.diagonal(gram, axis1=1, axis2=2) for gram in (gram_a, gram_b))
    finite = np.isfinite(rows.sum(1) + square_a.sum(1))
    # A direction in which one factor is zero adds nothing, however large the other one is: pruned and padded ranks.
    live = (square_a > 0) & (square_b > 0) & finite[:, None]
    both = live[:, :, None] & live[:, None, :]
    size_a, size_b = (np.sqrt(np.where(live, square, 0.0).sum(1)) for square in (square_a, square_b))
    size = size_a * size_b
    unit_a, unit_b = (
        np.where(both, gram / np.where(length > 0, length * length, 1.0)[:, None, None], 0.0)
        for gram, length in ((gram_a, size_a), (gram_b, size_b))
    )
    cosine2 = np.maximum(np.einsum("nij,nij->n", unit_a, unit_b), 0.0)  # (‖B·A‖ / ‖A‖‖B‖)²
    rows[:, F2] = cosine2 * size**2
    rank = np.minimum(live.sum(1), rank_limit)
    sigma = _singular_values(unit_a, unit_b, live, rank)
    rows[:, TOP:] = _summary(sigma * size[:, None])
    doubtful = _spectral_error(sigma, rank) > TOLERANCE
    rows[~finite] = np.nan
    return rows, doubtful & (size > 0)


def _norms(gram_a: FloatArray, gram_b: FloatArray) -> tuple[FloatArray, BoolArray] | None:
    """What ``solve`` gives without a spectrum, in a third of the time; None where numbers are not all ordinary."""
    square_a, square_b = (np.diagonal(gram, axis1=1, axis2=2) for gram in (gram_a, gram_b))
    rows = np.zeros((len(gram_a), 6))
    rows[:, A2], rows[:, B2] = square_a.sum(1), square_b.sum(1)
    size2 = rows[:, A2] * rows[:, B2]
    if not (square_a.all() and square_b.all() and size2.min(initial=1.0) > _TINY and size2.max(initial=1.0) < _HUGE):
        return None  # a direction that adds nothing, NaN, infinity, or what products of two squares cannot hold
    np.maximum(np.einsum("nij,nij->n", gram_a, gram_b), 0.0, out=rows[:, F2])
    return rows, rows[:, F2] * TOLERANCE < NOISE / 2 * size2


def solve_precisely(block: Factors, diagonal: FloatArray | None, row: FloatArray) -> FloatArray:
    """The same ``[6]`` from ``singular_values``. ``row`` is what ``solve`` gave; it stands where the factors are no
    longer finite."""
    sigma = singular_values(block, diagonal)
    if np.isnan(sigma).any():
        return row
    return np.concatenate(([row[A2], row[B2], (sigma**2).sum()], _summary(sigma)))


def singular_values(block: Factors, diagonal: FloatArray | None = None) -> FloatArray:
    """Of B·diag(diagonal)·A, the largest first, ``[≤ r]``: from QR decompositions of the factors in float64, with an
    absolute error of a few eps·‖A‖‖B‖. NaN where a factor is not finite."""
    a, b = (factor.detach().cpu().double().numpy() for factor in block)  # not every device has float64
    if not np.isfinite(a.sum() + b.sum()):
        return np.full(len(a), np.nan)
    if diagonal is not None:
        a = diagonal[:, None] * a
    upper_a, upper_b = (torch.linalg.qr(torch.from_numpy(x), mode="r").R for x in (a.T, b))
    return np.asarray(np.linalg.svd((upper_b @ upper_a.T).numpy(), compute_uv=False), dtype=np.float64)


def _singular_values(unit_a: FloatArray, unit_b: FloatArray, live: BoolArray, rank: NDArray[np.int64]) -> FloatArray:
    """Ascending, ``[n, r]``, those beyond ``rank`` exactly zero; all zero where A's Gram is numerically singular."""
    r = live.shape[1]
    # Ones where nothing lives make the Cholesky factor of the rest come out unchanged.
    lower, info = torch.linalg.cholesky_ex(torch.from_numpy(unit_a + np.eye(r) * ~live[:, :, None]))
    factor = np.where(live[:, :, None] & (info.numpy() == 0)[:, None, None], lower.numpy(), 0.0)
    squares = np.linalg.eigvalsh(factor.transpose(0, 2, 1) @ unit_b @ factor)
    squares[np.arange(r) < r - rank[:, None]] = 0.0
    return np.sqrt(np.maximum(squares, 0.0))


def _summary(sigma: FloatArray) -> FloatArray:
    """σ₁, Σσ and Σσ·ln σ over the last axis, stacked along it."""
    logs = sigma * np.log(np.where(sigma > 0, sigma, 1.0))
    return np.stack((sigma.max(-1, initial=0.0), sigma.sum(-1), logs.sum(-1)), axis=-1)


def _spectral_error(sigma: FloatArray, rank: NDArray[np.int64]) -> FloatArray:
    """Estimated relative error of the worst metric, ``[n]``, from singular values in units of ‖A‖‖B‖.

    σ² is known to ``NOISE``, therefore σ to about noise/(σ + √noise). The stable rank (Σσ²/σ₁²) is off by 2·noise/σ₁²,
    more than any norm; the effective rank by Σ|∂H/∂σᵢ|·δσᵢ, where ∂H/∂σᵢ = −(ln pᵢ + H)/Σσ.
    """
    floor = np.sqrt(NOISE)
    total = np.maximum(sigma.sum(1), floor)
    share = np.maximum(sigma, floor) / total[:, None]
    log_share = np.log(share)
    entropy = -(share * log_share).sum(1)
    slope = np.abs(log_share + entropy[:, None]) / total[:, None]
    counted = np.arange(sigma.shape[1]) >= sigma.shape[1] - rank[:, None]
    effective_rank = (slope * NOISE / (sigma + floor) * counted).sum(1)
    stable_rank = 2 * NOISE / np.maximum(sigma[:, -1], floor) ** 2
    return np.maximum(effective_rank, stable_rank)
