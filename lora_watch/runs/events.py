"""Reads what is ours of TensorBoard event files.

A file is a sequence of records: the length of the event (uint64), its checksum (uint32), the event, another checksum.
TensorBoard's own reader computes the checksums in Python. What a run is judged by stands in its report: none is
compared here.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

import math
import os
import struct
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS, parse_json
from lora_watch.format import tags

FILES = "events.out.tfevents.*"
MOST_RECORD_BYTES = 4_000_000
"""Of one event that is read: a step of a thousand adapters has 200,000, their schema 260,000. Protobuf makes up to 40
times as much memory of one that is meant to."""
DEEPEST = 20
"""Levels of lists and mappings in a document of ours."""
LAST_STEP = 2**53
"""What a browser can count to."""
_OURS = f"{tags.PLUGIN_NAME}/"
_FLOAT = 1
"""``DT_FLOAT`` of TensorBoard's protobufs."""


class Record(NamedTuple):
    """What of ours one event holds."""

    step: int
    wall_time: float
    values: Mapping[str, NDArray[np.float32] | bytes | None]
    """By tag."""


class Event(NamedTuple):
    step: int
    wall_time: float
    content: NDArray[np.float32] | bytes | None
    """Numbers or a text; None for anything else."""

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """``[n]``, if that is what it is."""
        return self.content if isinstance(self.content, np.ndarray) and self.content.ndim == 1 else None

    def document(self, kind: type) -> Any:
        """The JSON in it, if it is a ``kind`` (dict, list), else None."""
        try:
            content = clean_data(parse_json(self.content)) if isinstance(self.content, bytes) else None
        except MISFITS:
            return None
        return content if isinstance(content, kind) else None


