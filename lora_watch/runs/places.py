"""Finds the runs that a path names: a run's folder, its report, or a folder of runs."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_watch.base.names import numbered
from lora_watch.base.text import clean
from lora_watch.format.files import LOCK, REPORT, read_report
from lora_watch.runs.events import FILES

HOME = "lora_watch"


class UnreadableError(Exception):
    """There is no run, or none that can be judged; the text says where and why."""


@dataclass(frozen=True)
class RunFiles:
    """Where one run's files are."""

    path: Path
    """What the run is called by: its output folder, or whatever was named in its stead."""
    report: Path
    events: tuple[Path, ...] = ()
    """Event files that may be the run's."""
    why_not: str | None = None
    """Why nothing here can be read, where that is known before."""


def find_runs(path: Path) -> list[RunFiles]:
    """The runs at ``path``, in the order of their names.

    ``path`` is an output folder, its ``lora_watch`` folder, a report, or a folder in which such are found at any depth.
    What lies in a run's folder is the run's, also the trials of a search before it: whoever wants them names them. A
    folder that cannot be listed is among the runs, and so is one in which a run has begun and left no report: nobody
    can say that all is well there.

    Raises:
        UnreadableError: nothing is there, or nothing of lora_watch's.
    """
    try:
        if path.is_file():
            return [_reported(path)]
        if not path.is_dir():
            raise UnreadableError(f"{path}: there is no such file or folder. Name the Trainer's output_dir")
    except OSError as error:  # no right to look, or no name that a file could have
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
    found: list[RunFiles] = []

    def hidden(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):  # gone while we were looking
            place = Path(error.filename)
            found.append(RunFiles(place, place / REPORT, why_not=f"{place} cannot be read: {error.strerror}"))

    for folder, children, _ in os.walk(path, onerror=hidden):
        children.sort()
        try:
            runs = _runs_of(Path(folder))
            if runs:
                children.clear()
            found += [*runs, *_without_report(Path(folder))]
        except OSError as error:
            hidden(error)
            children.clear()
    if not found and (path / REPORT).is_file():
        return [_reported(path / REPORT)]  # whoever reads it will say what is wrong with it
    if not found:
        if any((place / "find_lr.json").is_file() for place in (path, path / HOME)):
            raise UnreadableError(f"{path}: only learning rates were tried here (find_lr.json): there is no run")
        raise UnreadableError(
            f"{path}: there is no run of lora_watch here, no {HOME}/{REPORT}. Did the training start, under lora-watch "
            "run or with a LoraWatchCallback, and with this folder as its output_dir?"
        )
    return found


def short_names(runs: Sequence[Path | str]) -> list[str]:
    """What each of these runs is called without the folders above all of them, which concern nobody else. Unique: a run
    that is named twice is numbered."""
    paths = [Path(run).resolve() for run in runs]
    above = os.path.commonpath(paths) if len(set(paths)) > 1 else None
    names = [path.name if above is None else os.path.relpath(path, above) for path in paths]
    return numbered(clean(path.name if name == "." else name) for name, path in zip(names, paths))


def _runs_of(folder: Path) -> list[RunFiles]:
    """The run whose folder this is; more than one where several processes wrote there at once."""
    homes = [home for home in sorted(folder.glob(f"{HOME}*/{REPORT}")) if _is_home(home.parent)]
    if len(homes) > 1:  # nobody knows whose the event files are
        return [RunFiles(home.parent, home) for home in homes]
    if homes:
        return [_reported(homes[0])]
    claimed = _is_home(folder) or (folder / LOCK).is_file()  # whatever its report has become
    if (folder / REPORT).is_file() and (claimed or is_report(read_report(folder / REPORT))):
        return [_reported(folder / REPORT)]
    return []


def _without_report(folder: Path) -> list[RunFiles]:
    """Where in this folder a run has begun whose report was never written, or is gone."""
    homes = [lock.parent for lock in sorted(folder.glob(f"{HOME}*/{LOCK}")) if _is_home(lock.parent)]
    lost = [home for home in homes if not os.path.lexists(home / REPORT)]
    return [RunFiles(home, home / REPORT, why_not=f"{home}: a run began here and left no {REPORT}") for home in lost]


def _is_home(folder: Path) -> bool:
    """``lora_watch``, or ``lora_watch-2`` where another run was writing to the former."""
    return re.fullmatch(HOME + r"(-\d+)?", folder.resolve().name) is not None


def is_report(content: Any) -> bool:
    """``content`` is a report of ours: many programs call a file ``report.json``."""
    return isinstance(content, dict) and {"version", "verdict", "adapters", "alerts"} <= set(content)


def _reported(report: Path) -> RunFiles:
    """The run of a report, with the event files of the Trainer's usual folders. A report of another name is a copy that
    somebody keeps: what lies around it is not the run's."""
    if report.name != REPORT:
        return RunFiles(report, report)
    folder = report.parent
    root = folder.parent if _is_home(folder) else folder
    return RunFiles(root, report, (*sorted(root.glob(FILES)), *sorted(root.glob(f"runs/**/{FILES}"))))
