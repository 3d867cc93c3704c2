"""Overfitting is named with its best step; more texts, a plateau and noisy evaluations are not."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from benchmarks.corpus.generate import data, pretrained
from lora_watch import Alert, LoraWatchCallback, Sink
from lora_watch.base.records import StepRecord
from lora_watch.rules import WorseOnOtherTexts
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
    return callback.monitor.alerts


SAVES: dict[str, Any] = {"steps": 50, "save_strategy": "steps", "save_steps": 10}


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Alert, str]:
    """A run on few texts for many epochs: its folder, its alert, and that as it opened."""
    folder, opened = tmp_path_factory.mktemp("by_heart"), Opened()
    (alert,) = overfitted(run(8, 5e-3, folder, sinks=[opened], **SAVES))
    return folder, alert, opened.text


def test_few_texts_for_many_epochs_are_learned_by_heart(by_heart: tuple[Path, Alert, str]) -> None:
    _, alert, opened = by_heart
    assert str(alert) == opened, "what the console has shown is what the files have"
    assert (alert.severity.name, alert.step <= 50, alert.step % 10) == ("WARNING", True, 0)
    assert "was best at step 10" in str(alert)
    assert "use checkpoint-10, the best one" in str(alert)


def test_an_evaluation_at_the_step_of_a_save_is_not_lost_to_the_session_that_resumes(
    by_heart: tuple[Path, Alert, str],
) -> None:
    folder, whole, _ = by_heart
    shutil.rmtree(folder / "checkpoint-10")
    (resumed,) = overfitted(run(8, 5e-3, folder, resume=str(folder / "checkpoint-20"), **SAVES))
    assert (resumed.step, resumed.message, resumed.causes) == (whole.step, whole.message, whole.causes)
    assert "no checkpoint of step 10 is left" in str(resumed)


@pytest.mark.parametrize(
    ("texts", "lr", "held_out"),
    [
        pytest.param(200, 3e-3, 16, id="more texts", marks=pytest.mark.thorough),
        pytest.param(40, 1e-3, 16, id="a plateau"),
        pytest.param(200, 1e-2, 4, id="noisy evaluations on four texts"),
    ],
)
def test_its_twins_are_silent(texts: int, lr: float, held_out: int, tmp_path: Path) -> None:
    assert overfitted(run(texts, lr, tmp_path, held_out=held_out)) == []


@pytest.mark.parametrize(("texts", "found"), [(16, ["WARNING"]), (400, [])], ids=["few texts", "its twin"])
def test_a_classifier_learns_by_heart(texts: int, found: list[str]) -> None:
    examples, callback = code_or_prose(), LoraWatchCallback(tensorboard=False, console=False, mute=["LW102"])
    settings = {"eval_strategy": "steps", "eval_steps": 10, "eval_dataset": examples[400:480]}
    settings["lr_scheduler_type"] = "constant"
    build_trainer(classifier(), examples[:texts], 50, [callback], 3e-3, **settings).train()
    assert [alert.severity.name for alert in overfitted(callback.monitor.alerts)] == found


@pytest.mark.parametrize(("shuffled", "found"), [(True, ["WARNING"]), (False, [])], ids=["shuffled", "its twin"])
def test_shuffled_labels_show_in_few_held_out_examples(shuffled: bool, found: list[str]) -> None:
    draw, callback = random.Random(1), LoraWatchCallback(tensorboard=False, console=False)
    examples = [{**row, "labels": draw.randrange(2) if shuffled else row["labels"]} for row in code_or_prose()]
    settings = {"eval_strategy": "steps", "eval_steps": 20, "eval_dataset": examples[240:280]}
    settings |= {"lr_scheduler_type": "constant", "per_device_train_batch_size": 8}
    build_trainer(classifier(), examples[:240], 80, [callback], 1e-3, **settings).train()
    assert [alert.severity.name for alert in overfitted(callback.monitor.alerts)] == found


@pytest.mark.parametrize(
    ("evaluated", "steps", "found"), [("no", 20, ["INFO"]), ("steps", 20, []), ("no", 10, [])]
)  # the last has two epochs
def test_epochs_without_an_evaluation_leave_it_unknown(evaluated: str, steps: int, found: list[str]) -> None:
    callback = LoraWatchCallback(tensorboard=False, console=False, rules=[WorseOnOtherTexts(steps=10)])
    settings = {"eval_strategy": evaluated, "eval_steps": 7, "eval_dataset": stdlib_blocks(256)[240:]}
    build_trainer(lora(tiny_model()), stdlib_blocks(256)[:20], steps, [callback], 1e-3, **settings).train()
    assert [alert.severity.name for alert in overfitted(callback.monitor.alerts)] == found


class Judged(Sink):
    """The steps of the evaluations that rules have seen."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self.steps += [record.evaluation.step] if record.evaluation else []


def test_a_stray_evaluation_of_other_texts_is_not_the_one_that_is_judged_from_then_on(tmp_path: Path) -> None:
    class Stray(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 0:
                trainer.evaluate(blocks[230:238], metric_key_prefix="eval_holdout")

    blocks, judged = stdlib_blocks(256), Judged()
    settings = {"output_dir": str(tmp_path), "eval_strategy": "steps", "eval_steps": 2, "eval_dataset": blocks[240:]}
    watch = LoraWatchCallback(tensorboard=False, console=False, sinks=[judged])
    trainer = build_trainer(lora(tiny_model()), blocks[:8], 4, [watch, Stray()], 1e-3, **settings)
    trainer.train()
    assert 2 in judged.steps


@pytest.mark.thorough
@pytest.mark.parametrize(("texts", "found"), [(8, ["WARNING"]), (160, [])], ids=["few texts", "its twin"])
def test_a_larger_model_learns_by_heart(texts: int, found: list[str]) -> None:
    examples, held_out = data("smollm2", "python")
    callback = LoraWatchCallback(tensorboard=False, console=False)
    settings = {"eval_strategy": "steps", "eval_steps": 10, "eval_dataset": held_out, "lr_scheduler_type": "constant"}
    settings["per_device_train_batch_size"] = 4
    build_trainer(lora(pretrained("smollm2")), examples[:texts], 50, [callback], 5e-4, **settings).train()
    assert [alert.severity.name for alert in overfitted(callback.monitor.alerts)] == found


@pytest.mark.thorough
@pytest.mark.parametrize(("texts", "found"), [(8, ["WARNING"]), (160, [])], ids=["few texts", "its twin"])
def test_an_encoder_learns_by_heart(texts: int, found: list[str]) -> None:
    examples, held_out = data("minilm", "topics")
    callback = LoraWatchCallback(tensorboard=False, console=False)
    settings = {"eval_strategy": "steps", "eval_steps": 10, "eval_dataset": held_out[:40]}
    settings |= {"lr_scheduler_type": "constant", "per_device_train_batch_size": 4, "per_device_eval_batch_size": 24}
    torch.manual_seed(1)
    model = lora(pretrained("minilm"), task_type="SEQ_CLS", modules_to_save=["classifier"])
    build_trainer(model, examples[:texts], 60, [callback], 2e-3, **settings).train()
    assert [alert.severity.name for alert in overfitted(callback.monitor.alerts)] == found
