"""LW2xx on real runs: each must fire on the spoiled run and stay silent on its healthy twin."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import peft
import pytest
import torch
import transformers
from transformers import Trainer

from benchmarks.corpus.faults import FAULTS
from lora_watch import LoraWatchError, Severity
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.drivers.loop import Monitor
from lora_watch.rules.labels import FirstLossTooHigh, LossExactlyZero
from lora_watch.rules.loss import LossDivergence
from tests.monitor.test_monitor import loop
from tests.rules.runs import (
    InOrder,
    by_difficulty,
    healthy,
    ids,
    numbers,
    run,
    schedule,
    the,
    trainer_with_labels,
    trainer_with_loss,
)
from tests.support import FEW, few, lora, stdlib_blocks, tiny_model, updates


def test_non_finite_loss() -> None:
    nan_at_seven = trainer_with_loss(lambda step, loss: loss * float("nan") if step == 7 else loss)
    monitor = run(steps=9, trainer_class=nan_at_seven, logging_steps=1)
    alert = the("LW201", monitor)
    assert (alert.step, alert.severity) == (7, Severity.ERROR)
    assert alert.causes[0].startswith("not known"), "nothing shows it"
    assert 4 * 63 in numbers(alert.causes[0]), "labels that count"
    assert "checkpoint before step 7" in alert.fixes[0]
    assert "are -100" not in " ".join([*alert.causes, *alert.remedies]), "this batch had targets"
    assert ids(monitor) == ["LW201"], "the NaN weights that follow have the same cause"


def test_harder_data_is_no_finding_while_the_adapters_do_no_harm() -> None:
    """The easiest examples come first, then the hardest ones: the loss rises, and that of the frozen model more."""
    examples = by_difficulty()
    data = [*examples[:100], *examples[-60:]]
    monitor = run(lora(tiny_model(), targets=["q_proj", "v_proj"]), 40, dataset=data, lr=1e-2, trainer_class=InOrder)
    assert ids(monitor) == []
    assert monitor.last.zone in ("healthy", "no-gain")


def risen(run: RunInfo, step: int, adapted: float, base: float, **scalars: float) -> StepRecord:
    """A step of a loss that has risen from 4.5, of which a batch was computed with the adapters and without."""
    rise = {"loss_rise_score": 5.0, "loss_rise": 0.3, "loss_before": 4.5, "loss_start": 5.0, "loss_recent": 4.9}
    known = {**rise, "adapted_loss": adapted, "base_loss": base, **scalars}
    return StepRecord(run, step, {}, loss=known["loss_recent"], scalars=known, comparable=True)


@pytest.mark.parametrize(
    ("harm", "fires"),
    [
        ({30: 1.12}, [True]),
        ({30: 1.06, 31: 1.05}, [False, True]),
        ({30: 1.06, 31: 0.95}, [False, False]),
        ({30: 1.06, 300: 1.05}, [False, False]),  # not in a row
        ({30: 0.95}, [False]),
        ({30: 1.12, 36: 0.95}, [True, True]),  # they learn a level that is high still
    ],
)
def test_one_batch_that_the_adapters_raise_a_little_is_no_evidence_of_harm(
    harm: dict[int, float], fires: list[bool]
) -> None:
    """Batches of one example of mixed data: one of them costs 6 % more with the adapters, the next one less."""
    rule = LossDivergence()
    found = [rule.check(risen(healthy().run, step, 4.4 * factor, 4.4)) for step, factor in harm.items()]
    assert [finding is not None for finding in found] == fires


@pytest.mark.parametrize(
    ("classes", "trains_more", "loss", "fires"),
    [
        (1024, False, 7.3, False),  # hard text costs a small model more than guessing, 6.93
        (1024, False, 9.0, True),  # labels that are noise
        (None, False, 9.0, False),  # a loss of the user's own: what guessing costs is not known
        (None, True, 9.0, True),  # the head may be spoiled, which the frozen model is computed with
    ],
)
def test_a_loss_above_its_start_is_no_evidence_of_harm_where_the_adapters_help(
    classes: int | None, trains_more: bool, loss: float, fires: bool
) -> None:
    """Easy examples come first, then hard ones."""
    run = replace(healthy().run, config={"classes": classes}, own_classes=0, trains_more=trains_more)
    finding = LossDivergence().check(risen(run, 30, loss, 1.2 * loss, loss_start=4.4, loss_recent=loss))
    assert (finding is not None) is fires


@pytest.mark.parametrize(
    ("jump", "base", "fires"),
    [(40.0, 5.0, False), (40.0, 8.0, True), (4.0, 5.0, True)],
    ids=["other texts", "noise costs more than guessing", "slowly, as adapters do"],
)
def test_a_jump_to_other_texts_is_no_divergence_of_adapters_that_are_sound(
    jump: float, base: float, fires: bool
) -> None:
    """They cost adapters that have learned what came before more than the frozen model."""
    rule, level = LossDivergence(), {"loss_before": 0.7, "loss_recent": 7.0, "loss_sound": 57.0}
    scores = ({"loss_spike_score": jump, "loss_rise_score": 0.0}, {})
    steps = [risen(healthy().run, 61 + 3 * i, 1.2 * base, base, **level, **each) for i, each in enumerate(scores)]
    assert [rule.check(step) is not None for step in steps] == [False, fires]


@pytest.mark.thorough
def test_a_size_that_no_good_run_has_is_an_explosion_at_any_loss() -> None:
    """The model is as good as without the adapters."""
    alert = the("LW102", run(lora(tiny_model()), 60, lr=0.1, warmup_steps=24))
    assert alert.threshold == pytest.approx(500 / 4)


def test_loss_spike_when_one_batch_is_noise() -> None:
    monitor = run(steps=50, trainer_class=trainer_with_labels(lambda step: step == 35))
    alert = the("LW203", monitor)
    assert (alert.step, alert.last_step) == (35, 35)
    assert ids(monitor) == ["LW203"], "one bad batch is no divergence"
    assert alert.closed_step == 37, "a spike is over at once, however seldom the norms are measured"
    monitor = run(lora(tiny_model()), 46, prepare=schedule(lambda n: 300.0 if n > 39 else 1.0), mute=["LW306"])
    assert the("LW203", monitor).causes == the("LW102", monitor).causes, "which explains it: the guess is taken back"


def test_corrupted_batches_are_found_at_batch_size_one_and_sound_ones_are_not() -> None:
    """90 steps, each on one block of 64 tokens: losses scatter by a sixth."""
    spoiled = trainer_with_labels(lambda step: step > 70)
    monitor = run(steps=90, per_device_train_batch_size=1, trainer_class=spoiled)
    alert = the("LW202", monitor)
    assert 71 <= alert.step <= 80
    assert min(alert.step for alert in monitor.alerts) > 70
    assert alert.settings == {}, "the first step was small: the data are at fault, and no setting is"
    assert [alert.rule for alert in monitor.alerts if alert.closed_step is None] == ["LW202"], "one cause, one alert"


# -- LW204 and LW205 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_a_loss_of_zero_is_blamed_on_labels_that_do_not_count_alone(masked: bool) -> None:
    rows = [{**row, "labels": [-100] * 32} if masked else row for row in stdlib_blocks(24, 32)]
    lost = run(steps=11, dataset=rows, trainer_class=trainer_with_loss(lambda n, loss: loss.nan_to_num() * 0))
    assert {"-100" in alert.causes[0] for alert in lost.alerts} == {masked}
    assert (the("LW204", lost).step, ids(lost)) == (3, ["LW204", "LW303"])


def test_two_steps_without_a_target_are_no_fault() -> None:
    monitor = run(steps=12, trainer_class=trainer_with_loss(lambda n, loss: loss * (n not in (6, 7))))
    assert "LW204" not in ids(monitor)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_one_batch_without_a_target_is_named_under_the_trainer(accumulation: int) -> None:
    """Of two micro-batches one without a target is no fault; either way the next step's count begins anew."""
    rows = [dict(row) for row in stdlib_blocks(24 * accumulation, 32)]
    for row in rows[12 * accumulation :][:4]:
        row["labels"] = [-100] * 32
    monitor = run(steps=6, dataset=rows, trainer_class=InOrder, gradient_accumulation_steps=accumulation)
    assert [(alert.rule, alert.step) for alert in monitor.alerts] == [("LW204", 4)] * (accumulation == 1)
    assert all(alert.severity == Severity.WARNING for alert in monitor.alerts)
    assert monitor.last.targets
    assert math.isfinite(monitor.last.loss)


