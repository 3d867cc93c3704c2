"""Losses that mean something else than the model's own: policy gradients, preferences, objectives of one's own."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from lora_watch import LoraWatchCallback, Severity
from lora_watch.base.text import plain, short
from lora_watch.drivers.loop import Monitor
from lora_watch.measurement.signals.scaled_loss import OTHER
from lora_watch.runs.run import latest_run
from tests.rules.runs import ids, run, the
from tests.rules.test_chance import classifier
from tests.support import lora, stdlib_blocks, tiny_model, tiny_tokenizer
from tests.trainer.test_trainers import with_trl


def preferring(
    folder: Path, steps: int, alike: bool = False, evaluated: Sequence[str] = (), reward: bool = False, **own: Any
) -> Monitor:
    """DPO, or a model of the reward. ``alike``: the rejected answer is the chosen one. ``evaluated``: which two
    columns of the training's pairs are chosen and rejected in an evaluation."""
    texts = [tiny_tokenizer().decode(row["input_ids"]) for row in stdlib_blocks(16, 48)]
    pairs = [
        {"prompt": text[:20], "chosen": text[20:60], "rejected": text[20:60] if alike else other[40:70]}
        for text, other in zip(texts, [*texts[5:], *texts[:5]])
    ]
    callback = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)
    more = {"max_steps": steps, "learning_rate": 2e-3, "gradient_checkpointing": False, **own}
    kind, model = ("Reward", lambda: classifier(labels=1)) if reward else ("DPO", lambda: lora(tiny_model()))
    trainer = with_trl(kind, pairs, model, **more)(folder, callback)
    if evaluated:
        trainer.args.eval_strategy, trainer.args.eval_steps = "steps", steps
        columns = dict(zip(evaluated, ("chosen_ids", "rejected_ids")))
        trainer.eval_dataset = trainer.train_dataset.rename_columns(columns)
    trainer.train()
    return callback.monitor


def test_answers_that_are_the_same_are_named_and_not_the_graph(tmp_path: Path) -> None:
    """By LW303 where every gradient is exactly 0. Where the two are rounded in different ways the adapters do move."""
    monitor = preferring(tmp_path, 11, alike=True)
    assert [str(monitor.last.scalars[name]) for name in ("reward_start", "reward_recent")] == ["0.0", "0.0"]
    assert plain(-0.0) == short(-0.0) == "0"
    monitors = monitor, preferring(tmp_path / "reward", 12, alike=True, reward=True)
    assert [alert.causes for m in monitors for alert in m.alerts] == [["chosen and rejected are the same"]] * 2


@pytest.mark.parametrize(("chosen", "found"), [("rejected_ids", [("LW209", Severity.ERROR)]), ("chosen_ids", [])])
def test_pairs_of_a_reward_model_that_are_swapped_are_named(chosen: str, found: list[Any], tmp_path: Path) -> None:
    columns = sorted(("chosen_ids", "rejected_ids"), key=chosen.__ne__)
    alerts = preferring(tmp_path, 20, evaluated=columns, reward=True).alerts
    assert [(alert.rule, alert.severity) for alert in alerts] == found
    assert not found or "are swapped" in alerts[-1].causes[0]


def test_a_loss_of_preferences_is_judged_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins at ln 2 whatever the vocabulary, and nears 0 as the pairs are learned by heart."""
    monkeypatch.setenv("LORA_WATCH_MUTE", "LW203")
    monitor = preferring(tmp_path, 40)
    last = monitor.last
    begun = last.scalars["loss_start"], last.scalars["reward_start"]
    assert (last.scalars["loss_recent"] < 0.3, begun) == (True, (pytest.approx(math.log(2.0), abs=1e-4), 0.0))
    assert not last.comparable, "the model's own loss does not prefer an answer"
    assert ids(monitor) == []
    assert latest_run(tmp_path).notes[-1] == "These rules were muted: LW203.", "LW205 and LW207 were not asked"


RUINED = [("LW401", Severity.WARNING), ("LW209", Severity.ERROR)]


@pytest.mark.parametrize(
    ("chosen", "steps", "lr", "found", "cause"),
    [
        *(pytest.param("rejected_ids", n, 2e-3, RUINED[-1:], "are swapped", id=f"swapped, {n}") for n in (6, 20)),
        pytest.param("chosen_ids", 20, 0.1, RUINED, "learning rate 0.1", id="ruined"),
        pytest.param("chosen_ids", 20, 2e-3, [], "", id="twin"),
    ],
)
def test_pairs_that_cost_more_than_guessing_are_an_error(
    chosen: str, steps: int, lr: float, found: list[Any], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_WATCH_MUTE", "LW102")  # which LW209 gives way to where it is an error
    columns = sorted(("chosen_ids", "rejected_ids"), key=chosen.__ne__)
    alerts = preferring(tmp_path, steps, evaluated=columns, learning_rate=lr).alerts
    assert [(alert.rule, alert.severity) for alert in alerts] == found
    assert not found or cause in alerts[-1].causes[0]


def dft(model: Any, inputs: Any) -> torch.Tensor:
    """TRL's ``loss_type="dft"``: what is unlikely counts little, so that the usual cross-entropy may rise. The model is
    given the labels and its own loss is not used."""
    logits = model(**inputs).logits[:, :-1]
    likely = logits.log_softmax(-1).gather(-1, inputs["labels"][:, 1:, None])[..., 0]
    return -(likely.exp().detach() * likely).mean()


def objective(loss: Callable[[Any, Any], torch.Tensor], lr: float, steps: int = 40) -> Monitor:
    class Own(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            return loss(model, inputs)

    return run(lora(tiny_model()), steps, lr=lr, trainer_class=Own, per_device_train_batch_size=8)


def test_an_objective_of_ones_own_is_not_judged_by_the_models_loss() -> None:
    monitor = objective(dft, 5e-3)
    assert ids(monitor) == []
    assert monitor.last.loss < 0.6 * monitor.last.scalars["loss_start"], "a good run"
    guessed, compared = monitor.run.notes
    assert OTHER in compared
    assert "(LW205 and LW207)" in guessed
    assert not {"LW205", "LW207"} & {rule["id"] for rule in monitor.run.rules}, "what is not asked was not checked"
    assert the("LW102", objective(dft, 1e-1, 16)).severity == Severity.ERROR, "its twin at a ruinous rate"


def test_a_smoothed_loss_is_not_compared_with_guessing() -> None:
    monitor = run(steps=4, label_smoothing_factor=0.3)
    assert monitor.last.scalars["loss_start"] > math.log(1024), "so does the model's own where it guesses"
    assert (ids(monitor), len(monitor.run.notes)) == ([], 1)


def test_a_plain_loop_says_so_itself() -> None:
    monitor = Monitor(lora(tiny_model()), judge_loss=False)
    for loss in (0.0, 0.0, 0.0, 0.0):
        monitor.step(loss=loss)
    assert "LW204" not in ids(monitor)
    monitor.step(loss=math.nan)
    assert "LW201" in ids(monitor)
