"""Runs a plan on top of an Optuna study: one trial is one run, and several processes may share the study."""

from __future__ import annotations

import inspect
import math
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from lora_watch.base.alerts import LoraWatchError
from lora_watch.base.lazy import needed
from lora_watch.search.deciding import Decision, Outcome, decide
from lora_watch.search.plan import Configuration, Plan
from lora_watch.search.result import SearchResult

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial
    from transformers import Trainer

    from lora_watch.search.trainer import SearchCallback
    from lora_watch.tuning.lr_finder import Suggestion

CONFIGURATION, WHY = "configuration", "why"
"""User attributes of a trial: what it runs, why it failed."""
PLAN = "plan"
"""User attribute of the study."""
NOT_FOUND = (
    "what finds it needs train(config, attempt), with attempt.callback() in its Trainer or "
    "attempt.find_learning_rate(trainer) before trainer.train(). Or give Plan one: Plan(learning_rate=…)"
)

Train = Callable[..., float]


class Attempt:
    """The second argument of ``train(config, attempt)``: it takes reports, and stops a run that cannot win."""

    def __init__(self, trial: optuna.Trial, configuration: Configuration):
        self.trial = trial
        """Optuna's own trial."""
        self.configuration = configuration

    def callback(self, metric: str = "eval_loss", **settings: Any) -> SearchCallback:
        """A LoraWatchCallback for the Trainer of this run: an error ends the configuration within a few steps, and
        every evaluation is reported to the study's pruner and dashboard. ``settings`` are those of LoraWatchCallback.

        If the plan has no learning rate, it finds one before the first step. The first run of a rank and scale sweeps,
        and its other seeds use the same rate.
        """
        from lora_watch.search.trainer import SearchCallback

        callback = SearchCallback(self.trial, metric=metric, **settings)
        if self.configuration.learning_rate is None:
            callback.find_lr, callback.attempt = True, self
        return callback

    def find_learning_rate(self, trainer: Trainer) -> float:
        """Give ``trainer``, before it trains, the rate that a sweep finds for this rank and scale, and return it: what
        ``callback`` does by itself where the plan has no rate.

        Raises ValueError where the sweep does not tell and the plan has no rate either.
        """
        from lora_watch.trainer.find_lr import find_learning_rate

        rate = self.rate or self.settle(find_learning_rate(trainer))
        trainer.args.learning_rate = rate
        return rate

    @property
    def rate(self) -> float | None:
        """The learning rate that was found for this rank and scale, as the study remembers it; None before that."""
        return self.trial.study.user_attrs.get(_rate_key(self.configuration))

    def settle(self, found: Suggestion) -> float:
        """Have the study remember what a sweep has found for this rank and scale: its rate, else the plan's, else the
        middle of the range that is left. Another process may have been first, whose rate it then is.

        Raises ValueError where all of them are unknown.
        """
        rate = found.rate or self.configuration.learning_rate or found.rate_or_middle
        if rate is None:
            of = f"r {self.configuration.r}, s {self.configuration.scale:g}"
            raise ValueError(f"no learning rate for {of}: {found.why} Or give Plan one: Plan(learning_rate=…)")
        if self.rate is None:
            self.trial.study.set_user_attr(_rate_key(self.configuration), rate)
        return self.rate or rate

    def report(self, value: float, step: int) -> None:
        """The metric after ``step`` steps. Raises optuna.TrialPruned when the study's pruner has seen enough."""
        self.trial.report(value, step)
        if self.trial.should_prune():
            raise needed("optuna").TrialPruned(f"stopped by the pruner at step {step}, with {value:.4g}.")


