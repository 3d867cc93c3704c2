"""Overfitting is named with its best step; more texts, a plateau and noisy evaluations are not."""

import functools
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback

from benchmarks.corpus.generate import data, pretrained
from lora_watch import Alert, LoraWatchCallback, Sink
from lora_watch.base.records import Evaluation, RunInfo, StepRecord
from lora_watch.rules import WorseOnOtherTexts
from lora_watch.rules.episodes import Episodes
from tests.rules.runs import InOrder
from tests.rules.test_chance import classifier, code_or_prose
from tests.support import Keeps, build_trainer, few, lora, report_of, stdlib_blocks, tiny_model, tiny_tokenizer


class Opened(Sink):
    """LW209 as it opened, in words."""

    text = ""

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self.text = next((str(alert) for alert in alerts if alert.rule == "LW209" and not self.text), self.text)


def run(
    folder: Path,
    model: Any,
    examples: Any,
    held_out: Any,
    lr: float,
    steps: int,
    resume: str | None = None,
    watching: Mapping[str, Any] = {},
    **arguments: Any,
) -> list[Alert]:
    """LW209 of a run that is evaluated every 10 steps. ``watching``: settings of the callback."""
    callback = LoraWatchCallback(tensorboard=False, console=False, **watching)
    settings = {"output_dir": str(folder), "lr_scheduler_type": "constant", "eval_strategy": "steps", "eval_steps": 10}
    settings |= {"eval_dataset": held_out, **arguments}
    build_trainer(model, examples, steps, [callback], lr, **settings).train(resume)
    return [alert for alert in callback.monitor.alerts if alert.rule == "LW209"]


def on_texts(folder: Path, texts: int, lr: float, steps: int = 60, held_out: int = 16, **more: Any) -> list[Alert]:
    """Of the packaged model, on so many blocks of 64 tokens."""
    blocks = stdlib_blocks(256)
    return run(folder, few(), blocks[:texts], blocks[240 - held_out : 240], lr, steps, **more)


def severities(alerts: list[Alert]) -> list[str]:
    return [alert.severity.name for alert in alerts]


SAVES: dict[str, Any] = {"steps": 30, "save_strategy": "steps", "save_steps": 10}
SAVES["eval_dataset"] = {"train": stdlib_blocks(8), "other": stdlib_blocks(256)[224:240]}


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Alert, str]:
    """A run on few texts for many epochs: its folder, its alert, and that as it opened."""
    torch.manual_seed(0)
    folder, opened = tmp_path_factory.mktemp("by_heart"), Opened()
    (alert,) = on_texts(folder, 8, 1e-2, watching={"sinks": [opened]}, **SAVES)
    return folder, alert, opened.text


def test_few_texts_for_many_epochs_are_learned_by_heart(by_heart: tuple[Path, Alert, str], tmp_path: Path) -> None:
    _, alert, opened = by_heart
    assert str(alert) == opened, "what the console has shown is what the files have"
    assert (alert.severity.name, alert.step % 10) == ("WARNING", 0)
    assert "was best at step 10 (" in alert.details
    assert f" at step {alert.step}, while" in alert.details
    assert "use checkpoint-10, the best one (eval_other)" in str(alert), "and not that of the first set"
    loads = {"load_best_model_at_end": True, "metric_for_best_model": "eval_other_loss"}
    (alert,) = on_texts(tmp_path, 8, 1e-2, **SAVES, **loads)
    assert "load_best_model_at_end loads checkpoint-10, the best one, at the end" in alert.remedies[0]


def test_an_evaluation_at_the_step_of_a_save_is_not_lost_to_the_session_that_resumes(
    by_heart: tuple[Path, Alert, str],
) -> None:
    folder, whole, _ = by_heart
    shutil.rmtree(folder / "checkpoint-10")
    (resumed,) = on_texts(folder, 8, 1e-2, resume=str(folder / "checkpoint-20"), **SAVES)
    assert (resumed.step, resumed.message, resumed.causes) == (whole.step, whole.message, whole.causes)
    assert "no checkpoint of step 10 is left" in str(resumed)
    assert 'metric_for_best_model="eval_other_loss"' in str(resumed)


@pytest.mark.parametrize(
    ("texts", "lr", "held_out"),
    [
        pytest.param(200, 1e-2, 16, id="more texts", marks=pytest.mark.thorough),
        pytest.param(40, 6e-3, 16, id="a plateau"),
        pytest.param(200, 3e-2, 4, id="noisy evaluations on four texts"),
    ],
)
def test_its_twins_are_silent(texts: int, lr: float, held_out: int, tmp_path: Path) -> None:
    assert on_texts(tmp_path, texts, lr, held_out=held_out) == []


