"""JSON that every parser accepts: no bare NaN or Infinity, whatever the training run produced."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import Any

import numpy as np

from lora_watch.base.records import AdapterInfo


def strict(value: Any) -> Any:
    """``value`` as what strict JSON can hold.

    A non-finite number becomes its name, ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``, which ``float()`` reads
    back, so that null is left to mean "unknown". Mappings get string keys, sequences and arrays become lists, sets
    sorted ones, an Enum's member its value, and what JSON has no word for becomes its ``str()``.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return str(value)


def strict_json(value: Any) -> bytes:
    """``strict(value)`` as UTF-8. A text that is no valid Unicode, such as an odd path, loses what is not."""
    return json.dumps(strict(value), allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")


def adapter_fields(adapter: AdapterInfo) -> dict[str, Any]:
    """The fields of ``AdapterInfo`` by name; the norms of a frozen weight that nobody could read are None."""
    fields = asdict(adapter)
    for name in ("base_norm", "base_spectral_norm"):
        if math.isnan(fields[name]):
            fields[name] = None
    return fields