def search(
    train: Train,
    plan: Plan,
    *,
    storage: str | os.PathLike[str] | Any = "lora_search.db",
    study_name: str = "lora_watch",
    pruner: optuna.pruners.BasePruner | None = None,
    show: bool = True,
    patience: int = 60,
) -> SearchResult:
    """Find the rank and the scale: run ``plan`` until its curve is flat, then turn the scale.

    ::

        def train(config, attempt):
            model = get_peft_model(base_model(), LoraConfig(**config.lora(), target_modules="all-linear"))
            args = TrainingArguments(f"runs/{config.name}", **config.arguments())
            trainer = Trainer(model, args, train_dataset=data, eval_dataset=held_out, callbacks=[attempt.callback()])
            trainer.train()
            return trainer.evaluate()["eval_loss"]

        print(search(train, Plan()))

    Every run is a trial of an Optuna study that is kept in ``storage``. After an interruption, even a kill, the
    same call continues. Several processes that call it with one database share its runs. Each run is queued with
    ``enqueue_trial``, and one process takes it. A storage without heartbeats, Optuna's journal, cannot tell a killed
    run from a slow one. The search then waits, and prints the command that gives the run up.

    Python's, numpy's and torch's random states are set to the configuration's seed before each run, so that two ranks
    with one seed differ in the rank alone.

    A run has failed by LoraWatchError, optuna.TrialPruned or a metric that is not finite; its configuration gets no
    further seeds, and the larger ranks or scales none at all. Any other exception ends the search and is raised; the
    run counts as not done.

    Args:
        train: ``train(config)`` or ``train(config, attempt)``, returning the metric on held-out data.
        plan: what to try, and when the curve counts as flat.
        storage: a file for an SQLite database, a database's URL (``postgresql://…``, for several machines), or an
            Optuna storage. On it runs ``optuna-dashboard``.
        study_name: the name of the study in the storage.
        pruner: an Optuna pruner that judges what ``attempt`` reports; none by default.
        show: write a line about each run to standard error.
        patience: seconds without a heartbeat after which a run counts as dead, and is repeated.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
        ValueError: the study was begun with another plan; or the plan has no learning rate, and none was found.
    """
    optuna = needed("optuna")
    study = _open(optuna, storage, study_name, pruner, plan, patience)
    console = Console(stderr=True, quiet=not show, highlight=False)
    takes_attempt = _takes_attempt(train)
    if plan.learning_rate is None and not takes_attempt:
        raise ValueError(f"the plan has no learning rate, and {NOT_FOUND}")

    def run(trial: optuna.Trial) -> float:
        """One trial, as ``study.optimize`` wants it. Raises TrialPruned where the run fails."""
        configuration = _claim(study, trial)
        _beat(study, trial)
        console.print(f"run {trial.number}: {configuration.name} …")
        _seed(configuration.seed)
        attempt = Attempt(trial, configuration)
        try:
            value = train(configuration, attempt) if takes_attempt else train(configuration)
            if not math.isfinite(value):
                raise optuna.TrialPruned(f"its metric is {value}.")
        except (LoraWatchError, optuna.TrialPruned) as error:
            why = str(error).partition("\n")[0] or "pruned"
            trial.set_user_attr(WHY, why)
            console.print(f"run {trial.number}: failed: {why}", style="red")
            raise optuna.TrialPruned(why) from error
        if configuration.learning_rate is None and attempt.rate is None:
            raise ValueError(f"run {trial.number} has trained without finding its learning rate: {NOT_FOUND}")
        console.print(f"run {trial.number}: {value:.5g}")
        return float(value)

    said = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        while True:
            decision = _next(study, plan, console)
            for sentence in decision.story[said:]:
                console.print(sentence, style="bold")
            said = len(decision.story)
            if not decision.wanted:
                break
            study.optimize(run, n_trials=1)
    outcomes = _outcomes(study.get_trials(deepcopy=False))
    kept = study.user_attrs
    rates = {each.with_seed(0): kept[_rate_key(each)] for each in outcomes if _rate_key(each) in kept}
    result = SearchResult(plan, decision.best, decision.rank, decision.plateau, decision.story, outcomes, rates)
    if result.best is not None:
        result.best = result.as_trained(result.best)
    console.print(result)
    return result


def _next(study: optuna.Study, plan: Plan, console: Console) -> Decision:
    """What is known, once a run is queued that nobody has begun, or the search is over. Waits for those of others."""
    optuna = needed("optuna")
    waited_for: set[int] = set()
    while True:
        optuna.storages.fail_stale_trials(study)
        trials = study.get_trials(deepcopy=False)
        decision = decide(plan, _outcomes(trials))
        open_trials = [t for t in trials if not t.state.is_finished()]
        if not decision.wanted or any(t.state.name == "WAITING" for t in open_trials):
            return decision
        taken = {_configuration(t) for t in open_trials}
        if free := [each for each in decision.wanted if each not in taken]:
            run = free[0]
            parameters = {"r": run.r, "scale": run.scale, **run.arguments()}
            study.enqueue_trial(parameters, {CONFIGURATION: run.to_dict()})
            return decision
        others = {t.number for t in open_trials}
        if _heartbeat(study) is None and not others <= waited_for:
            waited_for |= others
            console.print(
                f"waiting for other processes' runs ({', '.join(map(str, sorted(others)))}). This storage has no "
                "heartbeat: if one was killed, give it up with: optuna tell --storage … --study-name "
                f"{study.study_name} --trial-number {min(others)} --state fail"
            )
        time.sleep(0.5)