@pytest.mark.parametrize(("texts", "found"), [(16, ["WARNING"]), (400, [])], ids=["few texts", "its twin"])
def test_a_classifier_learns_by_heart(texts: int, found: list[str], tmp_path: Path) -> None:
    rows = code_or_prose()
    alerts = run(tmp_path, classifier(), rows[:texts], rows[400:440], 3e-3, 50, watching={"mute": ["LW102"]})
    assert severities(alerts) == found


def accuracy(predictions: Any) -> dict[str, float]:
    return {"accuracy": float((predictions.predictions.argmax(-1) == predictions.label_ids).mean())}


@pytest.mark.parametrize(("flipped", "found"), [(True, [("ERROR", 20)]), (False, [])], ids=["flipped", "its twin"])
def test_labels_that_are_not_those_of_the_evaluation_show_at_the_first_one(
    flipped: bool, found: list[Any], tmp_path: Path
) -> None:
    rows, counts = code_or_prose(), functools.partial(Trainer, compute_metrics=accuracy)
    trained = [{**row, "labels": 1 - row["labels"] if flipped else row["labels"]} for row in rows[:240]]
    batches = {"per_device_train_batch_size": 16, "trainer_class": counts, "eval_steps": 20}
    alerts = run(tmp_path, classifier(), trained, rows[400:480], 3e-3, 20, **batches)
    assert [(alert.severity.name, alert.step) for alert in alerts] == found
    kept = report_of(tmp_path)["last_good"] or dict.fromkeys(("step", "gained"))
    assert (kept["step"], kept["gained"]) == (None, None), "nothing that was learned is good"


@functools.cache
def sums(many: int = 100) -> list[dict[str, Any]]:
    texts = (" ".join(f"The sum of {a} and {b} is {a + b}." for b in range(20)) for a in range(many))
    return [dict.fromkeys(("input_ids", "labels"), tiny_tokenizer()(text)["input_ids"][:64]) for text in texts]


@pytest.mark.parametrize(
    ("trained", "before", "found"),
    [
        pytest.param(sums, (), ["WARNING"], id="a user who measures what is forgotten"),
        pytest.param(lambda: stdlib_blocks(256)[:200], (), [], id="its twin"),
        pytest.param(lambda: stdlib_blocks(256)[:200], (sums,), [], id="another set before"),
    ],
)
def test_texts_worse_than_before_the_training_show_and_end_no_run(trained: Any, before: Any, found: list[str]) -> None:
    """It is evaluated every 5 steps on Python, and once before the training."""
    callback = LoraWatchCallback(tensorboard=False, console=False)
    settings: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 5, "lr_scheduler_type": "constant"}
    settings |= {"eval_dataset": stdlib_blocks(256)[200:216]}
    trainer = build_trainer(few(), trained(), 20, [callback], 1e-2, **settings)
    trainer.evaluate(*(rows() for rows in before))
    trainer.train()
    alerts = callback.monitor.alerts
    assert severities(alerts) == found
    assert not found or "worse than before the training" in alerts[0].message


@pytest.mark.parametrize(
    ("first", "lr", "mixed", "found"),
    [
        pytest.param("sums", 1e-2, 0, [("LW209", "INFO", "eval_python_loss")], id="others are forgotten"),
        pytest.param("python", 2e-2, 0, [("LW209", "WARNING", "eval_python_loss")], id="others are guessed worse"),
        pytest.param("sums", 2e-2, 80, [], id="their twin"),
    ],
)
def test_each_set_is_judged(first: str, lr: float, mixed: int, found: list[Any], tmp_path: Path) -> None:
    held_out = {"sums": sums()[90:], "python": stdlib_blocks(256)[246:]}
    held_out = {name: held_out[name] for name in sorted(held_out, key=first.__ne__)}
    rows = [*sums()[:80], *stdlib_blocks(256)[:mixed]]
    alerts = run(tmp_path, few(), rows, held_out, lr, 20, eval_steps=5, eval_on_start=True)
    assert [(alert.rule, alert.severity.name, alert.metric) for alert in alerts] == found
    assert all("(eval_python)" in alert.message for alert in alerts)


