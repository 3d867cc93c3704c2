"""Adapters made of bare tensors, and the truth about them by explicit products in float64."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lora_watch.adapters.adapter import Adapter, Factors


class Bare(Adapter):
    """An adapter that is nothing but its factors."""

    name, kind, module = "bare", "Linear", nn.Identity()
    alpha, active, merged, base_layer, variant, scale_formula = None, True, False, None, "lora", "set by hand"
    scale, diagonal = 1.0, None

    def __init__(
        self,
        *blocks: tuple[Tensor, Tensor],
        scale: float = 1.0,
        diagonal: Tensor | None = None,
        base: Sequence[Tensor] = (),
    ):
        self._blocks = [Factors(a, b) for a, b in blocks]
        self._base = list(base)
        self.scale, self.diagonal = scale, diagonal

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        raise AssertionError("norms read blocks")

    @property
    def r(self) -> int:
        return self._blocks[0].a.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        raise AssertionError("norms read blocks")

    def factors(self) -> Sequence[Factors]:
        return self._blocks

    @property
    def base_weight(self) -> Tensor | None:
        return self._base[0] if self._base else None

    def base_matrices(self) -> Sequence[Tensor]:
        return self._base


def pair(d_out: int, d_in: int, r: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Random ``a`` and ``b`` whose product has singular values over two decades."""
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(r, d_in, generator=g)
    b = torch.randn(d_out, r, generator=g) * torch.logspace(0, -2, r)
    return a.to(dtype), b.to(dtype)


def truth(adapter: Adapter) -> dict[str, float]:
    """Every metric from the singular values of the explicit products, scaled so that nothing leaves float64."""
    sigmas, a2, b2 = [], 0.0, 0.0
    for block in adapter.factors():
        a, b = (factor.detach().double().numpy() for factor in block)
        top_a, top_b = (max(np.abs(x).max(), np.finfo(float).tiny) for x in (a, b))
        m = np.ones(len(a)) if adapter.diagonal is None else adapter.diagonal.detach().double().numpy()
        unit = np.linalg.svd((b / top_b * m) @ (a / top_a), compute_uv=False)[: len(a)]  # the rest is rounding
        sigmas.append(unit * top_a * top_b)
        a2, b2 = a2 + (np.linalg.norm(a / top_a) * top_a) ** 2, b2 + (np.linalg.norm(b / top_b) * top_b) ** 2
    sigma, s = np.concatenate(sigmas), abs(adapter.scale)
    top = sigma.max()
    unit = sigma / top if top > 0 else sigma
    nothing = top == 0 or s == 0
    p = unit[unit > 0] / max(unit.sum(), 1e-300)
    norm = np.linalg.norm(unit) * top
    return {
        "scale": adapter.scale,
        "product_norm": norm,
        "delta_norm": s * norm,
        "spectral_norm": s * top,
        "stable_rank": 0.0 if nothing else (unit**2).sum(),
        "effective_rank": 0.0 if nothing else np.exp(-(p * np.log(p)).sum()),
        "a_norm": np.sqrt(a2),
        "b_norm": np.sqrt(b2),
    }
