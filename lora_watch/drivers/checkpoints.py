"""Checkpoints of steps that a recovery has discarded are marked: nobody is to go on from one unawares."""

from __future__ import annotations

import logging
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lora_watch.base.records import Recovered
from lora_watch.base.text import count
from lora_watch.sinks import Sink

log = logging.getLogger("lora_watch")

MARK = "DISCARDED.txt"
"""Name of the file that marks a checkpoint's folder, and says why in words."""


class Checkpoints(Sink):
    """The sink that marks them, in the folder ``output`` of the run. The callback says which have been saved."""

    def __init__(self, output: Path):
        self._output = output
        self._saved: dict[int, Path] = {}
        """Where a checkpoint's mark would be, by the steps that it has behind it."""

    def notes(self, step: int) -> list[str]:
        """What is to be said of a run that begins after ``step`` steps, in words."""
        if not self._mark(step).is_file():
            return []
        said = f"the run goes on from a checkpoint that a recovery has discarded: {self._mark(step)} says why"
        log.warning("lora_watch: %s", said)
        return [said]

    def saved(self, step: int) -> Path:
        """One has been written, perhaps in the place of one that a run before has discarded. Returns its folder."""
        self._saved[step] = mark = self._mark(step).absolute()
        mark.unlink(missing_ok=True)
        return mark.parent

    def kept(self) -> tuple[int, ...]:
        """The steps of those that are there."""
        ends = (folder.name.rpartition("-")[2] for folder in self._output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
        return tuple(sorted(int(end) for end in ends if end.isdecimal()))

    def recovered(self, recovery: Recovered) -> None:
        """Mark what was saved since the state that the run goes on from."""
        for step, mark in self._saved.items():
            if step > recovery.back_to and mark.parent.is_dir():
                mark.write_text(_why(step, recovery), encoding="utf-8")
        self._saved = {step: mark for step, mark in self._saved.items() if step <= recovery.back_to}

    def _mark(self, step: int) -> Path:
        return self._output / f"{PREFIX_CHECKPOINT_DIR}-{step}" / MARK


def _why(step: int, recovery: Recovered) -> str:
    return (
        f"lora_watch: do not go on from this checkpoint, of step {step}.\n\nAt step {recovery.step} the run went back "
        f"to step {recovery.back_to} for {recovery.rule} and discarded {count(recovery.lost, 'step')}. The adapter of "
        f"this checkpoint may be damaged. Take one from step {recovery.back_to} or before, or one from step "
        f"{recovery.step} or after.\n"
    )
