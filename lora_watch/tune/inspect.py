"""What is in a saved adapter: every norm and spectrum, one layer at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lora_watch.base.names import layer_index, module_family
from lora_watch.base.records import FloatArray
from lora_watch.base.text import clean, first_of
from lora_watch.base.untrusted import or_none
from lora_watch.measurement.norms import AdapterBank, Measurement
from lora_watch.measurement.norms.base import matrix_norms, relative
from lora_watch.measurement.norms.spectrum import singular_values
from lora_watch.snapshots.adapter import SavedAdapters, StoredAdapter, read_adapters
from lora_watch.snapshots.weights import StoredError, StoredWeights, stored_weights, weight_of
from lora_watch.tune.base_model import read_model

INSPECTION_VERSION = 1


@dataclass(frozen=True)
class Inspection:
    """A saved adapter, measured. Arrays are in the order of ``saved.adapters``."""

    saved: SavedAdapters
    measurement: Measurement
    spectra: tuple[FloatArray, ...]
    """Every singular value of each ΔW, the largest first."""
    energy: FloatArray
    """Share of each adapter in Σ‖ΔW‖_F²."""
    missing: tuple[str, ...]
    """Layers of the base model that ``target_modules`` names and the file lacks, although it has others of their kind;
    empty where no base model is known."""
    notes: tuple[str, ...]

    @property
    def delta_norm(self) -> float:
        """‖ΔW‖_F of all layers together, √Σ‖ΔW‖_F²."""
        return float(np.linalg.norm(self.measurement.delta_norm))

    @property
    def not_finite(self) -> list[str]:
        measured = zip(self.measurement.names, self.measurement.delta_norm)
        return [name for name, norm in measured if not np.isfinite(norm)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data. None means unknown, NaN was measured."""
        measured = self.measurement.to_dict()
        columns = [key for key in measured if key not in ("names", "methods", "r")]
        return {
            "version": INSPECTION_VERSION,
            "path": clean(self.saved.path),
            "base_model": or_none(clean, self.saved.config.get("base_model_name_or_path")),
            "parameters": self.saved.parameters,
            "delta_norm": self.delta_norm,
            "not_finite": self.not_finite,
            "missing": list(map(clean, self.missing)),
            "others": list(self.saved.others),
            "notes": list(self.notes),
            "adapters": [
                {
                    "name": adapter.name,
                    "method": adapter.variant,
                    "shape": list(adapter.shape),
                    "r": adapter.r,
                    "lora_alpha": adapter.alpha,
                    "scale_formula": adapter.scale_formula,
                    "energy": float(self.energy[i]),
                    "spectrum": self.spectra[i].tolist(),
                    **{column: measured[column][i] for column in columns},
                }
                for i, adapter in enumerate(self.saved.adapters)
            ],
        }


def inspect_adapter(path: str | Path, base: str | Path | None = None) -> Inspection:
    """Measure the adapter saved at ``path``, without loading a model.

    One layer is in memory at a time. With ``base``, the folder of the model it was trained on (or a safetensors file),
    norms relative to the base weights as well: each of these is then read some dozens of times. Which layers are
    missing takes its ``config.json``, too.

    Raises StoredError: see ``read_adapters``; also when ``base`` holds no safetensors.
    """
    saved = read_adapters(Path(path))
    notes = []
    base = None if base is None else Path(base)
    weights = None if base is None else base_weights(base)
    rows: list[dict[str, float]] = []
    spectra: list[FloatArray] = []
    norms: list[tuple[float, float]] = []
    for adapter in saved.adapters:
        rows.append({name: float(values[0]) for name, values in AdapterBank([adapter]).measure().items()})
        between = None if adapter.diagonal is None else adapter.diagonal.double().numpy()
        sigmas = np.concatenate([singular_values(block, between) for block in adapter.factors()])
        spectra.append(np.abs(adapter.scale) * np.sort(sigmas)[::-1])
        weight = None if weights is None else base_weight(adapter, weights)
        norms.append((np.nan, np.nan) if weight is None else matrix_norms(weight))
    if weights is not None and (unknown := sum(np.isnan(norm) for norm, _ in norms)):
        notes.append(f"{base} holds no readable weight for {unknown} of {len(norms)} layers: unknown there.")
    if any(adapter.variant == "dora" for adapter in saved.adapters):
        notes.append("DoRA also rescales each row of the sum: ‖s·B·A‖ is not the whole change of a layer.")
    if saved.others:
        notes.append(f"Other than the adapters: {first_of(saved.others, 3)}.")
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    base_norm, base_top = np.array(norms).T
    square = np.square(values["delta_norm"])
    with np.errstate(all="ignore"):
        energy = square / square.sum() if square.sum() != 0 else np.zeros(len(square))
    measurement = Measurement(
        names=tuple(adapter.name for adapter in saved.adapters),
        methods=tuple(adapter.variant for adapter in saved.adapters),
        r=tuple(adapter.r for adapter in saved.adapters),
        known=np.ones(len(rows), dtype=bool),
        **values,
        relative_norm=relative(values["delta_norm"], base_norm),
        relative_spectral_norm=relative(values["spectral_norm"], base_top),
    )
    missing = () if base is None or weights is None else _missing(saved, base, weights)
    if missing is None:
        notes.append(f"Which layers are missing is not known: {base} has no config.json that says what the model is.")
    return Inspection(saved, measurement, tuple(spectra), energy, missing or (), tuple(notes))


def _missing(saved: SavedAdapters, base: Path, weights: StoredWeights) -> tuple[str, ...] | None:
    """``Inspection.missing``; None where it is not known. Blocks behind the model's last one, which predict further
    tokens, are no part of it."""
    held = {name for adapter in saved.adapters if (name := weight_of(weights, adapter.module)) is not None}
    kinds = set(map(module_family, held))
    try:
        model = read_model(base if base.is_dir() else base.parent)
        named = model.adapted(saved.config) if saved.config.get("target_modules") else []
    except ValueError:  # no config.json, or other names than the model has when it is loaded
        return None
    blocks = model.config.get("num_hidden_layers") or math.inf
    wanted = [layer.name for layer in named if (layer_index(layer.name) or 0) < blocks]
    # Of a kind that the file does not hold at all: what target_modules names by its last part.
    ends = {name.removesuffix(".weight").rpartition(".")[2] for name in held}
    targets = saved.config["target_modules"] if wanted else ()
    gone = set() if isinstance(targets, str) else set(targets) - ends
    return tuple(
        name
        for name in wanted
        if f"{name}.weight" not in held
        and (module_family(f"{name}.weight") in kinds or name.rpartition(".")[2] in gone)
    )


def base_weights(base: Path) -> StoredWeights:
    """The weights of the model at ``base``. Raises StoredError where it has none in safetensors."""
    if (weights := stored_weights(base)) is None:
        raise StoredError(f"{base}: no model.safetensors is there, nor an index of several")
    return weights


def base_weight(adapter: StoredAdapter, weights: Mapping[str, Tensor]) -> Tensor | None:
    """The frozen weight of ``adapter`` as it is stored, kernels flattened; None where there is none of plain numbers.
    Raises StoredError for one of another size."""
    name = weight_of(weights, adapter.module)
    if name is None or not (weight := weights[name]).is_floating_point() or weight.ndim < 2:
        return None
    weight = weight.flatten(1)
    if weight.numel() != np.prod(adapter.shape):
        raise StoredError(
            f"{name} of the base model is {' × '.join(map(str, weight.shape))}, and the adapter is for "
            f"{' × '.join(map(str, adapter.shape))}: it was trained on another model"
        )
    return weight
