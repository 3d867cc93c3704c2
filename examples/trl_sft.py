"""TRL's trainers take the callback as it is: supervised fine-tuning on plain text, stopped if it goes wrong.

pip install trl
python examples/trl_sft.py
python examples/trl_sft.py --lr 3e-2 --alpha 128      # goes wrong: exit code 1, and the reason
"""

from __future__ import annotations

import argparse

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from lora_watch import LoraWatchCallback
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import stdlib_text

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="sft")
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--alpha", type=int, default=16)
options = parser.parse_args()

model, tokenizer = tiny_llama()
texts = [text[i : i + 1000] for text in stdlib_text() for i in range(0, min(len(text), 4000), 1000)]
watcher = LoraWatchCallback(fail_on="error")
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    peft_config=LoraConfig(r=8, lora_alpha=options.alpha, target_modules="all-linear", task_type="CAUSAL_LM"),
    train_dataset=Dataset.from_dict({"text": texts[:256]}),
    args=SFTConfig(
        output_dir=options.output_dir,
        max_steps=options.steps,
        max_length=64,
        learning_rate=options.lr,
        per_device_train_batch_size=4,
        report_to="none",  # TensorBoard events are written all the same, below <output_dir>/runs
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    ),
    callbacks=[watcher],
)
trainer.train()

last = watcher.monitor.last
changed = sorted(last.metrics["relative_norm"].values)
print(f"step {last.step}: loss {last.loss:.3f}, median |dW|/|W0| {changed[14]:.4f}")
