"""Reads chosen records of TensorBoard event files and skips the rest.

A file is a sequence of records: the length of the event (uint64), its checksum (uint32), the event, another checksum.
TensorBoard's own reader takes each one apart and computes its checksum in Python; here the first bytes of a record
say its step and whether it is ours, and only what is asked for is read. A run of 10,000 steps costs 10,000 reads of
a hundred bytes, whatever it has logged. The checksum of every record that is read as a whole is verified.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

from lora_watch.base.alerts import Alert, Verdict
from lora_watch.base.text import count
from lora_watch.format import tags
from lora_watch.format.decoding import Tensor, document, episodes, is_schema, latest, names, numbers
from lora_watch.runs.crc import masked_crc

FILES = "events.out.tfevents.*"
"""How TensorBoard's files are called."""
SESSION_END = "_hparams_/session_end_info"
"""First tag of the event that has the run's verdict."""

MOST_RECORD_BYTES = 4_000_000
"""Of one event that is read: a step of a thousand adapters has 200,000, their schema 260,000. Protobuf makes up to 40
times as much memory of one that is meant to."""
_HEAD = 12 + 9 + 10 + 80
"""Bytes of a record that are looked at: its length, the time, the step, and the first tag."""

Kind = Literal["schema", "step", "end", "evaluation", ""]
_KINDS: dict[bytes, Kind] = {
    tags.SCHEMA.encode(): "schema",
    tags.METRIC_PREFIX.encode(): "step",
    tags.SERIES_PREFIX.encode(): "step",
    tags.ALERTS.encode(): "step",
    SESSION_END.encode(): "end",
    tags.EVALUATION.encode(): "evaluation",
}
_FIRST_TAG = re.compile(rb"\n.(%s)" % b"|".join(map(re.escape, _KINDS)), re.DOTALL)
"""Field 1 of a value, which is its tag, after the byte that says how long it is."""

