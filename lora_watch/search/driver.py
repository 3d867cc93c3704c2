"""Runs a plan on top of an Optuna study: one trial is one run, and any number of processes may share the study."""

from __future__ import annotations

import inspect
import math
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lora_watch.alerts import LoraWatchError
from lora_watch.search.deciding import Decision, Outcome, decide
from lora_watch.search.needs import needs_optuna
from lora_watch.search.plan import Configuration, Plan, seedless_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from lora_watch.search.trainer import SearchCallback

CONFIGURATION, WORKER, BEAT, WHY = "configuration", "worker", "beat", "why"
"""User attributes of a trial: what it runs, who runs it, a counter that shows it is alive, why it was condemned."""
PLAN = "plan"
"""User attribute of the study."""

Train = Callable[..., float]


class Attempt:
    """What ``train(config, attempt)`` may use: to report on the way, and to be stopped when it makes no sense."""

    def __init__(self, trial: optuna.Trial, configuration: Configuration):
        self.trial = trial
        """Optuna's own trial."""
        self.configuration = configuration

    def callback(self, metric: str = "eval_loss", **settings: Any) -> SearchCallback:
        """A LoraWatchCallback for the Trainer of this run: an error condemns the configuration within a few steps, and
        every evaluation is reported to the study's pruner and dashboard. ``settings`` are those of LoraWatchCallback.
        """
        from lora_watch.search.trainer import SearchCallback

        return SearchCallback(self.trial, metric=metric, **settings)

    def report(self, value: float, step: int) -> None:
        """The metric after ``step`` steps. Raises optuna.TrialPruned when the study's pruner has seen enough."""
        self.trial.report(value, step)
        if self.trial.should_prune():
            raise needs_optuna().TrialPruned(f"stopped by the pruner at step {step}, with {value:.4g}.")


@dataclass
class SearchResult:
    """What was found. ``print(result)`` tells how."""

    plan: Plan
    best: Configuration | None
    """The configuration to use, with seed 0; None when no rank of the plan is sound."""
    rank: int | None
    plateau: bool
    """The curve is flat beyond ``rank``; False when the ranks ran out or a larger one was condemned."""
    story: list[str]
    outcomes: dict[Configuration, Outcome] = field(repr=False)
    """Every run that came to its end, or was condemned."""

    def __str__(self) -> str:
        found = f"Use {self._words(self.best)}." if self.best else "No rank of the plan is sound."
        return "\n".join([*self.story, found])

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False, title=None)
        for heading in ("r", "α", "s", "learning rate", "s·lr", "metric", "runs"):
            table.add_column(heading, justify="right")
        for each, runs in self._by_configuration().items():
            values = [run.value for run in runs if run.value is not None]
            condemned = next((run.why for run in runs if run.value is None), None)
            table.add_row(
                str(each.r),
                f"{each.lora_alpha:.4g}",
                f"{each.scale:.4g}",
                f"{each.learning_rate:.3g}",
                f"{each.effective_lr:.3g}",
                "condemned" if condemned else mean_and_spread(values),
                str(len(runs)),
                style="bold" if each == self.best else "red" if condemned else None,
            )
        return table

    def _by_configuration(self) -> Mapping[Configuration, Sequence[Outcome]]:
        groups: dict[Configuration, list[Outcome]] = {}
        for each, outcome in sorted(self.outcomes.items(), key=lambda item: (item[0].r, item[0].scale)):
            groups.setdefault(seedless_of(each), []).append(outcome)
        return groups

    def _words(self, each: Configuration) -> str:
        rslora = ", use_rslora=True" if each.use_rslora else ""
        return f"r={each.r}, lora_alpha={each.lora_alpha:.4g}{rslora}, learning_rate={each.learning_rate:g}"


