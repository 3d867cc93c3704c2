"""Files that anybody may have written: of bounded size, JSON and YAML as plain data, errors that a command can show."""

import errno
import json
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What is raised where data does not hold what its reader expects."""
MOST_BYTES = 32_000_000
"""Of a file that is read as a whole. The largest of ours, a report of 1,000 adapters, has 2 million."""


def read_bytes(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """The whole file. Raises OSError, also where it is larger than ``most`` bytes."""
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return content


def load_json(path: str | os.PathLike[str], most: int = MOST_BYTES) -> Any:
    """The JSON in ``path``. Raises OSError, or ValueError for what is no JSON."""
    return parse_json(read_bytes(path, most))


def parse_json(content: bytes | str) -> Any:
    """``content`` as JSON. Raises ValueError."""
    text = content if isinstance(content, str) else content.decode("utf-8", "surrogatepass")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def load_yaml(path: str | os.PathLike[str]) -> Any:
    """The YAML in ``path`` as plain data. Raises OSError, or ValueError for what is none."""
    import yaml

    try:
        return yaml.safe_load(read_bytes(path).decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


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


def matches_end(pattern: str, name: str) -> bool:
    """PEFT's way of matching a key of ``rank_pattern``: with the end of a module's name, after a dot or as a whole.
    Raises ValueError for what is no regular expression."""
    try:
        return re.match(rf"(.*\.)?({pattern})$", name) is not None
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