@pytest.mark.parametrize("own", [False, True], ids=["", "a loss of the loop's own"])
@pytest.mark.parametrize(("masked", "rules"), [({6}, ["LW204"]), ({6, 7}, ["LW204"]), ({6, 7, 8}, ["LW204", "LW201"])])
def test_a_batch_without_a_target_is_named_and_ends_no_run(masked: set[int], rules: list[str], own: bool) -> None:
    model = few().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ids = torch.tensor([block["input_ids"] for block in stdlib_blocks(4, 32)], device=model.device)
    with contextlib.suppress(LoraWatchError), Monitor(model, optimizer, fail_on="error", console=False) as monitor:
        for step in range(1, 10):
            labels = torch.full_like(ids, -100) if step in masked else ids
            if own:  # nobody but the loop knows its labels
                logits = model(input_ids=ids).logits[:, :-1]
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
            else:
                loss = model(input_ids=ids, labels=labels).loss
            updates(monitor, optimizer, [loss])
    assert [alert.rule for alert in monitor.alerts if alert.step > 0] == (["LW201"] if own else rules)
    assert monitor.steps == (9 if len(masked) < 3 else 8)
    for alert in monitor.alerts:
        if alert.rule == "LW201":  # such batches move no weight
            assert "every adapter" not in alert.details
            assert "-100" in alert.causes[0]
            assert "begin again" not in str(alert)
    assert monitor.alerts[0].severity == (Severity.ERROR if own and len(masked) == 3 else Severity.WARNING)
    assert (monitor.alerts[0].step, monitor.alerts[0].settings) == (6, {})
    if masked == {6, 7} and not own:
        assert numbers(monitor.alerts[0].message) == {2, 9}


