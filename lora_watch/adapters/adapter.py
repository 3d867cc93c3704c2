"""An adapter of Hugging Face PEFT's LoRA, read by its attributes, without importing PEFT.

This file and ``peft*.py`` are the only ones that know PEFT's attribute names. Relied on, from PEFT 0.13 to 0.21:
``adapter_layer_names``, ``base_layer``, ``lora_A``/``lora_B``, ``lora_embedding_A``/``lora_embedding_B``, ``r``,
``lora_alpha``, ``scaling``, ``active_adapter(s)``, ``disable_adapters``, ``merged_adapters``,
``in_features``/``out_features``, ``fan_in_fan_out``, ``use_dora``, ``lora_magnitude_vector`` and AdaLoRA's ``lora_E``
and ``ranknum``. Used where present: ``lora_variant`` (0.16), ``parameter_name``, ``num_experts`` (0.17), ``use_rslora``
(0.18.1), ``lora_diag``, ``nblocks``, ``_did_swap_in_out_features``, ``_disable_adapters``, ``_active_adapter``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from lora_watch.adapters.tensors import gathered, here, marks, whole
from lora_watch.base.names import clean_name

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_KINDS = (*CONVOLUTIONS, nn.Embedding, nn.MultiheadAttention, nn.Linear)
# Variants whose change of the layer is not s·B·diag(diagonal)·A: a router over other adapters, and pooled inputs.
_WITHOUT_PRODUCT = frozenset({"arrow", "qalora"})


class Factors(NamedTuple):
    """One low-rank product: this part of the layer's change is ``scale · b @ diag(diagonal) @ a``, with ``a`` ``[r,
    d_in]`` and ``b`` ``[d_out, r]``: views of the live parameters where the layout allows.

    Most layers have one block. Experts have several, and their change is block-diagonal: squared Frobenius norms add,
    singular values are the union.
    """

    a: Tensor
    b: Tensor


class Adapter:
    """One LoRA adapter of one layer, read live and never written.

    Everything is looked up when asked for: PEFT replaces parameters, the ``scaling`` dict and base weights in mid-run.
    It adds the product of ``out_proj`` in ``nn.MultiheadAttention`` twice (0.15 to 0.21 at least). The scale given here
    is the configured one.
    """

    name: str
    """Module path without wrapper prefixes; the adapter's own name appended only when it is not ``default``."""
    kind: str
    """Kind of the adapted layer: ``Linear``, ``Embedding``, ``Conv1D``, ``Conv2d``, ``Experts`` …"""
    variant: str
    """``lora``, ``dora``, ``adalora``, ``kasa`` …: how the product enters the layer."""
    module: nn.Module
    """The layer that owns the adapter (the wrapper, not the frozen layer inside it)."""

    def __init__(self, path: str, module: nn.Module, key: str, a: Any, b: Any):
        """``path``: the module's from the root of the model. ``a``, ``b``: what holds the factors by ``key``."""
        self.module = module
        self._layer: Any = module
        self.key, self.a_holder, self.b_holder = key, a, b
        self.kind = kind_of(self._frozen)
        self.name = name_of(path, key)
        self.variant = self._find_variant()

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The stored A and B (in whatever layout), the objects an optimizer must hold."""
        a, b = self.a_holder[self.key], self.b_holder[self.key]
        return getattr(a, "weight", a), getattr(b, "weight", b)  # AdaLoRA and embeddings keep bare parameters

    def factors(self) -> Sequence[Factors]:
        """The change as low-rank products. Empty where the factors are not readable here (sharded away), and for a
        grouped convolution. FSDP2's DTensors are gathered: then this is a collective, and every rank must call it."""
        if self.variant in _WITHOUT_PRODUCT or getattr(self._frozen, "groups", 1) != 1:
            return ()
        a, b = map(gathered, self.parameters)
        return self._arrange(a, b) if whole(a) and whole(b) else ()

    def _arrange(self, a: Tensor, b: Tensor) -> Sequence[Factors]:
        """Of block-diagonal LoRA, which shares one factor between its parts, the other is a padded copy."""
        parts = (getattr(holder[self.key], "nblocks", 1) for holder in (self.a_holder, self.b_holder))
        return (Factors(*map(matrix_of, (a, b), parts)),)

    @property
    def own(self) -> tuple[Tensor, ...]:
        """Every stored tensor that a measurement reads: A, B, what lies between them, the magnitudes."""
        more = (self.magnitude_parameter, self.diagonal_parameter)
        return *self.parameters, *(parameter for parameter in more if parameter is not None)

    @property
    def diagonal_parameter(self) -> Tensor | None:
        """AdaLoRA's E, KaSA's ``lora_diag``. None when there is none."""
        diagonals = getattr(self._layer, "lora_diag", {})
        return diagonals.get(self.key)

    @property
    def diagonal(self) -> Tensor | None:
        """``[r]``: ``diagonal_parameter`` as numbers, whole."""
        parameter = self.diagonal_parameter
        return None if parameter is None else gathered(parameter).flatten()

    @property
    def scale(self) -> float:
        """The live factor s in ΔW = s·B·A: α/r, α/√r (rsLoRA), α/ranknum (AdaLoRA), or what it was set to."""
        return float(self._layer.scaling[self.key])

    @property
    def scale_formula(self) -> str:
        """``alpha/r``, ``alpha/sqrt(r)``, ``alpha/ranknum``, or ``set by hand``."""
        alpha, r = self.alpha, self.r
        if alpha is None or r <= 0:
            return "set by hand"
        formulas = {"alpha/r": alpha / r, "alpha/sqrt(r)": alpha / math.sqrt(r)}
        fits = [name for name, value in formulas.items() if math.isclose(value, self.scale, rel_tol=1e-9)]
        # Both fit when r is 1; then the configuration decides, where the layer keeps it.
        rslora = (getattr(self._layer, "use_rslora", None) or {}).get(self.key, False)
        return (fits[-1] if rslora else fits[0]) if fits else "set by hand"

    @property
    def r(self) -> int:
        return int(self._layer.r[self.key])

    @property
    def alpha(self) -> float | None:
        alpha = self._layer.lora_alpha.get(self.key)
        return None if alpha is None else float(alpha)

    @property
    def _frozen(self) -> Any:
        """The innermost layer: other adapter layers may lie between."""
        layer = self._layer
        while hasattr(layer, "base_layer"):
            layer = layer.base_layer
        return layer

    @property
    def base_layer(self) -> nn.Module | None:
        """The frozen layer that is called with the layer's input. None in ``nn.MultiheadAttention``, which reads its
        weights instead of calling layers."""
        frozen = self._frozen
        return None if isinstance(frozen, (nn.MultiheadAttention, NonDynamicallyQuantizableLinear)) else frozen

    @property
    def base_weight(self) -> Tensor | None:
        """The frozen weight W₀ as stored; None where it is not readable as numbers (quantised, sharded away)."""
        frozen = self._frozen
        return plain_weight(frozen, "in_proj_weight" if isinstance(frozen, nn.MultiheadAttention) else "weight")

    def base_matrices(self) -> Sequence[Tensor]:
        """W₀ as matrices ``[d_out, d_in]`` that lie on a block diagonal, as many as ``factors()``. Empty when
        ``base_weight`` is None. A collective for DTensors."""
        weight = self.base_weight
        return () if weight is None else self._matrices(gathered(weight))

    def _matrices(self, weight: Tensor) -> Sequence[Tensor]:
        if isinstance(self._frozen, CONVOLUTIONS):
            return (weight.flatten(1),)
        # Embeddings are stored [d_in, d_out], and so is what PEFT calls fan-in-fan-out.
        turned = self.kind in ("Embedding", "Conv1D") or getattr(self.module, "fan_in_fan_out", False)
        return (weight.T if turned else weight,)

    @property
    def magnitude_parameter(self) -> Tensor | None:
        """DoRA's; None without."""
        vectors = getattr(self._layer, "lora_magnitude_vector", {})
        return vectors[self.key].weight if self.key in vectors else None

    @property
    def magnitude(self) -> Tensor | None:
        """``[d_out]`` in whatever layout PEFT stores them; detached. None without DoRA, or where they are not here."""
        parameter = self.magnitude_parameter
        if parameter is None or not here(magnitude := gathered(parameter)):
            return None
        return magnitude if magnitude.numel() == self.shape[0] else None  # FSDP1 leaves a part of it

    @property
    def shape(self) -> tuple[int, int]:
        """``(d_out, d_in)`` of the frozen weight seen as one matrix, from the layer's own numbers, so that it is known
        for sharded weights too."""
        kernel = self._frozen.kernel_size if isinstance(self._frozen, CONVOLUTIONS) else ()
        return self._layer.out_features, self._layer.in_features * math.prod(kernel)

    @property
    def trainable(self) -> bool:
        """A or B requires a gradient."""
        return any(p.requires_grad for p in self.parameters)

    @property
    def active(self) -> bool:
        """It is among the layer's active adapters and the layer's adapters are not disabled. False, too, once it has
        been deleted."""
        return is_active(self._layer, self.key)

    @property
    def merged(self) -> bool:
        """Its product has been added to the frozen weight, so that the forward pass no longer uses A and B."""
        return self.key in self._layer.merged_adapters

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Equal at two moments if only the numbers have changed between them: same parameters in the same memory, and
        as trained, active, merged and scaled as before."""
        if self.key not in self._layer.scaling:  # deleted
            return ()
        return self.active, self.merged, self.scale, *marks(self.own)

    def _find_variant(self) -> str:
        variants = getattr(self._layer, "lora_variant", None) or {}
        if self.key in variants:
            # DoraLinearVariant, KasaLinearVariant …
            return re.split("Linear|Embedding|Conv", type(variants[self.key]).__name__)[0].lower()
        return "dora" if (getattr(self._layer, "use_dora", None) or {}).get(self.key) else "lora"

    def __repr__(self) -> str:
        return f"Adapter({self.name!r}, {self.kind}, r={self.r}, scale={self.scale:g} ({self.scale_formula}))"


class AdaLoraAdapter(Adapter):
    """AdaLoRA (Zhang et al. 2023): ΔW = α/ranknum · B·diag(E)·A. Parameters are replaced when ranks are cut."""

    _ranknum: tuple[Tensor, int, float] | None = None

    @property
    def diagonal_parameter(self) -> Tensor:
        return self._layer.lora_E[self.key]

    @property
    def scale(self) -> float:
        """α/(ranknum + 1e-5), where PEFT adds the small number in ranknum's own dtype."""
        ranknum = self._layer.ranknum[self.key]
        if ranknum.is_meta:
            return super().scale / (self.r + 1e-5)  # a model without numbers: no rank has been cut
        # ranknum is a tensor, perhaps on a GPU. It rarely changes, and reading it waits for the device.
        if self._ranknum is None or self._ranknum[0] is not ranknum or self._ranknum[1] != ranknum._version:
            self._ranknum = ranknum, ranknum._version, float(ranknum.detach() + 1e-5)
        return super().scale / self._ranknum[2]

    @property
    def scale_formula(self) -> str:
        alpha = self.alpha
        as_made = alpha is not None and alpha > 0 and math.isclose(alpha, super().scale, rel_tol=1e-9)
        return "alpha/ranknum" if as_made else "set by hand"

    def _find_variant(self) -> str:
        return "adalora"


