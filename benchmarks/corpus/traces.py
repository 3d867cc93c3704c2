"""A run's step records as one small file: float32 with 13 bits of mantissa, NaN kept, byte planes, xz."""

from __future__ import annotations

import dataclasses
import io
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_watch.records import AdapterInfo, FloatArray, RunInfo, StepRecord

_DROPPED_BITS = 10
"""Of float32's 23: what is left is exact to 6e-5, far below what any limit can tell apart."""


@dataclass(frozen=True)
class Trace:
    """One run of the corpus."""

    spec: Mapping[str, Any]
    before: float
    """Held-out loss before the first step."""
    after: float
    """Held-out loss of the final weights, NaN where they are not finite."""
    grad_norm: FloatArray
    """Global gradient norm before clipping, ``[n_steps]``, as the Trainer logs it."""
    records: Sequence[StepRecord]
    """Every step, the state before the first included."""


def save(path: Path, trace: Trace) -> None:
    """Write ``trace``; atomic, so that an interrupted generator leaves no half file."""
    records = trace.records
    arrays: dict[str, NDArray[Any]] = {"grad_norm": np.asarray(trace.grad_norm, dtype=np.float64)}
    for field in ("metrics", "known", "wiring"):
        names = list(dict.fromkeys(name for record in records for name in getattr(record, field)))
        for name in names:
            rows = [getattr(record, field).get(name) for record in records]
            there = np.array([row is not None for row in rows])
            some = next(row for row in rows if row is not None)
            full = np.stack([np.zeros_like(some) if row is None else row for row in rows])
            arrays[f"{field}/{name}"] = _planes(full) if field == "metrics" else np.packbits(full.astype(bool))
            arrays[f"{field}/{name}/there"] = there
            arrays[f"{field}/{name}/shape"] = np.array(full.shape)
    plain = [
        {
            "step": record.step,
            "loss": record.loss,
            "lr": record.lr,
            "lr_fraction": record.lr_fraction,
            "scalars": {k: v for k, v in record.scalars.items() if not k.startswith("loss_")},
            "updated": record.updated,
        }
        for record in records
    ]
    head = {
        "spec": dict(trace.spec),
        "before": trace.before,
        "after": trace.after,
        "run": dataclasses.asdict(records[0].run) | {"rules": []},
        "records": plain,
    }
    buffer = io.BytesIO()
    np.savez(buffer, head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(lzma.compress(buffer.getvalue(), preset=6))
    unfinished.rename(path)


def load(path: Path) -> Trace:
    """Read what ``save`` wrote. Scores of the loss are not in it: a replay computes them anew."""
    with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as arrays:
        head = json.loads(bytes(arrays["head"]))
        columns = {field: _columns(arrays, field) for field in ("metrics", "known", "wiring")}
        grad_norm = arrays["grad_norm"]
    run = _run_info(head["run"])
    records = []
    for i, plain in enumerate(head["records"]):
        arrays_of = {
            field: {name: rows[i] for name, (rows, there) in found.items() if there[i]}
            for field, found in columns.items()
        }
        records.append(StepRecord(run, **{**plain, "lr": tuple(plain["lr"])}, **arrays_of))
    return Trace(head["spec"], head["before"], head["after"], grad_norm, records)


def _columns(arrays: Any, field: str) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]:
    out = {}
    for key in arrays.files:
        if key.startswith(f"{field}/") and key.count("/") == 1:
            shape = tuple(arrays[f"{key}/shape"])
            packed = arrays[key]
            rows = _unplanes(packed, shape) if field == "metrics" else _unpack(packed, shape)
            out[key.split("/")[1]] = rows, arrays[f"{key}/there"]
    return out


def _planes(values: FloatArray) -> NDArray[np.uint8]:
    """Float32 bytes by significance, adapter by adapter through time: neighbours are alike, which xz likes."""
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values.T.astype(np.float32))
    bits = single.view(np.uint32)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    rounded = np.where(np.isfinite(single), (bits + half) & np.uint32(~((1 << _DROPPED_BITS) - 1) & 0xFFFFFFFF), bits)
    return np.ascontiguousarray(rounded.astype("<u4").view(np.uint8).reshape(-1, 4).T)


def _unplanes(planes: NDArray[np.uint8], shape: tuple[int, ...]) -> FloatArray:
    bits = np.ascontiguousarray(planes.T).view("<u4").reshape(shape[::-1])
    return np.ascontiguousarray(bits.view("<f4").T).astype(np.float64)


def _unpack(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)


def _run_info(plain: Mapping[str, Any]) -> RunInfo:
    known = {field.name for field in dataclasses.fields(RunInfo)}
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items() if k in known}
    columns = {field.name for field in dataclasses.fields(AdapterInfo)}
    adapters = tuple(AdapterInfo(**{k: v for k, v in a.items() if k in columns}) for a in plain["adapters"])
    return RunInfo(**{**settings, "adapters": adapters})