class EventFile:
    """What of ours one file holds. While training goes on it grows, and ``read_on`` goes on where it ended."""

    def __init__(self, path: Path):
        self.path = path
        self.records: list[Record] = []
        self.damage: str | None = None
        """What is wrong with it, in words: what comes behind is not read. A kill leaves half a record."""
        self._offset = 0

    def read_on(self) -> None:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto import event_pb2

        self.damage = None
        try:
            with open(self.path, "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if size < self._offset:  # another one has been written in its place
                    self.records, self._offset = [], 0
                while self._offset < size:
                    stream.seek(self._offset)
                    head = stream.read(12)
                    length = struct.unpack("<Q4x", head)[0] if len(head) == 12 else size
                    if self._offset + 16 + length > size:
                        self.damage = f"the last record of {self.path.name} is incomplete"
                        return
                    content = stream.read(length) if length <= MOST_RECORD_BYTES else b""
                    event = event_pb2.Event.FromString(content if _OURS.encode() in content else b"")
                    if not 0 <= event.step <= LAST_STEP:
                        raise DecodeError
                    known = [v for v in event.summary.value if v.tag.startswith(_OURS) and v.tag.isprintable()]
                    ours = {v.tag: _content(v.tensor) for v in known}
                    if ours:
                        self.records.append(Record(event.step, event.wall_time, ours))
                    self._offset += 16 + length
        except DecodeError:
            self.damage = f"{self.path.name} is damaged from byte {self._offset:,} on"
        except OSError as error:
            self.damage = f"{self.path.name} cannot be read: {error.strerror}"


class EventLog:
    """The event files of one run as one sequence of steps, as training last left them.

    A session that resumed at an earlier step replaces what came after that step before, in whatever file it is, and
    although it may have ended before a step of its own.
    Within a file the order is that of writing, whatever the clock did meanwhile; only which of several files is the
    older one is taken from their times. Files without anything of ours are left out, and files that cannot be read are
    damage. Nothing is read until it is asked for. ``before``: the log of the same run when it was read before, of whose
    files only what is new is read.
    """

    def __init__(self, files: Iterable[Path], before: "EventLog | None" = None):
        known = {} if before is None else {file.path: file for file in before._files}
        self._files = [known.get(path) or EventFile(path) for path in files]

    @cached_property
    def _read(self) -> tuple[list[Record], list[str]]:
        """Those of all files, the oldest file first, and what could not be read, in words."""
        for file in self._files:
            file.read_on()
        ours = [file.records for file in self._files if any(tags.SCHEMA in each.values for each in file.records)]
        ours.sort(key=lambda records: records[0].wall_time)
        return [record for records in ours for record in records], [f.damage for f in self._files if f.damage]

    @cached_property
    def _steps(self) -> list[Record]:
        steps: list[Record] = []
        session = None
        for record in self._read[0]:
            if tags.SCHEMA in record.values:  # at the start of a session, and where its adapters have changed
                before, session = session, _session(record)
                if session != before:
                    steps = [step for step in latest(steps) if step.step <= record.step] if record.step else []
            elif tags.VERDICT in record.values:
                continue
            elif steps and steps[-1].step == record.step:  # written again, or what was logged after it
                steps[-1] = record._replace(values={**steps[-1].values, **record.values})
            else:
                steps.append(record)
        return latest(steps)

    def resume(self, step: int) -> None:
        """A session has begun there of which nothing is written: what the one before did later is not the run's."""
        self._steps = [record for record in self._steps if record.step <= step]

    @property
    def damage(self) -> list[str]:
        return self._read[1]

    @property
    def steps(self) -> list[int]:
        """Every step that was written, in order. 0 is the state before the first."""
        return [record.step for record in self._steps]

    def since(self, wall_time: float) -> list[Record]:
        """Those of ``steps`` that were written at this time, seconds since 1970, or later."""
        return [record for record in self._steps if record.wall_time >= wall_time]

    def events(self, tag: str) -> list[Event]:
        """Of one tag, with rising steps."""
        records = self._steps
        if tag in (tags.SCHEMA, tags.VERDICT):
            said = [record for record in self._read[0] if tag in record.values]
            records = latest(said) if tag == tags.SCHEMA else said[-1:]
        return [Event(r.step, r.wall_time, r.values[tag]) for r in records if tag in r.values]

    @cached_property
    def tags(self) -> dict[str, Event]:
        """What of ours there is: the last event of each tag."""
        said = {tag: events[-1] for tag in (tags.SCHEMA, tags.VERDICT) if (events := self.events(tag))}
        last = {tag: record for record in self._steps for tag in record.values}
        return {**{tag: Event(r.step, r.wall_time, r.values[tag]) for tag, r in last.items()}, **said}


def latest(records: Iterable[Record]) -> list[Record]:
    """``records`` in the order of writing, as training last left them: with rising steps. A session that resumed at an
    earlier step has replaced what came after that step before."""
    out: list[Record] = []
    for record in records:
        while out and out[-1].step >= record.step:
            out.pop()
        out.append(record)
    return out


def clean_data(content: Any, deepest: int = DEEPEST) -> Any:
    """Plain data with every text in it ``clean``. Raises ValueError for what is nested beyond ``deepest``."""
    if deepest == 0:
        raise ValueError("nested too deeply")
    if isinstance(content, Mapping):
        return {clean(key): clean_data(value, deepest - 1) for key, value in content.items()}
    if isinstance(content, list):
        return [clean_data(value, deepest - 1) for value in content]
    return clean(content) if isinstance(content, str) else content


def _session(begun: Record) -> str | None:
    """``run_id`` of the session whose schema ``begun`` holds."""
    return (Event(begun.step, begun.wall_time, begun.values[tags.SCHEMA]).document(dict) or {}).get("run_id")


def _content(tensor: Any) -> NDArray[np.float32] | bytes | None:
    """What a tensor of our format holds. It is as large as the bytes that it has, whatever shape it claims."""
    if tensor.string_val:
        return tensor.string_val[0]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.dtype != _FLOAT or min(shape, default=0) < 0 or 4 * math.prod(shape) != len(tensor.tensor_content):
        return None
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)
