"""Reads chosen records of TensorBoard event files and skips the rest.

A file is a sequence of records: the length of the event (uint64), its checksum (uint32), the event, another checksum.
TensorBoard's own reader takes each one apart and computes its checksum in Python; here the first bytes of a record
say its step and whether it is ours, and only what is asked for is read. A run of 10,000 steps costs 10,000 reads of
a hundred bytes, whatever it has logged.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import json
import os
import re
import struct
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

from lora_watch.sinks import Verdict, tags
from lora_watch.text import clean

FILES = "events.out.tfevents.*"
"""How TensorBoard's files are called."""
SESSION_END = "_hparams_/session_end_info"
"""First tag of the event that has the run's verdict."""

_HEAD = 12 + 9 + 10 + 80
"""Bytes of a record that are looked at: its length, the time, the step, and the first tag."""

Kind = Literal["schema", "step", "end"]
_KINDS: dict[bytes, Kind] = {
    tags.SCHEMA.encode(): "schema",
    tags.METRIC_PREFIX.encode(): "step",
    tags.SERIES_PREFIX.encode(): "step",
    tags.ALERTS.encode(): "step",
    SESSION_END.encode(): "end",
}
_FIRST_TAG = re.compile(rb"\n.(%s)" % b"|".join(map(re.escape, _KINDS)), re.DOTALL)
"""Field 1 of a value, which is its tag, after the byte that says how long it is."""


class Record(NamedTuple):
    """One event that says something of a run, not read yet."""

    kind: Kind
    step: int
    wall_time: float
    file: Path
    offset: int
    """Where the event begins, behind its length."""
    length: int


class EventLog:
    """The event files of one run as one sequence of steps, as training last left them.

    A session that resumed at an earlier step replaces what came after that step before, in whatever file it is.
    Within a file the order is that of writing, whatever the clock did meanwhile; only which of several files is the
    older one is taken from their times. Files without anything of ours are left out, and files that cannot be opened
    are damage. Nothing is read until it is asked for.
    """

    def __init__(self, files: Iterable[Path]):
        self._candidates = list(files)

    @cached_property
    def _scanned(self) -> list[tuple[list[Record], str | None]]:
        """Each file of ours, the oldest first."""
        scanned = [scan(file) for file in self._candidates]
        ours = [found for found in scanned if any(record.kind == "schema" for record in found[0])]
        return sorted(ours, key=lambda found: found[0][0].wall_time)

    @cached_property
    def _records(self) -> list[Record]:
        return [record for records, _ in self._scanned for record in records]

    @cached_property
    def _order(self) -> dict[Path, int]:
        return {file: place for place, file in enumerate(dict.fromkeys(record.file for record in self._records))}

    def _position(self, record: Record) -> tuple[int, int]:
        return self._order[record.file], record.offset

    @cached_property
    def _steps(self) -> list[Record]:
        steps: list[Record] = []
        for record in self._records:
            if record.kind == "step":
                while steps and steps[-1].step >= record.step:
                    steps.pop()
                steps.append(record)
        return steps

    def __bool__(self) -> bool:
        """There is something of ours."""
        return bool(self._scanned)

    @property
    def damage(self) -> list[str]:
        """What could not be read, in words."""
        return [damage for _, damage in self._scanned if damage]

    @property
    def steps(self) -> list[int]:
        """Every step that was written, in order. 0 is the state before the first."""
        return [record.step for record in self._steps]

    def since(self, wall_time: float) -> list[int]:
        """Those of ``steps`` that were written at this time, seconds since 1970, or later."""
        return [record.step for record in self._steps if record.wall_time >= wall_time]

    @property
    def last_wall_time(self) -> float | None:
        """When the last event was written, seconds since 1970."""
        return self._scanned[-1][0][-1].wall_time if self._scanned else None

    @cached_property
    def schemas(self) -> list[tuple[tuple[int, int], dict[str, Any]]]:
        """The headers that can be read, each with its position in the sequence."""
        read = []
        for record, values in _read(r for r in self._records if r.kind == "schema"):
            schema = _json(values.get(tags.SCHEMA))
            if isinstance(schema, dict) and _name_adapters(schema.get("adapters")):
                read.append((self._position(record), schema))
        return read

    def metric(self, name: str, steps: Iterable[int]) -> dict[int, dict[str, float]]:
        """``{step: {adapter: value}}`` at those of ``steps`` where it was measured; unknown numbers are left out."""
        tag = tags.METRIC_PREFIX + name
        return {r.step: self._named(r, values[tag]) for r, values in _read(self._at(steps)) if tag in values}

    def metrics(self, step: int) -> dict[str, dict[str, float]]:
        """``{metric: {adapter: value}}`` of one step."""
        return {
            tag.removeprefix(tags.METRIC_PREFIX): self._named(record, value)
            for record, values in _read(self._at([step]))
            for tag, value in values.items()
            if tag.startswith(tags.METRIC_PREFIX)
        }

    def series(self, name: str, steps: Iterable[int]) -> dict[int, float]:
        """The first number of a small vector such as ``loss`` at those of ``steps`` that have it."""
        tag = tags.SERIES_PREFIX + name
        numbers = {r.step: _floats(values[tag]) for r, values in _read(self._at(steps)) if tag in values}
        return {step: found[0] for step, found in numbers.items() if found and found[0] is not None}

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert as it was last written, in order of opening. Reads the files from end to end."""
        episodes: dict[tuple[Any, Any], dict[str, Any]] = {}
        for _, values in _read(self._steps, holding=tags.ALERTS.encode()):
            listed = _json(values.get(tags.ALERTS))
            for alert in listed if isinstance(listed, list) else []:
                if isinstance(alert, dict):
                    episodes[str(alert.get("rule")), str(alert.get("step"))] = alert
        return list(episodes.values())

    def ended(self) -> tuple[Verdict | None, str | None]:
        """The latest session's verdict and why; no verdict if it left none: it was killed, or is still going."""
        latest = [record for record in self._records if record.kind != "step"][-1:]
        told = next((_json(values.get(tags.VERDICT)) for _, values in _read(latest)), None)
        if not isinstance(told, dict) or told.get("verdict") not in get_args(Verdict):
            return None, None
        return told["verdict"], told.get("message")

    def _at(self, steps: Iterable[int]) -> list[Record]:
        wanted = set(steps)
        return [record for record in self._steps if record.step in wanted]

    def _named(self, record: Record, value: Any) -> dict[str, float]:
        position = self._position(record)
        schema = next((schema for place, schema in reversed(self.schemas) if place <= position), {"adapters": []})
        names = (clean(adapter["name"]) for adapter in schema["adapters"])
        return {name: number for name, number in zip(names, _floats(value)) if number is not None}


