"""Overfitting is named with its best step; more texts, a plateau and noisy evaluations are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lora_watch import Alert, LoraWatchCallback, Sink
from lora_watch.base.records import StepRecord
from tests.rules.test_chance import classifier, code_or_prose
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


def overfitted(alerts: list[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.rule == "LW209"]


class Opened(Sink):
    """LW209 as it opened, in words."""

    text = ""

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self.text = next((str(alert) for alert in alerts if alert.rule == "LW209" and not self.text), self.text)


def run(
    texts: int,
    lr: float,
    folder: Path,
    steps: int = 60,
    held_out: int = 16,
    sinks: Sequence[Sink] = (),
    resume: str | None = None,
    **arguments: Any,
) -> list[Alert]:
    """The alerts of a run on ``texts`` blocks of 64 tokens, evaluated every 10 steps on others."""
    blocks = stdlib_blocks(256)
    callback = LoraWatchCallback(tensorboard=False, console=False, sinks=sinks)
    evaluated = {"eval_strategy": "steps", "eval_steps": 10, "eval_dataset": blocks[240 - held_out : 240]}
    settings = {"output_dir": str(folder), "lr_scheduler_type": "constant", **evaluated, **arguments}
    build_trainer(lora(tiny_model()), blocks[:texts], steps, [callback], lr, **settings).train(resume)
    assert callback.monitor is not None
    return callback.monitor.alerts


def test_few_texts_for_many_epochs_are_learned_by_heart(tmp_path: Path) -> None:
    (alert,) = overfitted(run(8, 5e-3, tmp_path, sinks=[opened := Opened()]))
    assert str(alert) == opened.text, "what the console has shown is what the files have"
    assert (alert.severity.name, alert.step <= 50, alert.step % 10) == ("WARNING", True, 0)
    assert "was best at step 10" in str(alert)
    assert "no checkpoint of step 10 is left" in str(alert)


def test_the_checkpoint_that_holds_the_best_step_is_named_where_it_is_there(tmp_path: Path) -> None:
    (alert,) = overfitted(run(8, 5e-3, tmp_path, steps=50, save_strategy="steps", save_steps=10))
    assert "use checkpoint-10, the best one" in str(alert)


@pytest.mark.parametrize(
    ("texts", "lr", "held_out"),
    [(200, 3e-3, 16), (40, 1e-3, 16), (200, 1e-2, 4)],
    ids=["more texts", "a plateau", "noisy evaluations on four texts"],
)
def test_its_twins_are_silent(texts: int, lr: float, held_out: int, tmp_path: Path) -> None:
    assert overfitted(run(texts, lr, tmp_path, held_out=held_out)) == []


def test_an_evaluation_at_the_step_of_a_save_is_not_lost_to_the_session_that_resumes(tmp_path: Path) -> None:
    saves = {"save_strategy": "steps", "save_steps": 20}
    (whole,) = overfitted(run(8, 5e-3, tmp_path, steps=50, **saves))
    (resumed,) = overfitted(run(8, 5e-3, tmp_path, steps=50, resume=str(tmp_path / "checkpoint-20"), **saves))
    assert str(resumed) == str(whole)


@pytest.mark.parametrize(("texts", "found"), [(16, ["WARNING"]), (400, [])], ids=["few texts", "its twin"])
def test_a_classifier_learns_by_heart(texts: int, found: list[str]) -> None:
    examples, callback = code_or_prose(), LoraWatchCallback(tensorboard=False, console=False, mute=["LW102"])
    settings = {"eval_strategy": "steps", "eval_steps": 10, "eval_dataset": examples[400:480]}
    settings["lr_scheduler_type"] = "constant"
    build_trainer(classifier(), examples[:texts], 50, [callback], 3e-3, **settings).train()
    assert callback.monitor is not None
    assert [alert.severity.name for alert in overfitted(callback.monitor.alerts)] == found
