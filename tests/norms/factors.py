"""Adapters made of bare tensors, and the truth about them by explicit products in float64."""

from collections.abc import Sequence

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
