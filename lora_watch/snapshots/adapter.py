"""A saved adapter as PEFT writes it: ``adapter_config.json`` next to ``adapter_model.safetensors``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_watch.adapters import Factors
from lora_watch.adapters.peft import by_expert, matrix_of
from lora_watch.base.names import clean_name, numbered
from lora_watch.base.text import clean
from lora_watch.base.untrusted import load_json, matches_end
from lora_watch.snapshots.weights import StoredError, StoredWeights

CONFIG = "adapter_config.json"
SAFE = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"

_KEY = re.compile(r"(.+)\.(lora_embedding_[AB]|lora_[ABE]|lora_diag|lora_magnitude_vector)(?:\.default)?(?:\.weight)?")
_PARTS = {
    "lora_embedding_A": "a",
    "lora_embedding_B": "b",
    "lora_A": "a",
    "lora_B": "b",
    "lora_E": "diagonal",
    "lora_diag": "diagonal",
}
_VARIANTS = {
    "use_dora": "dora",
    "kasa_config": "kasa",
    "use_bdlora": "bdlora",
    # What it samples is for training: evaluation and merging take s·B·A.
    "monteclora_config": "monteclora",
}
"""Options of a LoraConfig, and what the layers are called with them. One at most is set."""
WITHOUT_CHANGE = {
    "arrow_config": "Arrow adds other adapters, chosen for each token: inspect those",
    "use_qalora": (
        "QA-LoRA's A reads inputs that are pooled in groups if GPTQ has quantised the base model. The file does not "
        "hold that. Compare the loaded model's outputs with and without the adapter: model.disable_adapter()"
    ),
}
"""Options with which there is no s·B·A to measure, why, and what to do."""


@dataclass(frozen=True)
class StoredAdapter:
    """One adapter of one layer. Its factors are read when they are asked for, and not kept."""

    name: str
    """Module path without wrapper prefixes, printable."""
    module: str
    """The same as it is stored."""
    variant: str
    """``lora``, ``dora``, ``adalora``, ``kasa``, ``bdlora`` or ``monteclora``."""
    r: int
    alpha: float
    scale: float
    """What PEFT will use when it loads the file."""
    scale_formula: str
    shape: tuple[int, int]
    """``(d_out, d_in)``, experts stacked."""
    experts: int
    tensors: Mapping[str, Tensor]
    keys: Mapping[str, str]
    """Where ``a``, ``b`` and perhaps ``diagonal`` are in ``tensors``."""
    diagonal_blocks: Mapping[str, int]
    """Of ``a`` and ``b``: the number of blocks on the diagonal that the stored rows are cut into; 1 but in BD-LoRA."""

    @property
    def diagonal(self) -> Tensor | None:
        """AdaLoRA's E or KaSA's Σ, ``[r]``."""
        return self.tensors[self.keys["diagonal"]].flatten() if "diagonal" in self.keys else None

    def factors(self) -> Sequence[Factors]:
        """One block; one an expert where there are several."""
        return by_expert(self._matrix("a"), self._matrix("b"), self.experts)

    def _matrix(self, part: str) -> Tensor:
        stored = self.tensors[self.keys[part]]
        if str(stored.dtype).endswith("_x2"):
            raise StoredError(f"{self.name}: two numbers in one byte ({stored.dtype}) are not read")
        if stored.is_complex():
            raise StoredError(f"{self.name}: complex numbers ({stored.dtype}) are not read")
        return matrix_of(stored, self.diagonal_blocks[part])


@dataclass(frozen=True)
class SavedAdapters:
    """Everything in one folder."""

    path: Path
    config: Mapping[str, Any]
    adapters: tuple[StoredAdapter, ...]
    parameters: int
    """Numbers in A, B and what belongs to them."""
    others: tuple[str, ...]
    """Names of tensors other than the adapters': heads that were trained whole, embeddings, biases."""


