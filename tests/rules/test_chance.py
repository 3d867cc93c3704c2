"""LW207: classifiers that stay at chance, their twins, and losses without such a number."""

import contextlib
import copy
import functools
import json
import math
import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification

from benchmarks.corpus.tasks import labelled
from lora_watch import LoraWatchError, Severity
from lora_watch.base.alerts import Alert
from lora_watch.base.records import Evaluation, StepRecord
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.drivers.loop import Monitor
from lora_watch.measurement.signals.labels import classes_of, unsaved_head
from lora_watch.measurement.signals.loss import Chance, LossSignals
from lora_watch.rules import Episodes, NormExplosion, StuckAtChance, WorseOnOtherTexts
from lora_watch.rules.forecast import has_new_head
from lora_watch.rules.labels import FirstLossTooHigh
from lora_watch.rules.loss import JUDGED
from tests.rules.runs import InOrder, everywhere, healthy, ids, numbers, run, the, trainer_with_loss
from tests.support import BLOCKS, FEW, build_trainer, lora, tiny_tokenizer, updates

DEAF = NormExplosion(threshold_if_worse=1e9, threshold=1e9)
"""So that what is seen is LW207 alone: at such rates LW102 comes first."""


@functools.cache
def code_or_prose() -> Sequence[dict[str, Any]]:
    """Pieces of Python's library, 0, and of its manual, 1: from a file, as ``stdlib_blocks``."""
    with np.load(BLOCKS) as kept:
        pieces = json.loads(kept["code_or_prose"].tobytes())
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return labelled(pieces, tokenizer, 32)


def classifier(labels: int = 2, targets: Any = FEW, **config: Any) -> Any:
    torch.manual_seed(0)  # for the head
    model = AutoModelForSequenceClassification.from_pretrained(TINY_LLAMA, num_labels=labels, **config).float()
    model.config.pad_token_id = tiny_tokenizer().pad_token_id
    return lora(model, targets=targets, task_type="SEQ_CLS", modules_to_save=["score"])


def trained(lr: float, steps: int = 55, **recover: int) -> Monitor:
    model = classifier(targets="all-linear")
    return run(model, steps, rules=[DEAF], dataset=code_or_prose(), lr=lr, per_device_train_batch_size=8, **recover)


def test_a_classifier_that_collapses_is_found_and_ends_as_an_error() -> None:
    alert = the("LW207", trained(3e-2, 24))
    assert (alert.step, alert.severity) == (20, Severity.ERROR), "with adapters of such a size no later than that"
    assert alert.settings["learning_rate"] < 3e-2
    assert alert.remedies == [], "the rate is known to be the cause"
    monitor = trained(3e-2, recover=1)
    assert [(a.rule, a.step, a.back_to) for a in monitor.alerts[-2:]] == [("LW207", 20, 0), ("LW910", 20, 0)]
    assert monitor.last.size < 1.0, "and it was 44"
    code = sum(row["labels"] == 0 for row in code_or_prose()) / len(code_or_prose())
    entropy = -sum(share * math.log(share) for share in (code, 1 - code))
    assert monitor.last.scalars["chance_loss"] == pytest.approx(entropy, abs=0.01)
    assert entropy < math.log(2) - 0.02


def test_its_twin_at_a_sound_rate_is_silent() -> None:
    monitor = trained(5e-3)
    assert ids(monitor) == []
    assert monitor.last.scalars["chance_loss"] < math.log(2) - 0.02, "and could have been found"
    (used,) = (rule for rule in monitor.policy.rules if isinstance(rule, StuckAtChance))
    assert used.overall > 1.0, "its adapters have grown, too"
    assert fmean(used.recent) < 0.9


def test_random_labels_are_not_blamed_on_the_rate_and_a_short_run_says_what_it_can() -> None:
    """With adapters of an ordinary size a rate that is too high looks the same."""
    draw, rows = random.Random(1), code_or_prose()
    shuffled = [{**rows[i % len(rows)], "labels": draw.randrange(2)} for i in range(3000)]
    sizes: dict[str, Any] = {"lr": 5e-3, "dataset": shuffled, "per_device_train_batch_size": 8}
    alert = the("LW207", run(classifier(targets="all-linear"), 60, **sizes))
    assert "the labels do not belong to their inputs" in alert.causes[0]
    assert "0.005 is too strong" in alert.causes[0]
    assert alert.remedies[0].startswith("decode eight inputs")
    assert alert.next_run is None
    short = the("LW207", run(classifier(targets="all-linear"), 30, **sizes))
    assert (short.step, short.severity) == (30, Severity.INFO)
    assert "the run is too short" in short.causes[0]


