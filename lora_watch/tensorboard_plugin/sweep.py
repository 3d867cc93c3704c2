"""All runs of a dashboard as one sweep: what ``lora-watch compare`` says of their files, from TensorBoard's data."""

from __future__ import annotations

import math
from typing import Any

from lora_watch.alerts import Alert
from lora_watch.comparison.comparing import of_trials
from lora_watch.comparison.text import curve_in_words
from lora_watch.comparison.trials import Trial, trial_of
from lora_watch.runs.run import FinishedRun, adapter_state, clean_data
from lora_watch.strict_json import strict
from lora_watch.tensorboard_plugin.series import NotThereError, Reader
from lora_watch.text import clean


def sweep(reader: Reader, ctx: Any, experiment: str) -> dict[str, Any]:
    """The comparison's JSON; each of its curves has ``words``, one sentence a line."""
    evaluation = reader.evaluation(ctx, experiment)
    trials, notes = [], []
    for run in sorted(reader.runs(ctx, experiment)):
        try:
            trials.append(_trial(reader, ctx, experiment, run, evaluation.get(run)))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, NotThereError) as error:
            notes.append(f"{clean(run)} is left out: {clean(error)}")
    told = of_trials(trials)
    content = told.to_dict()
    content["notes"] += notes
    for curve, plain in zip(told.curves, content["curves"]):
        plain["words"] = [line.strip() for line in curve_in_words(curve, told.worth)]
    return strict(content)


def _trial(reader: Reader, ctx: Any, experiment: str, run: str, evaluation: float | None) -> Trial:
    schema = reader.schema(ctx, experiment, run)
    verdict = reader.verdict(ctx, experiment, run)
    said = verdict["message"]
    known = reader.runs(ctx, experiment)[run]
    return trial_of(
        FinishedRun(
            name=clean(run),
            verdict="interrupted" if verdict["verdict"] not in ("ok", "failed") else verdict["verdict"],
            message=None if said is None else clean(said),
            step=known["step"],
            max_steps=schema.get("max_steps"),
            updated=None,
            alerts=[alert for alert in map(_alert, reader.alerts(ctx, experiment, run)["alerts"]) if alert],
            adapters={clean(a["name"]): adapter_state(a, last={}) for a in schema["adapters"]},
            trainable_parameters=None,
            rules={},
            notes=[],
            loss_ends=(None, _final_loss(reader, ctx, experiment, run) if "loss" in known["series"] else None),
            config=clean_data(schema.get("config") or {}),
            peak_lr=tuple(float(lr) for lr in schema.get("peak_lr") or ()),
            evaluation={} if evaluation is None else {"eval_loss": evaluation},
        )
    )


def _final_loss(reader: Reader, ctx: Any, experiment: str, run: str) -> float | None:
    series, _ = reader.series(ctx, experiment, run, "loss")
    values = series.values[series.steps > 0, 0]
    tail = values[-max(1, len(values) // 10) :]
    mean = float(tail.mean()) if len(tail) else math.nan
    return None if math.isnan(mean) else mean


def _alert(told: dict[str, Any]) -> Alert | None:
    """None for one that another version wrote."""
    try:
        return Alert.from_dict(told)
    except ValueError:
        return None