def test_first_loss_too_high() -> None:
    monitor = run(steps=10, per_device_train_batch_size=4, prepare=lambda t: FAULTS["loud-head"].inject(t, 20))
    alert = the("LW205", monitor)
    assert alert.step == 3
    assert {1024, 6.93} <= numbers(alert.details)
    assert len(monitor.alerts) == 1


@pytest.mark.parametrize(("steps", "severity"), [(5, Severity.WARNING), (20, Severity.ERROR)])
def test_a_language_model_with_random_weights(steps: int, severity: Severity) -> None:
    """It is an ERROR if it is no better in the end."""
    blank = lora(type(tiny_model())(tiny_model().config), targets=FEW)
    alert = the("LW205", run(blank, steps, lr=1e-4))
    assert (alert.step, alert.severity, alert.message) == (3, severity, "the base model guesses")
    assert alert.closed_step is None
    assert "from_pretrained" in alert.causes[0]


def test_a_weak_base_that_explodes_at_once_was_not_guessing() -> None:
    """Its first losses are 0.96 of what guessing costs, and above."""
    check, info = FirstLossTooHigh().check, replace(healthy().run, config={"classes": 1024})
    for step, loss in enumerate((6.64, 6.93, 7.2), start=1):
        scalars = {"loss_start": 6.64, "loss_recent": loss, "labels_padded": math.nan}  # no label in the last rows
        assert check(StepRecord(info, step, {}, loss=loss, scalars=scalars)) is None


def test_batches_without_a_target_whose_updates_were_dropped_are_counted() -> None:
    rule = LossExactlyZero()
    for step, loss in ((1, math.nan), (2, math.nan), (7, 1.0), (9, 1.0)):
        rule.check(StepRecord(RunInfo(()), step, {}, loss, targets=0 if step < 7 else 9))
    assert rule.masked == 6
    zero = {"loss_recent": 0.0, "labels_seen": 24.0, "labels_share": 1.0, "labels_class": 1.0}
    assert "class 1" in LossExactlyZero().check(StepRecord(RunInfo(()), 3, {}, 0.0, scalars=zero)).message


LABELS: dict[str, tuple[Severity, str]] = {
    **dict.fromkeys(("places", "rows"), (Severity.ERROR, "other rows")),
    **dict.fromkeys(("shifted", "back", "well-known, back"), (Severity.ERROR, "shifted before")),
    "padding": (Severity.ERROR, "keeps the padding"),
    "all padding": (Severity.ERROR, "attention_mask hides"),
    **dict.fromkeys(("well-known padding", "unmarked padding"), (Severity.WARNING, "keeps the padding")),
    "eos": (Severity.ERROR, "all but one token"),
    "a rare end": (Severity.WARNING, "about one label a row is not -100"),
    "tokens": (Severity.ERROR, "the tokenizer is another model's"),
    "learned tokens": (Severity.WARNING, "the tokenizer is another model's, or the texts are"),
}
"""Faults in labels, and what is said of them. With well-known tokens the losses are far below what guessing costs."""


