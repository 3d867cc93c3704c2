"""A search with the real Trainer: it finds a rank, a rule ends what explodes, and hyperparameter_search works."""

from __future__ import annotations

import copy
import functools
import gc
import json
import pickle
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from peft import LoraConfig, get_peft_model
from transformers import Trainer

from lora_watch import LoraWatchCallback, Monitor
from lora_watch.search import Attempt, Configuration, LoraSpace, Plan, SearchCallback, search
from lora_watch.tuning.lr_finder import Curve, Suggestion
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

STEPS = 4


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trainer_of(config: Configuration, folder: Path, callbacks: list[Any], steps: int = STEPS, **arguments: Any) -> Any:
    lora_config = config.lora()
    model = lora(tiny_model(), lora_config.pop("r"), lora_config.pop("lora_alpha"), **lora_config)
    rest = config.arguments()
    return build_trainer(
        model,
        stdlib_blocks(64),
        steps,
        callbacks,
        lr=rest.pop("learning_rate", 5e-5),
        eval_dataset=stdlib_blocks(80)[64:],
        output_dir=str(folder / config.name),
        **rest,
        **arguments,
    )


@pytest.mark.thorough
def test_a_real_search_finds_a_rank_and_leaves_a_report_of_every_run(tmp_path: Path) -> None:
    plan = Plan(learning_rate=5e-3, ranks=(2, 4), scales=(1, 2), seeds=2, most_seeds=2)

    def train(config: Configuration, attempt: Attempt) -> float:
        trainer = trainer_of(config, tmp_path, [attempt.callback(console=False, tensorboard=False)])
        trainer.train()
        return trainer.evaluate()["eval_loss"]

    result = search(train, plan, storage=tmp_path / "a.db", show=False)
    assert result.best is not None
    assert result.rank in plan.ranks
    assert result.best.scale in (1, 2)
    for config, outcome in result.outcomes.items():
        report = json.loads((tmp_path / config.name / "lora_watch" / "report.json").read_text())
        assert report["evaluation"]["eval_loss"]["last"]["value"] == outcome.value
        assert {adapter["r"] for adapter in report["adapters"]} == {config.r}
        assert report["adapters"][0]["last"]["scale"] == pytest.approx(config.scale)


def answer(rate: float | None, low: float | None = None, high: float | None = None) -> Suggestion:
    return Suggestion(rate, None, Curve(np.ones(1), np.ones(1), np.ones(1)), low, high, why="Nothing falls.")


