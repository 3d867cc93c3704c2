"""DoRA's change has two parts: a direction, which the norms measure, and a magnitude, which its parameter tells.

python examples/dora.py
"""

from __future__ import annotations

import argparse

import numpy as np
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments, set_seed

from lora_watch import LoraWatchCallback, find_adapters
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import blocks, stdlib_text

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="dora")
parser.add_argument("--steps", type=int, default=60)
options = parser.parse_args()

set_seed(0)
base, tokenizer = tiny_llama()
lora = LoraConfig(r=8, lora_alpha=16, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM")
model = get_peft_model(base, lora)
# DoRA scales each output row of W0 + s*B*A to a trained length, which starts as the row's own.
start = {a.name: a.magnitude.detach().clone() for a in find_adapters(model)}

watcher = LoraWatchCallback()
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.steps,
        learning_rate=2e-3,
        per_device_train_batch_size=4,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=blocks(stdlib_text(), tokenizer, 256, 64),
    callbacks=[watcher],
)
trainer.train()

last = watcher.monitor.last
change = [float((a.magnitude - start[a.name]).norm() / start[a.name].norm()) for a in find_adapters(model)]
print(f"direction: median |s*B*A|/|W0| {np.median(last.metrics['relative_norm'].values):.4f}")
print(f"magnitude: median |m - m0|/|m0| {np.median(change):.4f}")