def mislabelled(fault: str) -> Sequence[dict[str, Any]]:
    """The data of most runs with such labels, or with sound ones."""
    draw, at = torch.Generator().manual_seed(0), torch.arange(32)
    ids = torch.tensor([row["input_ids"] for row in stdlib_blocks(48, 32)])
    mask, spaces = torch.full_like(ids, fault != "all padding"), 807
    well_known = torch.where(torch.isin(ids, ids.unique(return_counts=True)[1].topk(12).indices), ids, -100)
    if fault in ("padding", "well-known padding", "an end"):
        mask = (at < (8 if fault == "padding" else 24)).long().expand_as(ids)
        ids = torch.where(mask == 1, ids, 0 if fault == "padding" else spaces)
    if fault == "unmarked padding":
        ids = torch.where(at < 8, ids, spaces)
    if "tokens" in fault:
        ids = torch.randperm(1024, generator=draw)[ids]
    if fault in ("eos", "a rare end"):
        ids[:, -1] = torch.randint(0, 1024 if fault == "a rare end" else 1, (48,), generator=draw)
    labels = {
        "places": lambda: torch.stack([row[torch.randperm(32, generator=draw)] for row in ids]),
        "rows": lambda: ids.roll(1, 0),
        "shifted": lambda: ids.roll(-1, 1),
        "back": lambda: ids.roll(1, 1),
        "well-known": lambda: well_known,
        "well-known, back": lambda: well_known.roll(1, 1),
        "a prompt": lambda: torch.where(at < 8, -100, ids),
        "an end": lambda: torch.where((at < 18) | (at > 24), -100, ids),
        **dict.fromkeys(("eos", "a rare end", "a word"), lambda: torch.where(at < 31, -100, ids)),
    }.get(fault, lambda: ids)()
    columns = {"input_ids": ids.tolist(), "labels": labels.tolist(), "attention_mask": mask.tolist()}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def test_a_strong_rate_does_not_hide_labels_of_other_rows() -> None:
    monitor = run(steps=6, lr=5e-2, dataset=mislabelled("rows"), per_device_train_batch_size=8)
    assert ("LW205", 3, Severity.ERROR) in [(alert.rule, alert.step, alert.severity) for alert in monitor.alerts]


@pytest.mark.parametrize(("fault", "found"), [("rows", [("LW203", "stays")]), ("a prompt", [])], ids=["rows", "twin"])
def test_labels_that_are_wrong_from_some_step_on_are_named(fault: str, found: list[tuple[str, str]]) -> None:
    """The adapters learn the noise, and the loss comes down again."""
    wrong = mislabelled(fault)
    rows = [{**row, "labels": row["input_ids"], "attention_mask": [1] * 32} for row in stdlib_blocks(160, 32)]
    data = [*rows, *wrong, *wrong]
    monitor = run(lora(tiny_model()), 32, dataset=data, trainer_class=InOrder, lr=5e-3, per_device_train_batch_size=8)
    assert [(alert.rule, alert.kind) for alert in monitor.alerts] == found
    for alert in monitor.alerts:
        assert alert.step <= 28
        assert {21} <= numbers(alert.message)
        assert "texts or labels" in alert.causes[0]


@pytest.mark.parametrize(
    ("fault", "trainer"),
    [
        *((fault, Trainer) for fault in (*LABELS, "well-known", "a prompt", "an end", "a word")),
        ("rows", trainer_with_loss(lambda n, loss: loss)),  # which makes it of the model's own
    ],
)
def test_labels_that_do_not_fit_the_inputs_are_named_and_sound_ones_are_not(fault: str, trainer: Any) -> None:
    steps, lr = (12, 6e-3) if fault == "padding" else (5, 5e-3)  # it is soon learned, and counts all the same
    model = lora(tiny_model(), targets=["q_proj", "embed_tokens"]) if fault == "learned tokens" else None
    monitor = run(model, steps, lr=lr, dataset=mislabelled(fault), trainer_class=trainer)
    found = [(alert.rule, alert.severity, alert.step, alert.closed_step) for alert in monitor.alerts]
    assert found == ([("LW205", LABELS[fault][0], 3, None)] if fault in LABELS else [])
    assert not found or LABELS[fault][1] in monitor.alerts[0].causes[0]
    assert monitor.run.notes == ()


