"""All runs of a dashboard as one sweep: what ``lora-watch compare`` says of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lora_watch.base.strict_json import strict
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS
from lora_watch.runs.comparison.comparing import of_trials
from lora_watch.runs.comparison.text import curve_in_words
from lora_watch.runs.comparison.trials import trial_of
from lora_watch.runs.run import FinishedRun


def sweep(runs: Mapping[str, Callable[[], FinishedRun]]) -> dict[str, Any]:
    """The comparison's JSON; each of its curves has ``words``, one sentence a line."""
    trials, notes = [], []
    for name in sorted(runs):
        try:
            run = runs[name]()
            trials.append(trial_of(run, run.final_loss))
        except MISFITS as error:
            notes.append(f"{clean(name)} is left out: {clean(error)}")
    comparison = of_trials(trials)
    content = comparison.to_dict()
    content["notes"] += notes
    for curve, plain in zip(comparison.curves, content["curves"]):
        plain["words"] = [line.strip() for line in curve_in_words(curve, comparison.worth)]
    return strict(content)
