"""Reads the LoRA layers of Hugging Face PEFT by their attributes, without importing it.

This file and ``peft_*.py`` are the only ones that know PEFT's attribute names. Relied on,
from PEFT 0.13 to 0.21: ``adapter_layer_names``, ``base_layer``, ``lora_A``/``lora_B``,
``lora_embedding_A``/``lora_embedding_B``, ``r``, ``lora_alpha``, ``scaling``, ``active_adapter(s)``,
``disable_adapters``, ``merged_adapters``, ``in_features``/``out_features``, ``fan_in_fan_out``, ``use_dora``,
``lora_magnitude_vector`` and AdaLoRA's ``lora_E`` and ``ranknum``. Used where present: ``lora_variant`` (0.16),
``parameter_name``, ``num_experts`` (0.17), ``use_rslora`` (0.18.1), ``lora_diag``, ``nblocks``,
``_did_swap_in_out_features``, ``_disable_adapters``, ``_active_adapter``.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from lora_watch.adapters.adapter import CONVOLUTIONS, Adapter, Factors, kind_of, plain_weight
from lora_watch.adapters.tensors import marks
from lora_watch.adapters.tree import walk
from lora_watch.base.names import clean_name

_DICTS = (nn.ModuleDict, nn.ParameterDict)
_PAIRS = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"))
# Variants whose change of the layer is not s·B·diag(diagonal)·A: a router over other adapters, and pooled inputs.
_WITHOUT_PRODUCT = frozenset({"arrow", "qalora"})
_PLAIN = frozenset({"lora", "dora"})
"""Variants of which the product is made of A and B alone."""


def read_layer(path: str, module: nn.Module) -> list[Adapter]:
    """The adapters ``module`` holds itself; ``path`` is the module's from the root of the model, wrapper parts
    included."""
    kind = ParameterAdapter if hasattr(module, "parameter_name") else PeftAdapter
    kind = AdaLoraAdapter if hasattr(module, "lora_E") else kind
    return [kind(path, module, key, a, b) for a, b in _pairs_of(module) for key in a if key in b]


def _name(path: str, key: str) -> str:
    name = clean_name(path)
    return name if key == "default" else f"{name}.{key}"


def keys_of(module: nn.Module) -> set[str]:
    """Names of the LoRA adapters that ``module`` itself holds."""
    return {key for a, b in _pairs_of(module) for key in a if key in b}


def _pairs_of(module: nn.Module) -> list[tuple[Any, Any]]:
    # Its own children only: FSDP, torch.compile and checkpoint wrappers pass attribute look-ups on to what they wrap.
    children = dict(module.named_children())
    pairs = [(children.get(a), children.get(b)) for a, b in _PAIRS]
    return [(a, b) for a, b in pairs if isinstance(a, _DICTS) and isinstance(b, _DICTS)]


class PeftAdapter(Adapter):
    """Everything is looked up when asked for: PEFT replaces parameters, the ``scaling`` dict and base weights in
    mid-run.

    PEFT (0.15 to 0.21 at least) adds the product of ``out_proj`` in ``nn.MultiheadAttention`` twice. The scale given
    here is the configured one.
    """

    def __init__(self, path: str, module: nn.Module, key: str, a: Any, b: Any):
        self.module = module
        self._layer: Any = module
        self._key, self._a, self._b = key, a, b
        self.kind = kind_of(self._frozen)
        self.name = _name(path, key)
        self.variant = self._find_variant()

    @property
    def active(self) -> bool:
        """False, too, once the adapter has been deleted."""
        return not self._layer.disable_adapters and self._key in self._layer.active_adapters

    @property
    def merged(self) -> bool:
        return self._key in self._layer.merged_adapters

    @property
    def _frozen(self) -> Any:
        """The innermost layer: other adapter layers may lie between."""
        layer = self._layer
        while hasattr(layer, "base_layer"):
            layer = layer.base_layer
        return layer

    @property
    def base_layer(self) -> nn.Module | None:
        """None in ``nn.MultiheadAttention``, which reads its weights instead of calling layers."""
        frozen = self._frozen
        return None if isinstance(frozen, (nn.MultiheadAttention, NonDynamicallyQuantizableLinear)) else frozen

    @property
    def base_weight(self) -> Tensor | None:
        frozen = self._frozen
        return plain_weight(frozen, "in_proj_weight" if isinstance(frozen, nn.MultiheadAttention) else "weight")

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        a, b = self._a[self._key], self._b[self._key]
        return getattr(a, "weight", a), getattr(b, "weight", b)  # AdaLoRA and embeddings keep bare parameters

    def factors(self) -> Sequence[Factors]:
        """None of a grouped convolution's."""
        known = self.variant not in _WITHOUT_PRODUCT and getattr(self._frozen, "groups", 1) == 1
        return super().factors() if known else ()

    def _arrange(self, a: Tensor, b: Tensor) -> Sequence[Factors]:
        """Of block-diagonal LoRA, which shares one factor between its parts, the other is a padded copy."""
        parts = (getattr(holder[self._key], "nblocks", 1) for holder in (self._a, self._b))
        return (Factors(*map(matrix_of, (a, b), parts)),)

    @property
    def diagonal_parameter(self) -> Tensor | None:
        return getattr(self._layer, "lora_diag", {}).get(self._key)

    @property
    def shape(self) -> tuple[int, int]:
        """``(d_out, d_in)`` from the layer's own numbers, so that it is known for sharded weights too."""
        kernel = self._frozen.kernel_size if isinstance(self._frozen, CONVOLUTIONS) else ()
        return self._layer.out_features, self._layer.in_features * math.prod(kernel)

    @property
    def scale(self) -> float:
        return float(self._layer.scaling[self._key])

    @property
    def scale_formula(self) -> str:
        alpha, r = self.alpha, self.r
        if alpha is None or r <= 0:
            return "set by hand"
        formulas = {"alpha/r": alpha / r, "alpha/sqrt(r)": alpha / math.sqrt(r)}
        fits = [name for name, value in formulas.items() if math.isclose(value, self.scale, rel_tol=1e-9)]
        # Both fit when r is 1; then the configuration decides, where the layer keeps it.
        rslora = (getattr(self._layer, "use_rslora", None) or {}).get(self._key, False)
        return (fits[-1] if rslora else fits[0]) if fits else "set by hand"

    @property
    def r(self) -> int:
        return int(self._layer.r[self._key])

    @property
    def alpha(self) -> float | None:
        alpha = self._layer.lora_alpha.get(self._key)
        return None if alpha is None else float(alpha)

    def _find_variant(self) -> str:
        variants = getattr(self._layer, "lora_variant", None) or {}
        if self._key in variants:
            # DoraLinearVariant, KasaLinearVariant …
            return re.split("Linear|Embedding|Conv", type(variants[self._key]).__name__)[0].lower()
        return "dora" if (getattr(self._layer, "use_dora", None) or {}).get(self._key) else "lora"

    @property
    def magnitude(self) -> Tensor | None:
        vectors = getattr(self._layer, "lora_magnitude_vector", {})
        return vectors[self._key].weight if self._key in vectors else None

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        if self._key not in self._layer.scaling:  # deleted
            return ()
        return self.active, self.merged, self.scale, *marks(self.own)