def in_order(labels: Sequence[int], **recover: int) -> Monitor:
    """Pieces of code and prose as they come, with these labels: eight a step."""
    rows = [{**row, "labels": label} for row, label in zip(sorted(code_or_prose(), key=lambda r: r["labels"]), labels)]
    sizes = {"lr": 3e-3, "per_device_train_batch_size": 8, "trainer_class": InOrder}
    return run(classifier(), len(labels) // 8, dataset=rows, **sizes, **recover)


def test_labels_of_a_single_class_are_named_and_a_rare_class_is_not() -> None:
    late = in_order([0] * 248, recover=1)
    assert late.run.notes[-1].startswith("The run does not recover: LW204 was certain only after the last step")
    constant = the("LW204", late)
    assert (constant.kind, constant.severity) == ("one class", Severity.ERROR)
    assert (constant.step, constant.graver_at) == (29, 31)
    assert "every label so far is class 0" in constant.message
    short = the("LW204", in_order([0] * 120))
    assert (short.kind, short.severity, short.step) == ("one class", Severity.WARNING, 15)
    assert ids(in_order([*[0] * 120, 1, *[0] * 63])) == []
    never = run(classifier(), 4, dataset=code_or_prose(), trainer_class=trainer_with_loss(lambda _, loss: loss * 0))
    assert "the classifier is sure of every label" in the("LW204", never).causes[0], "and none was -100"


@pytest.mark.parametrize(("lr", "steps"), [(8e-3, 60), (0.1, 16)])
def test_the_noise_of_a_new_head_at_the_peak_of_its_rate_is_no_explosion(lr: float, steps: int) -> None:
    """Batches of eight. At step 13 one costs 2.3 with the adapters and 0.96 without; the run ends below 0.4."""
    size = {"dim": 128, "n_layers": 4, "n_heads": 4, "hidden_dim": 512, "max_position_embeddings": 64}
    base = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(vocab_size=1024, **size))
    model = lora(base, targets=["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"], task_type="SEQ_CLS")
    schedule: dict[str, Any] = {"warmup_steps": 6, "lr_scheduler_type": "cosine", "per_device_train_batch_size": 8}
    monitor = run(model, steps, dataset=code_or_prose(), lr=lr, **schedule)
    assert next((a.step <= 8 for a in monitor.alerts if a.rule == "LW102"), None) == (True if steps == 16 else None)


def test_data_that_are_sorted_by_class_are_the_cause_and_no_rate_is_prescribed() -> None:
    """Their twin, the same data shuffled, is silent at a higher rate."""
    monitor = in_order([*[0] * 320, *[1] * 64])
    assert [a.kind for a in monitor.alerts if a.rule == "LW204"] == ["one class", "sorted"]
    failures = [a for a in monitor.alerts if a.severity == Severity.ERROR]
    assert failures
    assert all("sorted by class (LW204, at step 41)" in alert.causes[0] for alert in failures)
    assert monitor.next_run is None


def accumulated(head: float = 0.0) -> Monitor:
    """Four micro-batches a step, whose losses transformers 5 adds up. ``head``: what the new head starts with."""
    model = classifier()
    with torch.no_grad():
        model.get_submodule("base_model.model.score.modules_to_save.default").weight.mul_(1.0 + head)
    batches: dict[str, Any] = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    return run(model, 5, rules=[DEAF], dataset=code_or_prose(), lr=1e-5, **batches)


def test_a_head_that_is_sure_of_wrong_answers_is_worse_than_guessing_with_and_without_accumulation() -> None:
    assert the("LW205", accumulated(head=200.0)).step == 3
    sound = accumulated()
    assert ids(sound) == []
    # Where this version of transformers gives ``num_items_in_batch`` to Llama's classifier, which ignores it.
    adds_up = build_trainer(classifier(), code_or_prose()).model_accepts_loss_kwargs
    assert len(sound.run.notes) == adds_up, "what is added up is said"


