"""Files that are whole or not there, and errors that name them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path


def now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def replace_file(path: Path, content: bytes) -> None:
    """All of ``content`` or the old file, whatever happens in between. Makes the folder if it is gone.

    Raises OSError with ``path``.
    """
    part = path.with_name(path.name + ".part")
    with names_the_path(path, "cannot write the report"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


@contextmanager
def names_the_path(path: Path, failure: str) -> Iterator[None]:
    """An OSError from inside says ``failure`` and ``path``."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{failure} ({error.strerror})", str(path)) from error
