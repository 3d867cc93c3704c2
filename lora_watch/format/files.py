"""Files that are whole or not there, errors that name them, and folders that one run at a time writes to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from lora_watch.base.strict_json import strict_json
from lora_watch.base.untrusted import MISFITS, load_json
from lora_watch.format import NOT_BEGUN, PAGE, REPORT, WAITING, WAITING_PAGE

LOCK = ".lock"


def now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def shown(path: Path) -> Path:
    """``path``, which is absolute, as it is called in the working directory if it lies there."""
    with suppress(OSError, ValueError):  # that is gone, or the path lies elsewhere
        return path.relative_to(Path.cwd())
    return path


def replace_file(path: Path, content: bytes) -> None:
    """All of ``content`` or the old file, whatever happens in between. Makes the folder if it is gone. Raises OSError
    with ``path``."""
    part = path.with_name(path.name + ".part")
    with names_the_path(path, "cannot write the report"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.unlink(missing_ok=True)
            with open(part, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


def no_link(path: str, flags: int) -> int:
    """An ``opener`` for ``open``: a file that is a link to another one is an OSError, as far as the system can tell."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def names_the_path(path: Path, failure: str) -> Iterator[None]:
    """An OSError from inside says ``failure`` and ``path``."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{failure} ({error.strerror})", str(path)) from error


class Claim(NamedTuple):
    """A run of this process writes to a folder."""

    process: int
    folder: Path
    lock: FileLock


_claims: dict[Path, Claim] = {}
"""By folder that of the run that began there last."""


def claim(folder: Path) -> Claim | None:
    """Claims ``folder``, which must exist, for a run of this process; None if another process that is alive has it. An
    earlier run of this process in the folder is over.

    Rests on a lock of the operating system's, which a kill releases too. Where there are none, as on some network file
    systems, whoever asks gets it.
    """
    folder = folder.resolve()
    known = _ours(folder)
    lock = _lock(folder) if known is None else known.lock
    if lock is None:
        return None
    _claims[folder] = Claim(os.getpid(), folder, lock)
    return _claims[folder]


def release(claim: Claim) -> None:
    if _ours(claim.folder) is claim:  # else a later run has the folder
        del _claims[claim.folder]
        claim.lock.release()


def is_claimed(folder: Path) -> bool:
    """A run in a process that is alive has claimed ``folder``, as far as there are locks that could tell."""
    return _ours(folder.resolve()) is not None or is_claimed_elsewhere(folder)


def is_claimed_elsewhere(folder: Path) -> bool:
    """The same of a run in another process: of this one a later run takes the folder over."""
    if _ours(folder.resolve()) is not None or not (folder / LOCK).is_file():
        return False
    lock = _lock(folder)
    if lock is not None:
        lock.release()
    return lock is None


def _ours(folder: Path) -> Claim | None:
    """A forked child has none of its parent's."""
    known = _claims.get(folder)
    return known if known is not None and known.process == os.getpid() else None


def _lock(folder: Path) -> FileLock | None:
    """None if another process has it."""
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except Exception:  # there are no locks, or somebody's handler of filelock's log raises
        pass
    return lock


def report_of(folder: Path) -> Path:
    """That of the latest run in ``folder`` that has begun."""
    return waiting if (waiting := folder / WAITING).is_file() else folder / REPORT


def read_report(report: Path) -> dict[str, Any]:
    """What a report says; nothing where it is gone, spoiled or not ours."""
    try:
        content = load_json(report)
    except (OSError, *MISFITS):
        return {}
    return content if isinstance(content, dict) else {}


class WaitingMark:
    """``WAITING``, where this process has left it: an earlier run's report says nothing of the run that is set up.
    Meanwhile ``REPORT`` has the verdict ``unknown``."""

    def __init__(self) -> None:
        self._file: Path | None = None

    def leave(self, folder: Path) -> None:
        """A run is set up that will write to ``folder``, where an earlier report may stand. Raises OSError."""
        if (folder / REPORT).is_file() and not is_claimed(folder):
            mark, report = (folder.absolute() / name for name in (WAITING, REPORT))
            earlier = read_report(report)
            if "verdict" not in read_report(mark):  # else another run was set up here, and did not begin either
                replace_file(mark, report.read_bytes())
            replace_file(report, strict_json({**earlier, "verdict": "unknown", "message": NOT_BEGUN.format(ending="")}))
            self._file = mark
            with suppress(FileNotFoundError):
                os.replace(mark.with_name(PAGE), mark.with_name(WAITING_PAGE))

    @property
    def folder(self) -> Path | None:
        return None if self._file is None else self._file.parent.resolve()

    def take_off(self) -> None:
        """The run has its own report, or will not be. Raises OSError."""
        mark, self._file = self._file, None
        if mark is not None:
            for name, own in ((WAITING, REPORT), (WAITING_PAGE, PAGE)):
                with suppress(FileNotFoundError):  # a run that has begun has kept them as those before
                    os.replace(mark.with_name(name), mark.with_name(own))
