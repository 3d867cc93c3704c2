"""A pretrained model as its files describe it, and the adapters that a LoraConfig would put into it. Nothing is built.

Names and shapes of the weights say what the layers are. So neither transformers nor PEFT is imported, which takes
seconds, and no memory is taken.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from lora_watch.adapters.peft_config import is_named, methods
from lora_watch.base.names import layer_index
from lora_watch.base.records import AdapterInfo
from lora_watch.base.text import meant
from lora_watch.base.untrusted import MISFITS, load_json, matches_end
from lora_watch.measurement.norms.base import frobenius_norm
from lora_watch.snapshots.weights import stored_weights

MOST_CONFIG_BYTES = 4_000_000
"""Of a configuration: one with the names of 21,000 classes has 2 million."""
TASK_TYPES = {
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
}
"""How transformers ends the names of classes, and PEFT's ``task_type`` for them. None stands for what takes no text:
PEFT's class for the type would hand it ``input_ids``."""


class Layer(NamedTuple):
    """One that could be adapted: a weight of two dimensions."""

    name: str
    kind: str
    """``Linear``, ``Conv1D`` (of transformers: stored turned) or ``Embedding``."""
    d_out: int
    d_in: int


@dataclass(frozen=True)
class BaseModel:
    """What is known of a model without running it."""

    name: str
    config: Mapping[str, Any]
    """Of its ``config.json``."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of its weights by name; empty where only a configuration is there."""
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    """The same weights, read when asked for."""

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Empty where the weights are not there, or not as numbers. Experts of an MoE layer are no layers: in
        transformers they are parts of one parameter."""
        if self.config.get("quantization_config"):
            return ()
        modules = {
            name.removesuffix(".weight"): shape
            for name, shape in self.shapes.items()
            if name.endswith(".weight") and len(shape) == 2 and ".experts." not in name
        }
        # Conv1D stores its weight turned, which the length of a bias shows. A model has it in all blocks or in none.
        turned = any(a != b and self.shapes.get(f"{name}.bias") == (b,) for name, (a, b) in modules.items())

        def layer(name: str, rows: int, columns: int) -> Layer:
            if re.search(r"embed|wte|wpe|relative_attention_bias", name):
                return Layer(name, "Embedding", columns, rows)
            if turned and layer_index(name) is not None:
                return Layer(name, "Conv1D", columns, rows)
            return Layer(name, "Linear", rows, columns)

        return tuple(layer(name, *shape) for name, shape in modules.items())

    @property
    def parameters(self) -> int:
        return sum(map(math.prod, self.shapes.values()))

    @property
    def task_type(self) -> str | None:
        """PEFT's ``task_type`` for this class of model; None where its name tells nothing."""
        named = self.config.get("architectures")
        kind = str(named[0]) if isinstance(named, list) and named else ""
        return next((task for end, task in TASK_TYPES.items() if kind.endswith(end)), None)

    def adapted(self, lora: Mapping[str, Any]) -> list[Layer]:
        """The layers that PEFT would adapt by ``target_modules`` and the other fields of ``lora`` that choose them.

        Raises ValueError where the model has layers, and none of these.
        """
        targets = lora.get("target_modules")
        if targets is None:
            targets = () if lora.get("target_parameters") else self._usual_targets()
        try:
            chosen = [layer for layer in self.layers if _is_target(layer, targets, lora)]
        except TypeError as error:
            what = "target_modules, exclude_modules and layers_to_transform"
            raise ValueError(f"{what} hold no names and numbers of layers: {error}") from None
        if self.layers and not chosen and not lora.get("target_parameters"):
            lost = "; ".join(self.unknown(lora)) or repr(targets)
            raise ValueError(f"target_modules: {self.name} has no layer {lost}")
        return chosen

    def unknown(self, lora: Mapping[str, Any]) -> tuple[str, ...]:
        """Names in ``target_modules`` that no layer has, in words."""
        targets = lora.get("target_modules")
        leaves = {layer.name.rpartition(".")[2] for layer in self.layers}
        words = [] if isinstance(targets, str) else sorted(map(str, targets or ()))
        there = {*(name.rpartition(".")[0] for name in self.shapes), "lm_head"}  # a tied head has no weights of its own
        lost = [word for word in words if not any(is_named(word, name) for name in there)]
        return tuple(f"{word!r}{meant(word.rpartition('.')[2], leaves)}" for word in lost) if self.layers else ()

    def _usual_targets(self) -> list[str] | str:
        """What PEFT adapts in this kind of model where nothing is said."""
        try:
            from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
        except ImportError:
            raise ValueError("no target_modules are given; PEFT's own are known to PEFT: pip install peft") from None
        kind = self.config.get("model_type")
        if kind not in USUAL:
            raise ValueError(f"no target_modules are given, and PEFT has none for a model of the type {kind!r}")
        return USUAL[kind]

    def norms(self, layers: list[Layer]) -> list[float]:
        """‖W₀‖_F under each adapter, NaN where it is unknown.

        Every layer of a model of up to seven blocks is read, as a run does it, and four to seven blocks of a larger
        one, from the first to the last.
        """
        indices = sorted({i for layer in layers if (i := layer_index(layer.name)) is not None})
        some = {None, *indices[:: max(len(indices) // 4, 1)]} if indices else {None}
        read = (self.weight(layer.name) if layer_index(layer.name) in some else None for layer in layers)
        return [math.nan if weight is None else frobenius_norm(weight) for weight in read]

    def weight(self, layer: str) -> Tensor | None:
        """The frozen weight of a layer; None where it is not there in floating point."""
        weight = self.weights.get(f"{layer}.weight")
        return None if weight is None or not weight.is_floating_point() or weight.is_meta else weight.detach()


def read_model(model: nn.Module | str | Path) -> BaseModel:
    """``model``: a loaded one, which is not changed, or a folder with a ``config.json`` (or that file). From a folder
    nothing is executed. Its weights are optional, and have to be safetensors.

    Raises ValueError, which names the folder, where no such file can be read.
    """
    if isinstance(model, nn.Module):
        if methods(model):
            raise ValueError(f"{type(model).__name__} has adapters already; give the model without them")
        weights = dict(model.named_parameters(remove_duplicate=False))
        about: Any = getattr(model, "config", None)
        config = dict(about.to_dict()) if hasattr(about, "to_dict") else {}
        name = str(getattr(about, "_name_or_path", None) or type(model).__name__)
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        return BaseModel(name, {**config, "architectures": [type(model).__name__]}, shapes, weights)
    path = Path(model)
    folder = path.parent if path.name == "config.json" else path
    if not (folder / "config.json").is_file():
        on_the_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and not path.exists()
        fetch = f"; nothing is fetched here: hf download {path} config.json --local-dir {path.name}"
        raise ValueError(
            f"{path}: no config.json is there; give the folder of a model (its config.json is enough, without weights)"
            f"{fetch if on_the_hub else ''}"
        )
    try:
        config = load_json(folder / "config.json", MOST_CONFIG_BYTES)
        if not isinstance(config, dict) or not config.get("model_type"):
            raise ValueError("it names no model_type")
    except (OSError, *MISFITS) as error:
        raise ValueError(f"{folder}: its config.json is none of a model: {error}") from None
    stored = stored_weights(folder)
    return BaseModel(str(path), config) if stored is None else BaseModel(str(path), config, stored.shapes, stored)


def planned_adapters(lora: Mapping[str, Any], base: BaseModel | None, group: int | None) -> list[AdapterInfo]:
    """The adapters that a run with these fields of ``LoraConfig`` would have, in a parameter group.

    Where the layers are not known there is one adapter for all of them, and one for each name in a pattern.
    """
    ranks, alphas = lora.get("rank_pattern") or {}, lora.get("alpha_pattern") or {}
    rooted = bool(lora.get("use_rslora"))

    def made(layer: Layer, rank_key: str | None, alpha_key: str | None, norm: float = math.nan) -> AdapterInfo:
        r, alpha = ranks.get(rank_key, lora["r"]), alphas.get(alpha_key, lora["lora_alpha"])
        scale, formula = (alpha / math.sqrt(r), "alpha/sqrt(r)") if rooted else (alpha / r, "alpha/r")
        place, shape, size = layer_index(layer.name), (layer.d_out, layer.d_in), r * (layer.d_out + layer.d_in)
        return AdapterInfo(layer.name, layer.kind, place, *shape, r, alpha, scale, formula, group, size, norm)

    if base is not None and (layers := base.adapted(lora)):
        keys = [(_key_of(layer, ranks), _key_of(layer, alphas)) for layer in layers]
        return [made(layer, *key, norm) for layer, key, norm in zip(layers, keys, base.norms(layers))]
    named = [made(Layer(f"layers named {key}", "Linear", 0, 0), key, key) for key in {**ranks, **alphas}]
    return [made(Layer("every layer", "Linear", 0, 0), None, None), *named]


def _key_of(layer: Layer, pattern: Mapping[str, Any]) -> str | None:
    """The first key of a ``rank_pattern`` or ``alpha_pattern`` that is meant for the layer."""
    return next((key for key in pattern if matches_end(key, layer.name)), None)


def _is_target(layer: Layer, targets: Any, lora: Mapping[str, Any]) -> bool:
    if _is_one_of(layer, lora.get("exclude_modules") or ()):
        return False
    if targets == "all-linear":
        return layer.kind != "Embedding" and layer_index(layer.name) is not None
    wanted = lora.get("layers_to_transform")
    if wanted is not None and not isinstance(targets, str):
        blocks = [wanted] if isinstance(wanted, int) else wanted
        return layer_index(layer.name) in blocks and _is_one_of(layer, targets)
    return _is_one_of(layer, targets)


def _is_one_of(layer: Layer, words: Any) -> bool:
    """As PEFT compares: a text is a regular expression of the whole name, a list holds names or their ends."""
    if isinstance(words, str):
        try:
            return re.fullmatch(words, layer.name) is not None
        except re.error as error:
            raise ValueError(f"{words!r} is no regular expression: {error}") from None
    return any(is_named(word, layer.name) for word in words)