def scan(file: Path) -> tuple[list[Record], str | None]:
    """The records of ``file`` that say something of a run, and what is wrong with the file in words, or None."""
    records: list[Record] = []
    try:
        with open(file, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            offset = 0
            while offset < size:
                head = _read_at(stream, offset, _HEAD)
                length = struct.unpack_from("<Q", head)[0] if len(head) >= 12 else size
                if offset + 16 + length > size:
                    return records, f"the last record of {file.name} is incomplete"
                if length < 9 or head[12] != 0x09:  # field 1, the time: every event begins with it
                    return records, f"{file.name} is damaged from byte {offset:,} on"
                if kind := _kind(head[: 12 + length]):  # a short event of others must not lend the next one's tag
                    records.append(
                        Record(kind, _step(head), struct.unpack_from("<d", head, 13)[0], file, offset + 12, length)
                    )
                offset += 16 + length
    except OSError as error:
        return records, f"{file.name} cannot be read: {error.strerror}"
    return records, None


def _kind(head: bytes) -> Kind | None:
    tag = _FIRST_TAG.search(head)
    return None if tag is None else _KINDS[tag[1]]


def _step(head: bytes) -> int:
    """Field 2 of an event, a varint after the time; absent when it is 0."""
    step = 0
    if head[21] == 0x10:
        for place, byte in enumerate(head[22:32]):
            step |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
    return step


def _read(records: Iterable[Record], holding: bytes = b"") -> Iterator[tuple[Record, dict[str, Any]]]:
    """Each record whose bytes contain ``holding``, with its values by tag. One that cannot be parsed is left out."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto import event_pb2

    for file, group in itertools.groupby(records, key=lambda record: record.file):
        with open(file, "rb", buffering=0) as stream:
            for record in group:
                content = _read_at(stream, record.offset, record.length)
                if holding in content:
                    try:
                        event = event_pb2.Event.FromString(content)
                    except DecodeError:
                        continue
                    yield record, {value.tag: value for value in event.summary.value}


def _read_at(stream: BinaryIO | Any, offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)


def _floats(value: Any) -> list[float | None]:
    """A float32 vector of our format as floats, None where a number is unknown; empty for anything else."""
    data = value.tensor.tensor_content
    n = len(data) // 4
    bits, numbers = struct.unpack(f"<{n}I", data[: 4 * n]), struct.unpack(f"<{n}f", data[: 4 * n])
    return [None if b == tags.UNKNOWN_BITS else number for b, number in zip(bits, numbers)]


def _json(value: Any) -> Any:
    """The JSON in a string tensor of our format, None if there is none."""
    try:
        return json.loads(value.tensor.string_val[0])
    except (AttributeError, IndexError, ValueError, RecursionError):
        return None


def _name_adapters(adapters: Any) -> bool:
    return isinstance(adapters, list) and all(isinstance(a, dict) and isinstance(a.get("name"), str) for a in adapters)