class ParameterAdapter(Adapter):
    """An adapter of one parameter of a module (``target_parameters``): a matrix, or the experts of an MoE layer. The
    module's output is not W₀·x, so there is no base layer to compare with."""

    def __init__(self, path: str, module: nn.Module, key: str, a: Any, b: Any):
        super().__init__(f"{path}.{module.parameter_name}".removeprefix("."), module, key, a, b)
        self.kind = "Experts" if self._layer.num_experts > 1 else "Parameter"

    def _arrange(self, a: Tensor, b: Tensor) -> Sequence[Factors]:
        return by_expert(a, b, self._layer.num_experts)

    @property
    def shape(self) -> tuple[int, int]:
        return self._layer.out_features * self._layer.num_experts, self._layer.in_features

    @property
    def base_layer(self) -> None:
        return None

    @property
    def base_weight(self) -> Tensor | None:
        return plain_weight(self._frozen, self._layer.parameter_name)

    def _matrices(self, weight: Tensor) -> Sequence[Tensor]:
        if weight.ndim == 2:
            return (weight,)
        # Stored [expert, d_in, d_out] unless PEFT found it the other way round.
        swapped = getattr(self._layer, "_did_swap_in_out_features", False)
        return (weight if swapped else weight.mT).unbind()


class NoAdaptersError(ValueError):
    """A model in which no LoRA adapter was found."""


