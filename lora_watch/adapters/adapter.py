"""An adapter, of any library."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from lora_watch.adapters.tensors import gathered, marks, whole

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_KINDS = (*CONVOLUTIONS, nn.Embedding, nn.MultiheadAttention, nn.Linear)


class Factors(NamedTuple):
    """One low-rank product: this part of the layer's change is ``scale · b @ diag(diagonal) @ a``, with ``a`` ``[r,
    d_in]`` and ``b`` ``[d_out, r]``: views of the live parameters where the layout allows.

    Most layers have one block. Experts have several, and their change is block-diagonal: squared Frobenius norms add,
    singular values are the union.
    """

    a: Tensor
    b: Tensor


class Adapter(ABC):
    """One LoRA adapter of one layer, read live: nothing here is cached and nothing is ever written. The readers
    (``peft.py`` …) subclass it; everything else in the package sees only this."""

    name: str
    """Module path without wrapper prefixes; the adapter's own name appended only when it is not ``default``."""
    kind: str
    """Kind of the adapted layer: ``Linear``, ``Embedding``, ``Conv1D``, ``Conv2d``, ``Experts`` …"""
    variant: str
    """``lora``, ``dora``, ``adalora``, ``kasa`` …: how the product enters the layer."""
    module: nn.Module
    """The layer that owns the adapter (the wrapper, not the frozen layer inside it)."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The stored A and B (in whatever layout), the objects an optimizer must hold."""

    def factors(self) -> Sequence[Factors]:
        """The change as low-rank products. Empty when the factors are not readable here (sharded away). FSDP2's
        DTensors are gathered: then this is a collective, and every rank must call it."""
        a, b = map(gathered, self.parameters)
        return self._arrange(a, b) if whole(a) and whole(b) else ()

    def _arrange(self, a: Tensor, b: Tensor) -> Sequence[Factors]:
        return (Factors(a, b),)

    @property
    def own(self) -> tuple[Tensor, ...]:
        """Every stored tensor that a measurement reads: A, B, what lies between them, the magnitudes."""
        more = (self.magnitude, self.diagonal_parameter)
        return *self.parameters, *(parameter for parameter in more if parameter is not None)

    @property
    def diagonal_parameter(self) -> Tensor | None:
        """AdaLoRA's E, KaSA's ``lora_diag``. None when there is none."""
        return None

    @property
    def diagonal(self) -> Tensor | None:
        """``[r]``: ``diagonal_parameter`` as numbers, whole."""
        parameter = self.diagonal_parameter
        return None if parameter is None else gathered(parameter).flatten()

    @property
    @abstractmethod
    def scale(self) -> float:
        """The live factor s in ΔW = s·B·A: α/r, α/√r (rsLoRA), α/ranknum (AdaLoRA), or what it was set to."""

    @property
    @abstractmethod
    def scale_formula(self) -> str:
        """``alpha/r``, ``alpha/sqrt(r)``, ``alpha/ranknum``, or ``set by hand``."""

    @property
    @abstractmethod
    def r(self) -> int: ...

    @property
    @abstractmethod
    def alpha(self) -> float | None: ...

    @property
    @abstractmethod
    def base_layer(self) -> nn.Module | None:
        """The frozen layer that is called with the layer's input; None where no such call exists."""

    @property
    @abstractmethod
    def base_weight(self) -> Tensor | None:
        """The frozen weight W₀ as stored; None where it is not readable as numbers (quantised, sharded away)."""

    def base_matrices(self) -> Sequence[Tensor]:
        """W₀ as matrices ``[d_out, d_in]`` that lie on a block diagonal, as many as ``factors()``. Empty when
        ``base_weight`` is None. A collective for DTensors."""
        weight = self.base_weight
        return () if weight is None else self._matrices(gathered(weight))

    @property
    def _frozen(self) -> Any:
        return self.module

    def _matrices(self, weight: Tensor) -> Sequence[Tensor]:
        if isinstance(self._frozen, CONVOLUTIONS):
            return (weight.flatten(1),)
        # Embeddings are stored [d_in, d_out], and so is what PEFT and loralib call fan-in-fan-out.
        turned = self.kind in ("Embedding", "Conv1D") or getattr(self.module, "fan_in_fan_out", False)
        return (weight.T if turned else weight,)

    @property
    def magnitude(self) -> Tensor | None:
        """DoRA's, of ``d_out`` numbers in whatever layout the library stores them; None without."""
        return None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(d_out, d_in)`` of the frozen weight seen as one matrix, also where it is not here."""

    @property
    def trainable(self) -> bool:
        """A or B requires a gradient."""
        return any(p.requires_grad for p in self.parameters)

    @property
    @abstractmethod
    def active(self) -> bool:
        """It is among the layer's active adapters and the layer's adapters are not disabled."""

    @property
    @abstractmethod
    def merged(self) -> bool:
        """Its product has been added to the frozen weight, so that the forward pass no longer uses A and B."""

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Equal at two moments if only the numbers have changed between them: same parameters in the same memory, and
        as trained, active, merged and scaled as before."""
        return self.scale, self.active, self.merged, *marks(self.parameters)

    def __repr__(self) -> str:
        return f"Adapter({self.name!r}, {self.kind}, r={self.r}, scale={self.scale:g} ({self.scale_formula}))"


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


class NoAdaptersError(ValueError):
    """A model in which no LoRA adapter was found."""
