"""What an event of ours says, and which events a resumed run has replaced: for files and for TensorBoard's own data.

An event may come from anyone. A tensor is as large as the bytes that it has, whatever shape it claims, and all text is
``clean``.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.alerts import Alert
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS, parse_json

DEEPEST = 20
"""Levels of lists and mappings in a document of ours."""
_FLOAT = 1
"""``DT_FLOAT`` of TensorBoard's protobufs."""


class Stepped(Protocol):
    @property
    def step(self) -> int: ...


S = TypeVar("S", bound=Stepped)


def latest(events: Iterable[S]) -> list[S]:
    """``events`` in the order of writing, as training last left them: with rising steps. A session that resumed at an
    earlier step has replaced what came after that step before."""
    out: list[S] = []
    for event in events:
        while out and out[-1].step >= event.step:
            out.pop()
        out.append(event)
    return out


def numbers(tensor: Any) -> NDArray[np.float32] | None:
    """The numbers in a float32 tensor of our format, in its shape; None for anything else."""
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.dtype != _FLOAT or min(shape, default=0) < 0 or 4 * math.prod(shape) != len(tensor.tensor_content):
        return None
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)


class Tensor(NamedTuple):
    """A value of ours. It is taken apart only where it is asked for: a long run has 200,000."""

    step: int
    wall_time: float
    serialised: bytes

    @property
    def tensor(self) -> Any:
        """A TensorProto."""
        from tensorboard.compat.proto import tensor_pb2

        return tensor_pb2.TensorProto.FromString(self.serialised)


def vectors(tensors: Sequence[Tensor]) -> NDArray[np.float32] | None:
    """``[n, length]`` of vectors of one length; None where one is anything else, or where there are none.

    The same as ``numbers`` of each, in a tenth of the time: a long run has a hundred thousand. Each begins with
    type, shape and length, in the same bytes where these are the same, and ends with the numbers.
    """
    vector = numbers(tensors[0].tensor) if tensors else None
    serialised = [each.serialised for each in tensors]
    sizes = set(map(len, serialised))
    if vector is None or vector.ndim != 1 or len(sizes) > 1:
        return None
    rows = np.frombuffer(b"".join(serialised), np.uint8).reshape(len(serialised), *sizes)
    begin = rows.shape[1] - vector.nbytes
    if (rows[:, :begin] != rows[0, :begin]).any() or rows[0, begin:].tobytes() != vector.tobytes():
        return None
    return rows[:, begin:].copy().view("<f4")


def document(tensor: Any, kind: type) -> Any:
    """The JSON in a string tensor of our format, if it is a ``kind`` (dict, list), else None."""
    try:
        content = clean_data(parse_json(tensor.string_val[0]))
    except MISFITS:
        return None
    return content if isinstance(content, kind) else None


def clean_data(content: Any, deepest: int = DEEPEST) -> Any:
    """Plain data with every text in it ``clean``. Raises ValueError for what is nested beyond ``deepest``."""
    if deepest == 0:
        raise ValueError("nested too deeply")
    if isinstance(content, Mapping):
        return {clean(key): clean_data(value, deepest - 1) for key, value in content.items()}
    if isinstance(content, list):
        return [clean_data(value, deepest - 1) for value in content]
    return clean(content) if isinstance(content, str) else content


def is_schema(content: Any) -> bool:
    """``content``, a document, says of which adapters the vectors after it are."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("version", 0), int)
        and isinstance(content.get("adapters"), list)
        and all(isinstance(adapter, dict) and isinstance(adapter.get("name"), str) for adapter in content["adapters"])
    )


def names(schema: Mapping[str, Any]) -> list[str]:
    """Of its adapters, in the order of the vectors."""
    return [adapter["name"] for adapter in schema["adapters"]]


def episodes(documents: Iterable[Sequence[Any] | None]) -> tuple[list[Alert], int]:
    """The alerts of such lists, each as it was last written, in order of opening; and how many entries are none."""
    found: dict[tuple[str, int], Alert] = {}
    broken = 0
    for listed in documents:
        entries: Sequence[Any] = [None] if listed is None else listed
        for entry in entries:
            try:
                alert = Alert.from_dict(entry)
            except ValueError:
                broken += 1
            else:
                found[alert.rule, alert.step] = alert
    return list(found.values()), broken
