"""Reads the LoRA layers of loralib, litgpt and torchtune by their attributes, without importing any of them.

Relied on: in loralib 0.1 and litgpt 0.5 the parameters ``lora_A`` and ``lora_B`` of the layer itself, ``r``,
``lora_alpha``, ``scaling``, ``merged``, ``enable_lora``, ``fan_in_fan_out``, and the frozen weight in the layer itself,
in its ``conv`` (loralib) or its ``linear`` (litgpt, with ``head_size``, ``n_head``, ``n_query_groups``); in torchtune
0.6 the layers ``lora_a`` and ``lora_b`` with ``rank``, ``alpha`` (DoRA: ``scaling``, ``magnitude``) and ``disabled``.
"""

import math
from collections.abc import Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.adapter import CONVOLUTIONS, Adapter, Factors, kind_of, plain_weight
from lora_watch.base.names import clean_name


def read_layer(path: str, module: nn.Module) -> list[Adapter]:
    """The adapter ``module`` is, as a list of one; empty when it is no LoRA layer of these libraries."""
    # Its own parameters and children only, since wrappers pass attribute look-ups on to what they wrap.
    parameters, children = module._parameters, module._modules
    if {"lora_A", "lora_B"} <= parameters.keys() and hasattr(module, "scaling") and hasattr(module, "lora_alpha"):
        return [(SplitAdapter if hasattr(module, "enable_lora") else LoralibAdapter)(path, module)]
    if {"lora_a", "lora_b"} <= children.keys() and (hasattr(module, "rank") or hasattr(module, "scaling")):
        return [TorchtuneAdapter(path, module)]
    return []


class OwnLayer(Adapter):
    """A layer that is a LoRA layer itself."""

    def __init__(self, path: str, module: nn.Module):
        self.module = module
        self._layer: Any = module
        self.name = clean_name(path)
        self.variant = "lora" if self.magnitude is None else "dora"

    @property
    def _frozen(self) -> Any:
        children = self.module._modules
        return children.get("linear") or children.get("conv") or self.module

    @property
    def active(self) -> bool:
        return not getattr(self._layer, "disabled", False)

    @property
    def scale(self) -> float:
        layer = self._layer
        return float(layer.scaling if hasattr(layer, "scaling") else layer.alpha / layer.rank)

    @property
    def scale_formula(self) -> str:
        return "alpha/r" if math.isclose(self.alpha / self.r, self.scale, rel_tol=1e-9) else "set by hand"

    @property
    def merged(self) -> bool:
        """False for what loralib merges in ``eval()``: ``train()`` undoes it, so that nothing is wrong with it."""
        return bool(getattr(self._layer, "merged", False)) and not getattr(self._layer, "merge_weights", False)

    @property
    def alpha(self) -> float:
        """torchtune's DoRALinear keeps only α/r: α is got back from it."""
        alpha = getattr(self._layer, "lora_alpha", getattr(self._layer, "alpha", None))
        return float(self._layer.scaling * self.r if alpha is None else alpha)

    @property
    def base_layer(self) -> nn.Module | None:
        """litgpt's ``linear``. None elsewhere: the layer is its own frozen layer."""
        return self.module._modules.get("linear")

    @property
    def base_weight(self) -> Tensor | None:
        return plain_weight(self._frozen)


class LoralibAdapter(OwnLayer):
    """loralib's Linear and Embedding, and litgpt's LoRALinear: ΔW = α/r · B·A. loralib merges in ``eval()`` and takes
    the product out again in ``train()``. W₀ is the same in both modes here."""

    def __init__(self, path: str, module: nn.Module):
        super().__init__(path, module)
        self.kind = kind_of(self._frozen)

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        return self._layer.lora_A, self._layer.lora_B

    def _arrange(self, a: Tensor, b: Tensor) -> Sequence[Factors]:
        """None of a convolution, whose weight loralib cuts out of B·A across its rows."""
        return () if isinstance(self._frozen, CONVOLUTIONS) else (Factors(a, b),)

    @property
    def shape(self) -> tuple[int, int]:
        frozen = self._frozen
        if isinstance(frozen, CONVOLUTIONS):
            return len(frozen.weight), frozen.weight[0].numel()
        if isinstance(frozen, nn.Embedding):
            return frozen.embedding_dim, frozen.num_embeddings
        return frozen.out_features, frozen.in_features

    @property
    def r(self) -> int:
        return int(self._layer.r)

    def _matrices(self, weight: Tensor) -> Sequence[Tensor]:
        """While the weight holds the product, that is taken out of a copy. Nothing of a convolution's."""
        stored = super()._matrices(weight)
        if not self._layer.merged:
            return stored
        return [w - (self.scale * (b @ a)).to(w) for w, (a, b) in zip(stored, self.factors())]


class SplitAdapter(LoralibAdapter):
    """Several outputs side by side, each with a low-rank change of its own of rank ``r``, or none: loralib's
    MergedLinear, and litgpt's LoRAQKVLinear, where queries have more outputs than keys and values (GQA). Together they
    are one block."""

    def _arrange(self, a: Tensor, b: Tensor) -> Sequence[Factors]:
        sizes, adapted = self._sizes(), self._layer.enable_lora
        rows = iter(b.split(list(compress(sizes, adapted))))
        outputs = [next(rows) if has else b.new_zeros(size, 0) for size, has in zip(sizes, adapted)]
        return (Factors(a, torch.block_diag(*outputs)),)

    def _sizes(self) -> list[int]:
        layer = self._layer
        if not hasattr(layer, "head_size"):
            outputs = len(layer.enable_lora)
            return [self.shape[0] // outputs] * outputs
        return [layer.head_size * heads for heads in (layer.n_head, layer.n_query_groups, layer.n_query_groups)]


class TorchtuneAdapter(OwnLayer):
    """torchtune's LoRALinear, QATLoRALinear and DoRALinear: ΔW = α/r · B·A, merged only in checkpoints."""

    kind = "Linear"

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        return self._layer.lora_a.weight, self._layer.lora_b.weight

    @property
    def shape(self) -> tuple[int, int]:
        return self._layer.lora_b.out_features, self._layer.lora_a.in_features

    @property
    def r(self) -> int:
        return self._layer.lora_a.out_features

    @property
    def magnitude(self) -> Tensor | None:
        return self._layer._parameters.get("magnitude")
