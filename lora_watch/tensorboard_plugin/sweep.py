"""All runs of a dashboard as one sweep: what ``lora-watch compare`` says of their files, from TensorBoard's data."""

from __future__ import annotations

import statistics
from typing import Any, get_args

import numpy as np

from lora_watch.base.alerts import Verdict
from lora_watch.base.strict_json import strict
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS, or_none
from lora_watch.format import tags
from lora_watch.runs.comparison.comparing import of_trials
from lora_watch.runs.comparison.text import curve_in_words
from lora_watch.runs.comparison.trials import Trial, trial_of
from lora_watch.runs.run import from_header, last_tenth
from lora_watch.tensorboard_plugin.series import Reader


def sweep(reader: Reader) -> dict[str, Any]:
    """The comparison's JSON; each of its curves has ``words``, one sentence a line."""
    evaluation = reader.evaluation()
    trials, notes = [], []
    for run in sorted(reader.runs()):
        try:
            trials.append(_trial(reader, run, evaluation.get(run)))
        except MISFITS as error:
            notes.append(f"{clean(run)} is left out: {clean(error)}")
    comparison = of_trials(trials)
    content = comparison.to_dict()
    content["notes"] += notes
    for curve, plain in zip(comparison.curves, content["curves"]):
        plain["words"] = [line.strip() for line in curve_in_words(curve, comparison.worth)]
    return strict(content)


def _trial(reader: Reader, run: str, evaluation: float | None) -> Trial:
    known, verdict, loss = reader.runs()[run], reader.verdict(run), None
    read = from_header(
        clean(run),
        reader.schema(run),
        {},
        verdict=verdict["verdict"] if verdict["verdict"] in get_args(Verdict) else "interrupted",
        message=or_none(clean, verdict["message"]),
        step=known["step"],
        updated=None,
        alerts=reader.episodes(run)[0],
        evaluation={} if evaluation is None else {tags.EVAL_LOSS: evaluation},
    )
    if "loss" in known["series"]:
        series, _ = reader.series(run, "loss")
        last = last_tenth(read.trained(series.steps.tolist()))
        loss = statistics.fmean(series.values[np.isin(series.steps, last), 0].tolist()) if last else None
    return trial_of(read, loss)