def test_a_new_head_that_no_checkpoint_holds_is_named_and_one_that_was_trained_before_is_not() -> None:
    def briefly(model: Any, steps: int, lr: float = 3e-3) -> Monitor:
        return run(model, steps, (), dataset=code_or_prose(), lr=lr, per_device_train_batch_size=8)

    model = classifier().unload()  # as PEFT leaves it without a task_type: the head is a part of the base model
    model = lora(model, targets=FEW, task_type=None)
    assert ids(briefly(model, 16, 1e-4)) == ["LW205"], "and no rate is blamed (LW104)"
    new = briefly(model, 25)
    alert = the("LW205", new)
    assert (alert.step, alert.severity, alert.kind) == (3, Severity.WARNING, "head")
    assert "saved in no checkpoint: score" in alert.message
    trained_before = briefly(lora(model.merge_and_unload(), targets=FEW, task_type=None), 4)
    assert trained_before.run.unsaved_head == "score"
    assert ids(trained_before) == ids(briefly(classifier(), 4)) == []


def test_a_head_of_several_layers_is_named_and_asked_for_as_a_whole() -> None:
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}

    def lost(**saved: Any) -> str:
        model = transformers.RobertaForSequenceClassification(transformers.RobertaConfig(vocab_size=50, **size))
        return unsaved_head(peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"], **saved)))

    assert [lost(), lost(modules_to_save=["classifier.out_proj"])] == ["classifier", "classifier"]
    assert [lost(modules_to_save=["classifier"]), lost(task_type="SEQ_CLS")] == ["", ""]


@pytest.mark.parametrize(("factor", "seen"), [(1.0, True), (2.0, False)])
def test_labels_count_where_the_loss_is_the_models_own(factor: float, seen: bool) -> None:
    """And to see them changes no bit of a loss or a gradient, and leaves no hook behind."""
    rows = code_or_prose()[:8]
    batch = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}

    def steps(monitored: bool) -> tuple[list[torch.Tensor], Monitor]:
        torch.manual_seed(0)
        model = classifier().train()
        monitor, found = Monitor(model, console=False), []
        with monitor if monitored else nullcontext():
            for _ in range(2):
                loss = factor * model(**batch).loss
                loss.backward()
                if monitored:
                    monitor.step(loss=loss)
                found += [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
            copied = copy.deepcopy(model)
            copied(**batch)
        assert not any(model._forward_hooks or copied._forward_hooks)
        return found, monitor

    (plain, _), (with_monitor, monitor) = steps(False), steps(True)
    assert all(map(torch.equal, plain, with_monitor))
    assert ("chance_loss" in monitor.last.scalars) == seen
    assert monitor.run.notes == ()
    assert (has_new_head(monitor.run), has_new_head(healthy().run)) == (True, False), "as LW104 asks"


# -- numbers to be predicted -------------------------------------------------------------------------------------------
def regression(mean: float, spread: float, factor: float = 1.0, targets: Any = FEW, **sizes: Any) -> Monitor:
    """Code and prose are to be told by a number."""
    rows = [{**row, "labels": mean + spread * (2.0 * row["labels"] - 1.0)} for row in code_or_prose()]
    scaled = trainer_with_loss(lambda n, loss: factor * loss)
    sizes = {"steps": 30, "dataset": rows, "per_device_train_batch_size": 8, "lr": 3e-3, **sizes}
    return run(classifier(1, targets), trainer_class=scaled, **sizes)


@pytest.mark.parametrize("lr", [3e-3, 2e-2])
def test_targets_that_are_not_scaled_are_named_and_the_rate_is_not_blamed(lr: float) -> None:
    """Where no batch can be computed twice. At 0.02 the adapters grow beyond useful ones."""
    monitor = regression(600.0, 270.0, rules=[NormExplosion(compare=False), FirstLossTooHigh()], lr=lr)
    (alert,) = (alert for alert in monitor.alerts if alert.step)
    assert (alert.rule, alert.kind, alert.severity, alert.step) == ("LW205", "targets", Severity.ERROR, 3)
    said = [monitor.last.scalars[f"targets_{name}"] for name in ("mean", "spread")]
    (first,) = (rule.first[0] for rule in monitor.policy.rules if isinstance(rule, FirstLossTooHigh))
    assert {float(f"{number:.3g}") for number in (first, *said)} <= numbers(alert.details)
    assert said == pytest.approx([530.0, 261.0], rel=0.05), "two of three are 330, the others 870"
    assert (monitor.last.size or 0.0) > 12.0 or lr == 3e-3


@pytest.mark.parametrize(("mean", "lr", "steps"), [(0.0, 1e-2, 51), (6.0, 6e-3, 60)])
def test_a_regressor_that_predicts_the_mean_is_named_and_the_rate_is_not_blamed(
    mean: float, lr: float, steps: int
) -> None:
    """Its targets are noise, or lie so far from 0 that the run only gets there. LW102 is silent: what fits noise costs
    more than the mean at any rate."""
    draw, rows = random.Random(1), code_or_prose()
    noise = [{**rows[n % len(rows)], "labels": draw.gauss(0.0, 1.0)} for n in range(800)]
    monitor = regression(mean, 0.5, steps=steps, lr=lr, **({} if mean else {"dataset": noise}))
    assert ids(monitor) == ["LW207"]
    alert = the("LW207", monitor)
    assert (alert.severity, alert.step, alert.next_run) == (Severity.ERROR, steps, None)
    assert ("not scaled" in alert.causes[0]) == bool(mean)
    assert float(f"{monitor.last.scalars['chance_loss']:.3g}") in numbers(alert.details)


def test_a_regressor_that_costs_far_more_than_the_mean_has_exploded() -> None:
    assert "LW102" in ids(regression(0.0, 1.0, steps=6, lr=0.1))


@pytest.mark.parametrize(
    ("name", "bad"), [("labels", math.nan), ("labels", math.inf), ("inputs_embeds", math.nan), ("labels", 1e38)]
)
@pytest.mark.parametrize("way", ["Trainer", "a loop", "a loop, before the update"])
def test_a_batch_that_is_not_finite_itself_is_the_cause(way: str, name: str, bad: float) -> None:
    """The fifth of six."""
    rows = [{"labels": torch.tensor(n % 2.0), "inputs_embeds": torch.ones(4, 128)} for n in range(24)]
    rows[17][name] = rows[17][name] * bad
    model = classifier(1)
    if way == "Trainer":
        monitor = run(model, 6, (), dataset=rows, trainer_class=InOrder)
    else:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
        settings: dict[str, Any] = {"fail_on": "error" if "before" in way else "never", "console": False}
        with contextlib.suppress(LoraWatchError), Monitor(model, optimizer, **settings) as monitor:
            updates(monitor, optimizer, (model(**batch).loss for batch in DataLoader(rows, 4)))  # type: ignore[arg-type]
    found = [(alert.step, alert.causes) for alert in monitor.alerts]
    bad_batch = [f"NaN or infinity in the batch's {name}"]  # what overflows in a sum alone is none
    assert [(step, causes == bad_batch) for step, causes in found] == [(5, not math.isfinite(bad))]


@pytest.mark.parametrize(
    ("mean", "spread", "factor", "steps"), [(0.0, 1.0, 1.0, 60), (3.0, 1.0, 1.0, 6), (600.0, 270.0, 0.5, 6)]
)
def test_scaled_targets_and_other_losses_are_silent(mean: float, spread: float, factor: float, steps: int) -> None:
    monitor = regression(mean, spread, factor, "all-linear" if steps == 60 else FEW, steps=steps, lr=5e-3)
    assert not {"LW102", "LW205", "LW207"} & {*ids(monitor)}
    (used,) = (rule for rule in monitor.policy.rules if isinstance(rule, StuckAtChance))
    assert steps < 60 or (used.overall > 1.0 and fmean(used.recent[-25:]) < 0.9), "it could have been found"


# -- the same of made-up courses ---------------------------------------------------------------------------------------
def alerts_of(
    losses: Sequence[float], size: Any, scalars: dict[str, float], evaluated: Any = (), cause: Any = None, **config: Any
) -> list[Alert]:
    """Of a run with these losses, these sizes of the adapters and, by step, evaluation losses. ``cause``: an alert that
    is open from the start, and is not returned."""
    info = replace(healthy().run, config={"classes": 2, **config}, max_steps=len(losses))
    episodes, seen = Episodes([WorseOnOtherTexts(), StuckAtChance()]), {}
    if cause is not None:
        episodes.say(cause)
    for step, (loss, now) in enumerate(zip(losses, size if isinstance(size, list) else [size] * len(losses)), start=1):
        ratios = everywhere(np.full(len(info.adapters), now / 4))  # four blocks
        metrics = {"output_ratio": ratios, "delta_norm": ratios}
        record = StepRecord(info, step, metrics, loss=loss, lr=(1e-3,), scalars=scalars, evaluations=seen)
        episodes.check(record)
        seen = {"eval_loss": Evaluation(step, evaluated[step])} if step in evaluated else {}
    episodes.conclude(record.amended(evaluations=seen))
    return [alert for alert in episodes.alerts if alert is not cause]


TWO = {"chance_loss": math.log(2)}
STUCK, FALLS = [math.log(2)] * 80, [0.77 - 0.001 * n for n in range(80)]
GROWS = [0.3] * 45 + [3.0] * 35
RARE = {"chance_loss": 0.305}


def of_rare_labels(rates: Sequence[float]) -> list[float]:
    """Losses of batches of eight with 9 % positives, where the model answers with these rates whatever the input."""
    draw, losses = random.Random(0), []
    for rate in rates:
        positive = sum(draw.random() < 0.09 for _ in range(8))
        losses.append(-(positive * math.log(rate) + (8 - positive) * math.log(1 - rate)) / 8)
    return losses


def rates(falling: int, steps: int) -> list[float]:
    """Of a new head, which says 0.5 at first and learns within ``falling`` steps how rare the class is."""
    log_odds = (math.log(0.09 / 0.91) * min(step / falling, 1.0) for step in range(steps))
    return [1 / (1 + math.exp(-odds)) for odds in log_odds]


TO_CHANCE = [*(x / 2 for x in of_rare_labels([0.09] * 50)), *of_rare_labels([0.09] * 70)]


@pytest.mark.parametrize(
    ("losses", "size", "scalars", "found"),
    [
        pytest.param(STUCK, 3.0, TWO, [(50, Severity.ERROR)], id="stuck to the end"),
        pytest.param([*STUCK, *[0.3] * 40], 3.0, TWO, [(50, Severity.WARNING)], id="learns after all"),
        pytest.param(STUCK, 0.3, TWO, [(80, Severity.INFO)], id="the adapters are small yet"),
        pytest.param([*STUCK, *STUCK], 0.3, TWO, [(160, Severity.WARNING)], id="small after a long run"),
        pytest.param(STUCK[:24], 3.0, TWO, [(24, Severity.INFO)], id="too short to blame anything"),
        pytest.param(STUCK[:24], 9.0, TWO, [(24, Severity.ERROR)], id="short, with adapters beyond useful ones"),
        pytest.param(STUCK[:19], 9.0, TWO, [], id="too short to say anything"),
        pytest.param(STUCK, GROWS, TWO, [(65, Severity.ERROR)], id="losses count where the adapters have grown"),
        pytest.param([*STUCK[:52], *[0.5] * 28], GROWS, TWO, [], id="and then fall, as in a run on MiniLM"),
        pytest.param(FALLS, 3.0, TWO | {"loss_start": 0.77}, [(80, Severity.ERROR)], id="has fallen to guessing"),
        pytest.param(FALLS, 0.3, TWO | {"loss_start": 0.77}, [(80, Severity.INFO)], id="the same, with small adapters"),
        pytest.param([0.69 - 0.002 * n for n in range(80)], 3.0, TWO, [], id="learns slowly"),
        pytest.param([*[2.0] * 20, *[0.6] * 40], 3.0, TWO, [], id="a bad start"),
        pytest.param([*[3.0] * 15, *[0.7] * 45], 1.4, TWO, [(50, Severity.ERROR)], id="falls from harm, and is stuck"),
        pytest.param(STUCK, 3.0, {}, [], id="a loss without such a number"),
        # A new head costs ln 2, however rare a class is. In a run on MiniLM with 9 % positives guessing cost 0.33.
        pytest.param(of_rare_labels(rates(60, 80)), 1.4, RARE, [], id="a slow run learns how rare a class is"),
        pytest.param(of_rare_labels(rates(3, 80)), 1.4, RARE, [(50, Severity.ERROR)], id="knows that alone"),
        pytest.param(TO_CHANCE, 1.4, RARE, [(96, Severity.ERROR)], id="rises to chance, and stays there in noise"),
    ],
)
def test_made_up_courses(losses: list[float], size: Any, scalars: dict[str, float], found: list[Any]) -> None:
    assert [(alert.step, alert.severity) for alert in alerts_of(losses, size, scalars)] == found


@pytest.mark.parametrize(
    ("epochs", "evaluated", "over"), [(1, None, True), (2, None, False), (2, 0.72, False), (2, 0.4, True)]
)
def test_labels_learned_by_heart_are_no_all_clear(epochs: int, evaluated: float | None, over: bool) -> None:
    """In the second epoch the training loss falls whatever the labels are."""
    (alert,) = alerts_of([*STUCK, *[0.3] * 40], 4.0, TWO, {89: evaluated} if evaluated else {}, epochs=epochs)
    assert (alert.closed_step is not None) == over
    assert alert.causes[0].endswith("learning rate 0.002 is too strong. The run cannot tell which"), "at a size of 4"
    assert alert.remedies[0].endswith("lower the rate")


@pytest.mark.parametrize(("size", "losses", "warns"), [(0.4, 3, True), (0.4, 2, False), (0.2, 3, False)])
def test_evaluations_that_are_no_better_either_make_it_a_warning(size: float, losses: int, warns: bool) -> None:
    (alert,) = alerts_of(STUCK[:40], size, TWO, dict(zip(range(40 - 10 * losses, 41, 10), [0.6, *[0.7] * losses])))
    assert alert.severity == (Severity.WARNING if warns else Severity.INFO)


def test_an_evaluation_loss_that_rises_at_chance_has_the_cause_of_that() -> None:
    stuck, risen = alerts_of(STUCK, 4.0, TWO | {JUDGED: 0.0}, {20: 0.7, 40: 0.7, 60: 1.2, 80: 1.2})
    assert (risen.rule, risen.causes[1:], risen.remedies) == ("LW209", stuck.causes, stuck.remedies)


@pytest.mark.parametrize(("severity", "found"), [(Severity.WARNING, [(80, Severity.ERROR)]), (Severity.ERROR, [])])
def test_the_last_word_gives_way_to_no_lesser_alert(severity: Severity, found: list[tuple[int, Severity]]) -> None:
    """Nothing but a WARNING would leave a ruined classifier with a good verdict."""
    alerts = alerts_of(STUCK, 30.0, TWO, cause=Alert("LW204", "loss-exactly-zero", severity, 6, ""))
    assert [(alert.step, alert.severity) for alert in alerts] == found


# -- what guessing costs -----------------------------------------------------------------------------------------------
def test_guessing_costs_the_entropy_of_the_labels_or_the_logarithm_of_few_classes() -> None:
    assert Chance.of({"classes": 5}).update(None)["chance_loss"] == pytest.approx(math.log(5))
    assert Chance.of({"classes": 1024}).update(None) == {}, "a language model's vocabulary"
    assert Chance.of({}).update(None) == {}
    assert Chance.of({"classes": 2, "label_smoothing_factor": 0.1}).update([900.0, 0.0]) == {}
    seen = Chance.of({"classes": 2})
    seen.update([900.0, 0.0])
    assert seen.update([0.0, 100.0])["chance_loss"] == pytest.approx(0.325, abs=1e-3)
    again = LossSignals(chance=Chance.of({"classes": 2}))
    again.load_state_dict(LossSignals(chance=seen).state_dict())
    assert again.chance.update(None) == seen.update(None)


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({}, 2),
        ({"problem_type": "multi_label_classification"}, 0),
        ({"labels": 1}, 0),
        ({"problem_type": "regression"}, 0),
    ],
)
def test_only_a_classifier_has_labels_to_count(config: dict[str, Any], labels: int) -> None:
    model = classifier(**config)
    assert classes_of(model) == labels