def _claim(study: optuna.Study, trial: optuna.Trial) -> Configuration:
    """What ``trial`` runs. Raises TrialPruned where another process took the run from the queue first, or has queued
    the same one before."""
    configuration = _configuration(trial)
    earlier = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number and t.state.name != "FAIL"]
    if configuration is None or any(_configuration(t) == configuration for t in earlier):
        trial.set_user_attr(CONFIGURATION, None)
        raise needed("optuna").TrialPruned("another process has this run")
    # As parameters too, where Optuna's dashboard and plots look for them: they get the values of enqueue_trial.
    trial.suggest_int("r", 1, 1 << 20)
    trial.suggest_float("scale", 1e-6, 1e6)
    if configuration.learning_rate is not None:
        trial.suggest_float("learning_rate", 1e-12, 1e3)
    trial.suggest_int("seed", 0, 1 << 20)
    return configuration


def _rate_key(configuration: Configuration) -> str:
    """User attribute of the study: the learning rate that was found for a rank and a scale."""
    return f"learning rate at r {configuration.r}, s {configuration.scale:g}"


def _open(optuna: Any, storage: Any, name: str, pruner: Any, plan: Plan, patience: int) -> optuna.Study:
    """The study, made if it does not exist. Raises ValueError when it belongs to another plan."""
    if isinstance(storage, (str, os.PathLike)):
        url = os.fspath(storage)
        if "://" not in url:
            Path(url).parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{url}"
        storage = _database(optuna, url, patience)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=optuna.samplers.RandomSampler(),  # never asked: all runs are queued with their parameters
        pruner=pruner or optuna.pruners.NopPruner(),
        direction="maximize" if plan.higher_is_better else "minimize",
        load_if_exists=True,
    )
    begun, now = study.user_attrs.get(PLAN), plan.to_dict()
    if begun is None:
        study.set_user_attr(PLAN, now)
    elif begun != now:
        differ = ", ".join(f"{key} {begun.get(key)} → {now[key]}" for key in now if begun.get(key) != now[key])
        raise ValueError(
            f"the study {name!r} was begun with another plan ({differ}): continue with that plan, "
            "or take another study_name"
        )
    return study


def _database(optuna: Any, url: str, patience: int) -> Any:
    """Optuna's storage at ``url``. Processes that come to an empty one at once all make its tables; one is let."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for left in range(6, 0, -1):
            try:
                beat = max(1, patience // 4)
                storage = optuna.storages.RDBStorage(url, heartbeat_interval=beat, grace_period=max(patience, beat + 1))
                if storage.engine.dialect.name == "sqlite":
                    _read_and_write_at_once(storage.engine)
                return storage
            except Exception:
                if left == 1:
                    raise
                time.sleep(0.3 * random.SystemRandom().random() + 0.1)


def _read_and_write_at_once(engine: Any) -> None:
    """Let a transaction of SQLite exclude others from its first read on, as Optuna expects of a database: else two
    processes find a run waiting, and both take it. SQLAlchemy's own recipe for the driver of the standard library.
    """
    from sqlalchemy import event

    engine.dispose()  # connections made before the listeners
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _heartbeat(study: optuna.Study) -> int | None:
    """Seconds between the heartbeats of the study's storage; None where it has none."""
    interval = getattr(study._storage, "get_heartbeat_interval", None)
    return interval() if interval is not None else None


def _beat(study: optuna.Study, trial: optuna.Trial) -> None:
    """Record that ``trial`` lives. Optuna's own thread may come late to its first time, and a run that is killed before
    that would be waited for without end."""
    if _heartbeat(study) is not None:
        storage: Any = study._storage
        storage.record_heartbeat(trial._trial_id)


def _outcomes(trials: Sequence[FrozenTrial]) -> dict[Configuration, Outcome]:
    out: dict[Configuration, Outcome] = {}
    for trial in trials:
        configuration = _configuration(trial)
        if configuration is None or configuration in out:
            continue
        if trial.state.name == "COMPLETE":
            out[configuration] = Outcome(trial.value)
        elif trial.state.name == "PRUNED":
            out[configuration] = Outcome(None, trial.user_attrs.get(WHY, "pruned"))
    return out


def _configuration(trial: FrozenTrial | optuna.Trial) -> Configuration | None:
    plain = trial.user_attrs.get(CONFIGURATION)
    return None if plain is None else Configuration.from_dict(plain)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


def _takes_attempt(train: Train) -> bool:
    """A second positional argument is needed, or any number is taken."""
    try:
        kinds = [p.kind for p in inspect.signature(train).parameters.values() if p.default is p.empty]
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Parameter.VAR_POSITIONAL in kinds or sum(kind in positional for kind in kinds) >= 2
