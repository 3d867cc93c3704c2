"""One line in a Trainer script: a classifier is fine-tuned with the callback, and its report is read afterwards.

    python examples/trainer_classification.py

The packaged model learns to tell Python code from prose about Python, texts that every Python carries.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

from lora_watch import LoraWatchCallback
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.demo.texts import blocks, python_manual, split, stdlib_text

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="classifier")
parser.add_argument("--steps", type=int, default=60)
options = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(TINY_LLAMA)
train, held_out = [], []
for label, documents in enumerate((stdlib_text(), python_manual())):
    for examples, some, n in zip((train, held_out), split(documents), (200, 20)):
        examples += [{"input_ids": b["input_ids"], "labels": label} for b in blocks(some, tokenizer, n, 64)]


def accuracy(model: torch.nn.Module) -> float:
    """Share of the held-out examples whose most likely class is theirs."""
    ids, labels = (torch.tensor([example[key] for example in held_out]) for key in ("input_ids", "labels"))
    with torch.no_grad():
        return (model.eval()(input_ids=ids).logits.argmax(-1) == labels).float().mean().item()


set_seed(0)
model = AutoModelForSequenceClassification.from_pretrained(TINY_LLAMA, num_labels=2).float()
# For SEQ_CLS, PEFT also trains and saves the new classification head; it is no adapter and is not monitored.
lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS")
trainer = Trainer(
    model=get_peft_model(model, lora),
    args=TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.steps,
        learning_rate=3e-3,
        per_device_train_batch_size=8,
        report_to="tensorboard",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        logging_steps=10,
    ),
    train_dataset=train,
    callbacks=[LoraWatchCallback()],  # <- this is all
)
before = accuracy(trainer.model)
trainer.train()
print(f"held-out accuracy {before:.2f} -> {accuracy(trainer.model):.2f}")

report = json.loads(Path(options.output_dir, "lora_watch", "report.json").read_text())
print(f"verdict: {report['verdict']}, alerts: {len(report['alerts'])}, adapters: {len(report['adapters'])}")
print(f"now: tensorboard --logdir {options.output_dir}")