def test_the_learning_rate_is_found_once_for_each_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a sweep that tells for the first rank, and leaves a range for the second."""
    swept: list[Any] = []
    answers = [answer(0.01), answer(None, 0.002, 0.008)]
    sweep_of = lambda trainer, *_: swept.append(trainer) or answers[len(swept) - 1]  # noqa: E731
    monkeypatch.setattr("lora_watch.trainer.find_lr.sweep_of", sweep_of)
    used: list[tuple[int, float]] = []

    def train(config: Configuration, attempt: Attempt) -> float:
        assert config.name == f"r{config.r}-s1-seed{config.seed}"
        trainer = trainer_of(config, tmp_path, [attempt.callback(console=False, tensorboard=False)])
        trainer.train()
        config_of_run = json.loads((tmp_path / config.name / "lora_watch" / "report.json").read_text())["config"]
        assert config_of_run["find_lr"]["rate"] in (config_of_run["learning_rate"], None)
        used.append((config.r, config_of_run["learning_rate"]))
        return trainer.evaluate()["eval_loss"]

    result = search(train, Plan(ranks=(2, 4), scales=(), seeds=2, most_seeds=2), storage=tmp_path / "a.db", show=False)
    assert sorted(used) == [(2, 0.01), (2, 0.01), (4, 0.004), (4, 0.004)]
    assert len(swept) == 2
    assert result.best is not None
    assert result.best.learning_rate == dict(used)[result.best.r]
    assert f"learning_rate={result.best.learning_rate:g}" in str(result)
    assert sorted(result.rates.values()) == [0.004, 0.01]


def test_a_search_does_not_train_at_a_rate_that_nobody_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, quiet = Plan(ranks=(2, 4), scales=(), seeds=2), {"show": False}
    with pytest.raises(ValueError, match=r"attempt\.callback"):
        search(lambda config: 1.0, plan, storage=tmp_path / "a.db", **quiet)
    with pytest.raises(ValueError, match="without finding"):
        search(lambda config, attempt: 1.0, plan, storage=tmp_path / "b.db", **quiet)
    monkeypatch.setattr("lora_watch.trainer.find_lr.sweep_of", lambda trainer, *_: answer(None))

    def train(config: Configuration, attempt: Attempt) -> float:
        trainer_of(config, tmp_path, [attempt.callback(console=False, tensorboard=False)]).train()
        return 1.0

    with pytest.raises(ValueError, match="Nothing falls"):
        search(train, plan, storage=tmp_path / "c.db", **quiet)


def test_a_trainer_without_the_callback_is_given_the_rate_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_watch.trainer.find_lr.find_learning_rate", lambda trainer: answer(None))
    trainer: Any = SimpleNamespace(args=SimpleNamespace())
    attempt = Attempt(optuna.create_study().ask(), Configuration(8, 8, False, 2e-4))
    assert attempt.find_learning_rate(trainer) == trainer.args.learning_rate == attempt.rate == 2e-4


def test_what_explodes_is_given_up_within_a_few_steps(tmp_path: Path) -> None:
    plan = Plan(learning_rate=0.5, ranks=(4, 8), scales=(), seeds=2, scale=8)
    steps: list[int] = []

    def train(config: Configuration, attempt: Attempt) -> float:
        trainer = trainer_of(config, tmp_path, [attempt.callback(console=False, tensorboard=False)], steps=50)
        try:
            trainer.train()
        finally:
            steps.append(trainer.state.global_step)
        return trainer.evaluate()["eval_loss"]

    result = search(train, plan, storage=tmp_path / "a.db", show=False)
    assert result.best is None
    assert len(steps) == 1
    assert steps[0] <= 10
    assert "LW10" in result.story[0]
    report = json.loads(next(tmp_path.glob("*/lora_watch/report.json")).read_text())
    assert report["verdict"] == "failed"


def test_evaluations_are_reported_and_the_pruner_may_stop(tmp_path: Path) -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.1))
    trial = study.ask()
    callback = SearchCallback(trial, console=False, tensorboard=False)
    config = Configuration(4, 4, False, 1e-3)
    trainer = trainer_of(config, tmp_path, [callback], eval_strategy="steps", eval_steps=2)
    unjudged = Monitor.unjudged
    with pytest.raises(optuna.TrialPruned, match="at step 2"):
        trainer.train()
    assert Monitor.unjudged == unjudged  # its end was planned
    assert list(study.trials[0].intermediate_values) == [2]
    report = json.loads((tmp_path / config.name / "lora_watch" / "report.json").read_text())
    assert (report["verdict"], report["step"]) == ("interrupted", 2)
    assert "training_step" not in trainer.__dict__  # nothing of ours is left in the Trainer


def test_a_copied_callback_can_be_made() -> None:
    for made in (copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))):
        assert made(SearchCallback(metric="eval_accuracy", console=False)).metric == "eval_accuracy"


@pytest.mark.thorough
def test_a_study_of_five_trials_keeps_none_of_their_trainers(tmp_path: Path) -> None:
    """Whoever keeps the callbacks, for their alerts, keeps no Trainer; one of the trials is pruned by a rule."""
    trainers: list[weakref.ref[Any]] = []
    callbacks: list[Any] = []

    def objective(trial: Any) -> float:
        config = Configuration(4, 4000 if trial.number == 1 else 4, False, 1e-3, trial.number)
        callbacks.append(SearchCallback(trial, console=False, tensorboard=False))
        trainer = trainer_of(config, tmp_path, [callbacks[-1]], 3)
        trainers.append(weakref.ref(trainer))
        trainer.train()
        return 0.0

    study = optuna.create_study()
    study.optimize(objective, n_trials=5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", *["COMPLETE"] * 3]
    gc.collect()
    assert [trainer() for trainer in trainers] == [None] * 5
    assert all(callback.monitor.last is not None for callback in callbacks)


def test_hyperparameter_search(tmp_path: Path) -> None:
    space = LoraSpace(effective_lr=(1e-3, 1e-2), ranks=(2, 4), scales=(0.5, 2))
    trials: list[Any] = []
    models: list[weakref.ref[Any]] = []

    def model_init(trial: Any) -> Any:
        model = init(trial)
        models.append(weakref.ref(model))
        return model

    def init(trial: Any) -> Any:
        trials.append(trial)
        settings = space.lora(trial)
        if len(trials) == 4:  # the third trial: a scale that no model survives
            settings["lora_alpha"] = 4000.0
        return get_peft_model(tiny_model(), LoraConfig(**settings, target_modules="all-linear", task_type="CAUSAL_LM"))

    trainer = build_trainer(
        None,
        stdlib_blocks(64),
        STEPS,
        [SearchCallback(console=False)],
        eval_dataset=stdlib_blocks(80)[64:],
        output_dir=str(tmp_path),
        eval_strategy="steps",
        eval_steps=2,
        trainer_class=functools.partial(Trainer, model_init=model_init),  # type: ignore[arg-type]
    )
    study = tmp_path / "hp.db"
    best = trainer.hyperparameter_search(
        hp_space=space,
        backend="optuna",
        n_trials=4,
        storage=f"sqlite:///{study}",
        study_name="hp",
        sampler=optuna.samplers.RandomSampler(0),
    )
    done = optuna.load_study(study_name="hp", storage=f"sqlite:///{study}").trials
    assert [trial.state.name for trial in done] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    gc.collect()
    assert sum(model() is not None for model in models) <= 1, "that of the last trial at most"
    for trial in done:
        report = json.loads((tmp_path / f"run-{trial.number}" / "lora_watch" / "report.json").read_text())
        config = space.configuration(trial.params)
        assert {adapter["r"] for adapter in report["adapters"]} == {config.r}
        assert report["config"]["learning_rate"] == pytest.approx(config.learning_rate)
        if trial.state.name == "COMPLETE":
            assert report["verdict"] == "ok"
            assert report["adapters"][0]["last"]["scale"] == pytest.approx(config.scale)
            assert config.effective_lr == pytest.approx(trial.params["effective_lr"])
    assert json.loads((tmp_path / "run-2" / "lora_watch" / "report.json").read_text())["verdict"] == "failed"
    assert best.hyperparameters["r"] in (2, 4)


def test_a_failed_trial_is_pruned_and_the_search_goes_on_without_a_callback_of_its_own(tmp_path: Path) -> None:
    alphas: list[float] = []

    def model_init(trial: Any) -> Any:
        alphas.append(4000.0 if trial is not None and trial.number == 0 else 8.0)  # no model survives the first
        return lora(tiny_model(), 4, alphas[-1])

    trainer = build_trainer(
        None,
        stdlib_blocks(64),
        STEPS,
        [LoraWatchCallback(console=False, fail_on="error")],
        eval_dataset=stdlib_blocks(80)[64:],
        output_dir=str(tmp_path),
        trainer_class=functools.partial(Trainer, model_init=model_init),  # type: ignore[arg-type]
    )
    study = f"sqlite:///{tmp_path}/hp.db"
    space = lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-3, 2e-3)}  # noqa: E731
    trainer.hyperparameter_search(hp_space=space, backend="optuna", n_trials=2, storage=study, study_name="hp")
    done = optuna.load_study(study_name="hp", storage=study).trials
    assert [trial.state.name for trial in done] == ["PRUNED", "COMPLETE"]
