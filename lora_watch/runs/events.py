"""Reads chosen records of TensorBoard event files and skips the rest.

A file is a sequence of records: the length of the event (uint64), its checksum (uint32), the event, another checksum.
TensorBoard's own reader takes each one apart and computes its checksum in Python; here the first bytes of a record
say its step and whether it is ours, and only what is asked for is read. A run of 10,000 steps costs 10,000 reads of
a hundred bytes, whatever it has logged. What a run is judged by stands in its report: no checksum is compared.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import math
import os
import re
import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.format import tags
from lora_watch.format.decoding import Event, latest
from lora_watch.runs.data import Stamp

FILES = "events.out.tfevents.*"
"""How TensorBoard's files are called."""
SESSION_END = "_hparams_/session_end_info"
"""First tag of the event that has the run's verdict."""

MOST_RECORD_BYTES = 4_000_000
"""Of one event that is read: a step of a thousand adapters has 200,000, their schema 260,000. Protobuf makes up to 40
times as much memory of one that is meant to."""
_HEAD = 12 + 9 + 10 + 80
"""Bytes of a record that are looked at: its length, the time, the step, and the first tag."""

Kind = Literal["schema", "step", "end", ""]
_KINDS: dict[bytes, Kind] = {
    tags.SCHEMA.encode(): "schema",
    tags.METRIC_PREFIX.encode(): "step",
    tags.SERIES_PREFIX.encode(): "step",
    tags.ALERTS.encode(): "step",
    SESSION_END.encode(): "end",
}
_FIRST_TAG = re.compile(rb"\n.(%s)" % b"|".join(map(re.escape, _KINDS)), re.DOTALL)
"""Field 1 of a value, which is its tag, after the byte that says how long it is."""
_FLOAT = 1
"""``DT_FLOAT`` of TensorBoard's protobufs."""


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
    """The event files of one run as one sequence of steps, as training last left them: a Source.

    A session that resumed at an earlier step replaces what came after that step before, in whatever file it is.
    Within a file the order is that of writing, whatever the clock did meanwhile; only which of several files is the
    older one is taken from their times. Files without anything of ours are left out, and files that cannot be opened
    are damage. Nothing is read until it is asked for.
    """

    def __init__(self, files: Iterable[Path]):
        self._paths = list(files)
        self._broken: dict[tuple[Path, int], str] = {}

    @cached_property
    def _scans(self) -> list[Scan]:
        return [scan(file) for file in self._paths]

    @cached_property
    def _records(self) -> list[Record]:
        """Those of all files of ours, the oldest file first."""
        ours = [found.records for found in self._scans if any(record.kind == "schema" for record in found.records)]
        return [record for records in sorted(ours, key=lambda records: records[0].wall_time) for record in records]

    @cached_property
    def _steps(self) -> list[Record]:
        return latest(record for record in self._records if record.kind == "step")

    @property
    def damage(self) -> list[str]:
        """What could not be read so far, in words."""
        return [*(found.damage for found in self._scans if found.damage), *self._broken.values()]

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
        return self._records[-1].wall_time if self._records else None

    def session_since(self, wall_time: float) -> str | None:
        """``run_id`` of the latest session, if it has one and began at this time, seconds since 1970, or later."""
        since = [schema for schema in self.events(tags.SCHEMA)[-1:] if schema.wall_time >= wall_time]
        return (since[0].document(dict) or {}).get("run_id") if since else None

    def events(self, tag: str, steps: Collection[int] | None = None) -> list[Event]:
        """Of one tag, at ``steps`` or at all."""
        wanted = None if steps is None else set(steps)
        if "_by_tag" in vars(self):
            return [event for event in self._by_tag.get(tag, []) if wanted is None or event.step in wanted]
        records = [record for record in self._of(tag) if wanted is None or record.step in wanted]
        return [event for found, event in self._values(records) if found == tag]

    @property
    def tags(self) -> dict[str, Stamp]:
        """What of ours there is. Keeps all of it, for a reader of everything."""
        return {tag: Stamp(events[-1].step, events[-1].wall_time) for tag, events in self._by_tag.items()}

    @cached_property
    def _by_tag(self) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = defaultdict(list)
        records = [*self._of(tags.SCHEMA), *self._steps, *(r for r in self._of(tags.VERDICT) if r.kind == "end")]
        for tag, event in self._values(records):
            found[tag].append(event)
        return dict(found)

    def _of(self, tag: str) -> list[Record]:
        """The records that may have a tag."""
        if tag == tags.SCHEMA:
            return latest(record for record in self._records if record.kind == "schema")
        if tag == tags.VERDICT:
            return [record for record in self._records if record.kind in ("schema", "end")][-1:]
        return self._steps

    def _values(self, records: Iterable[Record]) -> Iterator[tuple[str, Event]]:
        """Our values, each with its tag. Damaged records are left out and noted."""
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto import event_pb2

        for file, group in itertools.groupby(records, key=lambda record: record.file):
            with open(file, "rb", buffering=0) as stream:
                for record in group:
                    try:
                        event = event_pb2.Event.FromString(_read_at(stream, record.offset, record.length))
                    except DecodeError:
                        what = f"{file.name} has a damaged record at byte {record.offset:,}"
                        self._broken[file, record.offset] = what
                        continue
                    for value in event.summary.value:
                        if value.tag.startswith(f"{tags.PLUGIN_NAME}/"):
                            yield value.tag, Event(record.step, record.wall_time, _content(value.tensor))


class Scan(NamedTuple):
    """What one file holds."""

    records: list[Record]
    """Those that say something of a run."""
    damage: str | None = None
    """What is wrong with the file, in words: what comes behind is not read. A kill leaves half a record."""


def scan(file: Path) -> Scan:
    """The records of ``file``."""
    records: list[Record] = []
    try:
        with open(file, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            offset = 0
            while offset < size:
                head = _read_at(stream, offset, _HEAD)
                length = struct.unpack_from("<Q", head)[0] if len(head) >= 12 else size
                if offset + 16 + length > size:
                    return Scan(records, f"the last record of {file.name} is incomplete")
                tag = _FIRST_TAG.search(head[: 12 + length])  # a short event of others must not lend the next one's tag
                kind = _KINDS[tag[1]] if tag else ""
                if length < 9 or head[12] != 0x09 or (kind and _step(head) < 0):  # 09: its time
                    return Scan(records, f"{file.name} is damaged from byte {offset:,} on")
                if kind and length <= MOST_RECORD_BYTES:
                    wall_time = struct.unpack_from("<d", head, 13)[0]
                    records.append(Record(kind, _step(head), wall_time, file, offset + 12, length))
                offset += 16 + length
    except OSError as error:
        return Scan(records, f"{file.name} cannot be read: {error.strerror}")
    return Scan(records)


def _step(head: bytes) -> int:
    """Field 2 of an event, a signed varint of 64 bits after the time; absent when it is 0."""
    step = 0
    if head[21] == 0x10:
        for place, byte in enumerate(head[22:32]):
            step |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
    step &= 2**64 - 1
    return step - 2**64 * (step >> 63)


def _read_at(stream: BinaryIO, offset: int, length: int) -> bytes:
    """``length`` bytes of ``stream``, fewer where it ends."""
    stream.seek(offset)
    return stream.read(length)


def _content(tensor: Any) -> NDArray[np.float32] | bytes | None:
    """What a tensor of our format holds. It is as large as the bytes that it has, whatever shape it claims."""
    if tensor.string_val:
        return tensor.string_val[0]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.dtype != _FLOAT or min(shape, default=0) < 0 or 4 * math.prod(shape) != len(tensor.tensor_content):
        return None
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)