def search(
    train: Train,
    plan: Plan,
    *,
    storage: str | os.PathLike[str] | Any = "lora_search.journal",
    study_name: str = "lora_watch",
    pruner: optuna.pruners.BasePruner | None = None,
    show: bool = True,
    patience: float = 120.0,
) -> SearchResult:
    """Find the rank and the scale: run ``plan`` until its curve is flat, then turn the scale.

    ::

        def train(config, attempt):
            model = get_peft_model(base_model(), LoraConfig(**config.lora(), target_modules="all-linear"))
            args = TrainingArguments(f"runs/{config.name}", **config.arguments())
            trainer = Trainer(model, args, train_dataset=data, eval_dataset=held_out, callbacks=[attempt.callback()])
            trainer.train()
            return trainer.evaluate()["eval_loss"]

        print(search(train, Plan(learning_rate=2e-4)))

    Every run is a trial of an Optuna study that is kept in ``storage``. Interrupted, even killed, the same call goes on
    where it stopped; called by several processes or machines at once, they share the runs, none of which is lost or
    done twice (but the one a kill comes to between its end and its entry). Python's, numpy's and torch's random states
    are set to the configuration's seed before each run, so that two ranks with one seed differ in the rank alone.

    A run is condemned by LoraWatchError, optuna.TrialPruned or a metric that is not finite; its configuration gets no
    further seeds, and the larger ranks or scales none at all. Any other exception ends the search and is raised; the
    run counts as not done.

    Args:
        train: ``train(config)`` or ``train(config, attempt)``, returning the metric on held-out data.
        plan: what to try, and when the curve counts as flat.
        storage: a file for Optuna's journal, a database's URL (``sqlite:///search.db``), or an Optuna storage. On it
            runs ``optuna-dashboard``.
        study_name: the name of the study in the storage.
        pruner: an Optuna pruner that judges what ``attempt`` reports; none by default.
        show: write a line about each run to standard error.
        patience: seconds without a sign of life after which a run on another machine counts as dead. Those on this
            machine are known to be dead at once.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
        ValueError: the study was begun with another plan.
    """
    study = _open(needs_optuna(), storage, study_name, pruner, plan)
    worker = _Worker(study, plan, patience)
    console = Console(stderr=True, quiet=not show, highlight=False)
    takes_attempt = _positional(train) >= 2
    told = 0
    while True:
        decision, trial, configuration = worker.take()
        for sentence in decision.story[told:]:
            console.print(sentence, style="bold")
        told = len(decision.story)
        if trial is None or configuration is None:
            break
        console.print(f"run {trial.number}: {configuration.name} …")
        _seed(configuration.seed)
        with worker.running(trial):
            value = train(configuration, Attempt(trial, configuration)) if takes_attempt else train(configuration)
            if not math.isfinite(value):
                raise needs_optuna().TrialPruned(f"its metric is {value}.")
            worker.done(trial, float(value))
        outcome = worker.outcomes().get(configuration, Outcome(None))
        said = f"{outcome.value:.5g}" if outcome.value is not None else f"condemned: {outcome.why}"
        console.print(f"run {trial.number}: {said}", style=None if outcome.value is not None else "red")
    result = SearchResult(plan, decision.best, decision.rank, decision.plateau, decision.story, worker.outcomes())
    if show:
        console.print(result)
    return result


