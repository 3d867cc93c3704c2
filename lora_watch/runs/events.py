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
from collections.abc import Collection, Iterable, Iterator
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.format import tags
from lora_watch.format.decoding import Tensor, document, latest
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

_OURS = tags.PLUGIN_NAME + "/"
_POLYNOMIAL = 0x82F63B78
"""Of CRC-32C."""
_BLOCK = 2048
"""Bytes of a checksum that are looked up at once."""


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
        since = [record for record in self._of(tags.SCHEMA)[-1:] if record.wall_time >= wall_time]
        read = [document(value.tensor, dict) for _, value in self._values(since, tags.SCHEMA)]
        return (read[0] or {}).get("run_id") if read else None

    def evaluation(self) -> float | None:
        """The loss of the last evaluation that the Trainer has logged, in whatever file: after its end it opens one."""
        records = [record for found in self._candidates for record in found.records if record.kind == "evaluation"]
        records.sort(key=lambda record: record.wall_time, reverse=True)
        return next((float(value.simple_value) for _, value in self._values(records, tags.EVALUATION)), None)

    def events(self, tag: str, steps: Collection[int] | None = None) -> list[Tensor]:
        """Of one tag, at ``steps`` or at all. The checksums of a metric at all steps are not compared, for speed."""
        wanted = None if steps is None else set(steps)
        if "_by_tag" in vars(self):
            return [event for event in self._by_tag.get(tag, []) if wanted is None or event.step in wanted]
        records = [record for record in self._of(tag) if wanted is None or record.step in wanted]
        verify = steps is not None or not tag.startswith(tags.METRIC_PREFIX)
        return [_tensor(record, value) for record, value in self._values(records, tag, verify)]

    @property
    def tags(self) -> dict[str, Stamp]:
        """What of ours there is. Keeps all of it, for a reader of everything."""
        return {tag: Stamp(events[-1].step, events[-1].wall_time) for tag, events in self._by_tag.items()}

    def last(self) -> dict[str, Tensor]:
        """The last event of each tag that steps have."""
        found = {value.tag: (record, value) for record, value in self._values(self._steps, _OURS, False)}
        return {tag: _tensor(*latest) for tag, latest in found.items()}

    @cached_property
    def _by_tag(self) -> dict[str, list[Tensor]]:
        found: dict[str, list[Tensor]] = defaultdict(list)
        records = [*self._of(tags.SCHEMA), *self._steps, *(r for r in self._of(tags.VERDICT) if r.kind == "end")]
        for record, value in self._values(records, _OURS, verify=False):
            found[value.tag].append(_tensor(record, value))
        return dict(found)

    def _of(self, tag: str) -> list[Record]:
        """The records that may have a tag."""
        if tag == tags.SCHEMA:
            return latest(record for record in self._records if record.kind == "schema")
        if tag == tags.VERDICT:
            return [record for record in self._records if record.kind in ("schema", "end")][-1:]
        return self._steps

    def _values(self, records: Iterable[Record], tag: str, verify: bool = True) -> Iterator[tuple[Record, Any]]:
        """The values of ``tag``, or of all of ours (``_OURS``). Damaged records are left out and noted."""
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
                    if event is None:
                        self._note(record, "a damaged record")
                    elif content is not None and tag.encode() in content:
                        for value in event.summary.value:
                            if value.tag == tag or (tag == _OURS and value.tag.startswith(tag)):
                                yield record, value

    def _note(self, record: Record, what: str) -> None:
        self._broken[record.file, record.offset] = f"{record.file.name} has {what} at byte {record.offset:,}"


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
                odd = head[12] != 0x09 or bool(kind and record.step < 0)  # 09: its time
                if odd or (checked and _content(stream, offset + 12, length) is None):
                    return Scan(records, broken=f"{file.name} is damaged from byte {offset:,} on")
                if kind:
                    records.append(record)
                offset += 16 + length
    except OSError as error:
        return Scan(records, broken=f"{file.name} cannot be read: {error.strerror}")
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


def _content(stream: BinaryIO, offset: int, length: int, verify: bool = True) -> bytes | None:
    """The event there; None where its checksum is another, or no event of ours is as long."""
    if length > MOST_RECORD_BYTES:
        return None
    if not verify:
        return read_at(stream, offset, length)
    content = read_at(stream, offset, length + 4)
    event = content[:length]
    return event if content[length:] == struct.pack("<I", _masked_crc(event)) else None


def read_at(stream: BinaryIO, offset: int, length: int) -> bytes:
    """``length`` bytes of ``stream``, fewer where it ends."""
    stream.seek(offset)
    return stream.read(length)


def _tensor(record: Record, value: Any) -> Tensor:
    return Tensor(record.step, record.wall_time, value.tensor.SerializeToString())


def _masked_crc(data: bytes) -> int:
    """The checksum that stands behind ``data``, which has four bytes or more, in a TFRecord file. With numpy it is
    fast enough for every byte of a long run's events."""
    padded = np.frombuffer(bytes(-len(data) % 4) + data, np.uint8).copy()  # zeros in front change nothing
    padded[-len(data) :][:4] ^= 0xFF  # the same as beginning with all bits set
    table, state = _by_place(), np.zeros(1, "<u4")
    for start in range(0, len(padded), _BLOCK):
        block = padded[start : start + _BLOCK]
        block[:4] ^= state.view(np.uint8)
        places = np.arange(_BLOCK - len(block), _BLOCK)
        state[0] = np.bitwise_xor.reduce(table.take(256 * places + block))
    crc = int(state[0]) ^ 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _by_place() -> NDArray[np.uint32]:
    """``[_BLOCK, 256]``: what a byte adds to the checksum of its block, by its place in it and its value."""
    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        last = np.where(last & 1, last >> 1 ^ np.uint32(_POLYNOMIAL), last >> 1)
    rows = [last]
    for _ in range(_BLOCK - 1):
        rows.append(last[rows[-1] & 255] ^ rows[-1] >> 8)  # one byte further from the end
    return np.array(rows[::-1])


_crc_of_length = lru_cache(_masked_crc)
"""Few lengths are those of many records."""