@pytest.mark.parametrize(("trainer", "found"), [(InOrder, ["LW203", "LW209"]), (Trainer, [])], ids=["in order", "twin"])
def test_data_that_change_on_the_way_are_named(trainer: Any, found: list[str], tmp_path: Path) -> None:
    """Sums, then Python: whatever was learned before, that is one alert, and no reason to drop updates."""
    easy, callback = sums(120), LoraWatchCallback(tensorboard=False, console=False, recover=3)
    settings: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 5, "eval_dataset": easy[::7]}
    settings |= {"output_dir": str(tmp_path), "lr_scheduler_type": "constant", "trainer_class": trainer}
    build_trainer(few(), [*easy, *stdlib_blocks(80)], 45, [callback], 6e-3, **settings).train()
    assert sorted(alert.rule for alert in callback.monitor.alerts) == found
    assert not found or {(a.kind, a.step, a.closed_step) for a in callback.monitor.alerts} >= {("stays", 31, None)}


@pytest.mark.parametrize(
    ("every", "found"),
    [
        pytest.param(20, "WARNING", marks=pytest.mark.thorough),
        (40, "WARNING"),
        pytest.param(40, "", marks=pytest.mark.thorough),
        (10, "INFO"),
        (10, ""),
    ],
)
def test_shuffled_labels_show_in_few_held_out_examples(every: int, found: str, tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [{**row, "labels": draw.randrange(2) if found else row["labels"]} for row in code_or_prose()]
    model, settings = classifier(targets="all-linear"), {"eval_steps": every, "per_device_train_batch_size": 8}
    alerts = run(tmp_path, model, rows[:240], rows[240:280], 1e-3, min(4 * every, 80), **settings)
    assert severities(alerts) == [found] * bool(found)


def test_whoever_guesses_on_the_training_texts_too_is_not_said_to_fit_them(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [{**row, "labels": draw.randrange(2)} for row in code_or_prose()]
    model = classifier(targets="all-linear")
    assert run(tmp_path, model, rows[:400], rows[400:440], 5e-3, 50, per_device_train_batch_size=8) == [], "LW207"


@pytest.mark.parametrize(
    ("evaluated", "steps", "found"), [("no", 20, ["INFO"]), ("steps", 20, []), ("no", 10, [])]
)  # the last has two epochs
def test_epochs_without_an_evaluation_leave_it_unknown(
    evaluated: str, steps: int, found: list[str], tmp_path: Path
) -> None:
    asked = {"watching": {"rules": [WorseOnOtherTexts(steps=10)]}, "eval_strategy": evaluated, "eval_steps": 7}
    assert severities(on_texts(tmp_path, 20, 1e-3, steps, **asked)) == found


@pytest.mark.parametrize(
    ("samples", "losses", "found"),
    [
        pytest.param(500, (0.69, 0.9, 1.1), "fell from 0.7 to 0.1", id="best before the training"),
        pytest.param(None, (0.69, 0.9), "", id="of nobody knows how many examples"),
        pytest.param(None, (0.69, 0.9, 0.9), "They cost 0.9, and 0.69 before the training", id="two of them"),
    ],
)
def test_what_is_not_known_of_an_evaluation_proves_nothing(
    samples: int | None, losses: Sequence[float], found: str
) -> None:
    rule, finding = WorseOnOtherTexts(), None
    for at, loss in enumerate(losses):
        scalars = {"classes": 2.0, "loss_spike_score": 0.0} | ({"loss_start": 0.7} if at else {})
        seen = {"eval_loss": Evaluation(10 * at, loss, samples, right=0.7 if samples else 0.45)}
        trained = 0.1 if at else 0.7
        finding = rule.check(StepRecord(RunInfo(()), 10 * at + 1, {}, trained, scalars=scalars, evaluations=seen))
    assert bool(finding) == bool(found)
    assert found in (finding.details if finding else "")


@pytest.mark.parametrize(
    ("best", "chance", "epochs", "found"),
    [
        pytest.param(6.96, 99.0, 9, "the model fits its training texts alone", id="no better than guessing"),
        pytest.param(5.0, 99.0, 1, "the model fits its training texts alone", id="first epoch"),
        pytest.param(5.0, 99.0, 9, "the model learns its", id="later"),
        pytest.param(5.0, 3.5, 9, "", id="the training loss neither"),
    ],
)
def test_who_never_did_better_than_guessing_has_not_learned_by_heart(
    best: float, chance: float, epochs: int, found: str
) -> None:
    known = RunInfo((), max_steps=100, config={"epochs": epochs})
    rule, finding = WorseOnOtherTexts(), None
    for at, (loss, trained) in enumerate([(best, 6.0), (7.12, 5.0), (7.1, 4.0)], 1):
        scalars = {"classes": 1024.0, "loss_spike_score": 0.0, "loss_start": 6.4, "chance_loss": chance}
        seen = {"eval_loss": Evaluation(10 * at, loss, 16)}
        finding = rule.check(StepRecord(known, 10 * at, {}, trained, scalars=scalars, evaluations=seen))
    assert finding is not None if found else finding is None, "what is trained on costs more than guessing: LW207"
    assert finding is None or finding.message.startswith(found)
    told = [] if finding is None else ["or wrong labels" in finding.causes[0], "Mend labels" in finding.remedies[0]]
    assert set(told) <= {best > 6.0 or epochs == 1}, "what is done first treats the cause"


@pytest.mark.parametrize(("left", "found"), [(1e-3, [30]), (0.5, [])], ids=["nothing left to learn", "its twin"])
def test_few_examples_tell_where_the_training_loss_is_all_but_gone(left: float, found: list[int]) -> None:
    """What 8 pairs of DPO left of their own loss, and of that of 32 others. The rise is within the noise of so few."""
    rule, fired = WorseOnOtherTexts(), []
    for at, loss in enumerate((0.612, 0.659, 0.688), 1):
        seen = {"eval_loss": Evaluation(10 * at, loss, 32)}
        known: dict[str, Any] = {"scalars": {"loss_spike_score": 0.0, "loss_start": 0.69}, "evaluations": seen}
        trained = 0.27 if at == 1 else 0.27 * left
        rule.check(StepRecord(RunInfo(()), 10 * at, {}, trained, scalars={}))
        fired += [10 * at] * (rule.check(StepRecord(RunInfo(()), 10 * at + 1, {}, trained, **known)) is not None)
    assert fired == found


@pytest.mark.parametrize(
    ("later", "ended"),
    [((5.648, 5.72), None), ((5.5, 5.6), None), ((5.05, 4.98), 50)],
    ids=["worse", "once better", "back down"],
)
def test_it_is_not_over_while_the_evaluation_is_no_better_than_where_it_fired(later: Any, ended: int | None) -> None:
    """What a run on 16 texts made of 48 others. How much evaluations differ hides the rise from step 40 on."""
    episodes = Episodes([WorseOnOtherTexts()])
    for at, loss in enumerate((4.97, 5.054, 5.54, *later), 1):
        scalars, seen = {"loss_spike_score": 0.0, "loss_start": 6.2}, {"eval_loss": Evaluation(10 * at, loss, 48)}
        episodes.check(StepRecord(RunInfo(()), 10 * at, {}, 5.0 / at, scalars=scalars, evaluations=seen))
    assert [(alert.step, alert.closed_step) for alert in episodes.alerts] == [(30, ended)]


@pytest.mark.parametrize("sets", [None, "before", "later"], ids=["one set", "several, and before", "several"])
def test_a_stray_evaluation_of_other_texts_is_not_the_one_that_is_judged_from_then_on(
    sets: str | None, tmp_path: Path
) -> None:
    class Stray(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 0:
                trainer.evaluate(blocks[230:238], metric_key_prefix="eval_holdout")

    blocks, judged = stdlib_blocks(256), Keeps()
    held_out: Any = {"a": blocks[240:], "b": blocks[232:240]} if sets else blocks[240:]
    settings = {"output_dir": str(tmp_path), "eval_strategy": "steps", "eval_steps": 2, "eval_dataset": held_out}
    watch = LoraWatchCallback(tensorboard=False, console=False, sinks=[judged])
    trainer = build_trainer(lora(tiny_model()), blocks[:8], 4, [watch, Stray()], 1e-3, **settings)
    if sets == "before":
        trainer.evaluate()
        trainer.evaluate(blocks[230:238], metric_key_prefix="eval_before")
    trainer.train()
    seen = [(r.evaluation.step, r.evaluation.samples) for r in judged.records if r.evaluation]
    assert (2, 16) in seen
    assert sets != "before" or seen[0] == (0, 16)


@pytest.mark.thorough
@pytest.mark.parametrize(("texts", "found"), [(8, ["WARNING"]), (160, [])], ids=["few texts", "its twin"])
@pytest.mark.parametrize("base", ["smollm2", "minilm"], ids=["a larger model", "an encoder"])
def test_other_models_learn_by_heart(base: str, texts: int, found: list[str], tmp_path: Path) -> None:
    examples, held_out = data(base, "python" if base == "smollm2" else "topics")
    torch.manual_seed(1)
    if base == "smollm2":
        alerts = run(tmp_path, lora(pretrained(base)), examples[:texts], held_out, 5e-4, 50)
    else:
        model = lora(pretrained(base), task_type="SEQ_CLS", modules_to_save=["classifier"])
        alerts = run(tmp_path, model, examples[:texts], held_out[:40], 2e-3, 60, per_device_eval_batch_size=24)
    assert severities(alerts) == found