class _Worker:
    """One process's part in a study.

    Who runs what is settled without a lock, in any storage: a trial's number is a ticket, given out by the storage one
    by one. Whoever holds a ticket waits until every lower one has said what it runs, and then takes the first run that
    is wanted and not taken (Lamport's bakery, 1974).
    """

    def __init__(self, study: optuna.Study, plan: Plan, patience: float):
        self._study, self._plan, self._patience = study, plan, patience
        self._seen: dict[int, tuple[Any, float]] = {}
        """By trial, its last sign of life and when it was first seen, on this process's clock."""
        self._me = _identity()

    def take(self) -> tuple[Decision, optuna.Trial | None, Configuration | None]:
        """The next run, or None when the search is over. Waits while all that is wanted is being run elsewhere."""
        while True:
            trials = self._living()
            decision = decide(self._plan, _outcomes(trials))
            if not decision.wanted:
                return decision, None, None
            if not self._free(decision, trials):
                time.sleep(0.5)
                continue
            trial = self._study.ask()
            trial.set_user_attr(WORKER, self._me)
            configuration = self._settle(trial)
            if configuration is not None:
                return decision, trial, configuration

    def _settle(self, trial: optuna.Trial) -> Configuration | None:
        """What ``trial`` runs; None if nothing was left for it, or it was taken for dead meanwhile."""
        while True:
            trials = [t for t in self._living() if t.number < trial.number]
            if all(CONFIGURATION in t.user_attrs for t in trials if not t.state.is_finished()):
                break
            time.sleep(0.02)
        free = self._free(decide(self._plan, _outcomes(trials)), trials)
        if not free:
            self._study.tell(trial, state=_state("FAIL"), skip_if_finished=True)
            return None
        try:
            self._describe(trial, free[0])
        except RuntimeError:  # finished by another, who took it for dead
            return None
        return free[0]

    def _describe(self, trial: optuna.Trial, configuration: Configuration) -> None:
        trial.set_user_attr(CONFIGURATION, configuration.to_dict())
        # As parameters too, where Optuna's dashboard and plots look for them.
        self._study.sampler.values = {  # type: ignore[attr-defined]
            "r": configuration.r,
            "scale": configuration.scale,
            "learning_rate": configuration.learning_rate,
            "seed": configuration.seed,
        }
        trial.suggest_int("r", 1, 1 << 20)
        trial.suggest_float("scale", 1e-6, 1e6)
        trial.suggest_float("learning_rate", 1e-12, 1e3)
        trial.suggest_int("seed", 0, 1 << 20)

    @contextmanager
    def running(self, trial: optuna.Trial) -> Iterator[None]:
        """Shows that the run is alive, and enters how it ended if that was not as it should."""
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(trial, stop), daemon=True)
        beating.start()
        try:
            yield
        except LoraWatchError as error:
            self._condemn(trial, str(error))
        except needs_optuna().TrialPruned as error:
            self._condemn(trial, str(error))
        except BaseException:
            self._study.tell(trial, state=_state("FAIL"), skip_if_finished=True)
            raise
        finally:
            stop.set()
            beating.join()

    def done(self, trial: optuna.Trial, value: float) -> None:
        self._study.tell(trial, value, skip_if_finished=True)

    def outcomes(self) -> dict[Configuration, Outcome]:
        return _outcomes(self._study.get_trials(deepcopy=False))

    def _condemn(self, trial: optuna.Trial, why: str) -> None:
        try:
            trial.set_user_attr(WHY, why.partition("\n")[0] or "pruned")
        except RuntimeError:
            return  # finished by another, who took it for dead
        self._study.tell(trial, state=_state("PRUNED"), skip_if_finished=True)

    def _beat(self, trial: optuna.Trial, stop: threading.Event) -> None:
        count = 0
        while not stop.wait(self._patience / 8):
            count += 1
            try:
                trial.set_user_attr(BEAT, count)
            except Exception:  # a storage that is away for a moment must not end a run
                continue

    def _free(self, decision: Decision, trials: Sequence[FrozenTrial]) -> list[Configuration]:
        taken = {_configuration(t) for t in trials if not t.state.is_finished()}
        return [each for each in decision.wanted if each not in taken]

    def _living(self) -> list[FrozenTrial]:
        """All trials, after the runs of dead processes were entered as failed, so that they are wanted again."""
        trials = self._study.get_trials(deepcopy=False)
        dead = [t for t in trials if not t.state.is_finished() and self._is_dead(t)]
        for trial in dead:
            self._study.tell(trial.number, state=_state("FAIL"), skip_if_finished=True)
        return self._study.get_trials(deepcopy=False) if dead else trials

    def _is_dead(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if worker is not None and worker["host"] == self._me["host"]:
            return not _is_alive(worker)
        sign = trial.user_attrs.get(BEAT)
        if trial.number not in self._seen or self._seen[trial.number][0] != sign:
            self._seen[trial.number] = (sign, time.monotonic())
        return time.monotonic() - self._seen[trial.number][1] > self._patience


def _open(optuna: Any, storage: Any, name: str, pruner: Any, plan: Plan) -> optuna.Study:
    """The study, made if it does not exist. Raises ValueError when it belongs to another plan."""
    if isinstance(storage, (str, os.PathLike)):
        text = os.fspath(storage)
        if "://" not in text:
            from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

            Path(text).parent.mkdir(parents=True, exist_ok=True)
            lock = JournalFileOpenLock(text) if os.name == "nt" else None  # the default lock is a symbolic link
            storage = JournalStorage(JournalFileBackend(text, lock_obj=lock))
        else:
            storage = _database(optuna, text)

    class Planned(optuna.samplers.BaseSampler):
        """Gives each parameter the value that was planned."""

        def __init__(self) -> None:
            self.values: Mapping[str, Any] = {}

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self.values[param_name]

    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=Planned(),
        pruner=pruner or optuna.pruners.NopPruner(),
        direction="maximize" if plan.higher_is_better else "minimize",
        load_if_exists=True,
    )
    begun = study.user_attrs.get(PLAN)
    if begun is None:
        study.set_user_attr(PLAN, plan.to_dict())
    elif begun != plan.to_dict():
        now = plan.to_dict()
        differ = ", ".join(f"{key} {begun.get(key)} → {now[key]}" for key in now if begun.get(key) != now[key])
        raise ValueError(
            f"the study {name!r} was begun with another plan ({differ}): go on with that, or take another study_name"
        )
    return study


