"""A saved adapter as PEFT writes it: ``adapter_config.json`` next to ``adapter_model.safetensors``."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lora_watch.adapters import Factors
from lora_watch.adapters.peft import by_expert, matrix_of
from lora_watch.base.names import clean_name, numbered
from lora_watch.base.text import clean
from lora_watch.base.untrusted import load_json, matches_end
from lora_watch.snapshots.weights import StoredError, StoredWeights

CONFIG = "adapter_config.json"
SAFE = "adapter_model.safetensors"

METHODS = ("LORA", "ADALORA")
"""``peft_type`` of what is read."""
_KEY = re.compile(r"(.+)\.(lora_embedding_[AB]|lora_[ABE]|lora_magnitude_vector)(?:\.default)?(?:\.weight)?")
NOT_PLAIN = ("arrow_config", "use_qalora", "use_bdlora", "kasa_config", "monteclora_config")
"""Options of a LoraConfig with which the file does not say all of ΔW, or says it otherwise."""


class GroupedError(StoredError):
    """An adapter is that of a convolution with groups."""


@dataclass(frozen=True)
class StoredAdapter:
    """One adapter of one layer. Its factors are read when they are asked for, and not kept."""

    name: str
    """Module path without wrapper prefixes, printable."""
    module: str
    """The same as it is stored."""
    variant: str
    """``lora``, ``dora`` or ``adalora``."""
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
    """Where ``A`` and ``B`` are in ``tensors``, and AdaLoRA's ``E``."""

    def factors(self) -> Sequence[Factors]:
        """One block; one an expert where there are several."""
        return by_expert(matrix_of(self._stored("A"), 1), matrix_of(self._stored("B"), 1), self.experts)

    @property
    def diagonal(self) -> Tensor | None:
        """AdaLoRA's E, ``[r]``."""
        return self._stored("E").flatten() if self.variant == "adalora" else None

    def _stored(self, part: str) -> Tensor:
        stored = self.tensors[self.keys[part]]
        if str(stored.dtype).endswith("_x2"):
            raise StoredError(f"{self.name}: two numbers in one byte ({stored.dtype}) are not read")
        if stored.is_complex():
            raise StoredError(f"{self.name}: complex numbers ({stored.dtype}) are not read")
        # Of a layer that AdaLoRA has left no rank: one that adds nothing.
        return stored if self.r else stored.new_zeros([max(size, 1) for size in stored.shape])


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


def read_adapters(path: Path) -> SavedAdapters:
    """The adapters saved at ``path``: a folder, or its ``adapter_model.safetensors``. Only names and shapes are read.

    Raises StoredError, which names the file and what to do, for anything that is not such a folder: files that are
    missing, damaged or do not fit each other, pickles, and methods other than plain LoRA, rsLoRA, DoRA and AdaLoRA.
    """
    if not path.exists():
        raise StoredError(f"{path}: no such file or folder")
    if path.name == CONFIG:
        path = path.parent
    if path.is_file() and path.suffix != ".safetensors":
        raise StoredError(f"{path}: not a file of weights; give the folder that save_pretrained wrote")
    folder = path if path.is_dir() else path.parent
    config = _config(folder / CONFIG, folder)
    file = path if path.is_file() else folder / SAFE
    if not file.is_file():
        pickle = "; adapter_model.bin is a pickle, which can run code: save as safetensors"
        instead = pickle if (folder / "adapter_model.bin").is_file() else _instead(folder)
        raise StoredError(f"{folder}: {SAFE} is not there{instead}")
    tensors = StoredWeights([file])
    found: dict[str, dict[str, str]] = {}
    others, parameters = [], 0
    for key in tensors:
        match = _KEY.fullmatch(key)
        if match is None:
            others.append(clean(key))
            continue
        parameters += math.prod(tensors.shapes[key])
        if (part := match[2][-1]) in "ABE":
            found.setdefault(match[1], {})[part] = key
    if not found:
        first = f"; the first name in it is {others[0]}" if others else ""
        raise StoredError(f"{file}: no lora_A and lora_B in it, so not an adapter that PEFT has saved{first}")
    # As layers are numbered: 2 before 10.
    order = {name: [(int(n[:18]), "") if n.isdecimal() else (-1, n) for n in name.split(".")] for name in found}
    adapters = [_adapter(name, found[name], tensors, config, file) for name in sorted(found, key=order.__getitem__)]
    # Two parameters of one module have one name in the file.
    named = zip(adapters, numbered(adapter.name for adapter in adapters))
    unique = tuple(replace(adapter, name=name) for adapter, name in named)
    return SavedAdapters(path, config, unique, parameters, tuple(others))


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
    method = f"peft_type is {clean(kind)}" if kind not in METHODS else next(filter(config.get, NOT_PLAIN), None)
    if method is not None:
        raise StoredError(
            f"{file}: {method}, and only LoRA, rsLoRA, DoRA and AdaLoRA are read from files; lora_watch.measure(model) "
            "measures others in a loaded model"
        )
    return config


