"""Trainers that are made from the Trainer: each is monitored, and its loss is the one that it logs.

SFT and DPO are in ``test_loss.py``, GRPO in ``tests/rules/test_loss_rules.py``.
"""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
)

from lora_watch import LoraWatchCallback, Severity
from tests.rules.test_chance import classifier
from tests.stored.saving import Damages, lose_a_layer
from tests.support import lora, stdlib_blocks, tiny_model, tiny_tokenizer

STEPS = 3
PAIRS = [
    {"prompt": "It is a truth", "chosen": " universally acknowledged", "rejected": " nobody ever heard"},
    {"prompt": "She was", "chosen": " then but fifteen", "rejected": " def import class return"},
] * 8
SINGLE = [{"prompt": pair["prompt"], "completion": pair["chosen"], "label": n % 2 == 0} for n, pair in enumerate(PAIRS)]


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    quiet = {"use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    each = {"output_dir": str(folder), "max_steps": STEPS, "logging_steps": 1, "learning_rate": 1e-3}
    return {**quiet, **each, "per_device_train_batch_size": 4, **more}


def seq2seq(folder: Path, watcher: LoraWatchCallback) -> Any:
    config = T5Config(vocab_size=1024, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16)
    config.decoder_start_token_id = 0
    model = lora(T5ForConditionalGeneration(config), targets=["q", "v"], task_type="SEQ_2_SEQ_LM")
    return Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(**settings(folder)),
        train_dataset=stdlib_blocks(16, 16),  # type: ignore[arg-type]
        data_collator=DataCollatorForSeq2Seq(tiny_tokenizer(), model=model),
        callbacks=[watcher],
    )


def with_trl(kind: str, rows: list[dict[str, Any]], model: Callable[[], Any] = lambda: lora(tiny_model()), **more: Any):
    def build(folder: Path, watcher: LoraWatchCallback) -> Any:
        trl = pytest.importorskip("trl")
        from datasets import Dataset

        place = trl if hasattr(trl, f"{kind}Trainer") else importlib.import_module(f"trl.experimental.{kind.lower()}")
        return getattr(place, f"{kind}Trainer")(
            model=model(),
            args=getattr(place, f"{kind}Config")(**settings(folder, **more)),
            train_dataset=Dataset.from_list(rows),
            processing_class=tiny_tokenizer(),
            callbacks=[watcher],
        )

    return build


BUILD: dict[str, Callable[[Path, LoraWatchCallback], Any]] = {
    "Seq2Seq": seq2seq,
    "SFT, packed": with_trl(
        "SFT", [{"text": row["prompt"] + row["chosen"]} for row in PAIRS], packing=True, max_length=32
    ),
    "SFT, completions only": with_trl("SFT", [{k: row[k] for k in ("prompt", "completion")} for row in SINGLE]),
    "KTO": with_trl("KTO", SINGLE),
    "ORPO": with_trl("ORPO", PAIRS, max_length=32),
    "CPO": with_trl("CPO", PAIRS, max_length=32),
    "Reward": with_trl("Reward", PAIRS, functools.partial(classifier, labels=1)),
}


@pytest.mark.parametrize("kind", BUILD)
def test_it_is_monitored(kind: str, tmp_path: Path) -> None:
    watcher = LoraWatchCallback(console=False, tensorboard=False)
    trainer = BUILD[kind](tmp_path, watcher)
    trainer.train()
    monitor = watcher.monitor
    assert monitor.steps == trainer.state.global_step > 0
    logged = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert monitor.last.loss == pytest.approx(float(logged[-1]), rel=1e-3, abs=1e-4)
    for metric in ("delta_norm", "a_grad_norm", "output_ratio", "effective_lr"):
        assert monitor.last.metrics[metric].known.all(), metric
    assert not [alert for alert in monitor.alerts if alert.severity >= Severity.ERROR]
    if kind.startswith("SFT"):
        assert monitor.last.comparable, "TRL's forward around the model's own keeps nothing of a pass"


def test_labels_that_trl_shifts_are_named_where_its_loss_has_no_logits(tmp_path: Path) -> None:
    texts = [{"text": tiny_tokenizer().decode(row["input_ids"])} for row in stdlib_blocks(16, 48)]
    watcher = LoraWatchCallback(console=False, tensorboard=False)
    trainer = with_trl("SFT", texts, max_steps=3)(tmp_path, watcher)
    collate = trainer.data_collator

    def shifted(rows: Any) -> Any:
        batch = collate(rows)
        return batch | {"labels": batch["input_ids"].roll(-1, 1)}

    trainer.data_collator = shifted
    trainer.train()
    (alert,) = watcher.monitor.alerts
    assert (alert.rule, alert.severity, "shifted before" in alert.causes[0]) == ("LW205", Severity.ERROR, True)


def test_what_trl_saves_is_read_back_and_resumed_from(tmp_path: Path) -> None:
    build = with_trl(
        "SFT", [{"text": row["prompt"] + row["chosen"]} for row in PAIRS], save_strategy="steps", save_steps=1
    )
    for resume, damaged, found in ((False, 0, []), (True, 0, []), (False, 3, ["LW313"])):
        watcher = LoraWatchCallback(console=False, tensorboard=False)
        trainer = build(tmp_path, watcher)
        trainer.callback_handler.callbacks.insert(0, Damages(lose_a_layer, damaged))
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2") if resume else None)
        trainer.save_model()
        assert [alert.rule for alert in watcher.monitor.alerts if alert.severity >= Severity.ERROR] == found
