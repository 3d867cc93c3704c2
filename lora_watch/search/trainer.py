"""A Trainer's part in a search: the callback that ends what is lost, and the space of Trainer.hyperparameter_search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import TrainerControl, TrainerState

from lora_watch.base.alerts import LoraWatchError
from lora_watch.base.lazy import needed
from lora_watch.search.plan import Configuration
from lora_watch.trainer.callback import LoraWatchCallback
from lora_watch.tuning.lr_finder import Suggestion

if TYPE_CHECKING:
    from lora_watch.search.driver import Attempt


class SearchCallback(LoraWatchCallback):
    """LoraWatchCallback for the runs of a search: where the policy ends a run it raises ``optuna.TrialPruned``.

    In a study of your own: ``SearchCallback(trial)``; each evaluation is then also reported to the trial, and its
    pruner asked. For ``Trainer.hyperparameter_search``, which does that by itself: ``SearchCallback()``; each trial's
    report goes to its own ``<output_dir>/run-<number>/lora_watch``.

    Args:
        trial: Optuna's trial; None takes the Trainer's.
        metric: what is reported, by the name that ``Trainer.evaluate()`` gives it.
        settings: those of LoraWatchCallback; ``fail_on`` is ``error`` unless said otherwise.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
    """

    def __init__(self, trial: Any = None, metric: str = "eval_loss", **settings: Any):
        needed("optuna")
        super().__init__(**{"fail_on": "error", **settings})
        self.trial, self.metric = trial, metric
        self.attempt: Attempt | None = None
        """Keeps the learning rate, if the search finds it."""
        self._training = False

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._training = True
        super().on_train_begin(args, state, control, **kwargs)
        if self.attempt is not None and self.attempt.rate is None:
            why = "the log says why." if self.found is None else self.found.why
            raise ValueError(f"no learning rate was found: {why} Give Plan one: Plan(learning_rate=…)")

    def known_rate(self) -> float | None:
        return self.attempt.rate if self.attempt is not None else None

    def rate_of(self, found: Suggestion) -> float | None:
        return self.attempt.settle(found) if self.attempt is not None else super().rate_of(found)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._training = False
        super().on_train_end(args, state, control, **kwargs)

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_evaluate(args, state, control, **kwargs)
        metrics = kwargs.get("metrics") or {}
        if self.trial is None or self.metric not in metrics or not self._training:  # after the end nothing is to be won
            return
        value = float(metrics[self.metric])
        self.trial.report(value, state.global_step)
        if self.trial.should_prune():
            if self.monitor is not None:
                self.monitor.may_break_off = True
            self.close("interrupted", "stopped by the study's pruner")
            raise needed("optuna").TrialPruned(f"stopped by the pruner at step {state.global_step}, with {value:.4g}.")

    def exception(self, error: LoraWatchError) -> Exception:
        return needed("optuna").TrialPruned(str(error))


@dataclass(frozen=True)
class LoraSpace:
    """Rank, scale and s·lr for ``Trainer.hyperparameter_search(backend="optuna")``, each to be moved by itself.

    ::

        space = LoraSpace(effective_lr=(1e-5, 1e-3))
        trainer = Trainer(
            model_init=lambda trial: get_peft_model(base_model(), LoraConfig(**space.lora(trial))),
            callbacks=[SearchCallback()], …
        )
        trainer.hyperparameter_search(hp_space=space, backend="optuna", n_trials=20)

    It draws s·lr, and the learning rate follows from it. Otherwise a larger s would also be a larger step.
    """

    effective_lr: tuple[float, float]
    """Range of s·lr, drawn on a logarithmic scale."""
    ranks: tuple[int, ...] = (8, 16, 32, 64)
    scales: tuple[float, float] = (0.5, 4.0)
    """Range of s, drawn on a logarithmic scale."""
    use_rslora: bool = False

    def __call__(self, trial: Any) -> dict[str, float]:
        """Draws, and returns what TrainingArguments get: the learning rate."""
        trial.suggest_categorical("r", list(self.ranks))
        trial.suggest_float("scale", *self.scales, log=True)
        trial.suggest_float("effective_lr", *self.effective_lr, log=True)
        return {"learning_rate": trial.params["effective_lr"] / trial.params["scale"]}

    def lora(self, trial: Any) -> dict[str, Any]:
        """Keyword arguments of LoraConfig for ``trial``. Without one, as at the Trainer's first ``model_init``, those
        of the smallest rank and the middle of the scales."""
        if trial is not None:  # the Trainer may build the model before it asks for the learning rate, or after
            self(trial)
            return self.configuration(trial.params).lora()
        mean = {"scale": math.sqrt(math.prod(self.scales)), "effective_lr": math.sqrt(math.prod(self.effective_lr))}
        return self.configuration({"r": self.ranks[0], **mean}).lora()

    def configuration(self, params: Mapping[str, Any]) -> Configuration:
        """The configuration of a trial's parameters (``best_run.hyperparameters``)."""
        r, scale = params["r"], params["scale"]
        alpha = scale * (math.sqrt(r) if self.use_rslora else r)
        return Configuration(r, alpha, self.use_rslora, params["effective_lr"] / scale)
