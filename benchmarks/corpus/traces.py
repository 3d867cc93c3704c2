"""Step records of many runs in one file: a zip of blocks, each a few runs together under xz, so that one run is read
without the rest.

Numbers are float32 with as many bits of mantissa as ``BITS`` says, NaN kept. Columns of a block's runs stand together,
and hold what a number's bits have moved since the step before. What follows from other metrics is not stored.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import lzma
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.records import AdapterInfo, FloatArray, Reading, RunInfo, StepRecord

BITS = 13
"""Bits of mantissa: exact to 6e-5, far below what any threshold can tell apart."""
COARSE = {
    "a_grad_norm": 5, "b_grad_norm": 5, "effective_rank": 8, "a_norm": 10, "b_norm": 10, "spectral_norm": 11,
    "product_norm": 11,
}  # fmt: skip
"""The same of metrics that rules compare less closely. The golden file has the alerts of all runs at ``BITS``."""
_ALL_BITS = 23
_UNREAD = ("predicted_norm",)
"""Metrics that no rule reads."""
_ROUGH = ("a_grad_norm", "b_grad_norm", "output_ratio")
"""Metrics that differ from step to step at random. The others go on as they went."""
_TOGETHER = 16
"""Runs a block."""
_INDEX = "runs.json"
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]
_NEAR = 1e-3
"""Share by which a stored metric may differ from what follows from the others."""


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
    rows: Sequence[Mapping[str, float]] = ()
    """What the Trainer has logged, of a policy (``policies.py``)."""


class _Column(NamedTuple):
    """One array a step, of the records of a run that have it."""

    kind: str
    """The field of a record: ``metrics``, ``known`` or ``wiring``; ``run`` for the Trainer's own numbers."""
    name: str
    steps: NDArray[np.intp]
    """The indices of its records."""
    values: NDArray[Any]
    """``[steps, adapters]``."""

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.name