def read_adapters(path: Path, allow_pickle: bool = False) -> SavedAdapters:
    """The adapters saved at ``path``: a folder, or its ``adapter_model.safetensors``. Only names and shapes are read.

    ``adapter_model.bin`` is a pickle; with ``allow_pickle`` it is read as weights only, which runs no code of its own.

    Raises StoredError, which names the file and what to do, for anything that is not such a folder: files that are
    missing, damaged or do not fit each other, methods that are not LoRA or AdaLoRA, and variants of LoRA that add no
    s·B·A to the layer.
    """
    if not path.exists():
        raise StoredError(f"{path}: no such file or folder")
    if path.name == CONFIG:
        path = path.parent
    if path.is_file() and path.suffix not in (".safetensors", ".bin"):
        raise StoredError(f"{path}: not a file of weights; give the folder that save_pretrained wrote")
    folder = path if path.is_dir() else path.parent
    config = _config(folder / CONFIG, folder)
    tensors, shapes, file = _tensors(path, folder, allow_pickle)
    found: dict[str, dict[str, str]] = {}
    others, parameters = [], 0
    for key in tensors:
        match = _KEY.fullmatch(key)
        if match is None:
            others.append(clean(key))
            continue
        parameters += math.prod(shapes[key])
        if (part := _PARTS.get(match[2])) is not None:
            found.setdefault(match[1], {})[part] = key
    if not found:
        first = f"; the first name in it is {others[0]}" if others else ""
        raise StoredError(f"{file}: no lora_A and lora_B in it, so not an adapter that PEFT has saved{first}")
    adapters = [_adapter(*item, tensors, shapes, config, file) for item in sorted(found.items(), key=_order)]
    # Two parameters of one module have one name in the file.
    named = zip(adapters, numbered(adapter.name for adapter in adapters))
    unique = tuple(replace(adapter, name=name) for adapter, name in named)
    return SavedAdapters(path, config, unique, parameters, tuple(others))


def _order(item: tuple[str, Any]) -> list[Any]:
    """As layers are numbered: 2 before 10."""
    return [(int(part[:18]), "") if part.isdecimal() else (-1, part) for part in item[0].split(".")]


