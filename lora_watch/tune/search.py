"""Runs a search, one training after the other, and keeps what is known in a file: the same call continues it."""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lora_watch.base.alerts import LoraWatchError
from lora_watch.base.strict_json import strict_json
from lora_watch.base.text import mean_and_spread, say, short, table
from lora_watch.base.untrusted import MISFITS, load_json
from lora_watch.format.files import replace_file
from lora_watch.tune.strategy import Configuration, Decision, Outcome, Strategy, decide

if TYPE_CHECKING:
    from lora_watch.drivers.callback import LoraWatchCallback

__all__ = ["Attempt", "Configuration", "Outcome", "SearchResult", "Strategy", "search"]

Known = dict[Configuration, Outcome]


class Attempt:
    """One run of a search: what ``train`` is given."""

    def __init__(self, configuration: Configuration):
        self.configuration = configuration
        """With the learning rate, as soon as it is known."""
        self._callback: LoraWatchCallback | None = None

    @property
    def name(self) -> str:
        """Good for the name of a folder: ``r16-s1-seed0``."""
        return self.configuration.name

    def lora(self) -> dict[str, Any]:
        """Keyword arguments of ``peft.LoraConfig``."""
        return {"r": self.configuration.r, "lora_alpha": self.configuration.lora_alpha}

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``TrainingArguments``; without a learning rate where it is to be found."""
        rate = self.configuration.learning_rate
        return {"seed": self.configuration.seed} | ({} if rate is None else {"learning_rate": rate})

    def callback(self, **settings: Any) -> LoraWatchCallback:
        """A LoraWatchCallback for the Trainer of this run: an error ends the configuration within a few steps.

        Where the learning rate is not known it sweeps before the first step, and trains at what it finds. ``settings``
        are those of LoraWatchCallback.
        """
        from lora_watch.drivers.callback import LoraWatchCallback

        find_lr = self.configuration.learning_rate is None
        self._callback = LoraWatchCallback(**{"fail_on": "error", "find_lr": find_lr, **settings})
        return self._callback

    @property
    def learning_rate(self) -> float | None:
        """Given, or found in this run."""
        swept = None if self._callback is None else self._callback.found
        return self.configuration.learning_rate or (None if swept is None else swept.rate_or_middle)


@dataclass
class SearchResult(Decision):
    """The result of a search. ``print(result)`` shows the runs, and what follows from them. ``best`` is the
    configuration to use, with the learning rate that it was trained at."""

    outcomes: Mapping[Configuration, Outcome] = field(default_factory=dict, repr=False)
    """Every run that came to its end, or failed."""

    def __str__(self) -> str:
        found, best = "No rank is sound.", self.best
        if best is not None:
            rate = short(best.learning_rate)
            found = f"Use r={best.r}, lora_alpha={best.lora_alpha:.4g}, learning_rate={rate}."
        return "\n".join([*self._table(), "", *self.story, found])

    def _table(self) -> list[str]:
        groups: dict[Configuration, list[Outcome]] = {}
        for each, outcome in sorted(self.outcomes.items(), key=lambda item: (item[0].r, item[0].scale)):
            groups.setdefault(each.with_seed(0), []).append(outcome)
        rows = []
        for each, runs in groups.items():
            values = [run.value for run in runs if run.value is not None]
            failed = any(run.value is None for run in runs)
            mark = "← use" if self.best and (each.r, each.scale) == (self.best.r, self.best.scale) else ""
            numbers = map(short, (each.lora_alpha, each.scale, _rate(each, self.outcomes)))
            metric = "failed" if failed else mean_and_spread(values)
            rows.append([str(each.r), *numbers, str(len(runs)), metric, mark])
        return table(["r", "alpha", "s", "learning rate", "runs", "metric", ""], rows, left=(6,))


def search(
    train: Callable[[Attempt], float],
    strategy: Strategy | None = None,
    *,
    path: str | os.PathLike[str] = "lora_search.json",
    show: bool = True,
) -> SearchResult:
    """Find the rank and the scale: double the rank until it no longer pays, then turn the scale.

    ::

        def train(attempt):
            model = get_peft_model(base_model(), LoraConfig(**attempt.lora(), target_modules="all-linear"))
            args = TrainingArguments(f"runs/{attempt.name}", **attempt.arguments())
            trainer = Trainer(model, args, train_dataset=data, eval_dataset=held_out, callbacks=[attempt.callback()])
            trainer.train()
            return trainer.evaluate()["eval_loss"]

        print(search(train))

    Every run that ends is noted in the file ``path``. After an interruption, even a kill, the same call continues.

    Python's, numpy's and torch's random states are set to the configuration's seed before each run, so that two ranks
    with one seed differ in the rank alone.

    A run has failed by LoraWatchError or a metric that is not finite; its configuration gets no further seeds, and the
    larger ranks or scales none at all. Any other exception ends the search and is raised; the run counts as not done.

    Args:
        train: trains the run that it is given, and returns the metric on held-out data.
        strategy: what to try, and when the curve counts as flat.
        path: the file that keeps what is known. One process at a time.
        show: write a line about each run to standard error.

    Raises:
        ValueError: the file was begun with another strategy or is none of a search; or no learning rate was found.
    """
    strategy, path = strategy or Strategy(), Path(path)
    known = _read(path, strategy)
    tell = (lambda text: say(text, sys.stderr)) if show else (lambda text: None)

    def run(configuration: Configuration) -> Outcome:
        if configuration in known:
            return known[configuration]
        number = len(known) + 1
        tell(f"run {number}: {configuration.name} …")
        attempt = Attempt(replace(configuration, learning_rate=_rate(configuration, known)))
        outcome = known[configuration] = _outcome(train, attempt)
        tell(f"run {number}: {f'failed: {outcome.why}' if outcome.value is None else f'{outcome.value:.5g}'}")
        runs = [{"configuration": asdict(each), "outcome": asdict(outcome)} for each, outcome in known.items()]
        replace_file(path, strict_json({"strategy": asdict(strategy), "runs": runs}))
        return outcome

    result = SearchResult(**vars(decide(strategy, run, tell)), outcomes=known)
    if result.best is not None:
        result.best = replace(result.best, learning_rate=_rate(result.best, known))
    return result


def _outcome(train: Callable[[Attempt], float], attempt: Attempt) -> Outcome:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(attempt.configuration.seed)
    try:
        value = float(train(attempt))
    except LoraWatchError as error:
        return Outcome(None, str(error).partition("\n")[0], attempt.learning_rate)
    if not math.isfinite(value):
        return Outcome(None, f"its metric is {value}.", attempt.learning_rate)
    if attempt.learning_rate is None:
        raise ValueError(
            f"{attempt.name} was trained without finding its learning rate. What finds it is attempt.callback() in the "
            "Trainer. Or give it: Strategy(learning_rate=…)"
        )
    return Outcome(value, "", attempt.learning_rate)


def _rate(configuration: Configuration, known: Mapping[Configuration, Outcome]) -> float | None:
    """The learning rate that was given, or that an earlier run of the same rank and scale has found."""
    found = (
        outcome.learning_rate for each, outcome in known.items() if each.with_seed(0) == configuration.with_seed(0)
    )
    return configuration.learning_rate or next((rate for rate in found if rate is not None), None)


def _read(path: Path, strategy: Strategy) -> Known:
    """The runs that are done. Raises ValueError where they are of another strategy."""
    if not path.exists():
        return {}
    try:
        content = load_json(path)
        begun = Strategy(**content["strategy"])
        known = {Configuration(**run["configuration"]): Outcome(**run["outcome"]) for run in content["runs"]}
    except (OSError, *MISFITS) as error:
        raise ValueError(f"{path} is not the file of a search: {error!r}") from None
    if begun != strategy:
        then, now = asdict(begun), asdict(strategy)
        differ = ", ".join(f"{name} {then[name]} → {now[name]}" for name in now if then[name] != now[name])
        raise ValueError(
            f"{path} was begun with another strategy ({differ}): go on with that one, or with another path"
        )
    return known