def save(path: Path, traces: Mapping[str, Trace]) -> None:
    """Write ``traces`` by their names; atomic, so that an interrupted generator leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    names = sorted(traces)
    blocks = [names[i : i + _TOGETHER] for i in range(0, len(names), _TOGETHER)]
    with zipfile.ZipFile(unfinished, "w") as file:
        for i, block in enumerate(blocks):
            file.writestr(
                _undated(f"{i}.xz"), lzma.compress(_encoded([traces[name] for name in block]), filters=_FILTERS)
            )
        file.writestr(_undated(_INDEX), json.dumps(blocks))
    unfinished.rename(path)


def _undated(name: str) -> zipfile.ZipInfo:
    """Without a date: the same traces are the same file."""
    return zipfile.ZipInfo(name)


def names(path: Path) -> list[str]:
    """The runs whose traces ``path`` holds."""
    with zipfile.ZipFile(path) as file:
        return [name for block in json.loads(file.read(_INDEX)) for name in block]


def load(path: Path, wanted: Collection[str] | None = None) -> dict[str, Trace]:
    """Read what ``save`` wrote, or the runs ``wanted`` of it. What loss and reward say is not in it: a replay computes
    it anew."""
    found: dict[str, Trace] = {}
    with zipfile.ZipFile(path) as file:
        for i, block in enumerate(json.loads(file.read(_INDEX))):
            if wanted is None or not {*block}.isdisjoint(wanted):
                traces = zip(block, _decoded(lzma.decompress(file.read(f"{i}.xz"))))
                found |= {name: trace for name, trace in traces if wanted is None or name in wanted}
    return found


# -- a block: one line of JSON, then every column's bytes by significance ----------------------------------------------


def _encoded(traces: Sequence[Trace]) -> bytes:
    heads, columns = zip(*map(_taken_apart, traces))
    by_key: dict[tuple[str, str], list[_Column]] = {}
    for column in (column for some in columns for column in some):
        by_key.setdefault(column.key, []).append(column)
    parts = [np.concatenate([_planes(column) for column in by_key[key]], axis=1).tobytes() for key in sorted(by_key)]
    return json.dumps(heads).encode() + b"\n" + b"".join(parts)


def _decoded(block: bytes) -> Iterator[Trace]:
    line, _, rest = block.partition(b"\n")
    heads = json.loads(line)
    shapes: dict[tuple[str, str], list[tuple[int, list[int], int]]] = {}
    for i, head in enumerate(heads):
        for kind, name, steps, width in head["columns"]:
            shapes.setdefault((kind, name), []).append((i, steps, width))
    columns: list[list[_Column]] = [[] for _ in heads]
    at = 0
    for key in sorted(shapes):
        depth = 4 if key[0] in ("metrics", "run") else 1
        total = sum(len(steps) * width for _, steps, width in shapes[key])
        planes = np.frombuffer(rest, np.uint8, depth * total, at).reshape(depth, total)
        at += planes.size
        begin = 0
        for i, steps, width in shapes[key]:
            end = begin + len(steps) * width
            values = _values(planes[:, begin:end].reshape(depth, len(steps), width), *key)
            columns[i].append(_Column(*key, np.array(steps), values))
            begin = end
    yield from map(_put_together, heads, columns)


def _planes(column: _Column) -> NDArray[np.uint8]:
    """``[bytes of a number, numbers]``: most significant bytes are alike, which xz likes."""
    if column.values.dtype == bool:
        return column.values.astype(np.uint8).reshape(1, -1)
    dropped = np.uint32(_dropped(*column.key))
    with np.errstate(over="ignore"):
        single = column.values.astype(np.float32)
    single = np.where(np.isnan(single), np.float32(np.nan), single)
    bits = single.view(np.uint32)
    half = np.uint32((1 << int(dropped)) >> 1)
    moved = (np.where(np.isfinite(single), bits + half, bits) >> dropped).astype(np.int32)
    for _ in range(_order(*column.key)):
        moved = np.diff(moved, axis=0, prepend=np.int32(0))
    folded = ((moved << 1) ^ (moved >> 31)).astype("<u4")  # small numbers of both signs become small ones
    return np.ascontiguousarray(folded.view(np.uint8).reshape(-1, 4).T)


def _values(planes: NDArray[np.uint8], kind: str, name: str) -> NDArray[Any]:
    """``[steps, adapters]`` from ``[bytes, steps, adapters]``."""
    if len(planes) == 1:
        return planes[0].astype(bool)
    folded = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view("<u4")[..., 0]
    bits = (folded >> 1).astype(np.int32) ^ -(folded & 1).astype(np.int32)
    for _ in range(_order(kind, name)):
        bits = np.cumsum(bits, axis=0, dtype=np.int32)
    return (bits.astype(np.uint32) << np.uint32(_dropped(kind, name))).view(np.float32).astype(np.float64)


def _dropped(kind: str, name: str) -> int:
    return 0 if kind == "run" else _ALL_BITS - COARSE.get(name, BITS)


def _order(kind: str, name: str) -> int:
    """How often differences between steps are taken."""
    return 1 if kind == "run" or name in _ROUGH else 2


# -- a run: what is one number a step, and its columns -----------------------------------------------------------------


_PLAIN = ("step", "loss", "lr", "weight_decay", "lr_fraction", "retired", "updated", "broken")


def _taken_apart(trace: Trace) -> tuple[dict[str, Any], list[_Column]]:
    records = trace.records
    columns = [_Column("run", "grad_norm", np.arange(len(trace.grad_norm)), np.reshape(trace.grad_norm, (-1, 1)))]
    begins = [i for i in range(len(records)) if not i or records[i].run != records[i - 1].run]
    runs = []
    for begin, end in zip(begins, [*begins[1:], len(records)]):  # what is merged or switched changes the adapters
        run, own = records[begin].run, _columns(records[begin:end], begin)
        follows = [name for name in FOLLOWS if _is_near(own.get(("metrics", name)), _followed(run, name, own))]
        columns += [column for key, column in own.items() if key[0] != "metrics" or key[1] not in follows]
        runs.append([begin, dataclasses.asdict(run) | {"rules": []}, follows])
    plain = {name: [_short(getattr(record, name)) for record in records] for name in _PLAIN}
    computed = "loss_", "reward_"
    scalars = [{k: v for k, v in record.scalars.items() if not k.startswith(computed)} for record in records]
    head = {
        "spec": dict(trace.spec),
        "before": trace.before,
        "after": trace.after,
        "rows": _short(trace.rows),
        "runs": runs,
        "records": plain | {"scalars": _short(scalars)},
        "columns": [[c.kind, c.name, c.steps.tolist(), c.values.shape[1]] for c in columns],
    }
    return head, columns


def _is_near(stored: _Column | None, followed: _Column | None) -> bool:
    return (
        stored is not None
        and followed is not None
        and np.array_equal(stored.steps, followed.steps)
        and np.allclose(stored.values, followed.values, rtol=_NEAR, atol=0, equal_nan=True)
    )


def _short(value: Any) -> Any:
    """Six digits: ten times as exact as the numbers of columns."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items()}
    return [*map(_short, value)] if isinstance(value, (list, tuple)) else value