_crc_of_length = lru_cache(masked_crc)
"""Few lengths are those of many records."""


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
    are damage. Nothing is read until it is asked for; with ``verify`` every record's checksum is then compared, which
    takes a second for 20 million bytes.
    """

    def __init__(self, files: Iterable[Path], verify: bool = False):
        self._paths = list(files)
        self._verify = verify
        self._broken: dict[tuple[Path, int], str] = {}

    @cached_property
    def _candidates(self) -> list[Scan]:
        return [scan(file, self._verify) for file in self._paths]

    @cached_property
    def _scanned(self) -> list[Scan]:
        """Each file of ours, the oldest first."""
        ours = [found for found in self._candidates if any(record.kind == "schema" for record in found.records)]
        return sorted(ours, key=lambda found: found.records[0].wall_time)

    @cached_property
    def _records(self) -> list[Record]:
        return [record for found in self._scanned for record in found.records]

    def _position(self, record: Record) -> tuple[int, int]:
        return [found.records[0].file for found in self._scanned].index(record.file), record.offset

    @cached_property
    def _steps(self) -> list[Record]:
        return latest(record for record in self._records if record.kind == "step")

    def __bool__(self) -> bool:
        """There is something of ours."""
        return bool(self._scanned)

    @property
    def damage(self) -> list[str]:
        """What could not be read so far, in words."""
        return [*(found.cut for found in self._scanned if found.cut), *self.broken]

    @property
    def broken(self) -> list[str]:
        """The part of ``damage`` that no run leaves behind, however it ended: files that have changed since."""
        files = [found.broken for found in self._candidates if found.broken]
        return [*files, *self._broken.values()]

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
        return self._scanned[-1].records[-1].wall_time if self._scanned else None

    def session_since(self, wall_time: float) -> str | None:
        """``run_id`` of the latest session, if it has one and began at this time, seconds since 1970, or later."""
        last = [record for record in self._records if record.kind == "schema"][-1:]
        since = self._read(record for record in last if record.wall_time >= wall_time)
        return next(((_document(values, tags.SCHEMA, dict) or {}).get("run_id") for _, values in since), None)

    @cached_property
    def schemas(self) -> list[tuple[tuple[int, int], dict[str, Any]]]:
        """The headers that can be read, each with its position in the sequence."""
        read = []
        for record, values in self._read(r for r in self._records if r.kind == "schema"):
            if is_schema(schema := _document(values, tags.SCHEMA, dict)):
                read.append((self._position(record), schema))
            else:
                self._note(record, "a list of adapters that cannot be read")
        return read

    def measured(self, name: str, prefix: str = tags.METRIC_PREFIX) -> list[int]:
        """Those of ``steps`` that have a metric, or a series by its prefix. Reads every step, and takes none apart."""
        tag = (prefix + name).encode()
        marked = b"\n" + bytes([len(tag)]) + tag  # field 1 of a value, whole: no other name begins like it
        found = []
        for file, group in itertools.groupby(self._steps, key=lambda record: record.file):
            with open(file, "rb", buffering=0) as stream:
                found += [
                    r.step for r in group if marked in read_at(stream, r.offset, min(r.length, MOST_RECORD_BYTES))
                ]
        return found

    def metric(self, name: str, steps: Iterable[int]) -> dict[int, dict[str, float]]:
        """``{step: {adapter: value}}`` at those of ``steps`` where it was measured; unknown numbers are left out."""
        tag = tags.METRIC_PREFIX + name
        return {r.step: self._named(r, values[tag]) for r, values in self._read(self._at(steps)) if tag in values}

    def metrics(self, step: int) -> dict[str, dict[str, float]]:
        """``{metric: {adapter: value}}`` of one step."""
        return {
            tag.removeprefix(tags.METRIC_PREFIX): self._named(record, value)
            for record, values in self._read(self._at([step]))
            for tag, value in values.items()
            if tag.startswith(tags.METRIC_PREFIX)
        }

    def series(self, name: str, steps: Iterable[int]) -> dict[int, float]:
        """The first number of a small vector such as ``loss`` at those of ``steps`` that have it."""
        tag = tags.SERIES_PREFIX + name
        found = {r.step: _floats(values[tag]) for r, values in self._read(self._at(steps)) if tag in values}
        return {step: first[0] for step, first in found.items() if first and first[0] is not None}

    def alerts(self) -> list[Alert]:
        """Every alert as it was last written, in order of opening. Reads the files from end to end."""
        holding = [
            (record, _document(values, tags.ALERTS, list))
            for record, values in self._read(self._steps, holding=tags.ALERTS.encode())
            if tags.ALERTS in values
        ]
        found, broken = episodes(listed for _, listed in holding)
        if broken:
            self._note(holding[0][0], f"{count(broken, 'alert')} that cannot be read")
        return found

    def ended(self) -> tuple[Verdict | None, str | None]:
        """The latest session's verdict and why; no verdict if it left none: it was killed, or is still going."""
        last = [record for record in self._records if record.kind in ("schema", "end")][-1:]
        reported = next((_document(values, tags.VERDICT, dict) for _, values in self._read(last)), None)
        if reported is None or reported.get("verdict") not in get_args(Verdict):
            return None, None
        return reported["verdict"], reported.get("message")

    def evaluation(self) -> float | None:
        """The loss of the last evaluation that the Trainer has logged, in whatever file: after its end it opens one."""
        records = [record for found in self._candidates for record in found.records if record.kind == "evaluation"]
        for _, values in self._read(sorted(records, key=lambda record: record.wall_time, reverse=True)):
            if tags.EVALUATION in values:
                return float(values[tags.EVALUATION].simple_value)
        return None

    def tensors(self) -> dict[str, list[Tensor]]:
        """Everything of ours by tag, in the order of writing. The checksums of steps are not compared, for speed."""
        found: dict[str, list[Tensor]] = defaultdict(list)
        ours = tags.PLUGIN_NAME + "/"
        for record, values in self._read_values(self._records, verify=False):
            step, wall_time = record.step, record.wall_time  # a long run has 200,000 values
            for value in values:
                if (tag := value.tag).startswith(ours):
                    found[tag].append(Tensor(step, wall_time, value.tensor.SerializeToString()))
        return dict(found)

    def _read(self, records: Iterable[Record], holding: bytes = b"") -> Iterator[tuple[Record, dict[str, Any]]]:
        """Each record whose bytes contain ``holding``, with its values by tag. Damaged ones are left out and noted."""
        for record, values in self._read_values(records, holding):
            yield record, {value.tag: value for value in values}

    def _read_values(
        self, records: Iterable[Record], holding: bytes = b"", verify: bool = True
    ) -> Iterator[tuple[Record, Iterable[Any]]]:
        """The same with the values one after another: the tag of each costs time, which not every reader needs."""
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto import event_pb2

        for file, group in itertools.groupby(records, key=lambda record: record.file):
            with open(file, "rb", buffering=0) as stream:
                for record in group:
                    content = _content(stream, record.offset, record.length, verify)
                    try:
                        event = None if content is None else event_pb2.Event.FromString(content)
                    except DecodeError:
                        event = None
                    if content is None or event is None:
                        self._note(record, "a damaged record")
                    elif holding in content:
                        yield record, event.summary.value

    def _note(self, record: Record, what: str) -> None:
        self._broken[record.file, record.offset] = f"{record.file.name} has {what} at byte {record.offset:,}"

    def _at(self, steps: Iterable[int]) -> list[Record]:
        wanted = set(steps)
        return [record for record in self._steps if record.step in wanted]

    def _named(self, record: Record, value: Any) -> dict[str, float]:
        position = self._position(record)
        schema = next((schema for place, schema in reversed(self.schemas) if place <= position), {"adapters": []})
        adapters, vector = names(schema), _floats(value)
        if len(adapters) != len(vector):
            self._note(record, f"{count(len(vector), 'number')} for {count(len(adapters), 'adapter')}")
            return {}
        return {name: number for name, number in zip(adapters, vector) if number is not None}