def _adapter(
    module: str, keys: dict[str, str], tensors: StoredWeights, config: Mapping[str, Any], file: Path
) -> StoredAdapter:
    name = clean_name(module)
    shown = clean(name)
    adaptive = config.get("peft_type") == "ADALORA"
    if missing := {"A", "B", *("E" * adaptive)} - keys.keys():
        raise StoredError(f"{file}: {shown} has no lora_{missing.pop()}; the file is damaged or incomplete")
    a, b = tensors.shapes[keys["A"]], tensors.shapes[keys["B"]]
    rows = a[0] if a else 0
    expected = _rank(config, name, shown)
    if len(a) < 2 or len(b) < 2 or (0 in (*a, *b) and expected):
        raise StoredError(
            f"{file}: {shown} holds A {_size(a)} and B {_size(b)}, no matrices: saved from one shard of FSDP or "
            "ZeRO-3; gather before saving"
        )
    if len(b) > 2 and b[1] < rows and rows % b[1] == 0:
        raise GroupedError(f"{file}: {shown} is in a convolution with groups, whose adapters are not measured")
    if b[1] != rows or (adaptive and tensors.shapes[keys["E"]] != (rows, 1)):
        raise StoredError(f"{file}: {shown}: A is {_size(a)} and B {_size(b)}, which do not multiply")
    alpha = _number("lora_alpha", _by_pattern(config, "alpha_pattern", name, config.get("lora_alpha")), shown)
    # Experts share one A and one B: r rows each.
    stacked = config.get("target_parameters") and rows > expected >= 1 and rows % expected == 0
    experts = rows // int(expected) if stacked else 1
    r = rows // experts
    if r != expected:
        raise StoredError(f"{file}: {shown} has rank {r}, and {CONFIG} says {expected:g}; they do not belong together")
    if adaptive:  # ranks that were cut stay counted
        scale, formula = alpha / (_number("init_r", config.get("init_r"), shown) + 1e-5), "alpha/ranknum"
    else:
        rooted = bool(config.get("use_rslora"))
        scale, formula = alpha / (math.sqrt(r) if rooted else r), "alpha/sqrt(r)" if rooted else "alpha/r"
    return StoredAdapter(
        name=shown,
        module=name,
        variant="adalora" if adaptive else "dora" if config.get("use_dora") else "lora",
        r=r,
        alpha=alpha,
        scale=scale,
        scale_formula=formula,
        shape=(b[0] * experts, math.prod(a[1:])),
        experts=experts,
        tensors=tensors,
        keys=keys,
    )


def _rank(config: Mapping[str, Any], name: str, shown: str) -> float:
    """The rank of the adapter ``name`` as PEFT will make it. AdaLoRA lists each rank of a layer, and whether it was
    kept; none may be."""
    if config.get("peft_type") != "ADALORA":
        return _number("r", _by_pattern(config, "rank_pattern", name, config.get("r")), shown)
    kept = config.get("rank_pattern")
    ranks = kept.get(f"{name}.lora_E") if isinstance(kept, dict) else None
    return sum(map(bool, ranks)) if isinstance(ranks, list) else _number("init_r", config.get("init_r"), shown)


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