def _database(optuna: Any, url: str, tries: int = 6) -> Any:
    """Optuna's storage at ``url``. Processes that come to an empty one at once all make its tables; one is let."""
    for left in range(tries, 0, -1):
        try:
            return optuna.storages.RDBStorage(url)
        except Exception:
            if left == 1:
                raise
            time.sleep(0.3 * random.SystemRandom().random() + 0.1)


def _outcomes(trials: Sequence[FrozenTrial]) -> dict[Configuration, Outcome]:
    out: dict[Configuration, Outcome] = {}
    for trial in trials:
        configuration = _configuration(trial)
        if configuration is None or configuration in out:
            continue
        if trial.state == _state("COMPLETE"):
            out[configuration] = Outcome(trial.value)
        elif trial.state == _state("PRUNED"):
            out[configuration] = Outcome(None, trial.user_attrs.get(WHY, "pruned"))
    return out


def _configuration(trial: FrozenTrial) -> Configuration | None:
    told = trial.user_attrs.get(CONFIGURATION)
    return None if told is None else Configuration.from_dict(told)


def _state(name: str) -> Any:
    return needs_optuna().trial.TrialState[name]


def _identity() -> dict[str, Any]:
    """This process, as others on the same machine can look for it."""
    import psutil

    host = socket.gethostname()
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):  # containers may share a name
        try:
            host += "/" + (os.readlink(path) if path.endswith("pid") else Path(path).read_text().strip())
        except OSError:
            continue
    return {"host": host, "pid": os.getpid(), "born": psutil.Process().create_time()}


def _is_alive(worker: Mapping[str, Any]) -> bool:
    import psutil

    try:
        process = psutil.Process(worker["pid"])
        return abs(process.create_time() - worker["born"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True  # it is there, and somebody else's


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _positional(function: Train) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return 2
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def mean_and_spread(values: Sequence[float]) -> str:
    """``1.234 ± 0.005``: the mean and the standard deviation over seeds."""
    spread = f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.4g}{spread}"