class Scan(NamedTuple):
    """What one file holds."""

    records: list[Record]
    """Those that say something of a run."""
    cut: str | None = None
    """That the last record is not whole, as a kill leaves it, in words."""
    broken: str | None = None
    """What else is wrong with the file, in words. What comes behind is not read."""


def scan(file: Path, verify: bool = False) -> Scan:
    """The records of ``file``; with ``verify`` the checksum of each is compared, also of those that are not ours."""
    records: list[Record] = []
    try:
        with open(file, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            offset = 0
            while offset < size:
                head = read_at(stream, offset, _HEAD)
                length, crc = struct.unpack_from("<QI", head) if len(head) >= 12 else (size, 0)
                if len(head) >= 12 and (_crc_of_length(head[:8]) != crc or length < 9):
                    return Scan(records, broken=f"{file.name} is damaged from byte {offset:,} on")
                if offset + 16 + length > size:
                    return Scan(records, cut=f"the last record of {file.name} is incomplete")
                tag = _FIRST_TAG.search(head[: 12 + length])  # a short event of others must not lend the next one's tag
                kind = _KINDS[tag[1]] if tag else ""
                record = Record(kind, _step(head), struct.unpack_from("<d", head, 13)[0], file, offset + 12, length)
                back = bool(kind and records and record.step < records[-1].step)  # would replace steps
                checked = (verify or back) and length <= MOST_RECORD_BYTES
                if head[12] != 0x09 or (checked and _content(stream, offset + 12, length) is None):  # 09: its time
                    return Scan(records, broken=f"{file.name} is damaged from byte {offset:,} on")
                if kind:
                    records.append(record)
                offset += 16 + length
    except OSError as error:
        return Scan(records, broken=f"{file.name} cannot be read: {error.strerror}")
    return Scan(records)


def _step(head: bytes) -> int:
    """Field 2 of an event, a varint after the time; absent when it is 0."""
    step = 0
    if head[21] == 0x10:
        for place, byte in enumerate(head[22:32]):
            step |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
    return step


def _content(stream: BinaryIO, offset: int, length: int, verify: bool = True) -> bytes | None:
    """The event there; None where its checksum is another, or no event of ours is as long."""
    if length > MOST_RECORD_BYTES:
        return None
    if not verify:
        return read_at(stream, offset, length)
    content = read_at(stream, offset, length + 4)
    event = content[:length]
    return event if content[length:] == struct.pack("<I", masked_crc(event)) else None


def read_at(stream: BinaryIO, offset: int, length: int) -> bytes:
    """``length`` bytes of ``stream``, fewer where it ends."""
    stream.seek(offset)
    return stream.read(length)


def _floats(value: Any) -> list[float | None]:
    """A float32 vector of our format as floats, None where a number is unknown; empty for anything else."""
    vector = numbers(value.tensor)
    if vector is None or vector.ndim != 1:
        return []
    unknown = vector.view("<u4") == tags.UNKNOWN_BITS
    return [None if gone else number for gone, number in zip(unknown.tolist(), vector.tolist())]


def _document(values: Mapping[str, Any], tag: str, kind: type) -> Any:
    return document(values[tag].tensor, kind) if tag in values else None
