"""A run's step records as one small file: float32 with 13 bits of mantissa, NaN kept, byte planes, xz."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.records import AdapterInfo, FloatArray, Reading, RunInfo, StepRecord
from lora_watch.rules.harm import AT_THE_END

PROJECTED = Path(__file__).parent / "projected.json"
"""By run and step the losses of ``harm.AT_THE_END``, of runs whose traces are older than these."""
_FIELDS = ("metrics", "known", "wiring")
"""Of a record: what holds one array a name."""
_DROPPED_BITS = 10
"""Of float32's 23: what is left is exact to 6e-5, far below what any threshold can tell apart."""


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
    parts = _parts(records)
    for begin, end in parts:
        for field in _FIELDS:
            arrays |= {_key(begin, key): value for key, value in _pack(records[begin:end], field).items()}
    plain = [
        {
            "step": record.step,
            "loss": record.loss,
            "lr": record.lr,
            "weight_decay": record.weight_decay,
            "lr_fraction": record.lr_fraction,
            "scalars": {k: v for k, v in record.scalars.items() if not k.startswith("loss_")},
            "retired": dict(record.retired),
            "updated": record.updated,
            "broken": list(record.broken),
        }
        for record in records
    ]
    head = {
        "spec": dict(trace.spec),
        "before": trace.before,
        "after": trace.after,
        "run": _plain_run(records[0].run),
        "later_runs": [[begin, _plain_run(records[begin].run)] for begin, _ in parts[1:]],
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
        begins = [(0, head["run"]), *head.get("later_runs", [])]
        ends = [*(begin for begin, _ in begins[1:]), len(head["records"])]
        known = _projected().get(path.stem, {})
        for plain in head["records"] if known else ():
            plain["scalars"] |= dict(zip(AT_THE_END, known.get(str(plain["step"]), ())))
        columns = [{field: _columns(arrays, begin, field) for field in _FIELDS} for begin, _ in begins]
        grad_norm = arrays["grad_norm"]
    records = []
    for (begin, plain_run), end, found in zip(begins, ends, columns):
        run = _run_info(plain_run)
        for i, plain in enumerate(head["records"][begin:end]):
            arrays_of = {
                field: {name: rows[i] for name, (rows, there) in found[field].items() if there[i]} for field in _FIELDS
            }
            groups = {name: tuple(plain.get(name, ())) for name in ("lr", "weight_decay", "broken")}
            metrics = {
                name: Reading(values) if (known := arrays_of["known"].get(name)) is None else Reading(values, known)
                for name, values in arrays_of["metrics"].items()
            }
            records.append(StepRecord(run, **{**plain, **groups}, metrics=metrics, wiring=arrays_of["wiring"]))
    return Trace(head["spec"], head["before"], head["after"], grad_norm, records)


@functools.cache
def _projected() -> dict[str, dict[str, list[float]]]:
    return json.loads(PROJECTED.read_text())


def _parts(records: Sequence[StepRecord]) -> list[tuple[int, int]]:
    """Stretches of records with the same adapters: what is merged or switched in mid-run changes their list."""
    begins = [i for i in range(len(records)) if not i or records[i].run != records[i - 1].run]
    return list(zip(begins, [*begins[1:], len(records)]))


def _key(begin: int, key: str) -> str:
    """The name of a stretch's array in the file; the first stretch, in most runs the only one, needs no mark."""
    return f"{begin}:{key}" if begin else key


def _plain_run(run: RunInfo) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"rules": []}


def _arrays(record: StepRecord, field: str) -> Mapping[str, NDArray[Any]]:
    """One of ``_FIELDS``; of ``known`` what is not True everywhere."""
    if field == "wiring":
        return record.wiring
    if field == "metrics":
        return {name: reading.values for name, reading in record.metrics.items()}
    return {name: reading.known for name, reading in record.metrics.items() if not reading.known.all()}


def _pack(records: Sequence[StepRecord], field: str) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    found = [_arrays(record, field) for record in records]
    for name in dict.fromkeys(name for arrays in found for name in arrays):
        rows = [arrays.get(name) for arrays in found]
        some = next(row for row in rows if row is not None)
        full = np.stack([np.zeros_like(some) if row is None else row for row in rows])
        out[f"{field}/{name}"] = _planes(full) if field == "metrics" else np.packbits(full.astype(bool))
        out[f"{field}/{name}/there"] = np.array([row is not None for row in rows])
        out[f"{field}/{name}/shape"] = np.array(full.shape)
    return out


def _columns(arrays: Any, begin: int, field: str) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """The arrays of the stretch that begins at record ``begin``, and at which steps each was there."""
    out = {}
    own = _key(begin, f"{field}/")
    for key in arrays.files:
        if key.startswith(own) and key.count("/") == 1:
            shape = tuple(arrays[f"{key}/shape"])
            packed = arrays[key]
            rows = _unplanes(packed, shape) if field == "metrics" else _unpack(packed, shape)
            out[key.removeprefix(own)] = rows, arrays[f"{key}/there"]
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
