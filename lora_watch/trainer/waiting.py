"""A Trainer that is set up where an earlier run has left its report: until it trains that report is not its own.

It may die before its training begins, while it loads or maps its data. The report of the run before would then stand
as if it were this one's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_watch.base.strict_json import strict_json
from lora_watch.format.files import REPORT, WAITING, is_claimed, now, replace_file
from lora_watch.monitor.guard import Guard, guarded
from lora_watch.trainer.facts import is_first


class Waiting(TrainerCallback):
    """Marks the report when its Trainer has been built, and takes the mark off once it trains or evaluates."""

    report_dir: str | os.PathLike[str] | None
    _mark: Path | None = None

    @property
    def guard(self) -> Guard:
        raise NotImplementedError

    @guarded("marking the report of an earlier run", aside=True)
    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        folder = Path(self.report_dir if self.report_dir is not None else Path(args.output_dir or ".", "lora_watch"))
        if is_first(state) and (folder / REPORT).is_file() and not is_claimed(folder):
            replace_file(folder / WAITING, strict_json({"since": now(), "pid": os.getpid()}))
            self._mark = folder / WAITING

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.waits_no_longer()

    @guarded("taking a mark off a report", aside=True)
    def waits_no_longer(self) -> None:
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.unlink(missing_ok=True)
