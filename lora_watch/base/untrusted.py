"""The one door for files that anybody may have written: regular files alone, of bounded size, read in bounded time."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")

MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What is raised where data does not hold what its reader expects."""
MOST_BYTES = 32_000_000
"""Of a file that is read as a whole. The largest of ours, an incident record of 560 adapters, has 20 million."""
MOST_VALUES = 2_000_000
MOST_CONTAINERS = MOST_PAIRS = 500_000  # a list takes 60 bytes, a key with its value 250
MOST_YAML_BYTES, MOST_YAML_BRACKETS = 200_000, 1_000  # its reader is slow, and slower the deeper they are
MOST_YAML_NODES = 100_000
"""Aliases counted as often as they are used: twenty lines can stand for a billion nodes."""
MATCHING = 1.0
"""Seconds of CPU time for matching the names of modules with what a file says: some take a millisecond for all."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """``path`` for reading, unbuffered. Raises OSError, also for what is no regular file: a FIFO could wait for ever,
    and a device never ends."""
    flags = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    descriptor = os.open(path, os.O_RDONLY | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb", buffering=0)  # type: ignore[return-value]


def read_bytes(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """The whole file. Raises OSError, also where it is larger than ``most`` bytes."""
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
        content = bytearray()
        while chunk := file.read(most + 1 - len(content)):
            content += chunk
    return bytes(content)


def load_json(path: str | os.PathLike[str], most: int = MOST_BYTES) -> Any:
    """The JSON in ``path``. Raises OSError, or ValueError for what is no JSON or more than a file of ours can hold."""
    return parse_json(read_bytes(path, most))


def parse_json(content: bytes | str) -> Any:
    """``content`` as JSON. Raises ValueError, also for what would take more memory than a file of ours can."""
    text = content if isinstance(content, str) else content.decode("utf-8", "surrogatepass")
    containers = text.count("[") + text.count("{")
    if text.count(",") > MOST_VALUES or containers > MOST_CONTAINERS or text.count('":') > MOST_PAIRS:
        raise ValueError(f"more than {MOST_VALUES:,} values, or {MOST_PAIRS:,} with a name")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def whole(value: Any) -> int:
    """A step or a count as files have it. Raises ValueError for what can be none, TypeError for what is no number."""
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError("a number of steps is from 0 to 2**63 - 1")
    return number


def listed(value: Any) -> list[Any]:
    """A list as files have it: nothing else is one, also where it could be gone through. Raises TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} in place of a list")
    return value


def or_none(kind: Callable[[Any], T], value: Any) -> T | None:
    """``kind(value)``; None, which stands for unknown, stays None."""
    return None if value is None else kind(value)


def load_yaml(path: str | os.PathLike[str]) -> Any:
    """The YAML in ``path``. Raises OSError, or ValueError for what is none or grows beyond ``MOST_YAML_NODES``."""
    import yaml

    text = read_bytes(path, MOST_YAML_BYTES).decode("utf-8")
    if text.count("[") + text.count("{") > MOST_YAML_BRACKETS:
        raise ValueError(f"more than {MOST_YAML_BRACKETS:,} lists and mappings in brackets")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        if _nodes(root, {}) > MOST_YAML_NODES:
            raise ValueError(f"its aliases grow to more than {MOST_YAML_NODES:,} nodes")
        return loader.construct_document(root)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _nodes(node: Any, known: dict[int, float]) -> float:
    """How many nodes there are below ``node``, itself counted; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        below = node.value if isinstance(node.value, list) else []
        parts = [part for each in below for part in (each if isinstance(each, tuple) else (each,))]
        known[id(node)] = 1 + sum(_nodes(part, known) for part in parts)
    return known[id(node)]


@contextmanager
def within(seconds: float, doing: str) -> Iterator[None]:
    """Raises ValueError where what is done inside takes more CPU time: a regular expression can take 2ⁿ steps. Where a
    process has no such timer (Windows, any but the main thread) nothing is bounded."""

    def stop(*_: Any) -> None:
        raise ValueError(f"{doing} takes longer than {seconds:g} s")

    try:
        before = signal.signal(signal.SIGVTALRM, stop)
    except (AttributeError, ValueError):
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.1)  # again and again: somebody's own ``except`` may swallow it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def matches_end(pattern: str, name: str) -> bool:
    """PEFT's way of matching a key of ``rank_pattern``: with the end of a module's name, after a dot or as a whole.
    Raises ValueError for what is no regular expression. Some take longer than there is time: see ``within``."""
    try:
        return re.match(rf"(.*\.)?({pattern})$", name) is not None
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"no regular expression: {error}") from None
