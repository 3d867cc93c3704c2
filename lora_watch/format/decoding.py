"""What an event of ours says, and which events a resumed run has replaced: for files and for TensorBoard's own data.

An event may come from anyone. All text is ``clean``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.alerts import Alert
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS, parse_json

DEEPEST = 20
"""Levels of lists and mappings in a document of ours."""


class Stepped(Protocol):
    @property
    def step(self) -> int: ...


S = TypeVar("S", bound=Stepped)


class Event(NamedTuple):
    """A value of ours."""

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


def latest(events: Iterable[S]) -> list[S]:
    """``events`` in the order of writing, as training last left them: with rising steps. A session that resumed at an
    earlier step has replaced what came after that step before."""
    out: list[S] = []
    for event in events:
        while out and out[-1].step >= event.step:
            out.pop()
        out.append(event)
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
