"""PEFT's other tuners: what they add to a frozen weight where they add something, and why not where they do not.

Relied on besides what ``peft.py`` names: the dictionaries of parameters that ``adapter_layer_names`` lists, and
``get_delta_weight(adapter)`` of the tuners below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters.adapter import AnyAdapter, Factors
from lora_watch.adapters.peft import PeftLayer, tuner
from lora_watch.adapters.tensors import gathered, here

# Those whose get_delta_weight(adapter) is what merging adds to the weight, each checked by a test (PEFT 0.21.2).
_MEASURED = frozenset(
    {
        "AdamssLayer",
        "C3ALayer",
        "DeftLayer",
        "DeloraLayer",
        "FourierFTLayer",
        "FrodLayer",
        "GraloraLayer",
        "LoHaLayer",
        "LoKrLayer",
        "OSFLayer",
        "PeanutLayer",
        "PsoftLayer",
        "PveraLayer",
        "RandLoraLayer",
        "ShiraLayer",
        "SupertuningLayer",
        "TinyLoraLayer",
        "UniLoraLayer",
        "VBLoRALayer",
        "VeraLayer",
        "WaveFTLayer",
    }
)
# The others give it the way the frozen weight is stored; these [d_out, d_in] also where that is [d_in, d_out].
_UNTURNED = frozenset({"FourierFTLayer", "WaveFTLayer"})
_DICTS = (nn.ModuleDict, nn.ParameterDict)
_ROTATES = "it multiplies the frozen weight by an orthogonal matrix"
_BY_INPUT = "its update depends on the layer's input"
_WHY_NOT = {
    "OFTLayer": _ROTATES,
    "BOFTLayer": _ROTATES,
    "HRALayer": _ROTATES,
    "RoadLayer": "it rotates and rescales the layer's output",
    "HiraLayer": "it multiplies the frozen weight entry by entry",
    "MissLayer": "PEFT gives the changed weight only, not the change",
    "BoneLayer": "PEFT gives the changed weight only, not the change",
    "IA3Layer": "it rescales the layer's output",
    "GloraLayer": "it rescales the frozen weight and adds to it",
    "LNTuningLayer": "it trains the normalisation itself",
    "BeftLayer": "it changes biases alone",
    "TrainableTokensLayer": "it replaces rows of an embedding",
    "PolyLayer": "its product depends on the task",
    "LilyLayer": _BY_INPUT,
    "ShadowLayer": _BY_INPUT,
}


class DenseAdapter(PeftLayer, AnyAdapter):
    """An adapter that is not a product of two factors: its change is a whole matrix, or not something added at all."""

    method: str
    """``LoHa``, ``Vera``, ``OFT`` …: PEFT's name of the tuner's layer, less ``Layer``."""
    scale, alpha, r, diagonal, magnitude, magnitude_parameter = 1.0, None, 0, None, None, None
    """What only products of two factors have: here the scale is part of ΔW."""

    def __init__(self, path: str, module: nn.Module, key: str, layer_class: str):
        super().__init__(path, module, key)
        self._layer_class = layer_class
        self.method = layer_class.removesuffix("Layer")

    @property
    def of_lora(self) -> bool:
        """Next to LoRA it belongs to LoRA's own configuration (``trainable_token_indices``): rows that are trained
        whole, as ``modules_to_save`` are."""
        return self._layer_class == "TrainableTokensLayer"

    @property
    def why_not(self) -> str | None:
        """Why its change cannot be measured, in words; None when it can."""
        if self._layer_class not in _MEASURED:
            return _WHY_NOT.get(self._layer_class, "its update of the frozen weight is unknown here")
        if self.merged:
            # DeFT and PEANuT compute their change from the weight, which holds it already.
            return "it is merged into the weight"
        if not all(map(here, self.module.parameters())):
            return "its parameters are not on this process (sharded, or on no device)"
        return None

    def factors(self) -> Sequence[Factors]:
        """None: ``delta_matrices`` is what there is."""
        return ()

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """What is its own: not what it shares with other layers, such as VeRA's projections."""
        own = [holder[self._key] for holder in _holders(self.module) if self._key in holder]
        parts = [(part,) if isinstance(part, nn.Parameter) else part.parameters() for part in own]
        return tuple(p for part in parts for p in part)

    @property
    def scale_formula(self) -> str:
        return f"{self.method}'s own"

    @property
    def shape(self) -> tuple[int, int]:
        """``(d_out, d_in)`` of the frozen weight seen as one matrix; zeros where that is not readable."""
        blocks = self.base_matrices()
        return (sum(len(block) for block in blocks), blocks[0].shape[1]) if blocks else (0, 0)

    @torch.no_grad()
    def delta_matrices(self) -> Sequence[Tensor]:
        """ΔW as matrices ``[d_out, d_in]`` on a block diagonal like those of ``base_matrices``, as PEFT computes them
        for merging and in its dtype; made anew at each call. A collective for DTensors. Empty when ``why_not`` says so.
        """
        if self.why_not is not None:
            return ()
        training = self.module.training
        self.module.training = False  # some tuners drop rows of ΔW while training, at random
        try:
            delta = self._layer.get_delta_weight(self._key)
        finally:
            self.module.training = training
        if delta.layout != torch.strided:  # SHiRA
            delta = delta.to_dense()
        delta = gathered(delta)
        return (delta,) if self._layer_class in _UNTURNED else self._matrices(delta)

    def __repr__(self) -> str:
        return f"DenseAdapter({self.name!r}, {self.method})"


def read_layer(path: str, module: nn.Module) -> list[DenseAdapter]:
    """The adapters ``module`` holds itself; empty when it is no PEFT layer, or one of LoRA's."""
    layer_class = tuner(module)
    if layer_class in (None, "LoraLayer", "AdaLoraLayer"):  # peft.py reads these
        return []
    keys = dict.fromkeys(key for holder in _holders(module) for key in holder)
    return [DenseAdapter(path, module, key, layer_class) for key in keys]


def _holders(module: nn.Module) -> list[Any]:
    """The dictionaries in which a tuner's layer keeps adapters' parameters under the adapters' names. Some of several
    (LoKr: one or both of w1 and its factors): an adapter that is in none has nothing in this layer."""
    names: Sequence[str] = type(module).adapter_layer_names  # pyright: ignore[reportAttributeAccessIssue]
    children = dict(module.named_children())
    return [children[name] for name in names if isinstance(children.get(name), _DICTS)]
