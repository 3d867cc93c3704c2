"""One alpha, two formulas: which scale does the layer really use at a high rank, and how far does it move?

    python examples/rslora.py

r 64 and alpha 16, first with alpha/r (scale 0.25), then with ``use_rslora=True`` (alpha/sqrt(r): scale 2).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments, set_seed

from lora_watch import LoraWatchCallback, measure
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.tasks import mean_loss
from lora_watch.demo.texts import blocks, split, stdlib_text

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="rslora")
parser.add_argument("--steps", type=int, default=60)
options = parser.parse_args()

_, tokenizer = tiny_llama()
train, held_out = split(stdlib_text())
examples, unseen = blocks(train, tokenizer, 256, 64), blocks(held_out, tokenizer, 32, 64)

for use_rslora in (False, True):
    set_seed(0)
    base, _ = tiny_llama()
    lora = LoraConfig(r=64, lora_alpha=16, use_rslora=use_rslora, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = Trainer(
        model=get_peft_model(base, lora),
        args=TrainingArguments(
            output_dir=str(Path(options.output_dir, "alpha-over-root-r" if use_rslora else "alpha-over-r")),
            max_steps=options.steps,
            learning_rate=1e-3,
            per_device_train_batch_size=4,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=examples,
        callbacks=[LoraWatchCallback()],
    )
    trainer.train()
    now = measure(trainer.model)
    print(
        f"use_rslora={use_rslora}: scale {now.scale[0]:g}, median |dW|/|W0| {np.median(now.relative_norm):.4f}, "
        f"held-out loss {mean_loss(trainer.model, unseen):.3f}"
    )
print(f"side by side in the LoRA tab's Compare view: tensorboard --logdir {options.output_dir}")