def _columns(records: Sequence[StepRecord], begin: int) -> dict[tuple[str, str], _Column]:
    """Of records with the same adapters, the first of which is number ``begin``."""
    found: dict[tuple[str, str], list[tuple[int, NDArray[Any]]]] = {}
    for i, record in enumerate(records, begin):
        for name, reading in record.metrics.items():
            if name in _UNREAD:
                continue
            found.setdefault(("metrics", name), []).append((i, reading.values))
            if not reading.known.all():
                found.setdefault(("known", name), []).append((i, reading.known))
        for name, values in record.wiring.items():
            found.setdefault(("wiring", name), []).append((i, values.astype(bool)))
    return {
        key: _Column(*key, np.array([i for i, _ in rows]), np.stack([values for _, values in rows]))
        for key, rows in found.items()
    }


def _followed(run: RunInfo, name: str, columns: Mapping[tuple[str, str], _Column]) -> _Column | None:
    """The metric ``name`` from those that it follows from, at the steps that have them all; None where one is
    missing."""
    needs, follow = FOLLOWS[name]
    found = [columns[key] for need in needs if (key := ("metrics", need)) in columns]
    if len(found) < len(needs):
        return None
    steps = functools.reduce(np.intersect1d, (column.steps for column in found))
    values = (column.values[np.isin(column.steps, steps)] for column in found)
    with np.errstate(all="ignore"):
        return _Column("metrics", name, steps, follow(run, *values))


def _stable_rank(run: RunInfo, delta: FloatArray, spectral: FloatArray) -> FloatArray:
    return np.where(delta == 0, 0.0, (delta / spectral) ** 2)


FOLLOWS: Mapping[str, tuple[tuple[str, ...], Callable[..., FloatArray]]] = {
    "delta_norm": (("product_norm", "scale"), lambda run, product, scale: scale * product),
    "relative_norm": (("delta_norm",), lambda run, delta: delta / [each.base_norm for each in run.adapters]),
    "relative_spectral_norm": (
        ("spectral_norm",),
        lambda run, spectral: spectral / [each.base_spectral_norm for each in run.adapters],
    ),
    "stable_rank": (("delta_norm", "spectral_norm"), _stable_rank),
}
"""By metric what it follows from, and how: ``[steps, adapters]`` each."""


def _put_together(head: Mapping[str, Any], columns: Sequence[_Column]) -> Trace:
    plain = [dict(zip(head["records"], values)) for values in zip(*head["records"].values())]
    arrays = {kind: [{} for _ in plain] for kind in ("metrics", "known", "wiring", "run")}
    runs: list[RunInfo] = []
    for (begin, run, follows), end in zip(head["runs"], [*(begin for begin, *_ in head["runs"][1:]), len(plain)]):
        runs += [_run_info(run)] * (end - begin)
        own = {column.key: column for column in columns if column.kind != "run" and begin <= column.steps[0] < end}
        for name in follows:
            column = _followed(runs[-1], name, own)
            assert column is not None
            own[column.key] = column
        for column in own.values():
            for i, row in zip(column.steps.tolist(), column.values):
                arrays[column.kind][i][column.name] = row
    records = []
    for i, (run, each) in enumerate(zip(runs, plain)):
        known = arrays["known"][i]
        metrics = {
            name: Reading(row, known.get(name, np.ones(len(row), dtype=bool)))
            for name, row in arrays["metrics"][i].items()
        }
        groups = {name: tuple(each[name]) for name in ("lr", "weight_decay", "broken")}
        records.append(StepRecord(run, **{**each, **groups}, metrics=metrics, wiring=arrays["wiring"][i]))
    (grad_norm,) = (column.values[:, 0] for column in columns if column.kind == "run")
    return Trace(head["spec"], head["before"], head["after"], grad_norm, records, head.get("rows", ()))


def _run_info(plain: Mapping[str, Any]) -> RunInfo:
    known = {field.name for field in dataclasses.fields(RunInfo)}
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items() if k in known}
    columns = {field.name for field in dataclasses.fields(AdapterInfo)}
    adapters = tuple(AdapterInfo(**{k: v for k, v in a.items() if k in columns}) for a in plain["adapters"])
    return RunInfo(**{**settings, "adapters": adapters})