@pytest.mark.parametrize("kind", ["MaskedLM", "Seq2SeqLM"])
def test_labels_that_are_meant_to_differ_from_the_inputs_are_not_measured_by_them(kind: str) -> None:
    """A model that is as sure as a pretrained one, and wrong."""
    small = ("encoder_layers", "decoder_layers", "num_hidden_layers")
    sizes: dict[str, Any] = {"vocab_size": 1024, "d_model": 32, "hidden_size": 32, "num_attention_heads": 2}
    sizes |= dict.fromkeys(small, 1)
    config = transformers.BertConfig if kind == "MaskedLM" else transformers.BartConfig
    model = getattr(transformers, f"AutoModelFor{kind}").from_config(config(**sizes))
    model.get_output_embeddings().weight.data *= 20.0
    data = [{**row, "labels": row["input_ids"][::-1]} for row in stdlib_blocks(20, 32)]
    monitor = run(lora(model, targets=r".*(query|q_proj)", task_type=None), 4, dataset=data)
    assert [alert.message for alert in monitor.alerts] == ["the first losses are no better than guessing"] * (
        kind == "MaskedLM"
    )


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("factor", "severity"), [(-1.0, Severity.ERROR), (-2.0, Severity.WARNING), (1.0, None)])
def test_a_loss_of_the_wrong_sign_is_an_error(factor: float, severity: Severity | None, steps: int) -> None:
    monitor = run(
        steps=5, gradient_accumulation_steps=steps, trainer_class=trainer_with_loss(lambda n, loss: factor * loss)
    )
    found = [(a.rule, a.kind, a.severity, a.step) for a in monitor.alerts]
    kind = "sign" if severity is Severity.ERROR else "below zero"
    assert found == ([("LW205", kind, severity, 3)] if severity else [])
    assert monitor.last.zone != "healthy" or severity != Severity.ERROR, "and is not praised"


@pytest.mark.parametrize(("by", "less", "found"), [(-0.8, 0.0, ["below zero", "sign"]), (1.0, 20.0, ["below zero"])])
def test_a_loss_below_zero_that_falls_far_beyond_guessing_is_an_error(by: float, less: float, found: list[str]) -> None:
    monitor = run(steps=20, lr=1e-2, trainer_class=trainer_with_loss(lambda n, loss: by * loss - less))
    assert [a.kind for a in monitor.alerts if a.rule == "LW205"] == found
    assert monitor.alerts[-1].severity is (Severity.ERROR if "sign" in found else Severity.WARNING)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_training_away_from_the_loss_that_is_reported_is_no_matter_of_the_rate(sign: float) -> None:
    model = lora(tiny_model()).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    with Monitor(model, optimizer, console=False, max_steps=24) as monitor:
        for words in torch.tensor([row["input_ids"] for row in stdlib_blocks(96)]).split(4):
            loss = model(input_ids=words, labels=words).loss
            (sign * loss).backward()
            optimizer.step()
            monitor.step(loss)
            optimizer.zero_grad()
    assert [(a.rule, a.kind, a.next_run) for a in monitor.alerts] == [("LW102", "sign", None)] * (sign < 0)


def test_adaloras_own_term_in_the_loss_is_no_sign_of_wrong_labels() -> None:
    config = peft.AdaLoraConfig(r=8, lora_alpha=16, target_modules="all-linear", total_step=6, task_type="CAUSAL_LM")
    assert ids(run(peft.get_peft_model(tiny_model(), config), steps=6)) == []


@pytest.mark.parametrize("blank", [True, False])
def test_a_plain_loop_needs_to_name_no_vocabulary(blank: bool) -> None:
    base = tiny_model()
    model = lora(type(base)(base.config) if blank else base).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    with Monitor(model, optimizer, console=False) as monitor:
        loop(monitor, model, optimizer, 6)
    assert [(a.rule, a.severity) for a in monitor.alerts] == [("LW205", Severity.WARNING)] * blank
    assert ["untrained" in note for note in monitor.run.notes] == [True] * blank
