"""Finds the runs that a path names: a run's folder, its report, its event files, or a folder of runs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_watch.base.names import numbered
from lora_watch.base.text import clean
from lora_watch.base.untrusted import load_json
from lora_watch.format.files import LOCK, REPORT
from lora_watch.runs.events import FILES, scan

HOME = "lora_watch"


class UnreadableError(Exception):
    """There is no run, or none that can be judged; the text says where and why."""


@dataclass(frozen=True)
class RunFiles:
    """Where one run's files are."""

    path: Path
    """What the run is called by: its output folder, or whatever was named in its stead."""
    report: Path | None
    """None for a TensorBoard run that has only event files."""
    events: tuple[Path, ...]
    """Event files that may be the run's."""
    why_not: str | None = None
    """Why nothing here can be read, where that is known before."""
    below: tuple[Path, ...] = ()
    """Folders in the run's own that have reports of more runs, where those were not asked for."""


def find_runs(path: Path, below: bool = False) -> list[RunFiles]:
    """The runs at ``path``, in the order of their names.

    ``path`` is an output folder, its ``lora_watch`` folder, a report, a folder of event files or one such file, or
    a folder in which such are found at any depth. A folder that cannot be listed is among them, and so is one in which
    a run has begun and left no report: nobody can say that all is well there.

    A run's folder may have folders of more runs, such as the trials of a search before the last training. With
    ``below`` they are among the runs; else the run names them.

    Raises:
        UnreadableError: nothing is there, or nothing of lora_watch's.
    """
    try:
        if path.is_file():
            return [RunFiles(path, None, (path,))] if path.match(FILES) else [_reported(path)]
        if not path.is_dir():
            raise UnreadableError(f"{path}: there is no such file or folder. Name the Trainer's output_dir")
    except OSError as error:  # no right to look, or no name that a file could have
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
    found: list[RunFiles] = []

    def hidden(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):  # gone while we were looking
            found.append(RunFiles(Path(error.filename), None, (), f"{error.filename} cannot be read: {error.strerror}"))

    for folder, children, _ in os.walk(path, onerror=hidden):
        children.sort()
        try:
            runs = _runs_of(Path(folder))
            if any(run.why_not is None for run in runs):
                children.clear()  # what else lies in a run's folder is the run's
                more = _below(Path(folder))
                if below:
                    runs += [run for each in more for run in _runs_of(each)]
                else:
                    runs[0] = replace(runs[0], below=more)
            found += [*runs, *_without_report(Path(folder))]
        except OSError as error:
            hidden(error)
            children.clear()
    if not found and (path / REPORT).is_file():
        return [_reported(path / REPORT)]  # whoever reads it will say what is wrong with it
    if not found:
        raise UnreadableError(
            f"{path}: there is no run of lora_watch here: neither {HOME}/{REPORT} nor TensorBoard events with its "
            "numbers. Did the training start, with LoraWatchCallback among its callbacks, and write to this folder?"
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
        return [RunFiles(home.parent, home, ()) for home in homes]
    if homes:
        return [_reported(homes[0])]
    claimed = _is_home(folder) or (folder / LOCK).is_file()  # whatever its report has become
    if (folder / REPORT).is_file() and (claimed or _is_ours(folder / REPORT)):
        return [_reported(folder / REPORT)]
    events = tuple(sorted(folder.glob(FILES)))
    scans = [scan(file) for file in events]
    if any(record.kind == "schema" for found in scans for record in found.records):
        return [RunFiles(folder, None, events)]
    broken = [found.broken for found in scans if found.broken]  # may have been ours
    return [RunFiles(folder, None, (), f"{folder}: {broken[0]}")] if broken else []


def _below(folder: Path) -> tuple[Path, ...]:
    """Folders in a run's folder with reports of their own; event files alone are the run's."""
    reports = (report for report in folder.glob(f"**/{HOME}*/{REPORT}") if _is_home(report.parent))
    return tuple(sorted({report.parent.parent for report in reports} - {folder}))


def _without_report(folder: Path) -> list[RunFiles]:
    """Where in this folder a run has begun whose report was never written, or is gone."""
    homes = [lock.parent for lock in sorted(folder.glob(f"{HOME}*/{LOCK}")) if _is_home(lock.parent)]
    said = f"a run began here and left no {REPORT}"
    return [RunFiles(home, None, (), f"{home}: {said}") for home in homes if not os.path.lexists(home / REPORT)]


def _is_home(folder: Path) -> bool:
    """``lora_watch``, or ``lora_watch-2`` where another run was writing to the former."""
    return re.fullmatch(HOME + r"(-\d+)?", folder.resolve().name) is not None


def _is_ours(report: Path) -> bool:
    try:
        return is_report(load_json(report))
    except (OSError, ValueError):
        return False


def is_report(content: Any) -> bool:
    """``content`` is a report of ours: many programs call a file ``report.json``."""
    return isinstance(content, dict) and {"version", "verdict", "adapters", "alerts"} <= set(content)


def _reported(report: Path) -> RunFiles:
    """The run of a report, with the event files of the Trainer's usual folders."""
    folder = report.parent
    root = folder.parent if _is_home(folder) else folder
    return RunFiles(root, report, (*sorted(root.glob(FILES)), *sorted(root.glob(f"runs/**/{FILES}"))))
