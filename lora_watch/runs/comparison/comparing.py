"""The comparison as a whole: which runs, by which quality, and what follows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_watch.base.plateau import WORTH
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS
from lora_watch.format.tags import EVAL_LOSS
from lora_watch.runs.comparison.curves import QualityCurve, SeedGroup, configurations, curves, differences
from lora_watch.runs.comparison.trials import TRAIN_LOSS, Trial, trial_of
from lora_watch.runs.run import read_runs

COMPARISON_VERSION = 1


@dataclass
class Comparison:
    """Everything that one call of ``lora-watch compare`` has found."""

    metric: str
    """The quality that is compared."""
    higher_is_better: bool
    worth: float
    """The least gain that a larger rank must bring, as a share of the metric."""
    configurations: list[SeedGroup]
    curves: list[QualityCurve]
    """Along the rank, then along the scale; the longest first."""
    notes: list[str]
    """What was left out, in words."""
    unreadable: list[str]
    """What could not be read, one sentence each."""

    @property
    def exit_code(self) -> int:
        """0, or 2 where something could not be read or there is nothing."""
        return 2 if self.unreadable or not self.configurations else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Curves name configurations by their place in the list of them."""
        place = {id(each): index for index, each in enumerate(self.configurations)}
        return {
            "version": COMPARISON_VERSION,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "worth": self.worth,
            "configurations": [_configuration(each, self.metric) for each in self.configurations],
            "differences": {
                name: [
                    {"value": value, "configurations": [place[id(each)] for each in having]}
                    for value, having in by_value.items()
                ]
                for name, by_value in differences(self.configurations).items()
            },
            "curves": [_curve(curve, place, self.worth) for curve in self.curves],
            "notes": self.notes,
            "unreadable": self.unreadable,
        }


def compare(
    paths: Iterable[Path | str],
    metric: str | None = None,
    higher_is_better: bool | None = None,
    worth: float = WORTH,
) -> Comparison:
    """Compares the runs at ``paths``, each whatever ``lora-watch check`` takes.

    Args:
        paths: runs, or folders of runs.
        metric: name of an evaluation's number. Default: ``eval_loss`` where every run that counts has it, else the
            training loss at the end.
        higher_is_better: default as in the Trainer, True unless the metric's name ends with ``loss``.
        worth: what twice the rank must gain, as a share of the metric.

    Raises:
        ValueError: no run has ``metric``; the text lists those that there are.
    """
    trials: dict[str, Trial] = {}  # a run that is named twice counts once
    unreadable: list[str] = []
    for place, run in read_runs(paths, unreadable, below=True):
        try:
            trials.setdefault(str(place.path.resolve()), trial_of(run, run.final_loss))
        except MISFITS as error:
            unreadable.append(f"{run.name} does not hold what it should ({type(error).__name__}: {clean(error)})")
    return of_trials(list(trials.values()), metric, higher_is_better, worth, unreadable)


def of_trials(
    trials: Sequence[Trial],
    metric: str | None = None,
    higher_is_better: bool | None = None,
    worth: float = WORTH,
    unreadable: Sequence[str] = (),
) -> Comparison:
    """``compare`` of runs that have been read."""
    counted = [trial for trial in trials if trial.out is None]
    chosen = metric or (EVAL_LOSS if counted and all(EVAL_LOSS in trial.quality for trial in counted) else TRAIN_LOSS)
    there = sorted({name for trial in trials for name in trial.quality})
    if metric is not None and trials and metric not in there:
        raise ValueError(f"no run has the metric {metric!r}; there are: {', '.join(there) or 'none'}")
    higher = not chosen.endswith("loss") if higher_is_better is None else higher_is_better
    found = configurations(trials)
    lines, notes = curves(found, chosen, worth, higher), _notes(trials, chosen, metric)
    return Comparison(chosen, higher, worth, found, lines, notes, list(unreadable))


def _notes(trials: Sequence[Trial], chosen: str, asked: str | None) -> list[str]:
    notes = [f"{trial.name} {trial.out}; its quality does not count." for trial in trials if trial.out is not None]
    notes += [f"{trial.name} has no {chosen}." for trial in trials if trial.out is None and chosen not in trial.quality]
    if asked is None and chosen == TRAIN_LOSS and any(trial.out is None for trial in trials):
        notes.append(
            f"There is no {EVAL_LOSS} for all of these runs, so the training loss is compared, which shows less. "
            "Evaluate each run at its end: trainer.evaluate()."
        )
    return notes


def _configuration(each: SeedGroup, metric: str) -> dict[str, Any]:
    values = each.values(metric)
    return {
        "r": each.r,
        "alpha": each.alpha,
        "scale": each.scale,
        "learning_rate": each.lr,
        "effective_lr": each.effective_lr,
        "mean": statistics.fmean(values.values()) if values else None,
        "runs": [
            {
                "name": trial.name,
                "seed": trial.seed,
                "step": trial.step,
                "left_out": trial.out,
                "quality": dict(trial.quality),
                "norms": {name: {"median": m, "max": top} for name, (m, top) in trial.norms.items()},
                "trainable_parameters": trial.trainable_parameters,
                "alerts": dict(trial.alerts),
            }
            for trial in each.trials
        ],
    }


def _curve(curve: QualityCurve, place: dict[int, int], worth: float) -> dict[str, Any]:
    return {
        "along": curve.along,
        "held": curve.held(),
        "configurations": [place[id(each)] for each in curve.configurations],
        "pairs": [
            {
                "from": place[id(pair.before)],
                "to": place[id(pair.after)],
                "gain": pair.gain.mean,
                "low": pair.gain.low,
                "high": pair.gain.high,
                "pairs": pair.gain.pairs,
                "verdict": pair.gain.verdict(worth),
            }
            for pair in curve.pairs
        ],
        "plateau": None if curve.plateau is None else place[id(curve.plateau)],
        "turns": curve.turns,
        "chosen": place[id(curve.chosen)],
        "best": place[id(curve.best)],
        "confounds": curve.confounds,
    }
