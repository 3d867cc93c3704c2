"""``Trainer.hyperparameter_search``: a trial that the policy ends is pruned, and the search goes on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import optuna
import pytest
from transformers import Trainer

from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_a_failed_trial_is_pruned_and_the_search_goes_on(tmp_path: Path) -> None:
    alphas: list[float] = []

    def model_init(trial: Any) -> Any:
        alphas.append(4000.0 if trial is not None and trial.number == 0 else 8.0)  # no model survives the first
        return lora(tiny_model(), 4, alphas[-1])

    trainer = build_trainer(
        None,
        stdlib_blocks(64),
        4,
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
    assert (tmp_path / "run-0" / "lora_watch" / "report.json").exists()