def name_of(path: str, key: str) -> str:
    """Of the adapter ``key`` in the module at ``path``."""
    name = clean_name(path)
    return name if key == "default" else f"{name}.{key}"


def is_active(layer: Any, key: str) -> bool:
    return not layer.disable_adapters and key in layer.active_adapters


def kind_of(frozen: nn.Module) -> str:
    """torch's name of the frozen layer; its own for all others: Conv1D of transformers, quantised layers …"""
    own = type(frozen).__name__.removeprefix("FSDP")
    return next((kind.__name__ for kind in _KINDS if isinstance(frozen, kind)), own)


def plain_weight(layer: nn.Module, name: str = "weight") -> Tensor | None:
    """The weight of ``layer`` where it is a matrix of plain numbers: neither packed nor sharded away."""
    weight = getattr(layer, name, None)
    # bitsandbytes can keep packed 4-bit numbers in a floating-point tensor (FSDP leaves the layer alone to tell), and
    # torchao's subclasses claim to be one.
    packed = any(getattr(x, "quant_state", None) is not None for x in (weight, layer))
    packed = packed or type(weight).__module__.startswith("torchao.")
    if packed or not isinstance(weight, Tensor) or not weight.is_floating_point() or not whole(weight):
        return None
    return weight


def by_expert(a: Tensor, b: Tensor, experts: int) -> Sequence[Factors]:
    """The blocks of experts that are stored together: A's rows go expert by expert, B's columns rank by rank."""
    columns = b.reshape(b.shape[0], -1, experts).permute(2, 0, 1).unbind()
    return tuple(map(Factors, a.reshape(experts, -1, a.shape[1]).unbind(), columns))


def matrix_of(weight: Tensor, parts: int) -> Tensor:
    """``[rows, columns]`` of a factor, kernels flattened; its ``parts`` put on a diagonal where there are several."""
    if weight.ndim > 2:
        weight = weight.flatten(1)
    return weight if parts == 1 else torch.block_diag(*weight.chunk(parts))