def _tensors(
    path: Path, folder: Path, allow_pickle: bool
) -> tuple[Mapping[str, Tensor], Mapping[str, tuple[int, ...]], Path]:
    file = path if path.is_file() else folder / SAFE
    if file.suffix != ".bin" and file.is_file():
        stored = StoredWeights([file])
        return stored, stored.shapes, file
    pickle = path if path.is_file() else folder / PICKLE
    if not pickle.is_file():
        raise StoredError(f"{folder}: {SAFE} is not there{_instead(folder)}")
    if not allow_pickle:
        raise StoredError(
            f"{pickle}: a pickle, which can run code when it is read; save the adapter as safetensors, or allow it "
            "with --allow-pickle (weights only: no code is run)"
        )
    try:
        loaded = torch.load(pickle, map_location="cpu", weights_only=True, mmap=True)
        tensors = {str(name): tensor for name, tensor in loaded.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # whatever is in there
        raise StoredError(f"{pickle}: not a file of weights alone: {clean(error)}") from None
    return tensors, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, pickle


def _instead(folder: Path) -> str:
    # The highest checkpoints: 10 is after 5.
    below = sorted((each.parent.name for each in folder.glob(f"*/{SAFE}")), key=lambda name: (len(name), name))
    places = " or ".join(str(folder / name) for name in below[-3:])
    return f"; give {places or 'the folder that save_pretrained wrote'}"


def _config(file: Path, folder: Path) -> dict[str, Any]:
    if not file.is_file():
        raise StoredError(f"{file}: not there, and without it the scale is not known{_instead(folder)}")
    try:
        config = load_json(file)
    except (OSError, ValueError) as error:
        raise StoredError(f"{file}: not readable as JSON: {clean(error)}") from None
    if not isinstance(config, dict):
        raise StoredError(f"{file}: not an adapter's configuration")
    kind = str(config.get("peft_type", "LORA")).upper()
    if kind not in ("LORA", "ADALORA"):
        raise StoredError(
            f"{file}: peft_type is {clean(kind)}, and only LORA and ADALORA are read from files; "
            "lora_watch.measure(model) measures others in a loaded model"
        )
    for option, why in WITHOUT_CHANGE.items():
        if config.get(option):
            raise StoredError(f"{file}: with {option} there is no ΔW to measure. {why}")
    return config


def _adapter(
    module: str,
    keys: dict[str, str],
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    file: Path,
) -> StoredAdapter:
    name = clean_name(module)
    shown = clean(name)
    if missing := {"a", "b"} - keys.keys():
        raise StoredError(f"{file}: {shown} has no lora_{missing.pop().upper()}; the file is damaged or incomplete")
    a, b = shapes[keys["a"]], shapes[keys["b"]]
    rows = a[0] if a else 0
    if len(a) < 2 or len(b) < 2 or 0 in (*a, *b):
        raise StoredError(
            f"{file}: {shown} holds A {_size(a)} and B {_size(b)}, no matrices: saved from one shard of FSDP or "
            "ZeRO-3; gather before saving"
        )
    diagonal = _diagonal(config, name)
    if b[1] * diagonal["b"] != rows or rows % diagonal["a"] or b[0] % diagonal["b"]:
        raise StoredError(
            f"{file}: {shown}: A is {_size(a)} and B {_size(b)}, which do not multiply; for a grouped convolution load "
            "the model and use lora_watch.measure(model)"
        )
    adalora = str(config.get("peft_type")).upper() == "ADALORA"
    alpha = _number("lora_alpha", _by_pattern(config, "alpha_pattern", name, config.get("lora_alpha")), shown)
    # AdaLoRA's rank is what is left in the file.
    expected = rows if adalora else _number("r", _by_pattern(config, "rank_pattern", name, config.get("r")), shown)
    # Experts share one A and one B: r rows each.
    experts = (
        rows // int(expected)
        if config.get("target_parameters") and rows > expected >= 1 and rows % expected == 0
        else 1
    )
    r = rows // experts
    if r != expected:
        raise StoredError(f"{file}: {shown} has rank {r}, and {CONFIG} says {expected:g}; they do not belong together")
    variant = "adalora" if adalora else next((v for option, v in _VARIANTS.items() if config.get(option)), "lora")
    needed = {"adalora": "lora_E", "kasa": "lora_diag"}.get(variant)
    if needed and math.prod(shapes.get(keys.get("diagonal", ""), (0,))) != rows:
        raise StoredError(f"{file}: {shown} has no {needed} of {rows} numbers, which {variant} needs")
    rooted = bool(config.get("use_rslora")) and not adalora
    # PEFT adds the small number to AdaLoRA's rank.
    scale = alpha / (r + 1e-5) if adalora else alpha / (math.sqrt(r) if rooted else r)
    return StoredAdapter(
        name=shown,
        module=name,
        variant=variant,
        r=r,
        alpha=alpha,
        scale=scale,
        scale_formula="alpha/ranknum" if adalora else "alpha/sqrt(r)" if rooted else "alpha/r",
        shape=(b[0] * experts, math.prod(a[1:]) * diagonal["a"]),
        experts=experts,
        tensors=tensors,
        keys=keys,
        diagonal_blocks=diagonal,
    )


def _diagonal(config: Mapping[str, Any], name: str) -> dict[str, int]:
    """PEFT's reading of ``use_bdlora``: how many blocks each factor of the layer ``name`` has on its diagonal."""
    option = config.get("use_bdlora")
    blocks = {"a": 1, "b": 1}
    if not isinstance(option, dict):
        return blocks
    for part in blocks:
        patterns = option.get(f"target_modules_bd_{part}")
        if isinstance(patterns, list) and any(str(pattern) in name for pattern in patterns):
            blocks[part] = max(1, int(_number("use_bdlora.nblocks", option.get("nblocks"), clean(name))))
    return blocks


def _by_pattern(config: Mapping[str, Any], option: str, name: str, default: Any) -> Any:
    """PEFT's reading of ``rank_pattern`` and ``alpha_pattern``: the first key that the end of the name matches."""
    pattern = config.get(option)
    for key, value in pattern.items() if isinstance(pattern, dict) else ():
        try:
            if matches_end(str(key), name):
                return value
        except ValueError as error:
            raise StoredError(f"{CONFIG}: {option} has the key {clean(key)}: {error}") from None
    return default


def _number(name: str, value: Any, module: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1e-9 <= value < 1e15:
        raise StoredError(f"{CONFIG}: {name} of {module} is {clean(value)}: a positive number is needed")
    return float(value)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number"
