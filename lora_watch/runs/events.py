"""Reads what is ours of TensorBoard event files.

A file is a sequence of records: the length of the event (uint64), its checksum (uint32), the event, another checksum.
TensorBoard's own reader computes the checksums in Python. What a run is judged by stands in its report: none is
compared here.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.format import tags
from lora_watch.format.decoding import Event, latest
from lora_watch.runs.data import Stamp

FILES = "events.out.tfevents.*"
"""How TensorBoard's files are called."""
MOST_RECORD_BYTES = 4_000_000
"""Of one event that is read: a step of a thousand adapters has 200,000, their schema 260,000. Protobuf makes up to 40
times as much memory of one that is meant to."""
_OURS = f"{tags.PLUGIN_NAME}/"
_FLOAT = 1
"""``DT_FLOAT`` of TensorBoard's protobufs."""


class Record(NamedTuple):
    """What of ours one event holds."""

    step: int
    wall_time: float
    values: Mapping[str, NDArray[np.float32] | bytes | None]
    """By tag."""


class EventLog:
    """The event files of one run as one sequence of steps, as training last left them: a Source.

    A session that resumed at an earlier step replaces what came after that step before, in whatever file it is, and
    although it may have ended before a step of its own.
    Within a file the order is that of writing, whatever the clock did meanwhile; only which of several files is the
    older one is taken from their times. Files without anything of ours are left out, and files that cannot be read are
    damage. Nothing is read until it is asked for.
    """

    def __init__(self, files: Iterable[Path]):
        self._paths = list(files)

    @cached_property
    def _read(self) -> tuple[list[Record], list[str]]:
        """Those of all files, the oldest file first, and what could not be read, in words."""
        found = [records_of(file) for file in self._paths]
        ours = [records for records, _ in found if any(tags.SCHEMA in record.values for record in records)]
        ours.sort(key=lambda records: records[0].wall_time)
        return [record for records in ours for record in records], [damage for _, damage in found if damage]

    @cached_property
    def _steps(self) -> list[Record]:
        steps: list[Record] = []
        session = None
        for record in self._read[0]:
            if tags.SCHEMA in record.values:  # at the start of a session, and where its adapters have changed
                before, session = session, _session(record)
                if session != before:
                    steps = [step for step in latest(steps) if step.step <= record.step]
            elif tags.VERDICT in record.values:
                continue
            elif steps and steps[-1].step == record.step:
                last = steps[-1]  # a step that is written again keeps what was logged after it
                if _is_more_of_a_step(record):
                    steps[-1] = last._replace(values={**last.values, **record.values})
                else:
                    logged = {tag: value for tag, value in last.values.items() if _is_logged(tag)}
                    steps[-1] = record._replace(values={**logged, **record.values})
            else:
                steps.append(record)
        return latest(steps)

    @property
    def damage(self) -> list[str]:
        """What could not be read, in words."""
        return self._read[1]

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
        return self._read[0][-1].wall_time if self._read[0] else None

    def session_since(self, wall_time: float) -> str | None:
        """``run_id`` of the latest session, if it has one and began at this time, seconds since 1970, or later."""
        since = [record for record in self._read[0] if tags.SCHEMA in record.values and record.wall_time >= wall_time]
        return _session(since[-1]) if since else None

    def events(self, tag: str) -> list[Event]:
        """Of one tag, with rising steps."""
        records = self._steps
        if tag in (tags.SCHEMA, tags.VERDICT):
            said = [record for record in self._read[0] if tag in record.values]
            records = latest(said) if tag == tags.SCHEMA else said[-1:]
        return [Event(r.step, r.wall_time, r.values[tag]) for r in records if tag in r.values]

    @property
    def tags(self) -> dict[str, Stamp]:
        """What of ours there is."""
        said = {tag: self.events(tag) for tag in (tags.SCHEMA, tags.VERDICT)}
        found = {tag: Stamp(events[-1].step, events[-1].wall_time) for tag, events in said.items() if events}
        return found | {tag: Stamp(record.step, record.wall_time) for record in self._steps for tag in record.values}


def records_of(file: Path) -> tuple[list[Record], str | None]:
    """What of ours ``file`` holds, and what is wrong with it, in words: what comes behind is not read. A kill leaves
    half a record."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto import event_pb2

    records: list[Record] = []
    offset = 0
    try:
        with open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            while offset < size:
                stream.seek(offset)
                head = stream.read(12)
                length = struct.unpack("<Q4x", head)[0] if len(head) == 12 else size
                if offset + 16 + length > size:
                    return records, f"the last record of {file.name} is incomplete"
                content = stream.read(length) if length <= MOST_RECORD_BYTES else b""
                event = event_pb2.Event.FromString(content if _OURS.encode() in content else b"")
                if event.step < 0:
                    raise DecodeError
                ours = {v.tag: _content(v.tensor) for v in event.summary.value if v.tag.startswith(_OURS)}
                if ours:
                    records.append(Record(event.step, event.wall_time, ours))
                offset += 16 + length
    except DecodeError:
        return records, f"{file.name} is damaged from byte {offset:,} on"
    except OSError as error:
        return records, f"{file.name} cannot be read: {error.strerror}"
    return records, None


def _session(begun: Record) -> str | None:
    """``run_id`` of the session whose schema ``begun`` holds."""
    return (Event(begun.step, begun.wall_time, begun.values[tags.SCHEMA]).document(dict) or {}).get("run_id")


def _is_more_of_a_step(record: Record) -> bool:
    """What a trainer or ``probe=`` has logged after a step was written: it replaces nothing else of it."""
    return all(map(_is_logged, record.values))


def _is_logged(tag: str) -> bool:
    return tag.startswith(tags.SERIES_PREFIX) and tag not in tags.CLOCKS


def _content(tensor: Any) -> NDArray[np.float32] | bytes | None:
    """What a tensor of our format holds. It is as large as the bytes that it has, whatever shape it claims."""
    if tensor.string_val:
        return tensor.string_val[0]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.dtype != _FLOAT or min(shape, default=0) < 0 or 4 * math.prod(shape) != len(tensor.tensor_content):
        return None
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)