class AdaLoraAdapter(PeftAdapter):
    """AdaLoRA (Zhang et al. 2023): ΔW = α/ranknum · B·diag(E)·A. Parameters are replaced when ranks are cut."""

    _ranknum: tuple[Tensor, int, float] | None = None

    @property
    def diagonal_parameter(self) -> Tensor:
        return self._layer.lora_E[self._key]

    @property
    def scale(self) -> float:
        """α/(ranknum + 1e-5), where PEFT adds the small number in ranknum's own dtype."""
        ranknum = self._layer.ranknum[self._key]
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


def plain_scales(adapters: Sequence[Any]) -> list[float | None]:
    """The scale of each that is plain LoRA in a layer of PEFT's."""
    plain = (each for each in adapters if isinstance(each, PeftAdapter) and each.variant in _PLAIN)
    return [adapter._layer.scaling.get(adapter._key) for adapter in plain]


def fingerprints(adapters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """``Adapter.fingerprint`` of each. What plain LoRA in a layer of PEFT's is made of is looked up right here: every
    step asks, and a call for each adapter takes longer than reading them does."""
    out = []
    for adapter in adapters:
        # Of other variants the product is made of more, and AdaLoRA's scale is computed.
        if not isinstance(adapter, PeftAdapter) or adapter.variant not in _PLAIN:
            out.append(adapter.fingerprint)
            continue
        layer, key = adapter._layer, adapter._key
        if (scale := layer.scaling.get(key)) is None:  # deleted
            out.append(())
            continue
        chosen = layer.active_adapter
        active = not layer.disable_adapters and (key == chosen if isinstance(chosen, str) else key in chosen)
        seen = [active, key in layer.merged_adapters, scale]
        for holder in (adapter._a, adapter._b):
            part = holder._modules.get(key) or holder[key]
            own = vars(part).get("_parameters", {}).get("weight")
            own = getattr(part, "weight", part) if own is None else own
            seen += id(own), own.data_ptr() if type(own) is nn.Parameter else 0, own.requires_grad
        out.append(tuple(seen))
    return out


def has_rank_scores(model: nn.Module) -> bool:
    """AdaLoRA scores its ranks in ``model``, to cut them: in neither parameters nor buffers."""
    return any(getattr(module, "rankallocator", None) is not None for _, module in walk(model))


class ParameterAdapter(PeftAdapter):
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


def by_expert(a: Tensor, b: Tensor, experts: int) -> Sequence[Factors]:
    """The blocks of experts that are stored together: A's rows go expert by expert, B's columns rank by rank."""
    columns = b.reshape(b.shape[0], -1, experts).permute(2, 0, 1).unbind()
    return tuple(map(Factors, a.reshape(experts, -1, a.shape[1]).unbind(), columns))


def matrix_of(weight: Tensor, parts: int) -> Tensor:
    """``[rows, columns]`` of a factor, kernels flattened; its ``parts`` put on a diagonal where there are several."""
    if weight.ndim > 2:
        weight = weight.flatten(1)
    return weight if parts == 1 else torch.block_diag(*weight.chunk(parts))