def test_labels_of_images_are_counted() -> None:
    small = {"image_size": 16, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = transformers.ViTForImageClassification(
        transformers.ViTConfig(**small, intermediate_size=64, num_channels=1, num_labels=4)
    )
    names = [name for name, _ in vision.named_modules() if name.endswith(("query", "q_proj"))]
    model = peft.get_peft_model(vision, peft.LoraConfig(target_modules=names, modules_to_save=["classifier"]))
    assert classes_of(model) == 4
    rows = [{"pixel_values": torch.randn(1, 16, 16), "labels": i % 4} for i in range(256)]
    monitor = run(model, 60, dataset=rows, lr=5e-3, per_device_train_batch_size=8)
    assert monitor.last.scalars["chance_loss"] == pytest.approx(1.386, abs=0.02)


# -- other thresholds where a head is new ------------------------------------------------------------------------------
def test_more_is_expected_of_the_adapters_where_a_head_is_new() -> None:
    """LW104 at a third of the healthy twin's rate, at which the adapters would be large enough without a head."""
    slow = {"steps": 40, "lr": 9e-4, "dataset": code_or_prose()}
    monitor = run(classifier(targets="all-linear"), **slow)
    alert = the("LW104", monitor)
    assert alert.threshold == pytest.approx(0.25 / 4)  # of one of four blocks
    assert "hardly" not in alert.message, "which is said of less"
    assert (alert.closed_step, monitor.next_run) == (40, None), "it has become as large as useful ones"
    assert "to 37 %, so this is withdrawn." in alert.details
    assert ids(run(classifier(targets="all-linear"), **{**slow, "lr": 2e-3})) == []
